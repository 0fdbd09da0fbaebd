"""A whole retraining session: reference = fast mode = stepping mode, and the closed forms."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.chips import Chips
from tests.strategies import designs, images
from xnoreplay.sim.run import Simulator
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.learning_plan import LEARNING_PHASES, LearningPlan
from xnoreplay.spec.plan import SEED_DRAWS


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


@given(design=designs(), seed=st.integers(0, 1000), new=st.integers(0, 4))
def test_session(design, seed, new):
    plan, bundle = design
    chips = Chips.of(plan, bundle)
    fill(chips, seed, new)
    staged, seen = chips.fast.state.staged, chips.fast.state.seen
    samples = staged + sum(chips.fast.memory_ints("replay.count"))
    result = chips.do("retrain")
    check_cycles(chips.fast, spent(result, chips.fast.cycles), seen, staged, samples)
    chips.do("rebalance")
    chips.do("infer", images(plan.network, 1, seed)[0])


def check_cycles(chip: Simulator, cycles: Counter, seen: int, staged: int, samples: int) -> None:
    """Every phase's closed form."""
    plan, form, count = chip.plan, LearningPlan(chip.plan), chip.learning_counters
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
            "error": form.error_cycles(seen, total),
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
            plan.network.hidden, minibatches, count["learn.hidden.planes"],
            count["learn.hidden.beats"],
        )  # fmt: skip
    assert cycles == want
    assert set(cycles) <= set(LEARNING_PHASES)


@given(design=designs())
def test_nothing_to_learn(design):
    chip = Simulator(*design)
    chip.arrive(2)
    with pytest.raises(SpecError, match="at least one latent"):
        chip.retrain()
