"""The reference, the learner and the simulator refuse the same commands, and hold the same after each."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.learner import Learner
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import commands, plan, presets, reference
from xnoreplay.spec.errors import ImageError, SpecError

TINY = presets.load("tiny")
CLASSES, CAPACITY = TINY.network.classes, TINY.target.replay_capacity
BUNDLE = bundles.random(TINY.network, 3)
IMAGES = np.random.default_rng(5).integers(0, 256, (12, *TINY.network.image_shape), dtype=np.uint8)
LATENTS = [reference.latent(BUNDLE, image) for image in IMAGES]
STRANGE = (-1, CLASSES, CLASSES + 1, 1 << 40, 1.0, "1", None, True, [1])  # no classes
NUMBERS = st.one_of(st.integers(0, CLASSES), st.sampled_from(STRANGE))
SAMPLES = st.one_of(st.integers(0, len(IMAGES) - 1), st.sampled_from(("float", "shape", "value")))
COMMANDS = st.one_of(
    st.tuples(st.just("arrive"), NUMBERS),
    st.tuples(st.sampled_from(("insert", "stage")), SAMPLES, NUMBERS),
    st.tuples(st.just("infer"), SAMPLES),
    st.sampled_from((("retrain",), ("rebalance",))),
)


def image(sample):
    """An image, or what is none."""
    if isinstance(sample, int):
        return IMAGES[sample]
    return {
        "float": IMAGES[0] / 2,
        "shape": IMAGES[0][1:],
        "value": IMAGES[0].astype(np.int16) - 300,
    }[sample]


def latent(sample):
    """A latent, or what is none."""
    if isinstance(sample, int):
        return LATENTS[sample]
    return {"float": LATENTS[0] / 2, "shape": LATENTS[0][1:], "value": LATENTS[0] + 1}[sample]


def carry_out(model, name, *arguments):
    """The sentence of a refusal; "" where the command was carried out, with the prediction of `infer`."""
    make = latent if isinstance(model, Learner) else image
    if name in ("insert", "stage", "infer"):
        arguments = (make(arguments[0]), *arguments[1:])
    try:
        if name == "infer" and isinstance(model, Learner):
            return "", int(model.predict(np.asarray(arguments[0])[None])[0])
        done = getattr(model, name)(*arguments)
        return "", done.prediction if name == "infer" else None
    except (SpecError, ImageError) as error:
        return str(error), None


def held(model):
    """seen, quota, labels, latents of occupied slots, staged samples, random registers, proxies; plain."""
    if isinstance(model, Simulator):
        state, words = model.state, model.plan.replay.words
        half = 1 << model.plan.memory("replay.label").width - 1
        labels = [v - half if v >= half else -1 for v in model.memory_ints("replay.label")]
        kept = model.memories()["replay.latent"].reshape(len(labels), -1)[:, : TINY.network.latent]
        staged = []
        if state.staged:
            rows = model.memories()["staging.latent"].reshape(
                -1, words * model.plan.target.channels
            )
            names = model.memory_ints("staging.label")
            staged = [
                (rows[i, : TINY.network.latent].tolist(), names[i]) for i in range(state.staged)
            ]
        theta = model.proxies()
        random = (state.lfsr_walk, state.lfsr_error, state.lfsr_update)
        seen, quota, hidden, output = state.seen, state.quota, theta.hidden, theta.output
    else:
        labels, kept, seen, quota = model.labels.tolist(), model.latents, model.seen, model.quota
        staged = [(z.tolist(), y) for z, y in model.staged]
        if isinstance(model, Learner):
            random = (model.walk_state, *model.proxies.random.tolist())
            hidden, output = model.proxies.hidden[:, 0], model.proxies.output
        else:
            random = (model.random.walk, model.random.error, model.random.update)
            hidden, output = model.classifier.hidden, model.classifier.output
    occupied = {i: kept[i].tolist() for i, label in enumerate(labels) if label >= 0}
    return seen, quota, labels, occupied, staged, random, hidden.tolist(), output.tolist()


def models(staging, hidden_learns):
    target = dataclasses.replace(
        TINY.target, staging_capacity=staging, hidden_learns=hidden_learns, epochs=1
    )
    chip = Simulator(plan.compile(TINY.network, target), BUNDLE)
    return reference.Chip(BUNDLE, target), Learner(BUNDLE, target), chip


@settings(max_examples=40)
@given(
    staging=st.sampled_from((0, 2, 6)),
    hidden_learns=st.booleans(),
    sequence=st.lists(COMMANDS, min_size=1, max_size=12),
)
def test_the_same_is_refused_and_held(staging, hidden_learns, sequence):
    meaning, learner, chip = models(staging, hidden_learns)
    for command in sequence:
        before = held(meaning)
        (said, predicted), (learner_said, learned), (chip_said, simulated) = (
            carry_out(model, *command) for model in (meaning, learner, chip)
        )
        assert bool(said) == bool(learner_said) == bool(chip_said), command
        assert said == chip_said
        if not any(isinstance(a, str) for a in command[1:]):  # a bad image is no bad latent
            assert said == learner_said
        assert predicted == learned == simulated
        after = held(meaning)
        assert after == held(learner) == held(chip), command
        assert not said or after == before, "what is refused changes nothing"


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([("arrive", 3), ("arrive", 2)], f"seen must be an integer from 3 to {CLASSES}, not 2"),
        (
            [("arrive", CLASSES + 1)],
            f"seen must be an integer from 0 to {CLASSES}, not {CLASSES + 1}",
        ),
        ([("insert", 0, 0)], "label must be of one of the 0 classes seen, not 0"),
        ([("arrive", 2), ("insert", 0, 2)], "label must be of one of the 2 classes seen, not 2"),
        (
            [("stage", 0, CLASSES)],
            f"label must be an integer from 0 to {CLASSES - 1}, not {CLASSES}",
        ),
        ([("stage", 0, -1)], f"label must be an integer from 0 to {CLASSES - 1}, not -1"),
        ([("retrain",)], "a class must have been announced before retraining, but none was"),
    ],
)
def test_a_refusal_has_one_sentence(sequence, message):
    for model in models(6, False):
        *first, last = sequence
        for command in first:
            assert carry_out(model, *command) == ("", None)
        assert carry_out(model, *last) == (message, None)


def test_counts_that_a_host_has_made_stale():
    """Labels were written and not counted; a learner has no host."""
    meaning, _, chip = models(6, False)
    for model in (meaning, chip):
        model.arrive(2)
    meaning.stale = chip._state.scalars[Scalar.STALE] = True
    before = held(meaning)
    for command in (("arrive", 3), ("insert", 0, 0), ("stage", 0, 1), ("rebalance",), ("retrain",)):
        (said, _), (chip_said, _) = (carry_out(model, *command) for model in (meaning, chip))
        assert said == chip_said
        assert said.startswith(f"{command[0]} must wait for a restore that is not refused")
        assert held(meaning) == held(chip) == before
    assert carry_out(meaning, "infer", 0) == carry_out(chip, "infer", 0)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (np.zeros(5, np.uint8), r"a latent must have shape \(12,\), not \(5,\)"),
        (np.zeros((1, 12), np.uint8), r"must have shape \(12,\), not \(1, 12\)"),
        (np.zeros(12), "must be bits in integers, as uint8, not float64"),
        (np.full(12, 2, np.uint8), "must be bits, 0 and 1, not 2 to 2"),
        (np.full(12, -1), "must be bits, 0 and 1, not -1 to -1"),
        (np.array(["0"] * 12), "must be bits in integers, as uint8, not <U1"),
        (None, r"must have shape \(12,\), not \(\)"),
    ],
    ids=range(7),
)
def test_a_latent_that_is_none(bits, message):
    _, learner, chip = models(6, False)
    for put in (learner.stage, chip.enter_latent):
        with pytest.raises(SpecError, match=message):
            put(bits, 1)
    assert (learner.seen, chip.state.seen) == (0, 0)


def test_a_latent_enters_as_its_image_would():
    """Also where it is a list, or booleans; and with a class that the chip may not take it is refused."""
    for staging in (0, 6):
        meaning, learner, chip = models(staging, False)
        put = ("stage", "stage") if staging else ("insert", "insert")
        for model in (meaning, learner, chip):
            model.arrive(2)
        getattr(meaning, put[0])(IMAGES[1], 1)
        getattr(learner, put[1])(LATENTS[1].astype(bool), np.int64(1))
        chip.enter_latent(LATENTS[1].tolist(), 1)
        assert held(meaning) == held(learner) == held(chip)
        with pytest.raises(SpecError, match="label must be"):
            chip.enter_latent(LATENTS[1], CLASSES)


@pytest.mark.parametrize(
    ("latents", "labels", "message"),
    [
        (np.zeros((2, 11), np.uint8), [0, 1], r"latents must have shape \(n, 12\), not \(2, 11\)"),
        (np.full((2, 12), 3, np.uint8), [0, 1], "latents must be bits, 0 and 1, not 3 to 3"),
        (np.zeros((2, 12), np.uint8), [0], r"labels must be 2, one a sample, not of shape \(1,\)"),
        (
            np.zeros((2, 12), np.uint8),
            [0, CLASSES],
            f"labels must be from 0 to {CLASSES - 1}, not 0 to {CLASSES}",
        ),
        (
            np.zeros((2, 12), np.uint8),
            [0, -1],
            f"labels must be from 0 to {CLASSES - 1}, not -1 to 0",
        ),
        (np.zeros((2, 12), np.uint8), [0.0, 1.0], "labels must be integers, not float64"),
        ([[1], [1, 0]], [0, 1], r"latents must have shape \(n, 12\), not rows of several lengths"),
    ],
    ids=range(7),
)
def test_samples_that_a_memory_cannot_hold(latents, labels, message):
    *_, chip = models(6, False)
    before = held(chip)
    with pytest.raises(SpecError, match=message):
        chip.preload(latents, labels)
    with pytest.raises(SpecError, match=message):
        chip.preload(np.zeros((0, 12), np.uint8), [], latents, labels)
    assert held(chip) == before


@pytest.mark.parametrize("state", [0, 1 << 32, -1, 1.5, None])
def test_a_register_that_would_never_leave_zero(state):
    with pytest.raises(SpecError, match="register error must be an integer"):
        reference.Random(error=state)


def test_bits_keep_their_array():
    bits = np.zeros((2, 3), np.uint8)
    assert commands.bits_of("x", bits, (None, 3)) is bits
