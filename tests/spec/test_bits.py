"""The sign convention, packing, and dot products."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xnoreplay.spec import bits


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_dot_is_the_product_of_signs(n, seed):
    x, w = np.random.default_rng(seed).integers(0, 2, (2, n), dtype=np.uint8)
    assert bits.dot(bits.to_int(x), bits.to_int(w), n) == int(bits.signed(x) @ bits.signed(w))


@given(st.integers(1, 2000), st.integers(-100, 100))
def test_the_threshold_is_the_least_popcount_with_sign_plus(n, more):
    t = bits.threshold(n, more)
    assert 2 * t - n + more >= 0 > 2 * (t - 1) - n + more
    assert bits.threshold(n, 2 * more) == bits.threshold(n) - more


def test_the_sign_of_zero_is_plus():
    assert bits.sign(np.array([-1, 0, 1])).tolist() == [0, 1, 1]
    assert bits.sign(np.array([-0.0, 0.0])).tolist() == [1, 1]


@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_packing_round_trips(n, seed):
    row = np.random.default_rng(seed).integers(0, 2, (3, n), dtype=np.uint8)
    assert (bits.unpack_bytes(bits.pack_bytes(row), n) == row).all()
    assert (bits.unpack_words(bits.pack_words(row), n) == row).all()
    assert [bits.to_int(row[0]) >> i & 1 for i in range(n)] == row[0].tolist()
