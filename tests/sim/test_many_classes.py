"""Chips of hundreds of classes: reference, simulator in both modes, and the loss balance of the hardware."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from tests.sim.chips import Chips
from xnoreplay.hw.learning import balance
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import learning, timeline
from xnoreplay.spec import plan as plans
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.target import TargetSpec


def many(classes: int, **target) -> plans.Plan:
    """A small chip of so many classes, with room for one latent of each."""
    network = NetworkSpec("many", 2, 4, "grey", (3,), (Conv(4),), 12, 5, classes)
    dials = {"lanes": 2, "channels": 4, "batch": 4, "epochs": 1, "staging_capacity": 3}
    return plans.compile(
        network, TargetSpec("many", **dials | {"replay_capacity": classes} | target)
    )


@pytest.mark.parametrize("classes", [241, 300, 1024])
def test_a_session_of_many_classes_is_the_same_in_reference_and_simulator(classes):
    """All but a few classes have one sample; the last ones come in the session."""
    plan = many(classes, hidden_learns=True)
    rng = np.random.default_rng(classes)
    chips = Chips.of(plan, bundles.random(plan.network, classes))
    old = classes - 2
    chips.do("arrive", old)
    for label in [*range(0, old, 100), old - 1]:
        chips.do("insert", image(plan, rng), label)
    for label in (classes - 2, classes - 1, classes - 1):
        chips.do("stage", image(plan, rng), label)
    chips.do("retrain")
    chips.do("rebalance")
    chips.do("infer", image(plan, rng))
    assert chips.fast.state.seen == classes
    labels = [label for label in chips.reference.labels.tolist() if label >= 0]
    assert labels == [*range(0, old, 100), old - 1, classes - 2, classes - 1]


def image(plan: plans.Plan, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, plan.network.image_shape, np.uint8)


def balanced(plan: plans.Plan, counts: list[int], staged: list[int]) -> tuple[list[int], int]:
    """The class weights that the hardware forms of so many samples a class, and its cycles."""
    unit = balance.Balance(plan)
    found = {}

    async def bench(ctx):
        ctx.set(unit.seen, len(counts))
        ctx.set(unit.staged, len(staged))
        ctx.set(unit.active, 1)
        cycles, done = 0, False
        while not done:
            ctx.set(unit.count, counts[min(ctx.get(unit.count_addr), len(counts) - 1)])
            address = ctx.get(unit.staging_label.addr)
            done = ctx.get(unit.done)
            if ctx.get(unit.weight.en):
                found[ctx.get(unit.weight.addr)] = ctx.get(unit.weight.data)
            await ctx.tick()
            cycles += 1
            ctx.set(unit.staging_label.data, staged[address] if address < len(staged) else 0)
        found["cycles"] = cycles

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    cycles = found.pop("cycles")
    return [found[c] for c in range(len(counts))], cycles


@pytest.mark.parametrize("classes", [2, 248, 249, 300])
def test_the_hardware_balances_many_classes(classes):
    """Where nearly every class has one sample, their dividends are the longest: at 249 classes of 33 bits."""
    plan = many(classes, replay_capacity=9 * classes)
    counts = [9 if c == 1 else 1 for c in range(classes)]
    staged = [classes - 1, classes - 1, 0]
    weights, cycles = balanced(plan, counts, staged)
    total = np.array(counts) + np.bincount(staged, minlength=classes)
    assert weights == learning.class_weights(total.tolist())
    division = timeline.weight_cycles(classes)
    assert cycles == timeline.balance_cycles(classes, 3, 3, division)


def test_a_dividend_cut_to_32_bits_shows(monkeypatch):
    monkeypatch.setattr(balance, "weight_cycles", lambda _classes: timeline.weight_cycles(2))
    weights, _ = balanced(many(249), [1] * 249, [])
    assert weights != learning.class_weights([1] * 249)
