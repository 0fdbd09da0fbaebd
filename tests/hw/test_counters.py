"""Chips with some event counters or none, in Amaranth's simulator: what there is equals the simulator, and wraps."""

import inspect
import random
from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Fragment, Signal
from amaranth.sim import Simulator

from tests.hw.chip_bench import ARRIVE, EPOCH, INFER, INSERT, REBALANCE, run_chip
from tests.strategies import LATENTS, images
from xnoreplay.hw.host import counters
from xnoreplay.hw.host.counters import Counters
from xnoreplay.sim.run import Simulator as Simulated
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import registers
from xnoreplay.spec.registers import most_behind

SMALL = LATENTS["words narrower than a byte"]


def of_target(plan, **dials):
    """The plan with other counters."""
    return plans.compile(plan.network, replace(plan.target, **dials))


def check(plan, below: int = 0) -> dict[str, int]:
    """A few commands on chip and simulator, whose counters begin at `below` where that is not 0; what they end with."""
    bundle, pictures = bundles.random(plan.network, 5), images(plan.network, 3, 5)
    commands = [(ARRIVE, 2, None), (INSERT, 1, pictures[0]), (INSERT, 0, pictures[1])]
    commands += [(EPOCH, 0, None), (REBALANCE, 0, None), (INFER, 0, pictures[2])]
    chip = Simulated(plan, bundle)
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
        m.d.comb += unit.rows.wdata[-1].eq(0)
        return m

    monkeypatch.setattr(Counters, "elaborate", short)
    with pytest.raises(AssertionError):
        check(of_target(SMALL, counter_bits=32), (1 << 31) - 2)


# ----------------------------------------------------------------- the counters alone

WIDTHS = {"one": 1, "wide": 4, "other": 1, "two": 2}
BITS = 12
CYCLES = 260


def looked_at(apart: int, phase: int, most: bool = True) -> None:
    """Count for `CYCLES` with a look every `apart` cycles, and hold each to the sum of all adds before the cycle after it.

    phase : of the first look; most : whether each cycle adds the greatest event
    """
    unit, rng = Counters(WIDTHS, BITS, apart), random.Random(phase)
    names, wanted = tuple(WIDTHS), []
    total = dict.fromkeys(names, 0)

    async def bench(ctx):
        for i in range(len(names)):
            ctx.set(unit.rows.array.data[i], rng.randrange(1 << BITS))  # nothing clears a memory
        looks: dict[int, int] = {}
        for cycle in range(CYCLES):
            if cycle in looks:
                assert ctx.get(unit.value) == looks.pop(cycle), cycle
            due = cycle % apart == phase
            number = rng.randrange(len(names))
            ctx.set(unit.look, due)
            ctx.set(unit.index, number)
            for name in names:
                add = unit.most[name] if most else rng.randrange(unit.most[name] + 1)
                ctx.set(unit.add(name), add)
                total[name] = total[name] + add & (1 << BITS) - 1
            if due:  # the value of the next cycle
                looks[cycle + Counters.LATENCY] = total[names[number]]
                wanted.append(cycle)
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(wanted) > CYCLES // apart - 2


@pytest.mark.parametrize(("apart", "phase", "most"), [(2, 0, True), (2, 1, True), (3, 2, False)])
def test_a_counter_is_right_in_every_cycle(apart, phase, most):
    """From the first cycle after a reset on, past the counters' bits, in and out of step with the sweep."""
    looked_at(apart, phase, most)


PLANTED = {
    "a row's carry is lost": (
        "self.value.eq(word + ((low + pending - word[:longest]) & mask))",
        "self.value.eq(Cat(word[:longest] + ((low + pending - word[:longest]) & mask), word[longest:])[:self.bits])",
    ),
    "a register is too narrow": (".bit_length() for n, most", ".bit_length() - 1 for n, most"),
    "a reset leaves the rows": (
        "word.eq(rows.rdata & ~self.fresh.replicate(self.bits))",
        "word.eq(rows.rdata)",
    ),
    "rows are right one round too early": ("place == last", "place == last - 1"),
    "a look takes the sweep's place": (
        "with m.If(~self.look):",
        "with m.If(Const(1)):",
    ),
    "a look is of the cycle before": (
        "(low + pending - word",
        "(low - word",
    ),
    "the sweep writes a row that it did not read": ("place.eq(read)", "place.eq(row)"),
}
"""Text of `hw.host.counters`, and what takes its place."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_wrong_sweep_is_seen(monkeypatch, name):
    source, (right, wrong) = inspect.getsource(counters), PLANTED[name]
    assert source.count(right) == 1
    source = source.replace(right, wrong).replace(
        "assert self.behind", "assert True or self.behind"
    )
    changed: dict = {"__name__": "wrong counters", "Cat": Cat}
    exec(compile(source, "wrong counters", "exec"), changed)
    monkeypatch.setitem(globals(), "Counters", changed["Counters"])
    with pytest.raises(AssertionError):
        [looked_at(2, phase) for phase in (0, 1)]


def test_a_register_that_may_come_round_is_refused():
    """Planted: a register of a bit too few ends the generation of the chip."""
    unit = Counters(WIDTHS, BITS, 3)
    unit.low["wide"] = Signal(unit.low_bits["wide"] - 1)
    with pytest.raises(AssertionError, match="wide may come round"):
        Fragment.get(unit, None)


def rows_behind(counters: int, apart: int) -> int:
    """Cycles that a row is behind at most, by all patterns of looks as near as may be: see `most_behind`."""
    worst = 0
    for phase in range(apart):
        read = 0  # in a cycle of the sweep; what is written then, is there from the second cycle on
        cycle, row = 1, 1
        while row <= counters:
            if cycle % apart != phase:
                row += 1
            cycle += 1
        worst = max(worst, cycle - read)
    return worst


@pytest.mark.parametrize("apart", [2, 3, 5])
def test_no_row_is_further_behind_than_is_said(apart):
    for n in (2, 3, 10, 67):
        assert rows_behind(n, apart) <= most_behind(n, apart) <= rows_behind(n, apart) + 1


@pytest.mark.parametrize(
    ("widths", "bits", "message"),
    [
        ({"one": 1}, 48, "counters must be at least 2, not 1"),
        ({"one": 31, "two": 1}, 32, "counters must have at least 33 bits, not 32"),
    ],
)
def test_counters_that_cannot_be(widths, bits, message):
    with pytest.raises(ValueError, match=message):
        Counters(widths, bits, 3)
