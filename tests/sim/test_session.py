"""A whole retraining session: reference = fast mode = stepping mode, and the closed forms."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.chips import Chips, assert_same
from tests.strategies import any_designs, images
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, image, plan, presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.learning_plan import LearningPlan, most_cycles
from xnoreplay.spec.plan import LEARNING_PHASES, SEED_DRAWS


def spent(result, end: int) -> Counter:
    """Cycles of each phase of a command that ended at `end`."""
    ends = [cycle for _, cycle in result.phases[1:]] + [end]
    total: Counter = Counter()
    for (name, start), stop in zip(result.phases, ends, strict=True):
        total[name] += stop - start
    return total


def fill(chips: Chips, seed: int, new: int) -> None:
    """Two old classes in the replay memory, a third staged or inserted."""
    plan = chips.fast.plan
    pictures = images(plan.network, 6, seed)
    chips.do("arrive", 2)
    for n in range(5):
        chips.do("insert", pictures[n], n % 2)
    if plan.network.classes > 2 and not plan.replay.staging:
        chips.do("arrive", 3)
    for n in range(new if plan.network.classes > 2 else 0):
        chips.do("stage" if plan.replay.staging else "insert", pictures[n], 2)


@given(design=any_designs(), seed=st.integers(0, 1000), new=st.integers(0, 4))
def test_session(design, seed, new):
    plan, bundle = design
    chips = Chips.of(plan, bundle)
    fill(chips, seed, new)
    staged, seen = chips.fast.state.staged, chips.fast.state.seen
    samples = staged + sum(chips.fast.memory_ints("replay.count"))
    before = chips.fast.counters
    result = chips.do("retrain")
    longest = most_cycles(plan)
    ends = [cycle for _, cycle in result.phases[1:]] + [chips.fast.cycles]
    for (name, start), end in zip(result.phases, ends, strict=True):
        assert end - start <= longest[name], name
    check_strobes(chips.fast, before, seen, staged, samples)
    check_cycles(chips.fast, spent(result, chips.fast.cycles), seen, staged, samples)
    chips.do("rebalance")
    chips.do("infer", images(plan.network, 1, seed)[0])


def check_cycles(chip: Simulator, cycles: Counter, seen: int, staged: int, samples: int) -> None:
    """Every phase's closed form."""
    plan, form, count = chip.plan, LearningPlan(chip.plan), chip.counters
    epochs = plan.target.epochs
    minibatches = epochs * len(form.minibatches(samples))
    passes = epochs * form.passes(samples)
    total = epochs * samples
    assert count["learn.samples"] == total
    assert count["learn.minibatches"] == minibatches
    want = Counter(
        {
            "balance": form.balance_cycles(seen, staged),
            "seed": epochs * SEED_DRAWS,
            "load": epochs * form.load_cycles(staged, samples),
            "hidden.forward": form.hidden_forward_cycles(passes, minibatches),
            "output.forward": form.output_forward_cycles(seen, passes, minibatches),
            "error": form.error_cycles(seen, epochs * form.error_groups(samples)),
            "output.update": form.update_cycles(
                seen, minibatches, count["learn.output.planes"], count["learn.output.beats"]
            ),
        }
    )
    if plan.target.hidden_learns:
        want["back"] = form.back_cycles(
            seen, minibatches, total, count["learn.back.planes"], count["learn.back.beats"]
        )
        want["hidden.update"] = form.update_cycles(
            plan.network.hidden,
            minibatches,
            count["learn.hidden.planes"],
            count["learn.hidden.beats"],
        )
    assert cycles == want
    assert set(cycles) <= set(LEARNING_PHASES)


