"""The cil step: what is reported follows from the matrices, and bounds are bounds."""

import re
from dataclasses import replace

import numpy as np
import pytest

from xnoreplay.flow.datasets.bundles import packaged
from xnoreplay.flow.learning import cil, dials
from xnoreplay.flow.run.progress import Silent
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import counterparts, presets, reference
from xnoreplay.spec import generative as generative_rule
from xnoreplay.spec import plan as plans
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.registers import Register

DIGITS = presets.load("digits")
TINY = presets.load("tiny")


@pytest.fixture(scope="module")
def bundle():
    return bundles.read(packaged(DIGITS))


@pytest.fixture(scope="module")
def result(bundle):
    return cil.compare_learners(DIGITS, bundle, [0], Silent())


def test_scores_follow_from_the_matrix(result):
    counts = np.array(result["test_counts"])
    assert result["tasks"] == [[0, 1, 2, 3, 4], [5], [6], [7], [8], [9]]
    assert counts.sum() == 445
    for scores in result["methods"].values():
        last = np.array(scores["matrix"][0][-1])
        assert scores["a_final"][0] == pytest.approx(last @ counts / counts.sum())
        assert scores["a_old"][0] == pytest.approx(last[:-1] @ counts[:-1] / counts[:-1].sum())
        assert scores["a_new"][0] == last[-1]
        above = [v for t, row in enumerate(scores["matrix"][0]) for v in row[t + 1 :]]
        assert set(above) == {None}


def test_each_class_has_its_name_and_its_accuracy(result):
    assert result["names"] == [f"{label}" for label in DIGITS.scenario.order]
    rows = result["by_class"]
    right = sum(row["right"] * row["images"] for row in rows)
    assert right / 445 == pytest.approx(result["methods"]["chip"]["a_final"][0])


def test_a_class_is_counted_once_a_seed():
    truth = np.array([0, 0, 1, 1, 2])
    rows = cil.by_class(truth, [np.array([0, 1, 1, 1, 2]), np.array([2, 1, 1, 1, 2])])
    assert rows[0] == {"images": 2, "right": 0.25, "taken_for": 1, "times": 2}
    assert rows[1] == {"images": 2, "right": 1.0, "taken_for": None, "times": 0}


def test_replay_lies_between_nothing_and_everything(result):
    final = {name: scores["a_final"][0] for name, scores in result["methods"].items()}
    assert final["naive"] < final["chip"] < final["cumulative"] + 0.05


def test_a_seed_gives_the_same_again(bundle, result):
    again = cil.compare_learners(DIGITS, bundle, [0], Silent())
    assert again == result


def test_sessions_are_those_of_the_reference():
    bundle = bundles.random(TINY.network, 3)
    latents = cil.extract(TINY, bundle)
    few = cil.Latents(
        latents.train[:60], latents.train_class[:60], latents.test[:9], latents.test_class[:9]
    )
    chip = reference.Chip(bundle, TINY.target)
    learner = cil.power_on(TINY.target, bundle, 0)
    for task in range(TINY.scenario.tasks + 1):
        cil.begin(learner, TINY.scenario, few, task)
        samples = zip(*few.of(TINY.scenario.task_classes(task)), strict=True)
        if task == 0:
            chip.arrive(TINY.scenario.base)
            for z, y in samples:
                chip._admit(z, int(y), "insert")
        else:
            for z, y in samples:
                chip.seen = max(chip.seen, int(y) + 1)
                if len(chip.staged) < TINY.target.staging_capacity:
                    chip.staged.append((z, int(y)))
            for both in (chip, learner):
                both.retrain()
                both.rebalance()
        expected = [chip.classifier.forward(z, chip.seen).prediction for z in few.test]
        assert learner.predict(few.test).tolist() == expected


def generative(preset, **dials):
    return presets.vary(preset, "target", replay="generative", **dials)


@pytest.mark.parametrize("staging", [0, 5])
def test_generative_sessions_are_those_of_the_reference(staging):
    """Samples enter class after class, from staging or without any."""
    preset = generative(TINY, staging_capacity=staging, drawn_per_class=11, staged_per_class=3)
    bundle = bundles.random(TINY.network, 3)
    latents = cil.extract(preset, bundle)
    few = cil.Latents(
        latents.train[:60], latents.train_class[:60], latents.test[:9], latents.test_class[:9]
    )
    chip, learner = GenerativeChip(bundle, preset.target), cil.power_on(preset.target, bundle, 0)
    for task in range(TINY.scenario.tasks + 1):
        cil.begin(learner, TINY.scenario, few, task)
        z, y = few.of(TINY.scenario.task_classes(task))
        chip.seen = TINY.scenario.seen(task)
        for label in TINY.scenario.task_classes(task):
            for n, bits in enumerate(z[y == label]):
                chip.components.take(bits, label)
                if task and n < 3 and len(chip.staged) < staging:
                    chip.staged.append((bits, label))
        if task:
            for both in (chip, learner):
                both.retrain()
                both.rebalance()
        expected = [chip.classifier.forward(z, chip.seen).prediction for z in few.test]
        assert learner.predict(few.test).tolist() == expected


