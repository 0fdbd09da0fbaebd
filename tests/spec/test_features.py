"""Latents of features: the Python rule, the C function, and a slow reference in fractions beside each other."""

import ctypes
import math
import shutil
import subprocess
from fractions import Fraction
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.spec import features
from xnoreplay.spec.bits import unpack_bytes
from xnoreplay.spec.errors import FeatureError, SpecError
from xnoreplay.spec.features import Binariser, FeatureSpec

HALF = 1 << 15
POINTERS = ("exponent", "offset", "tap", "weight", "threshold")


class CRule(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("features", "latent", "taps")] + [
        (n, ctypes.c_void_p) for n in POINTERS
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = resources.files("xnoreplay.spec") / "c"
    target = tmp_path_factory.mktemp("c") / "features.so"
    compiler = shutil.which("cc") or shutil.which("g++")
    source = str(folder / "xnoreplay_features.c")
    flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic"]
    subprocess.run([compiler, "-x", "c", *flags, source, "-o", str(target), "-lm"], check=True)
    return ctypes.CDLL(str(target))


def in_c(library, rule: Binariser, x: np.ndarray) -> np.ndarray | None:
    """What the C function gives of one vector, (latent,) bits; None where it refuses."""
    arrays = [np.ascontiguousarray(getattr(rule, n)) for n in POINTERS]
    given = CRule(rule.features, rule.latent, rule.tap.shape[1], *(a.ctypes.data for a in arrays))
    x = np.ascontiguousarray(x, np.float64)
    values = np.zeros(rule.features, np.int16)
    out = np.full(-(-rule.latent // 8), 0xAA, np.uint8)
    places = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, values, out)]
    if library.xnoreplay_latent(ctypes.byref(given), *places):
        return None
    assert not out[-1] >> ((rule.latent - 1) % 8 + 1)
    return unpack_bytes(out, rule.latent)


def by_fractions(rule: Binariser, x: np.ndarray) -> list[int]:
    """The page read aloud: one vector, one bit and one tap at a time, in exact numbers."""
    q = []
    for value, e, o in zip(x.tolist(), rule.exponent.tolist(), rule.offset.tolist(), strict=True):
        level = math.floor(Fraction(value) * Fraction(2) ** e)
        level = max(-(2**30) + 1, min(2**30 - 1, level)) - o
        q.append(max(-HALF, min(HALF - 1, level)))
    bits = []
    for i in range(rule.latent):
        total = 0
        for j, w in zip(rule.tap[i].tolist(), rule.weight[i].tolist(), strict=True):
            total += w * q[j]
        bits.append(int(total >= rule.threshold[i]))
    return bits


@st.composite
def rules(draw):
    d, latent = draw(st.integers(1, 6)), draw(st.integers(1, 19))
    taps = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wild = draw(st.booleans())
    most = 1023 if wild else 12
    return Binariser(
        rng.integers(-most, most + 1, d, np.int16),
        rng.integers(-features.MOST_LEVEL, features.MOST_LEVEL + 1, d, np.int32)
        if wild
        else rng.integers(-9, 10, d, np.int32),
        rng.integers(0, d, (latent, taps), np.uint16),
        rng.integers(-127, 128, (latent, taps), np.int8),
        rng.integers(-3000, 3000, latent, np.int32),
    )


@st.composite
def cases(draw):
    rule = draw(rules())
    numbers = st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.floats(-40, 40, width=32),
        st.integers(-50, 50).map(float),
        st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 0.5, -0.5]),
    )
    x = draw(st.lists(numbers, min_size=rule.features, max_size=rule.features))
    return rule, np.array(x)


@settings(max_examples=400, deadline=None)
@given(case=cases())
def test_c_and_python_give_the_bits_of_exact_fractions(library, case):
    rule, x = case
    wanted = by_fractions(rule, x)
    assert rule.latents(x[None])[0].tolist() == wanted
    assert in_c(library, rule, x).tolist() == wanted


def test_the_greatest_sums_fit_into_32_bits(library):
    d = features.MOST_TAPS
    low = np.full(d, -1.0)
    rule = Binariser(
        np.full(d, 20, np.int16),
        np.zeros(d, np.int32),
        np.arange(2 * d).reshape(2, d).astype(np.uint16) % d,
        np.stack([np.full(d, 127, np.int8), np.full(d, -127, np.int8)]),
        np.array([-d * 127 * HALF, d * 127 * HALF], np.int32),
    )
    assert rule.latents(low[None]).tolist() == [[1, 1]]
    assert in_c(library, rule, low).tolist() == [1, 1]
    above = Binariser(rule.exponent, rule.offset, rule.tap, rule.weight, rule.threshold + 1)
    assert above.latents(low[None]).tolist() == [[0, 0]]
    assert in_c(library, above, low).tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint16", "int64", "bool"])
