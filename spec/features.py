"""Turns a vector of features into the bits of a latent: one exact rule in integers.

`Binariser.latents` is the rule in Python; `c/xnoreplay_features.c` beside this file is the same function for a host without
Python. `docs/features.md` says it in words, so that it can be written again. How the rule's numbers are chosen, once, from
the training samples of the base classes, is `xnoreplay.flow.datasets.binarise`.
"""

from dataclasses import dataclass

import numpy as np

from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.errors import FeatureError, SpecError, require, shown

METHODS = ("selected", "projection", "thermometer", "mixed")
"""Ways to choose the rule's numbers; the first is taken where a spec names none."""
MOST_FEATURES = 1 << 16
MOST_TAPS = 256
"""Features that one bit looks at: sums then fit into 32 bits, as 256 x 127 x 2^15 is below 2^30."""
LEAST_EXPONENT, MOST_EXPONENT = -1023, 1023
MOST_LEVEL = (1 << 30) - 1
"""Of a feature times its power of two, either sign: less an offset of as much, it fits into 32 bits."""
LEAST_VALUE, MOST_VALUE = -(1 << 15), (1 << 15) - 1
MOST_WEIGHT = 127
EXACT = 1 << 53
"""Integers up to this are doubles."""
CHUNK = 1 << 22
"""Sums that are held at once."""


@dataclass(frozen=True)
class FeatureSpec:
    """How a user's vectors of features become latents.

    Parameters
    ----------
    binarise : str
        ``"projection"``: a bit compares a weighted sum of a few features with a threshold. ``"selected"``: of several such
        bits the one that tells the base classes apart best. ``"thermometer"``: a bit compares one feature with a threshold.
        ``"mixed"``: half of the bits are thermometers, half projections.

    Raises
    ------
    SpecError
        Where a field breaks a rule; the message states the rule and the value.
    """

    binarise: str = METHODS[0]

    def __post_init__(self) -> None:
        require.choice("binarise", self.binarise, METHODS)


