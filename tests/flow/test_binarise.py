"""The numbers of a binarisation: chosen as its docstrings say, and the same on every machine."""

import hashlib
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow.datasets import binarise
from xnoreplay.spec import features
from xnoreplay.spec.errors import FeatureError
from xnoreplay.spec.features import METHODS, FeatureSpec

RNG = np.random.default_rng(8)
PLAIN = RNG.standard_normal((60, 7)) * [1, 1e-3, 50, 2, 1e9, 3, 1] + [0, 1, -900, 0, 0, 5, 0]
SPARSE = np.maximum(PLAIN - PLAIN.mean(0) - PLAIN.std(0) / 2, 0)  # most are 0

CLASSES = np.arange(60) % 3
PAGE = Path(__file__).parents[2] / "docs" / "features.md"


@pytest.mark.parametrize(
    "samples", [PLAIN, SPARSE, np.round(PLAIN)], ids=["plain", "sparse", "int"]
)
def test_values_of_the_training_samples_fill_a_quarter_to_a_half_of_the_range(samples):
    exponent, offset = binarise.scales(samples)
    q = features.quantised(samples, exponent, offset)
    span = q.max(0) - q.min(0)
    varies = samples.max(0) > samples.min(0)
    assert (span[varies] <= 1 << 15).all()
    assert (span[varies] >= (1 << 13) - 1).all()
    assert np.abs(q.max(0) + q.min(0)).max() <= 1
    for j in np.flatnonzero(varies):  # no greater exponent is in bounds
        width = Fraction(float(samples[:, j].max())) - Fraction(float(samples[:, j].min()))
        assert width * Fraction(2) ** int(exponent[j]) <= 1 << 15


def test_scales_bound_large_numbers_and_take_constants_and_the_extremes():
    x = np.array([[1e6, 7.0, -1.7e308, 1e-300, 0], [1e6 + 1e-6, 7.0, 1.7e308, 0, 0]])
    exponent, offset = binarise.scales(x)
    levels = features.levels(x, exponent)
    assert np.abs(levels).max() <= 1 << 29
    assert np.abs(features.quantised(x, exponent, offset)).max() <= 1 << 14
    assert exponent[1] == 0
    assert exponent.min() == -1010
    assert exponent.max() > 1000


