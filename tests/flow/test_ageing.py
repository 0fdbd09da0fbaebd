"""Means of one extractor's latents carried over to another's, and the chip whose extractor is exchanged."""

import dataclasses
import re

import numpy as np
import pytest

from xnoreplay.flow.datasets.bundles import packaged
from xnoreplay.flow.learning import ageing, cil
from xnoreplay.flow.learning.ageing import LatentMap, Side
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError

DIGITS = presets.vary(
    presets.load("digits"),
    "target",
    replay="generative",
    staging_capacity=0,
    drawn_per_class=16,
    epochs=2,
)
LAST = DIGITS.scenario.tasks


@pytest.fixture(scope="module")
def old():
    bundle = bundles.read(packaged(DIGITS))
    return Side(bundle, cil.extract(DIGITS, bundle)).shuffled(0)


@pytest.fixture(scope="module")
def new(old):
    """An extractor whose latent bits are the old one's in another order, and a classifier that fits it."""
    order = np.random.default_rng(1).permutation(DIGITS.network.latent)
    every = np.concatenate([order, DIGITS.network.latent + np.arange(DIGITS.network.hidden)])
    bundle = dataclasses.replace(
        old.bundle, hidden=old.bundle.hidden[:, order], output=old.bundle.output[..., every]
    )
    z = old.latents
    return Side(bundle, dataclasses.replace(z, train=z.train[:, order], test=z.test[:, order]))


@pytest.fixture(scope="module")
def carry(old, new):
    return ageing.fitted(old.latents.train, new.latents.train, False, 1e-6)


@pytest.fixture(scope="module")
def learner(old):
    """A chip before the last session."""
    chip = cil.power_on(DIGITS.target, old.bundle, 0)
    for task in range(LAST):
        cil.begin(chip, DIGITS.scenario, old.latents, task)
    return chip


@pytest.mark.parametrize("related", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_bits_that_are_moved_and_turned_carry_every_mean(bits, related):
    rng = np.random.default_rng(2)
    old = rng.integers(0, 2, (300, 9), dtype=np.uint8)
    order, turned = rng.permutation(9), rng.integers(0, 2, 9, dtype=np.uint8)
    carry = ageing.fitted(old, old[:, order] ^ turned, related, 1e-8)
    top = (1 << bits) - 1
    means = rng.integers(0, top + 1, (4, 3, 9), dtype=np.uint8)
    wanted = np.where(turned, top - means[..., order], means[..., order])
    found = carry.carried(means, bits)
    assert (found.dtype, found.tolist()) == (np.uint8, wanted.tolist())


def test_probabilities_past_the_ends_are_clipped():
    carry = LatentMap(np.array([[4.0], [-4.0], [0.0]]), np.array([0.0, 0.0, 0.5]))
    assert carry.carried(np.array([[3]], np.uint8), 2).tolist() == [[3, 0, 2]]


@pytest.mark.parametrize("related", [False, True])
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_a_map_is_the_least_of_its_sum(related, ridge):
    """The same by another way: least squares with a row sqrt(n ridge) for every weight, and a column for the offset."""
    rng = np.random.default_rng(3)
    old, new = rng.integers(0, 2, (2, 40, 6), dtype=np.uint8)
    scale = np.sqrt(40 * ridge)
    rows = np.vstack([np.c_[old, np.ones(40)], np.c_[scale * np.eye(6), np.zeros(6)]])
    start = np.eye(6) if related else np.zeros((6, 6))
    wanted = np.linalg.lstsq(rows, np.vstack([new, scale * start]), rcond=None)[0]
    carry = ageing.fitted(old, new, related, ridge)
    assert np.allclose(carry.weight, wanted[:-1].T)
    assert np.allclose(carry.offset, wanted[-1])


def test_latents_of_another_width_can_be_made_when_they_are_not_related():
    rng = np.random.default_rng(4)
    old = rng.integers(0, 2, (200, 6), dtype=np.uint8)
    carry = ageing.fitted(old, old[:, [5, 0, 3]], False, 1e-8)
    assert carry.carried(np.array([0, 1, 2, 3, 0, 2], np.uint8), 2).tolist() == [2, 0, 3]
    with pytest.raises(
        SpecError, match="of related extractors must have as many bits, not 6 and 3"
    ):
        ageing.fitted(old, old[:, [5, 0, 3]])


def test_an_exact_map_carries_what_new_latents_would_give(new, carry, learner):
    made = {
        way: ageing.exchanged(learner, DIGITS, new, 0, way, carry if way == "carried" else None)
        for way in ageing.WAYS[1:]
    }
    seen, base = DIGITS.scenario.seen(LAST - 1), DIGITS.scenario.base
    wanted = made["recomputed"].components
    assert wanted.share[base:seen].all()
    for way, chip in made.items():
        held = chip.components
        assert chip.seen == seen
        assert (held.mean[:base] == wanted.mean[:base]).all()
        assert (held.share[:base] == wanted.share[:base]).all()
        assert not held.share[seen:].any()
        assert (held.share[base:] == (0 if way == "discarded" else wanted.share[base:])).all()
    later = slice(base, seen)
    assert (made["carried"].components.mean[later] == wanted.mean[later]).all()
    assert (made["unchanged"].components.mean[later] == learner.components.mean[later]).all()
    assert (wanted.mean[later] != learner.components.mean[later]).any()


def test_scores_are_of_the_extractor_that_the_chip_has(old, new, carry):
    scores = {
        way: ageing.learn(DIGITS, old, new, 0, LAST, way, carry if way == "carried" else None)
        for way in ("kept", "recomputed", "carried", "discarded")
    }
    plain = cil.chip(DIGITS, old.bundle, old.latents, 0)
    assert scores["kept"]["matrix"] == plain["matrix"]
    assert scores["carried"]["matrix"] == scores["recomputed"]["matrix"]
    for way in scores:
        assert scores[way]["matrix"][LAST - 1] == plain["matrix"][LAST - 1]
    assert scores["recomputed"]["a_final"] > 0.8
    assert scores["discarded"]["a_final"] < scores["recomputed"]["a_final"] - 0.2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"way": "forgotten"}, "way must be 'kept' or 'recomputed' or 'carried' or"),
        ({"way": "carried"}, "a map must be given for means that are carried, and for no others"),
        ({"way": "kept", "carry": 0}, "for no others, not 'kept'"),
        ({"way": "kept", "task": LAST + 1}, f"task must be an integer from 1 to {LAST}, not"),
        ({"way": "kept", "preset": presets.load("digits")}, "replay must be 'generative' for"),
    ],
)
def test_what_cannot_be_exchanged_is_a_sentence(old, new, carry, given, message):
    chosen = {"preset": DIGITS, "task": 1, **given}
    if "carry" in given:
        chosen["carry"] = carry
    with pytest.raises(SpecError, match=message):
        ageing.learn(old=old, new=new, seed=0, **chosen)


@pytest.mark.parametrize(
    ("old", "new", "ridge", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 3), int), 1.0, "at least one, not of 2 and 3"),
        (np.zeros((0, 3), int), np.zeros((0, 3), int), 1.0, "at least one, not of 0 and 0"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), 0.0, "ridge must be above 0, not 0"),
        (np.full((2, 3), 2), np.zeros((2, 3), int), 1.0, "of the old extractor must be bits"),
        (
            np.zeros((2, 3), int),
            np.zeros(3, int),
            1.0,
            "of the new extractor must have shape (n, n)",
        ),
    ],
)
def test_latents_that_are_no_pairs_are_a_sentence(old, new, ridge, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        ageing.fitted(old, new, ridge=ridge)
