"""The tests' engine of Amaranth's simulator against Amaranth's own: every signal and memory row, in every cycle."""

import dataclasses

import numpy as np
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from tests.hw import chip_bench, engine
from tests.hw.chip_bench import ARRIVE, INFER, INSERT, RETRAIN, STAGE, random_image
from tests.strategies import CORNERS
from xnoreplay.spec import bundle as bundles

CYCLES = 400


def small_design() -> tuple[Module, list[Signal]]:
    """Signed and unsigned operands of unequal widths, halves of one signal from two domains, and a memory; its inputs."""
    m = Module()
    a, b = Signal(5), Signal(9)
    c, d = Signal(signed(6)), Signal(signed(4))
    inputs = [a, b, c, d]
    wide, narrow, mixed = Signal(70), Signal(3), Signal(signed(12))
    m.d.comb += [wide.eq(Cat(a, ~b, c, d, a * b)), narrow.eq(a + b), mixed.eq(c * d - a)]
    halves, total, part = Signal(8), Signal(signed(7)), Signal(11)
    m.d.comb += halves[:4].eq(a ^ b)
    m.d.sync += [halves[4:].eq(c), total.eq(total + d), part.word_select(a[:2], 2).eq(b)]
    with m.Switch(b[:4]):
        with m.Case("1--0"):
            m.d.sync += part[3:7].eq(a | b)
        with m.Case(3, 5):
            m.d.sync += part.eq(part - d)
    with m.If((c < d) & ~(a == b)):
        m.d.sync += narrowed(part, a)
    m.submodules.memory = memory = Memory(shape=12, depth=6, init=[])
    write, read = memory.write_port(granularity=4), memory.read_port(transparent_for=())
    through = memory.read_port(transparent_for=(write,))
    m.d.comb += [write.addr.eq(b), write.data.eq(Cat(a, b)), write.en.eq(c)]
    m.d.comb += [read.addr.eq(a), read.en.eq(d[0]), through.addr.eq(b), through.en.eq(1)]
    return m, inputs


def narrowed(part: Signal, a: Signal):
    """A signed sum that is cut to an unsigned signal."""
    return part.eq((-a) >> 1)


def values(kind) -> list[list]:
    """Every signal and memory row in every cycle, in the order in which the design has them."""
    design, inputs = small_design()
    simulator, rng, seen = kind(design), np.random.default_rng(0), []
    state = simulator._engine.state

    async def bench(ctx):
        for _ in range(CYCLES):
            for signal in inputs:
                low = -(1 << len(signal) - 1) if signal.shape().signed else 0
                ctx.set(signal, int(rng.integers(low, low + (1 << len(signal)))))
            seen.append(
                [slot.curr if hasattr(slot, "curr") else [*slot.data] for slot in state.slots]
            )
            await ctx.tick()

    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def test_every_value_is_amaranths():
    ours, theirs = values(engine.simulator), values(Simulator)
    assert len(theirs) == CYCLES
    assert ours == theirs
    moved = [len({str(row[i]) for row in theirs}) for i in range(len(theirs[0]))]
    assert sum(n > 3 for n in moved) > 12  # what stands still tells nothing


def test_a_chip_is_amaranths(monkeypatch):
    """Commands with an image each, learning included: all memories, counters, registers and phases after each."""
    plan, rng = CORNERS["words not full"], np.random.default_rng(0)
    bundle, last = bundles.random(plan.network, 0), plan.network.classes - 1
    commands = [(ARRIVE, last, None), (INSERT, 0, random_image(rng, plan))]
    commands += [(STAGE, last, random_image(rng, plan)), (RETRAIN, 0, None)]
    commands += [(INFER, 0, random_image(rng, plan))]
    ours = chip_bench.run_chip(plan, bundle, commands)
    monkeypatch.setattr(chip_bench, "simulator", Simulator)
    theirs = chip_bench.run_chip(plan, bundle, commands)
    assert [*map(dataclasses.asdict, ours)] == [*map(dataclasses.asdict, theirs)]