def naive_thresholds(q, tap, weight, part, whole):
    """Sort, leave the least away, count."""
    chosen = []
    for features_, weights, p, w in zip(tap, weight, part, whole, strict=True):
        sums = sorted(
            sum(int(a) * int(b) for a, b in zip(row[features_], weights, strict=True)) for row in q
        )
        above = [s for s in sums if s > sums[0]] or [sums[0]]
        chosen.append(above[min(p * len(above) // w, len(above) - 1)])
    return chosen


@pytest.mark.parametrize("samples", [PLAIN, SPARSE], ids=["plain", "sparse"])
@pytest.mark.parametrize("rows", [1, 100])
def test_thresholds_are_quantiles_of_the_sums_above_the_least(samples, rows, monkeypatch):
    monkeypatch.setattr(binarise, "CHUNK", 60 * rows)
    q = features.quantised(samples, *binarise.scales(samples))
    tap = RNG.integers(0, 7, (20, 3), np.uint16)
    weight = RNG.integers(-3, 4, (20, 3), np.int8)
    weight[4] = 0  # its sums are all 0
    part, whole = RNG.integers(0, 101, 20), np.full(20, 100)
    got = binarise.thresholds(q, tap, weight, part, whole)
    assert got.tolist() == naive_thresholds(q, tap, weight, part, whole)


@pytest.mark.parametrize("way", METHODS)
def test_every_bit_of_features_that_vary_turns(way):
    rule = binarise.train(SPARSE, CLASSES, FeatureSpec(way), 90)
    bits = rule.latents(SPARSE)
    assert (bits.min(0) == 0).all()
    assert (bits.max(0) == 1).all()
    assert rule.latent == 90
    assert rule.features == 7


def test_a_thermometer_shares_its_bits_evenly_and_puts_them_at_quantiles():
    rule = binarise.train(PLAIN, CLASSES, FeatureSpec("thermometer"), 24)
    which = rule.tap[:, 0]
    assert rule.tap.shape == (24, 1)
    assert (rule.weight == 1).all()
    assert np.bincount(which).tolist() == [4, 3, 4, 3, 4, 3, 3]
    q = rule.values(PLAIN)
    for j in range(7):
        above = np.sort(q[:, j])[1:]  # its least is one sample
        count = (which == j).sum()
        wanted = [above[(2 * k + 1) * len(above) // (2 * count)] for k in range(count)]
        assert rule.threshold[which == j].tolist() == wanted


def test_a_projection_looks_at_different_features_that_weigh_alike():
    constant = np.concatenate([PLAIN, np.full((60, 1), 3.0)], axis=1)
    rule = binarise.train(constant, CLASSES, FeatureSpec("projection"), 200)
    assert rule.tap.shape == (200, binarise.TAPS)
    assert all(len(set(row)) == binarise.TAPS for row in rule.tap.tolist())
    assert set(rule.tap.ravel().tolist()) == set(range(7))  # never the constant one
    q = rule.values(constant).astype(np.int64)
    for tap, weight in zip(rule.tap, rule.weight, strict=True):
        spread = [
            max(1, math.isqrt(int(((q[:, j] - q[:, j].sum() // 60) ** 2).sum() // 60))) for j in tap
        ]
        wanted = [
            max(1, math.floor(Fraction(127 * min(spread), s) + Fraction(1, 2))) for s in spread
        ]
        assert np.abs(weight).tolist() == wanted
    signs = rule.weight.ravel() > 0
    assert 0.4 < signs.mean() < 0.6
    ones = rule.latents(constant).mean(0)
    assert 0.15 < ones.min() < 0.3
    assert 0.7 < ones.max() < 0.85


def naive_score(bit, classes):
    """Variances as fractions: that between the classes by that of all."""
    n, k = len(bit), Fraction(int(bit.sum()))
    if k in (0, n):
        return 0
    between = -k * k / n
    for c in set(classes.tolist()):
        mine = bit[classes == c]
        between += Fraction(int(mine.sum()) ** 2, len(mine))
    return between / (k * (n - k) / n)


def test_a_score_is_the_share_of_a_bits_variance_between_classes():
    bits = RNG.integers(0, 2, (60, 40)).astype(bool)
    bits[:, 0], bits[:, 1] = True, False
    bits[:, 2] = CLASSES == 1  # says the class
    odd = np.where(CLASSES == 2, 5, CLASSES)  # labels need not follow each other
    got = binarise.scores(bits, odd)
    wanted = [naive_score(bit, CLASSES) for bit in bits.T]
    assert got[:2].tolist() == [0, 0]
    for score, share in zip(got.tolist(), wanted, strict=True):
        assert abs(Fraction(score, 1 << 20) - share) < Fraction(1, 1 << 16)


def test_a_selected_bit_is_the_best_of_four_projections(monkeypatch):
    labels = (PLAIN[:, 2] > -900).astype(int)
    four = binarise.train(PLAIN, labels, FeatureSpec("projection"), 48)
    for rows in (3, 10**6):
        monkeypatch.setattr(binarise, "CHUNK", 60 * rows)
        rule = binarise.train(PLAIN, labels, FeatureSpec("selected"), 12)
        share = [naive_score(bit, labels) for bit in four.latents(PLAIN).T]
        for i in range(12):
            kept = max(range(4 * i, 4 * i + 4), key=lambda k: share[k])
            for name in ("tap", "weight", "threshold"):
                assert np.array_equal(getattr(rule, name)[i], getattr(four, name)[kept])


def of_the_page(x, classes, way, latent):
    """Taps, weights and thresholds, bit by bit, as docs/features.md says, from the values of step 1."""
    q = features.quantised(x, *binarise.scales(x)).tolist()
    columns = list(zip(*q, strict=True))
    n, live = len(q), [j for j, column in enumerate(columns) if len(set(column)) > 1]
    m = len(live)
    spread = {}
    for j in live:
        mean = sum(columns[j]) // n
        spread[j] = max(1, math.isqrt(sum((v - mean) ** 2 for v in columns[j]) // n))

    def sums_of(taps, weights):
        return [sum(w * row[j] for j, w in zip(taps, weights, strict=True)) for row in q]

    def threshold(taps, weights, p, w):
        sums = sorted(sums_of(taps, weights))
        above = [s for s in sums if s > sums[0]]
        return above[p * len(above) // w] if above else sums[0]

    first = {"thermometer": latent, "mixed": latent // 2}.get(way, 0)
    looked = [live[i * m // first] for i in range(first)]
    bits = []
    for i, j in enumerate(looked):
        k, f = i - looked.index(j), looked.count(j)
        bits.append(([j], [1], threshold([j], [1], 2 * k + 1, 2 * f)))

    t, drawn = min(4, m), (latent - first) * (4 if way == "selected" else 1)
    words = np.random.PCG64(0)

    def word(modulo):
        return words.random_raw() % modulo

    taps = [[word(m) for _ in range(t)] for _ in range(drawn)]
    while twice := [i for i in range(drawn) if len(set(taps[i])) < t]:
        for i in twice:
            taps[i] = [word(m) for _ in range(t)]
    signs = [[1 - 2 * word(2) for _ in range(t)] for _ in range(drawn)]
    projections = []
    for own, sign in zip(taps, signs, strict=True):
        chosen = [live[r] for r in own]
        v = min(spread[j] for j in chosen)
        size = [max(1, (127 * v + spread[j] // 2) // spread[j]) for j in chosen]
        weights = [s * w for s, w in zip(sign, size, strict=True)]
        projections.append((chosen, weights, threshold(chosen, weights, 20 + word(61), 100)))

    def score(bit):
        has = [s >= bit[2] for s in sums_of(*bit[:2])]
        k, g = sum(has), 0
        if k in (0, n):
            return 0
        for c in set(classes.tolist()):
            mine = [h for h, d in zip(has, classes, strict=True) if d == c]
            g += (1 << 20) * sum(mine) ** 2 // len(mine)
        g -= (1 << 20) * k * k // n
        return g * n // (k * (n - k))

    if way == "selected":
        fours = [projections[i : i + 4] for i in range(0, drawn, 4)]
        projections = [max(four, key=score) for four in fours]  # max takes the first of equal ones
    return bits + projections


@pytest.mark.parametrize("way", METHODS)
@pytest.mark.parametrize("width", [1, 3, 6, 7])
def test_the_page_says_every_number_exactly(way, width):
    """Taps that are drawn anew are common among few features; one feature of eight is constant."""
    x = np.concatenate([SPARSE[:, :2], np.ones((60, 1)), PLAIN[:, 2:]], axis=1)[:, -width:]
    latent = 37
    rule = binarise.train(x, CLASSES, FeatureSpec(way), latent)
    wanted = of_the_page(x, CLASSES, way, latent)
    assert len(wanted) == latent
    for i, (taps, weights, threshold) in enumerate(wanted):
        rest = rule.tap.shape[1] - len(taps)
        assert rule.tap[i].tolist() == taps + [0] * rest
        assert rule.weight[i].tolist() == weights + [0] * rest
        assert rule.threshold[i] == threshold


def test_the_page_names_the_numbers_of_the_code():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    fewer = next(d for d in range(1, 10_000) if binarise.most_samples(d) < binarise.MOST_SAMPLES)
    each = binarise.SAMPLE_BYTES // 8
    low, high = binarise.MIDDLE
    four = binarise.CANDIDATES
    assert each == 1 << 24
    for sentence in (
        f"At most max({binarise.LEAST_SAMPLES}, 2^24 / d) samples",
        f"no more than {binarise.MOST_SAMPLES:,}, which from d = {fewer} on are fewer",
        f"T = {binarise.TAPS} taps",
        f"PCG64 with seed {binarise.SEED}",
        f"P words modulo {high - low + 1}: {low} more is p",
        f"Bit i is one of the projections {four} i to {four} i + {four - 1}",
        f"2^{binarise.FRACTION} s_c^2 / n_c",
    ):
        assert sentence in text


def test_one_feature_is_enough_and_none_that_varies_is_refused():
    rule = binarise.train(PLAIN[:, :1], CLASSES, FeatureSpec("projection"), 9)
    assert rule.tap.shape == (9, 1)
    with pytest.raises(FeatureError, match="must vary .* but all 60 are equal"):
        binarise.train(np.ones((60, 4)), CLASSES, FeatureSpec(), 9)


def test_the_numbers_are_the_same_everywhere():
    """The digest is of this project's own first run: another one is a change of every trained binarisation."""
    x = (np.arange(600).reshape(60, 10) * 7919 % 1009) / 8.0
    h = hashlib.sha256()
    for way in sorted(METHODS):
        rule = binarise.train(x, CLASSES, FeatureSpec(way), 64)
        for name in features.shapes(1, 1, 1):
            h.update(np.ascontiguousarray(getattr(rule, name)).astype("<i8").tobytes())
    assert h.hexdigest()[:16] == "ea017ef4832bfd96"


def test_samples_are_bounded():
    assert binarise.most_samples(16) == 20_000
    assert binarise.most_samples(4096) == 4096
    assert binarise.most_samples(65_536) == 512
