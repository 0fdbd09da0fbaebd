"""Upsets: fast mode and stepping mode leave the same, whatever changes and whenever, and no command hangs."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.chips import assert_same
from tests.strategies import any_designs, images
from xnoreplay.sim.run import Simulator
from xnoreplay.spec.learning_plan import session_cycles
from xnoreplay.spec.plan import compile
from xnoreplay.spec.upset import Upset, places

BEFORE = 3000  # cycles in which most upsets come


def drawn(plan, seed: int, count: int, chosen=None) -> list[Upset]:
    """So many upsets of a chip, in places of `chosen` or in any."""
    rng = np.random.default_rng(seed)
    known = {k: v for k, v in places(plan).items() if chosen is None or k in chosen}
    found = []
    for _ in range(count):
        name = str(rng.choice(list(known)))
        rows, bits, _ = known[name]
        found.append(
            Upset(int(rng.integers(BEFORE)), name, int(rng.integers(rows)), int(rng.integers(bits)))
        )
    return found


def filled(plan, bundle, seed: int) -> Simulator:
    """A chip that remembers samples of two classes, and has staged some of a third."""
    chip = Simulator(plan, bundle)
    pictures = images(plan.network, 6, seed)
    chip.arrive(2)
    for n in range(5):
        chip.insert(pictures[n], n % 2)
    if plan.network.classes > 2 and plan.replay.staging:
        for n in range(3):
            chip.stage(pictures[n], 2)
    return chip


def both(chip: Simulator) -> tuple[Simulator, Simulator]:
    """The chip in fast mode and in stepping mode."""
    step = Simulator(chip.plan, chip.bundle, "step")
    step.put(chip.copied())
    return chip.twin(), step


@given(
    design=any_designs(), seed=st.integers(0, 1000), count=st.integers(1, 12), ways=st.booleans()
)
def test_both_modes_leave_the_same(design, seed, count, ways):
    plan, bundle = design
    if ways:
        target = replace(plan.target, replay="generative", drawn_per_class=3, replay_components=2)
        plan = compile(plan.network, target)
    fast, step = both(filled(plan, bundle, seed))
    upsets = drawn(plan, seed, count)
    for chip in (fast, step):
        chip.upset(upsets)
    for command in ("retrain", "rebalance", "epoch"):
        before = fast.cycles
        want, have = getattr(fast, command)(), getattr(step, command)()
        assert (have.phases, have.events, have.finished) == (want.phases, want.events, True)
        assert_same(fast, step)
        assert fast.cycles - before <= session_cycles(plan)
    picture = images(plan.network, 1, seed)[0]
    assert fast.infer(picture).prediction == step.infer(picture).prediction
    assert_same(fast, step)