def test_every_type_of_number_is_a_double_without_rounding(dtype):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (9, 3)).astype(dtype) if dtype == "bool" else None
    x = (rng.standard_normal((9, 3)) * 40).astype(dtype) if x is None else x
    rule = Binariser(
        np.array([0, 3, -2], np.int16),
        np.zeros(3, np.int32),
        np.array([[0, 1], [2, 0]], np.uint16),
        np.array([[1, 1], [3, -1]], np.int8),
        np.array([4, -1], np.int32),
    )
    assert rule.latents(x).tolist() == [by_fractions(rule, row) for row in x.astype(float)]
    assert rule.packed(x).shape == (9, 1)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.ones((2, 2)), "a vector must have 3 features, not .2,."),
        (np.ones(3), "a vector must have 3 features"),
        (np.array([[1, np.nan, 0]]), r"must be finite numbers, not nan \(feature 1\)"),
        (np.array([[1, 0, -np.inf]]), r"must be finite numbers, not -inf \(feature 2\)"),
        (np.ones((1, 3), complex), "integers or floats of at most 64 bits, not complex128"),
        (np.array([[0, 1, 2**53 + 1]]), "at most 2\\^53 in magnitude, not 9007199254740993"),
        (np.array([[0, 1, -(2**63)]]), "at most 2\\^53 in magnitude, not -9223372036854775808"),
    ],
)
def test_what_is_no_vector_is_one_sentence(x, sentence, library):
    rule = Binariser(
        np.zeros(3, np.int16),
        np.zeros(3, np.int32),
        np.zeros((1, 1), np.uint16),
        np.ones((1, 1), np.int8),
        np.zeros(1, np.int32),
    )
    with pytest.raises(FeatureError, match=sentence):
        rule.latents(x)
    if x.dtype == float and x.shape == (1, 3):
        assert in_c(library, rule, x[0]) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"exponent": np.zeros(0, np.int16)}, "must take 1 to 65,536 features, not 0"),
        ({"exponent": np.full(2, 1024, np.int16)}, "exponent .* must be -1023 to 1023, not 1024"),
        ({"offset": np.full(2, -(1 << 30), np.int32)}, "offset .* not -1073741824"),
        ({"tap": np.full((3, 1), 2, np.uint16)}, "tap of a binariser must be 0 to 1, not 2"),
        ({"weight": np.full((3, 1), -128, np.int8)}, "weight .* must be -127 to 127, not -128"),
        ({"weight": np.ones((3, 2), np.int8)}, r"weight .* must be int8 of shape \(3, 1\)"),
        ({"threshold": np.zeros(3, np.int64)}, r"must be int32 of shape \(3,\), not int64"),
        ({"tap": np.zeros((3, 257), np.uint16)}, "taps of a binariser must be of shape"),
    ],
)
def test_a_rule_with_numbers_out_of_range_is_refused(changed, sentence):
    arrays = {
        "exponent": np.zeros(2, np.int16),
        "offset": np.zeros(2, np.int32),
        "tap": np.zeros((3, 1), np.uint16),
        "weight": np.ones((3, 1), np.int8),
        "threshold": np.zeros(3, np.int32),
    }
    Binariser(**arrays)
    with pytest.raises(SpecError, match=sentence):
        Binariser(**arrays | changed)


def test_an_unknown_way_is_refused():
    with pytest.raises(SpecError, match="binarise must be .* not 'itq'"):
        FeatureSpec("itq")


@pytest.mark.parametrize(
    ("x", "exponent", "value"),
    [
        (-5e-324, -1, -1),  # no double is as small as the product, but its floor is -1
        (5e-324, -1, 0),
        (-0.0, 5, 0),
        (-1e-300, -1023, -1),
        (1.7e308, 1023, HALF - 1),
        (-1.7e308, 1023, -HALF),
        (-0.25, 2, -1),
        (-0.26, 2, -2),
    ],
)
def test_a_scaled_feature_is_the_floor_of_the_real_product(library, x, exponent, value):
    one = np.ones((2, 1), np.int8)
    rule = Binariser(
        np.array([exponent], np.int16),
        np.zeros(1, np.int32),
        np.zeros((2, 1), np.uint16),
        one,
        np.array([value, value + 1], np.int32),
    )
    assert rule.values(np.array([[x]])).item() == value
    assert by_fractions(rule, np.array([x])) == [1, 0]
    assert rule.latents(np.array([[x]])).tolist() == [[1, 0]]
    assert in_c(library, rule, np.array([x])).tolist() == [1, 0]
