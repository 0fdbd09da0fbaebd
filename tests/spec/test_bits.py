"""The sign convention, packing, and dot products."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xnoreplay.spec import bits


@given(st.integers(1, 200), st.data())
def test_dot_is_the_product_of_signs(n, data):
    x, w = (data.draw(st.integers(0, 2**n - 1)) for _ in range(2))
    expected = int(bits.signed(bits.from_int(x, n)) @ bits.signed(bits.from_int(w, n)))
    assert bits.dot(x, w, n) == expected


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
    assert (bits.from_int(bits.to_int(row[0]), n) == row[0]).all()