@dataclass(frozen=True, eq=False)
class Binariser:
    """The numbers of the rule, trained once: d features become `latent` bits.

    With x a feature, its value is ``q = clip(clip(floor(x 2^exponent), -MOST_LEVEL, MOST_LEVEL) - offset, -2^15, 2^15 - 1)``.
    Bit i is 1 where the sum over taps k of ``weight[i, k] q[tap[i, k]]`` is at least ``threshold[i]``. No step rounds a
    real number but the floor, whose operand is exact: a power of two changes only a float's exponent.

    Parameters
    ----------
    exponent : ndarray
        (d,) int16, of the power of two that scales each feature; -1,023 to 1,023.
    offset : ndarray
        (d,) int32, taken from the scaled feature; at most 2^30 - 1 in magnitude.
    tap : ndarray
        (latent, taps) uint16, the features that each bit looks at.
    weight : ndarray
        (latent, taps) int8, -127 to 127.
    threshold : ndarray
        (latent,) int32.

    Raises
    ------
    SpecError
        Where the arrays are not of these types, shapes and ranges.
    """

    exponent: np.ndarray
    offset: np.ndarray
    tap: np.ndarray
    weight: np.ndarray
    threshold: np.ndarray

    def __post_init__(self) -> None:
        d, shape = len(self.exponent), self.tap.shape
        if not 1 <= d <= MOST_FEATURES:
            raise SpecError(f"a binariser must take 1 to {MOST_FEATURES:,} features, not {d:,}")
        if len(shape) != 2 or not shape[0] or not 1 <= shape[1] <= MOST_TAPS:
            raise SpecError(
                f"taps of a binariser must be of shape (latent, 1 to {MOST_TAPS}), not {shown(shape)}"
            )
        expected = shapes(d, *shape)
        for name, (wanted, dtype) in expected.items():
            array = getattr(self, name)
            if array.shape != wanted or array.dtype != dtype:
                raise SpecError(
                    f"{name} of a binariser must be {dtype} of shape {wanted}, not {array.dtype} of shape {array.shape}"
                )
        for name, least, most in (
            ("exponent", LEAST_EXPONENT, MOST_EXPONENT),
            ("offset", -MOST_LEVEL, MOST_LEVEL),
            ("tap", 0, d - 1),
            ("weight", -MOST_WEIGHT, MOST_WEIGHT),
        ):
            array = getattr(self, name)
            low, high = int(array.min()), int(array.max())
            if low < least or high > most:
                raise SpecError(
                    f"{name} of a binariser must be {least} to {most}, not {low if low < least else high}"
                )

    @property
    def features(self) -> int:
        """Features that it takes."""
        return len(self.exponent)

    @property
    def latent(self) -> int:
        """Bits that it gives."""
        return len(self.threshold)

    @property
    def parameter_bits(self) -> int:
        """Bits that a host keeps of it: 16 and 32 a feature, 16 and 8 a tap, 32 a threshold."""
        return 48 * self.features + 24 * self.tap.size + 32 * self.latent

    def same_as(self, other: "Binariser | None") -> bool:
        """Whether another binarisation has the same numbers."""
        names = shapes(1, 1, 1)
        return other is not None and all(
            np.array_equal(getattr(self, n), getattr(other, n)) for n in names
        )

    def values(self, features: np.ndarray) -> np.ndarray:
        """Quantise features: (n, d) floats or integers -> (n, d) int32, -2^15 to 2^15 - 1.

        Raises
        ------
        FeatureError
            Where the vectors have another length, or hold what is no finite number.
        """
        x = doubles(features)
        if x.ndim != 2 or x.shape[1] != self.features:
            raise FeatureError(
                f"a vector must have {self.features:,} features, not {shown(features.shape[1:])}"
            )
        return quantised(x, self.exponent, self.offset)

    def latents(self, features: np.ndarray) -> np.ndarray:
        """Turn vectors into latents: (n, d) floats or integers -> (n, latent) uint8 bits; raises as `values`.

        >>> one = np.ones((1, 1), np.int8)
        >>> rule = Binariser(np.int16([3]), np.int32([0]), one.astype(np.uint16) - 1, one, np.int32([12]))
        >>> rule.latents(np.array([[1.49], [1.5]])).ravel()
        array([0, 1], dtype=uint8)
        """
        q = self.values(features)
        bits = np.empty((len(q), self.latent), np.uint8)
        rows = max(1, CHUNK // self.latent)
        for start in range(0, len(q), rows):
            part = slice(start, start + rows)
            bits[part] = sums(q[part], self.tap, self.weight) >= self.threshold
        return bits

    def packed(self, features: np.ndarray) -> np.ndarray:
        """Turn vectors into latents as they enter the chip: (n, d) -> (n, ceil(latent / 8)) uint8."""
        return pack_bytes(self.latents(features))


def shapes(d: int, latent: int, taps: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each array of a binariser, by name."""
    return {
        "exponent": ((d,), "int16"),
        "offset": ((d,), "int32"),
        "tap": ((latent, taps), "uint16"),
        "weight": ((latent, taps), "int8"),
        "threshold": ((latent,), "int32"),
    }


def doubles(features: np.ndarray) -> np.ndarray:
    """The same numbers as float64, without rounding; same shape.

    Raises
    ------
    FeatureError
        For numbers that are no real ones, not finite, or integers above 2^53.
    """
    kind = features.dtype.kind
    if kind not in "fiub" or features.dtype.itemsize > 8:
        raise FeatureError(
            f"features must be integers or floats of at most 64 bits, not {features.dtype}"
        )
    if kind in "iu" and features.size and features.dtype.itemsize == 8:
        least, most = int(features.min()), int(features.max())
        if max(-least, most) > EXACT:
            raise FeatureError(
                f"integer features must be at most 2^53 in magnitude, not {least if -least > EXACT else most}"
            )
    x = features.astype(np.float64)
    if kind == "f" and not np.isfinite(x).all():
        where = np.argwhere(~np.isfinite(x))[0]
        raise FeatureError(
            f"features must be finite numbers, not {x[tuple(where)]} (feature {where[-1]:,})"
        )
    return x


def levels(x: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """floor(x 2^exponent), clipped to `MOST_LEVEL`: (n, d) float64, (d,) -> (n, d) int64.

    A product that is too small for a double has floor 0 or -1 by its sign, and one that is too large is clipped.
    """
    with np.errstate(over="ignore"):
        scaled = np.ldexp(x, exponent)
    lost = (scaled == 0) & (x < 0)  # as a double the product is -0, as a number it is below 0
    return np.clip(np.where(lost, -1.0, np.floor(scaled)), -MOST_LEVEL, MOST_LEVEL).astype(np.int64)


def quantised(x: np.ndarray, exponent: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The values of the rule: (n, d) float64, (d,), (d,) -> (n, d) int32."""
    values = levels(x, exponent) - offset
    return np.clip(values, LEAST_VALUE, MOST_VALUE).astype(np.int32)


def sums(q: np.ndarray, tap: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sums of taps: (n, d) int32, (rows, taps), (rows, taps) -> (n, rows) int32."""
    total = np.zeros((len(q), len(tap)), np.int32)
    for k in range(tap.shape[1]):
        total += q[:, tap[:, k]] * weight[:, k].astype(np.int32)
    return total
