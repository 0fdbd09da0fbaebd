"""Chips with some event counters or none, in Amaranth's simulator: what there is equals the simulator, and wraps."""

from dataclasses import replace

import pytest

from tests.hw.chip_bench import ARRIVE, EPOCH, INFER, INSERT, REBALANCE, run_chip
from tests.strategies import LATENTS, images
from xnoreplay.hw.host.counters import Counters
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import registers

SMALL = LATENTS["words narrower than a byte"]


def of_target(plan, **dials):
    """The plan with other counters."""
    return plans.compile(plan.network, replace(plan.target, **dials))


def check(plan, below: int = 0) -> dict[str, int]:
    """A few commands on chip and simulator, whose counters begin at `below` where that is not 0; what they end with."""
    bundle, pictures = bundles.random(plan.network, 5), images(plan.network, 3, 5)
    commands = [(ARRIVE, 2, None), (INSERT, 1, pictures[0]), (INSERT, 0, pictures[1])]
    commands += [(EPOCH, 0, None), (REBALANCE, 0, None), (INFER, 0, pictures[2])]
    chip = Simulator(plan, bundle)
    begin = dict.fromkeys(chip.chip_counters, below) if below else {}
    chip.count_from(begin)
    assert begin.items() <= chip.chip_counters.items()
    for (command, argument, sample), seen in zip(
        commands, run_chip(plan, bundle, commands, counters=begin), strict=True
    ):
        start = chip.cycles
        result = chip.carry_out(command, argument, sample)
        assert [(name, cycle - start) for name, cycle in result.phases] == seen.phases
        assert seen.cycles == chip.cycles - start
        assert seen.counters == chip.chip_counters
        assert seen.prediction == chip.state.prediction
    return chip.chip_counters


@pytest.mark.parametrize(
    ("dials", "groups"),
    [
        ({"counter_bits": 0}, set()),
        ({"counter_bits": 32, "counters": ("learning", "cycles")}, {"learning", "cycles"}),
    ],
    ids=["none", "some of 32 bits"],
)
def test_a_chip_counts_what_its_target_says(dials, groups):
    left = check(of_target(SMALL, **dials))
    assert {registers.group(name).value for name in left} == groups


@pytest.mark.parametrize("below", [(1 << 31) - 2, (1 << 32) - 2])
def test_counters_of_32_bits_wrap(below):
    """Those that count past 2^31 go on; those that count past 2^32 begin at 0."""
    left = check(of_target(SMALL, counter_bits=32), below)
    assert all(count < 1 << 32 for count in left.values())
    assert min(left.values()) < below if below > 1 << 31 else max(left.values()) > 1 << 31


def test_a_counter_that_is_too_short_is_seen(monkeypatch):
    """Planted: one that begins at 0 after 2^31 - 1."""
    whole = Counters.elaborate

    def short(unit, platform):
        m = whole(unit, platform)
        for name in unit.names:
            with m.If(unit.value(name) == (1 << 31) - 1):
                m.d.sync += unit.value(name).eq(0)
        return m

    monkeypatch.setattr(Counters, "elaborate", short)
    with pytest.raises(AssertionError):
        check(of_target(SMALL, counter_bits=32), (1 << 31) - 2)