def test_generative_replay_runs_every_method(bundle, result):
    """Cumulative and naive have nothing to draw and stay as they are; old classes are not forgotten."""
    drawn = cil.compare_learners(generative(DIGITS), bundle, [0], Silent())["methods"]
    stored = result["methods"]
    for method in ("cumulative", "naive"):
        assert drawn[method] == stored[method]
    assert drawn["chip"]["matrix"] != stored["chip"]["matrix"]
    plan = plans.compile(DIGITS.network, generative(DIGITS).target)
    (one, target), (other, own) = counterparts.stored(plan).items()
    assert drawn.keys() == stored.keys() | {one, other}
    assert own == DIGITS.target
    assert drawn[other] == stored["chip"]
    beside = replace(DIGITS, target=target)
    met = cil.extract(beside, bundle).shuffled(0)
    assert drawn[one]["a_final"] == [cil.chip(beside, bundle, met, 0)["a_final"]]
    for method in ("chip", "float"):
        assert drawn[method]["a_old"][0] > stored["naive"]["a_old"][0] + 0.2


def test_a_seed_is_the_wide_registers_too():
    target, bundle = generative(TINY).target, bundles.random(TINY.network, 3)
    starts = [cil.power_on(target, bundle, seed).wide.tolist() for seed in (0, 1, 2)]
    assert starts[0] == generative_rule.power_on(target.channels)
    assert len({s[0] for s in starts}) == 3


def test_a_seed_is_three_registers_that_a_host_writes():
    """A chip with the states of a seed written after its reset learns what the learner does."""
    bundle = bundles.random(TINY.network, 3)
    learner = cil.power_on(TINY.target, bundle, 7)
    chip = Simulator(plans.compile(TINY.network, TINY.target), bundle)
    states = (learner.walk_state, *learner.proxies.random)
    registers = (Register.LFSR_WALK, Register.LFSR_ERROR, Register.LFSR_UPDATE)
    for register, state in zip(registers, states, strict=True):
        assert getattr(chip.state, register.name.lower()) != state
        chip.write_register(register, int(state))
    latents = np.random.default_rng(0).integers(0, 2, (8, TINY.network.latent), dtype=np.uint8)
    for both in (chip, learner):
        both.arrive(3)
    for n, z in enumerate(latents):
        chip.enter_latent(z, n % 3)
        learner.stage(z, n % 3)
        if n % 4 == 3:
            for both in (chip, learner):
                both.retrain()
                both.rebalance()
                both.retrain()
    np.testing.assert_array_equal(chip.proxies().output, learner.proxies.output)
    assert chip.state.lfsr_walk == learner.walk_state
    assert [chip.state.lfsr_error, chip.state.lfsr_update] == learner.proxies.random.tolist()


def test_the_scores_are_told(bundle):
    lines = []

    class Notes(Silent):
        def note(self, text):
            lines.append(text)

    result = cil.compare_learners(DIGITS, bundle, [0, 1], Notes())
    chip = 100 * np.array(result["methods"]["chip"]["a_final"])
    assert [line.split()[0] for line in lines] == list(cil.METHODS)
    assert f"a_final {chip.mean():.1f} ± {chip.std(ddof=1):.1f} " in lines[0]
    assert re.findall("[a-z_]+", lines[0])[1:] == [
        "a_final",
        "a_old",
        "a_new",
        "average",
        "forgetting",
    ]


def test_no_seed_is_refused(bundle):
    with pytest.raises(SpecError, match="seeds must name at least one seed, not none"):
        cil.compare_learners(DIGITS, bundle, [], Silent())


def test_dials_are_those_a_user_names(bundle):
    result = dials.measure(DIGITS, bundle, [0], Silent(), dials.parse(["epochs=2,4"]))
    assert [(r["dial"], r["value"]) for r in result["rows"][1:]] == [("epochs", 2), ("epochs", 4)]


def test_unknown_dials_and_values_are_refused():
    with pytest.raises(SpecError, match="did you mean 'epochs'"):
        dials.parse(["epoch=3"])
    for text in ("epochs", "epochs=3,", "epochs=x", "epochs=" + "9" * 5000):
        with pytest.raises(SpecError, match="epochs must be given as NAME=VALUE,VALUE of integers"):
            dials.parse([text])


def test_validation_takes_from_training_alone(bundle):
    latents = cil.extract(DIGITS, bundle)
    split = dials.validation(latents)
    assert len(split.train) + len(split.test) == len(latents.train)
    assert set(np.unique(split.test_class)) == set(range(10))
