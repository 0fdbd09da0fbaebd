"""How the numbers of a binarisation are chosen, once, from the training samples of the base classes.

`xnoreplay.spec.features` says what they mean. Every step is exact, in integers or in operations of floats that round alike on
every machine, and random numbers are the raw words of a generator: the same samples give the same bits everywhere.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xnoreplay.spec import features
from xnoreplay.spec.errors import FeatureError
from xnoreplay.spec.features import Binariser, FeatureSpec

MOST_SAMPLES = 20_000
"""Samples that a binarisation is trained on, at most: a quantile of as many is known to half a percent."""
SAMPLE_BYTES = 1 << 27
"""Bytes of the samples as doubles, at most, but for `LEAST_SAMPLES`."""
LEAST_SAMPLES = 512
SPAN_BITS = 15
"""Values of the training samples span at most 2 to this: half of the range, so that later classes may reach beyond."""
LEVEL_BITS = 29
"""Scaled features are at most 2 to this in magnitude."""
TAPS = 4
"""Features of a projection: few, so that a bit costs a host few multiplications. The table of docs/features.md holds such
bits against those of PCA and ITQ, each of which looks at every feature."""
MIDDLE = (20, 80)
"""Percent of the training samples between which the threshold of a projection is drawn."""
CANDIDATES = 4
"""Projections of which a selected one is the best."""
SEED = 0
FRACTION = 20
"""Bits of fraction of a score."""
CHUNK = 1 << 23
"""Sums that are held at once."""


def most_samples(width: int) -> int:
    """Return how many samples of so many features are trained on at most."""
    return min(MOST_SAMPLES, max(LEAST_SAMPLES, SAMPLE_BYTES // (8 * width)))


def train(samples: np.ndarray, classes: np.ndarray, spec: FeatureSpec, latent: int) -> Binariser:
    """Choose the numbers of a binarisation.

    Parameters
    ----------
    samples : ndarray
        (n, d) float64, finite; training samples of the base classes.
    classes : ndarray
        (n,) integers from 0 on, of the samples; only `"selected"` looks at them.
    spec : FeatureSpec
    latent : int
        Bits to make.

    Returns
    -------
    Binariser

    Raises
    ------
    FeatureError
        Where no feature varies.
    """
    exponent, offset, q, live = values(samples)
    compared = {"thermometer": latent, "mixed": latent // 2}.get(spec.binarise, 0)
    parts = [thermometer(q, live, compared)] if compared else []
    if compared < latent:
        draws = CANDIDATES if spec.binarise == "selected" else 1
        drawn = projections(q, live, draws * (latent - compared))
        parts.append(drawn if draws == 1 else best(q, classes, drawn, draws))
    taps = max(part.tap.shape[1] for part in parts)
    widened = [[_widened(a, taps) for a in part[:2]] for part in parts]
    tap, weight = (np.concatenate([part[i] for part in widened]) for i in range(2))
    threshold = np.concatenate([part.threshold for part in parts])
    return Binariser(exponent, offset, tap, weight, threshold)


class Values(NamedTuple):
    """Samples as the bits see them.

    exponent, offset : (d,) int16, (d,) int32
    q : (n, d) int32
    live : (m,) numbers of the features that vary
    """

    exponent: np.ndarray
    offset: np.ndarray
    q: np.ndarray
    live: np.ndarray


def values(samples: np.ndarray) -> Values:
    """Scale samples, (n, d) float64; FeatureError where no feature varies."""
    exponent, offset = scales(samples)
    q = features.quantised(samples, exponent, offset)
    live = np.flatnonzero(q.max(axis=0) > q.min(axis=0))
    if not live.size:
        raise FeatureError(
            f"features must vary among the training samples of the base classes, but all {len(samples):,} are equal"
        )
    return Values(exponent, offset, q, live)


class Bits(NamedTuple):
    """Bits of a binarisation, as `xnoreplay.spec.features.Binariser` has them."""

    tap: np.ndarray
    weight: np.ndarray
    threshold: np.ndarray


def _widened(array: np.ndarray, taps: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, taps - array.shape[1])])


def scales(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose exponents and offsets: (n, d) float64 -> (d,) int16, (d,) int32.

    The exponent is the greatest for which the bounds that double the least power of two above the span and above the
    greatest magnitude fit into `SPAN_BITS` and `LEVEL_BITS`; the offset is the middle of the least and the greatest level.
    """
    low, high = samples.min(axis=0), samples.max(axis=0)
    half = high / 2 - low / 2  # cannot overflow
    by_span = SPAN_BITS - 1 - np.frexp(half)[1].astype(np.int64)
    by_size = LEVEL_BITS - np.frexp(np.maximum(-low, high))[1].astype(np.int64)
    exponent = np.where(half > 0, np.minimum(by_span, by_size), np.minimum(by_size, 0))
    exponent = exponent.clip(features.LEAST_EXPONENT, features.MOST_EXPONENT).astype(np.int16)
    ends = features.levels(np.stack([low, high]), exponent)
    return exponent, (ends.sum(axis=0) // 2).astype(np.int32)


def thermometer(q: np.ndarray, live: np.ndarray, bits: int) -> Bits:
    """Compare single features with thresholds.

    Bit i looks at feature i m // bits of the m that vary; number k of the f bits of a feature is at the quantile
    (2 k + 1) / (2 f).

    Parameters
    ----------
    q : ndarray
        (n, d) int32, values of the samples.
    live : ndarray
        (m,) numbers of the features that vary.
    bits : int
    """
    which = np.arange(bits) * len(live) // bits
    first = np.searchsorted(which, which)
    count = np.bincount(which, minlength=len(live))[which]
    tap = live[which].astype(np.uint16)[:, None]
    weight = np.ones((bits, 1), np.int8)
    part = 2 * (np.arange(bits) - first) + 1
    return Bits(tap, weight, thresholds(q, tap, weight, part, 2 * count))


def projections(q: np.ndarray, live: np.ndarray, bits: int) -> Bits:
    """Draw `TAPS` different features for each bit, their signs, and the quantile of its threshold, of `MIDDLE`.

    A weight is inverse to the deviation of its feature's values, so that features weigh alike: of the taps of a bit the
    one with the least deviation has weight 127 or -127, the others the nearest integer in proportion, at least 1.

    Parameters
    ----------
    q, live, bits
        As of `thermometer`.
    """
    words, taps = np.random.PCG64(SEED), min(TAPS, len(live))
    chosen = below(words, len(live), bits, taps)
    while True:
        ordered = np.sort(chosen, axis=1)
        again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        if not again.size:
            break
        chosen[again] = below(words, len(live), len(again), taps)
    spread = deviations(q[:, live])[chosen]
    least = spread.min(axis=1, keepdims=True)
    size = np.maximum(1, (features.MOST_WEIGHT * least + spread // 2) // spread)
    weight = ((1 - 2 * below(words, 2, bits, taps)) * size).astype(np.int8)
    tap = live[chosen].astype(np.uint16)
    low, high = MIDDLE
    part = below(words, high - low + 1, bits) + low
    return Bits(tap, weight, thresholds(q, tap, weight, part, np.full(bits, 100)))


def best(q: np.ndarray, classes: np.ndarray, drawn: Bits, draws: int) -> Bits:
    """Of every `draws` bits keep the one that tells the classes apart best, the first of equal ones; see `scores`."""
    found = np.concatenate(
        [
            scores(features.sums(q, tap, weight) >= threshold, classes)
            for tap, weight, threshold in _blocks(drawn, max(1, CHUNK // len(q)))
        ]
    )
    kept = np.arange(0, len(found), draws) + found.reshape(-1, draws).argmax(axis=1)
    return Bits(*(array[kept] for array in drawn))


def _blocks(bits: Bits, rows: int) -> Iterator[Bits]:
    for start in range(0, len(bits.tap), rows):
        yield Bits(*(array[start : start + rows] for array in bits))


def scores(bits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the share of each bit's variance that lies between the classes, in units of 2^-`FRACTION`, rounded down.

    Of n samples k have the bit, of the n_c of class c s_c: the share is (sum_c s_c^2 / n_c - k^2 / n) / (k (n - k) / n),
    the Gini gain of the bit as a question about the class (Breiman et al., Classification and Regression Trees, 1984).

    Parameters
    ----------
    bits : ndarray
        (n, bits) bool.
    classes : ndarray
        (n,) integers from 0 on.

    Returns
    -------
    ndarray
        (bits,) int64; 0 for a bit that all samples have or none.
    """
    n, sizes = len(bits), np.bincount(classes)
    members = np.stack([bits[classes == c].sum(axis=0) for c in np.flatnonzero(sizes)])
    squares = (members * members << FRACTION) // sizes[sizes > 0][:, None]
    k = bits.sum(axis=0)
    between = squares.sum(axis=0) - (k * k << FRACTION) // n
    return between * n // np.maximum(k * (n - k), 1) * (k % n > 0)


def deviations(q: np.ndarray) -> np.ndarray:
    """Return the deviation of each column, rounded down, at least 1: (n, d) int32 -> (d,) int64."""
    n, wide = len(q), q.astype(np.int64)
    mean = wide.sum(axis=0) // n
    variance = ((wide - mean) ** 2).sum(axis=0) // n
    return np.array([max(1, math.isqrt(v)) for v in variance.tolist()])


def thresholds(
    q: np.ndarray, tap: np.ndarray, weight: np.ndarray, part: np.ndarray, whole: np.ndarray
) -> np.ndarray:
    """Choose thresholds at quantiles of each bit's sums above their least: (bits,) int32.

    Of m such sums in order, number ``part m // whole`` from 0. Sums that are at the least in many samples, as of features that
    are mostly 0, would else take most thresholds, and such a bit be always 1.
    """
    chosen = np.empty(len(tap), np.int32)
    rows = max(1, CHUNK // len(q))
    for start in range(0, len(tap), rows):
        end = min(start + rows, len(tap))
        sums = np.sort(features.sums(q, tap[start:end], weight[start:end]), axis=0)
        least = (sums == sums[0]).sum(axis=0)
        above = len(q) - least
        number = np.minimum(least + part[start:end] * above // whole[start:end], len(q) - 1)
        chosen[start:end] = sums[number, np.arange(end - start)]
    return chosen


def below(words: np.random.PCG64, most: int, *shape: int) -> np.ndarray:
    """Draw integers from 0 to most - 1: int64 of a shape, raw words of 64 bits modulo `most`."""
    raw = words.random_raw(math.prod(shape)) % np.uint64(most)
    return raw.astype(np.int64).reshape(shape)