def check_strobes(chip: Simulator, before: dict, seen: int, staged: int, samples: int) -> None:
    """Every counter a session moves."""
    plan, form, count = chip.plan, LearningPlan(chip.plan), chip.counters
    net, target, epochs = plan.network, plan.target, plan.target.epochs
    total, passes = epochs * samples, epochs * form.passes(samples)
    held, planes = samples - staged, target.delta_bits
    minibatches, groups = count["learn.minibatches"], epochs * form.error_groups(samples)
    learns = int(target.hidden_learns)
    segments = form.latent_segments + form.hidden_segments
    want = {
        "batch.label.reads": total,
        "batch.logit.reads": 2 * groups * seen,
        "batch.delta.reads": count["learn.output.planes"],
        "table.weight.reads": total,
        "table.inverse.reads": 2 * seen + staged,
        "batch.bank.writes": total * form.sample_base
        + learns * minibatches * seen * 2 * form.hidden_words,
        "batch.label.writes": total,
        "batch.logit.writes": passes * seen,
        "batch.delta.writes": groups * seen * planes,
        "table.inverse.writes": 2 * seen + staged,
        "table.weight.writes": seen,
    }
    if learns:
        want |= {
            "batch.mask.reads": total * net.hidden,
            "batch.class_delta.reads": count["learn.back.planes"],
            "batch.hidden_delta.reads": count["learn.hidden.planes"],
            "batch.mask.writes": passes * net.hidden,
            "batch.class_delta.writes": total * seen * planes,
            "batch.hidden_delta.writes": total * net.hidden * planes,
        }
    assert {name: count[name] for name in want} == want
    moved = {name: n - before[name] for name, n in chip.counters.items()}
    checks = minibatches * (seen + learns * net.hidden)
    assert count["learn.rows"] + count["learn.rows_skipped"] == checks
    blocks = learns * total * form.blocks(seen)
    assert count["learn.blocks"] + count["learn.blocks_skipped"] == blocks
    beats = sum(count[f"learn.{phase}.beats"] for phase in ("back", "output", "hidden"))
    loads = sum(count[f"learn.{phase}.planes"] for phase in ("back", "output", "hidden"))
    forward = net.hidden * plan.hidden.beats + seen * 2 * plan.output.beats
    assert moved["array.beats"] == passes * forward + beats
    assert moved["lane.file.writes"] == loads
    assert moved["lane.file.tap_writes"] == total * form.sample_base
    assert moved["lane.file.reads"] == total * forward + count["array.nodes"] // target.segment
    taps = net.hidden * (9 * (plan.hidden.beats - 1) + plan.hidden.last_taps)
    taps += seen * 2 * (9 * (plan.output.beats - 1) + plan.output.last_taps)
    assert moved["array.taps"] == total * taps
    assert moved["replay.latent.reads"] == epochs * held * plan.replay.words
    assert moved["replay.label.reads"] == epochs * plan.replay.capacity
    assert moved["replay.count.reads"] == seen
    fill = learns * minibatches * seen * 2 * form.hidden_words
    # An update writes a row's segments, and reads the row once.
    of_hidden = learns * form.latent_segments
    classes, rest = divmod(
        moved["cls.top.writes"] - count["learn.rows"] * of_hidden, 2 * segments - of_hidden
    )
    assert rest == 0
    units = count["learn.rows"] - classes
    assert units == 0 or learns
    updates = classes * 2 * plan.output.beats + units * plan.hidden.beats
    assert moved["cls.top.reads"] == passes * forward + fill + updates
    if plan.replay.staging:
        assert moved["staging.latent.reads"] == epochs * staged * plan.replay.words
        assert moved["staging.label.reads"] == (epochs + 1) * staged
    if not learns:
        updated = count["learn.rows"] * segments
        if "cls.low.reads" in count:
            assert count["cls.low.reads"] == count["cls.low.writes"] == updated


@settings(max_examples=20, deadline=None)
@given(design=any_designs())
def test_a_session_without_a_latent_walks_and_changes_nothing(design):
    chips = Chips.of(*design)
    with pytest.raises(SpecError, match="must have been announced before retraining"):
        chips.fast.retrain()
    chips.do("arrive", 2)
    before = chips.fast.proxies()
    chips.do("retrain")
    np.testing.assert_array_equal(before.output, chips.fast.proxies().output)
    assert chips.fast.memory_ints("table.weight")[:2] == [1, 1]
    assert chips.fast.counters["learn.minibatches"] == 0


@pytest.mark.parametrize("learns", [False, True])
def test_an_update_makes_columns_that_do_not_exist_0(learns):
    """A host may have written them; of the last segment of hidden bits one column of four exists."""
    preset = presets.load("tiny")
    target = replace(preset.target, hidden_learns=learns)
    compiled = plan.compile(preset.network, target)
    chips = Chips.of(compiled, bundle.random(preset.network, 0))
    fill(chips, 0, 2)
    for name, exists in image.proxy_low_bits(compiled, image.full(compiled)).items():
        rows = chips.fast.memories()[name]
        assert (exists == 0).any() == (name == "cls.low")
        for chip in (chips.fast, chips.step):
            chip.write(name, np.where(exists == 0, 1, rows))
    chips.do("retrain")
    learned = image.proxy_low_bits(compiled, chips.fast.proxies())["cls.low"]
    seen = len(learned) // preset.network.classes * 3
    np.testing.assert_array_equal(chips.fast.memories()["cls.low"][:seen], learned[:seen])


def test_ones_of_cls_top_in_columns_that_do_not_exist_count_as_they_do_in_the_chip():
    """In an inference, and in a session's sums until a row is updated. As many in every row would cancel out."""
    preset = presets.load("tiny")
    compiled = plan.compile(preset.network, preset.target)
    chips = Chips.of(compiled, bundle.random(preset.network, 0))
    fill(chips, 0, 2)
    absent = 1 - image.cls_top_columns(compiled)
    bits = absent * np.random.default_rng(1).integers(0, 2, absent.shape, dtype=np.uint8)
    for chip in (chips.fast, chips.step):
        chip.write("cls.top", chip.memories()["cls.top"] | bits)
    plain = chips.fast.twin()
    plain.write("cls.top", plain.memories()["cls.top"] & (1 - bits))
    picture = images(preset.network, 1, 7)[0]
    for command, *arguments in (("infer", picture), ("retrain",)):
        for chip in (chips.fast, chips.step, plain):
            getattr(chip, command)(*arguments)
        assert_same(chips.fast, chips.step)
    assert (chips.fast.proxies().output != plain.proxies().output).any()
