"""Eight images side by side = one image at a time, whatever the words, the number and the faults."""

import numpy as np
import pytest

from tests.strategies import images
from xnoreplay.sim.common.jit import COMPILED, kernel
from xnoreplay.sim.common.vectors import LANES, at_most, load, store
from xnoreplay.sim.functional.data_sets import SHARE
from xnoreplay.sim.functional.kernels import COMPLEMENTS, NINE, _differences, prefixes
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import reference
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.target import TargetSpec


def _plan(channels: int, lanes: int, size, levels: int, convs, pad_bit: int = 0, **dense) -> Plan:
    widths = {"latent": 70, "hidden": 9, "classes": 5} | dense
    network = NetworkSpec("wide", *size, "grey", (levels,), convs, pad_bit=pad_bit, **widths)
    target = TargetSpec("wide", lanes, channels, batch=4, replay_capacity=80)
    return plans.compile(network, target)


WIDE = {
    "words of two": _plan(128, 16, (4, 6), 70, (Conv(144, pool=True), Conv(96, 3), Conv(64, 2)), 1),
    "words of four": _plan(256, 64, (4, 4), 20, (Conv(130), Conv(20, pool=True, skip=True)), 1),
    "a word of two groups": _plan(64, 4, (5, 3), 9, (Conv(24), Conv(48, 2), Conv(16, 4)), 0),
    "a latent of many words": _plan(
        64, 64, (2, 4), 64, (Conv(64),), 1, latent=700, hidden=130, classes=70
    ),
    "one channel a word": _plan(1, 1, (4, 2), 3, (Conv(5), Conv(3, skip=True), Conv(2)), 1),
}
"""Corners of words: several units, words not full, runs that meet in a word, many classes."""


@pytest.mark.parametrize("name", WIDE)
def test_words(name):
    plan = WIDE[name]
    bundle, pictures = bundles.random(plan.network, 7), images(plan.network, LANES + 1, 2)
    chip = Simulator(plan, bundle)
    latents = chip.latents(pictures)
    assert chip.predict(pictures).tolist() == [0] * len(pictures)  # no class was seen
    chip.arrive(plan.network.classes)
    classifier = reference.Classifier.load(bundle, plan.target)
    expected = [reference.latent(bundle, image) for image in pictures]
    np.testing.assert_array_equal(latents, expected)
    told = [classifier.forward(z, plan.network.classes).prediction for z in expected]
    assert chip.predict(pictures).tolist() == told


@pytest.mark.parametrize(
    "memory", ["weights.fe", "weights.lgap", "cls.top", "thermometer.threshold"]
)
@pytest.mark.parametrize("name", ["words of two", "a word of two groups"])
def test_faults(memory, name):
    """Every bit of a memory counts as it does in fast mode, idle ones too."""
    plan = WIDE[name]
    chip = Simulator(plan, bundles.random(plan.network, 7))
    chip.arrive(plan.network.classes)
    rng = np.random.default_rng(3)
    chip.write(memory, rng.integers(0, 2, chip.memories()[memory].shape, dtype=np.uint8))
    pictures = images(plan.network, 3, 1)
    latents, predicted = chip.latents(pictures), chip.predict(pictures)
    width = plan.memory("act.latent").depth * plan.target.channels
    for image, latent, label in zip(pictures, latents, predicted, strict=True):
        assert chip.infer(image).prediction == label
        stored = chip.memories()["act.latent"].reshape(width)[: len(latent)]
        np.testing.assert_array_equal(stored, latent)


def test_shares():
    """Threads take shares in any order; the last one is not full."""
    plan = WIDE["one channel a word"]
    chip = Simulator(plan, bundles.random(plan.network, 7))
    count = 2 * SHARE + 3 if COMPILED else 3
    pictures = images(plan.network, count, 2)
    heard: list[int] = []
    latents = chip.latents(pictures, heard.append)
    assert sum(heard) == count
    for i in (0, count // 2, count - 1):
        np.testing.assert_array_equal(latents[i], reference.latent(chip.bundle, pictures[i]))
    assert chip.latents(pictures[:0]).shape == (0, plan.network.latent)


@kernel
def _count(window, rows, out):
    x = (
        load(window, 0),
        load(window, 1),
        load(window, 2),
        load(window, 3),
        load(window, 4),
        load(window, 5),
        load(window, 6),
        load(window, 7),
        load(window, 8),
    )
    for i in range(rows.shape[0]):
        store(out, i, _differences(x, rows, i))


@kernel
def _compare(values, limit, bit, out):
    store(out, 0, at_most(load(values, 0), limit, bit))


def test_ones_of_nine_words():
    rng = np.random.default_rng(5)
    draw = {"low": 0, "high": 2**64, "dtype": np.uint64}
    x, w = rng.integers(size=(LANES, NINE), **draw), rng.integers(size=(6, NINE), **draw)
    w[0], w[1], x[0], x[1] = 0, ~x[0], 0, ~np.uint64(0)
    window, out = np.bitwise_xor.accumulate(x, axis=1).T.copy(), np.zeros((6, LANES), np.uint64)
    _count(window, prefixes(w), out)
    expected = [
        [sum(int(a ^ b).bit_count() for a, b in zip(r, l, strict=True)) for l in x] for r in w
    ]  # noqa: E741
    assert (out.view(np.int64) + COMPLEMENTS).tolist() == expected


def test_comparisons_are_of_signed_integers():
    values = np.array([[-300, -2, -1, 0, 1, 2, 1 << 40, -(1 << 40)]])
    out = np.zeros((1, LANES), np.uint64)
    _compare(values.view(np.uint64), np.int64(-1), np.uint64(4), out)
    assert out.tolist() == [[4, 4, 4, 0, 0, 0, 0, 4]]
