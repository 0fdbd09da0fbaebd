"""Handshakes in reset: low in each of its cycles, the first included, and nothing half taken."""

import pytest
from amaranth.hdl import ClockDomain, Const, Elaboratable, Module
from amaranth.sim import Simulator

from xnoreplay.hw import top
from xnoreplay.hw.host import axi
from xnoreplay.hw.host.axi import LiteSlave
from xnoreplay.hw.top import Chip
from xnoreplay.spec import plan, presets
from xnoreplay.spec.commands import Command

READIES = ("s_axil_awready", "s_axil_wready", "s_axil_arready")
VALIDS = ("s_axil_bvalid", "s_axil_rvalid")


class Resettable(Elaboratable):
    """A unit in a clock domain whose reset a test drives."""

    def __init__(self, unit):
        self.unit, self.domain = unit, ClockDomain("sync")

    def elaborate(self, _platform):
        m = Module()
        m.domains += self.domain
        m.submodules.unit = self.unit
        return m


def simulate(unit, bench) -> None:
    """Run ``bench(ctx, rst)`` to its end."""
    dut = Resettable(unit)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def process(ctx):
        await bench(ctx, dut.domain.rst)

    simulator.add_testbench(process)
    simulator.run()


def served(cold: int, warm_at: int, warm: int) -> tuple[list, list]:
    """Requests of a slave whose reset holds for ``cold`` cycles, and from ``warm_at`` for ``warm`` more.

    The master offers a write of 8 to address 4 and a read of address 12 from the first cycle on, again
    whenever they were taken, and takes every response. Returns the requests of all cycles, as
    (cycle, write, address in words, data), and the names of outputs that were high in reset.
    """
    slave = LiteSlave()
    requests, high = [], []

    async def bench(ctx, rst):
        for name, value in (("awaddr", 4), ("wdata", 8), ("wstrb", 15), ("araddr", 12)):
            ctx.set(getattr(slave, f"s_axil_{name}"), value)
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
            ctx.set(getattr(slave, f"s_axil_{name}"), 1)
        ctx.set(slave.done, 1)
        for cycle in range(30):
            reset = cycle < cold or warm_at <= cycle < warm_at + warm
            ctx.set(rst, reset)
            if reset:
                high.extend(name for name in READIES + VALIDS if ctx.get(getattr(slave, name)))
            elif ctx.get(slave.valid):
                write = ctx.get(slave.write)
                requests.append((cycle, write, ctx.get(slave.address), ctx.get(slave.data)))
            await ctx.tick()

    simulate(slave, bench)
    return requests, high


@pytest.mark.parametrize("warm_at", range(8, 14))
@pytest.mark.parametrize(("cold", "warm"), [(0, 1), (1, 2), (3, 3)])
def test_no_handshake_in_reset(cold, warm_at, warm):
    """Wherever the second reset falls: a transfer is served from the first cycle after it."""
    requests, high = served(cold, warm_at, warm)
    assert high == []
    assert {request[1:] for request in requests} == {(1, 1, 8), (0, 3, 8)}
    cycles = [cycle for cycle, *_ in requests]
    for end in (cold, warm_at + warm):
        # Taken in the first cycle without reset, chosen in the second, served in the third.
        assert min(cycle for cycle in cycles if cycle >= end) == end + 2
    assert not [cycle for cycle in cycles if cycle < cold or warm_at < cycle < warm_at + warm]


def test_a_handshake_in_reset_is_seen(monkeypatch):
    monkeypatch.setattr(axi, "ResetSignal", lambda: Const(0))
    high = {name for warm_at in range(8, 14) for name in served(3, warm_at, 2)[1]}
    assert high == {*READIES, *VALIDS}


def pixel_ready() -> list[int]:
    """tready of the pixel stream: of an image that is expected, then in three cycles of reset, then after."""
    preset = presets.load("tiny")
    chip = Chip(plan.compile(preset.network, preset.target))
    found = []

    async def bench(ctx, rst):
        while ctx.get(chip.busy):  # a reset empties the replay memory
            await ctx.tick()
        ctx.set(chip.host.command, Command.INFER)
        ctx.set(chip.host.start, 1)
        await ctx.tick()
        ctx.set(chip.host.start, 0)
        found.append(ctx.get(chip.s_axis_pixel_tready))
        for reset in (1, 1, 1, 0):
            ctx.set(rst, reset)
            found.append(ctx.get(chip.s_axis_pixel_tready))
            await ctx.tick()

    simulate(chip, bench)
    return found


def test_no_pixel_is_taken_in_reset(monkeypatch):
    assert pixel_ready() == [1, 0, 0, 0, 0]
    monkeypatch.setattr(top, "ResetSignal", lambda: Const(0))
    assert pixel_ready() == [1, 1, 0, 0, 0]
