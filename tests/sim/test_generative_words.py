"""Generative replay in words of one bit a channel against the reference, and its accesses in closed form."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from xnoreplay.sim import generative_words
from xnoreplay.sim.generative_words import Words
from xnoreplay.spec import generative, memories, presets
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.generative_plan import GenerativePlan

TINY = presets.load("tiny")


def words_of(z, channels):
    padded = np.zeros(-(-len(z) // channels) * channels, np.uint8)
    padded[: len(z)] = z
    return [to_int(word) for word in padded.reshape(-1, channels)]


def check(target, seed, samples=12):
    """Samples in runs of classes, and draws between them: states and accesses after each."""
    net, rng = TINY.network, np.random.default_rng(seed)
    held, made = generative.Components.of(net, target), Words(net, target)
    plan, states = GenerativePlan.of(net, target), generative.power_on(target.channels)
    expected = Counter()
    last = (1 << (net.latent - 1) % target.channels + 1) - 1  # channels of a latent's last word
    for _ in range(samples):
        label, z = int(rng.integers(0, 2)), rng.integers(0, 2, net.latent, dtype=np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            shares = held.share[label].tolist()
            expected += plan.open() if held.open != label else Counter()
            expected += plan.nearest(shares.index(0) if 0 in shares else None)
            k = held.take(z, label)
            expected += plan.halve() if held.share[label].sum() <= sum(shares) else Counter()
            expected += plan.count()
            assert made.take(words_of(z, target.channels), label) == k
            z = rng.integers(0, 2, net.latent, dtype=np.uint8)
        count = int(rng.integers(1, 9))
        number = int(rng.integers(0, count))
        k = generative.component_of(number, count, held.share[label].tolist())
        expected += plan.draw(k)
        drawn = held.draw(label, k, states, target.channels)
        bits = made.draw(label, number, count)
        assert [*bits[:-1], bits[-1] & last] == words_of(drawn, target.channels)
        assert made.wide == states
    assert made.share.rows == held.share.ravel().tolist()
    assert made.open == held.open
    for name, array, planes, have in (
        ("replay.mean", held.mean, target.mean_bits, made.mean.rows),
        ("fit.count", held.count[None], generative.SHARE_BITS, made.count.rows),
    ):
        rows = [
            word
            for row in array.reshape(-1, net.latent)
            for word in zip(
                *(words_of(row >> p & 1, target.channels) for p in range(planes)), strict=True
            )
        ]
        used = [
            last if at // planes % plan.words == plan.words - 1 else -1 for at in range(len(have))
        ]
        assert [a & b for a, b in zip(have, used, strict=True)] == [
            p for word in rows for p in word
        ], name
    assert made.events == expected
    kept = {m.name: m.depth for m in memories.remembered(net, target)}
    for name, memory in (
        ("replay.mean", made.mean),
        ("replay.share", made.share),
        ("fit.count", made.count),
    ):
        assert len(memory.rows) == kept[name]


TARGETS = st.builds(
    lambda **dials: dataclasses.replace(TINY.target, replay="generative", lanes=1, **dials),
    channels=st.sampled_from([1, 4, 16, 64]),
    replay_components=st.integers(1, 4),
    mean_bits=st.integers(1, 4),
)
ONE = dataclasses.replace(TINY.target, replay="generative", replay_components=2)


@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.generate])
@given(target=TARGETS, seed=st.integers(0, 2**32 - 1))
def test_words_equal_the_reference(target, seed):
    check(target, seed)


def test_a_full_component_halves(monkeypatch):
    for module in (generative, generative_words):
        monkeypatch.setattr(module, "MOST_SHARE", 5)
    check(ONE, 1, samples=30)


FAULTS = {
    "no plane is halved": ("_halve", lambda *_: None),
    "a sample opens no class": ("_open", lambda self, label: setattr(self, "open", label)),
    "the component is the first": ("_nearest", lambda *_: 0),
    "random words are all the first": ("_random_word", lambda self: self.wide[0] & self.full),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    for module in (generative, generative_words):
        monkeypatch.setattr(module, "MOST_SHARE", 5)
    monkeypatch.setattr(Words, *FAULTS[fault])
    with pytest.raises(AssertionError):
        check(ONE, 1, samples=30)
