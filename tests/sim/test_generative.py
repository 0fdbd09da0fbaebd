"""The fast learner of generative replay against the reference, over random tiny dials."""

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from xnoreplay.sim.generative import Components, GenerativeLearner, take
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import generative, lfsr, presets, reference
from xnoreplay.spec.generative_chip import GenerativeChip

TINY = presets.load("tiny")

TARGETS = st.builds(
    lambda drawn, components, **dials: dataclasses.replace(
        TINY.target,
        replay="generative",
        drawn_per_class=drawn,
        replay_components=min(drawn, components),
        **dials,
    ),
    lanes=st.just(1),
    channels=st.sampled_from([1, 4, 16, 64]),
    batch=st.sampled_from([1, 4, 8]),
    hidden_learns=st.booleans(),
    staging_capacity=st.integers(0, 6),
    epochs=st.integers(1, 3),
    components=st.integers(1, 4),
    mean_bits=st.integers(1, 4),
    drawn=st.integers(1, 9),
    staged_per_class=st.integers(1, 4),
)


def assert_same(chip, learner):
    assert (learner.proxies.hidden[:, 0] == chip.classifier.hidden).all()
    assert (learner.proxies.output == chip.classifier.output).all()
    assert learner.proxies.random.tolist() == [chip.random.error, chip.random.update]
    assert (learner.walk_state, learner.wide.tolist()) == (chip.random.walk, chip.wide)
    assert (learner.seen, learner.counts().tolist()) == (chip.seen, chip.counts())
    held = learner.components
    assert (held.mean == chip.components.mean).all()
    assert (held.share == chip.components.share).all()
    assert (held.count == chip.components.count).all()
    assert held.open[0] == chip.components.open
    assert [(z.tolist(), y) for z, y in learner.staged] == [(z.tolist(), y) for z, y in chip.staged]


def run_both(target, seed):
    """Two sessions on the reference and on the learner, compared after every command."""
    bundle = bundles.random(TINY.network, seed)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (16, *TINY.network.image_shape), dtype=np.uint8)
    latents = [reference.latent(bundle, image) for image in images]
    chip, learner = GenerativeChip(bundle, target), GenerativeLearner(bundle, target)
    for both in (chip, learner):
        both.arrive(2)
    for n in range(8):
        chip.insert(images[n], n // 4)
        learner.insert(latents[n], n // 4)
    for session in range(2):
        for n in range(8, 15):
            label = int(rng.integers(0, 3 + session))
            chip.stage(images[n], label)
            learner.stage(latents[n], label)
        assert_same(chip, learner)
        assert learner.retrain() == len(chip.retrain())
        assert_same(chip, learner)
        for both in (chip, learner):
            both.rebalance()
        assert_same(chip, learner)
    expected = [chip.infer(image).prediction for image in images]
    assert learner.predict(np.array(latents)).tolist() == expected


@settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
@given(target=TARGETS, seed=st.integers(0, 2**32 - 1))
def test_a_session_equals_the_reference(target, seed):
    run_both(target, seed)


DIALS = dict(replay="generative", replay_components=3, drawn_per_class=7, staged_per_class=2)
PLANTED = dataclasses.replace(TINY.target, **DIALS)


def mean_rounded_up(count, share, bits):
    return min((1 << bits) - 1, -(-(count << bits) // share))


def opened_at_half(_q, share, _bits):
    return share // 2


def all_shares_equal(number, count, shares):
    return [k for k, share in enumerate(shares) if share][number * sum(map(bool, shares)) // count]


def staged_besides_draws(shares, _staged, per_class):
    return per_class if sum(shares) else 0


def one_step_more(state, steps):
    return lfsr.wide_next(lfsr.wide_next(state, 1), steps)


def highest_of_equal(held, z, label):
    distance = ((held.mean[label] >> held.bits - 1) != z).sum(1)[::-1]
    empty = np.flatnonzero(held.share[label] == 0)
    return int(empty[0]) if len(empty) else held.components - 1 - int(distance.argmin())


FAULTS = {
    "fit: a mean is rounded up": (generative, "quantised", mean_rounded_up),
    "fit: an open class goes on from one half": (generative, "count_from_mean", opened_at_half),
    "fit: the last of equally near components": (
        generative.Components,
        "_nearest",
        highest_of_equal,
    ),
    "fit: a component is full one sample early": (generative, "MOST_SHARE", 2),
    "share: all are equal": (generative, "component_of", all_shares_equal),
    "share: staged samples and draws are added": (generative, "draws", staged_besides_draws),
    "draw: a step too many": (generative, "wide_next", one_step_more),
    "draw: a register serves 16 channels": (generative, "WIDE_STEPS", 16),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    """Of the reference alone: the learner's kernels and rows are written apart from it."""
    channels = 64 if fault.endswith("16 channels") else PLANTED.channels
    target = dataclasses.replace(PLANTED, channels=channels)
    run_both(target, 5)
    where, name, wrong = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises((AssertionError, ValueError)):
        run_both(target, 5)


def test_a_full_component_halves_in_both():
    held = generative.Components(2, 2, 12, 2)
    fast = Components(
        np.zeros((2, 2, 12), np.uint8),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 12), np.int32),
        np.array([generative.NONE]),
        2,
    )
    rng = np.random.default_rng(0)
    for n, z in enumerate(rng.integers(0, 2, (6000, 12), dtype=np.uint8)):
        label = n // 2800 % 2
        assert take(fast, z, label) == held.take(z, label)
    assert held.share.max() > generative.MOST_SHARE // 2
    assert held.share.sum() < 6000
    for name in ("mean", "share", "count"):
        assert (getattr(fast, name) == getattr(held, name)).all()
