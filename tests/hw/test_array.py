"""One lane of the array: both kinds of cell, disabled taps, nodes and sums."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from xnoreplay.hw.inference.array import Lane
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.network import TAPS

CHANNELS, FOLD = 4, 2


@pytest.mark.parametrize("conjoin", [0, 1])
@pytest.mark.parametrize("taps", [TAPS, 4])
def test_nodes_and_sum_of_two_beats(conjoin, taps):
    rng = np.random.default_rng(conjoin + taps)
    x, w = (rng.integers(0, 2, (2, TAPS, CHANNELS), dtype=np.uint8) for _ in range(2))
    cells = (x & w if conjoin else 1 - (x ^ w)).astype(int)
    cells[:, taps:] = 0
    seen = {}

    async def bench(ctx):
        lane = dut
        for slot in range(2):
            ctx.set(lane.wen, (1 << TAPS) - 1)
            ctx.set(lane.waddr, slot)
            ctx.set(lane.wdata, to_int(w[slot].ravel()))
            await ctx.tick()
        ctx.set(lane.wen, 0)
        ctx.set(lane.taps, taps)
        ctx.set(lane.conjoin, conjoin)
        for stage in range(5):
            ctx.set(lane.valid, int(stage < 2))
            ctx.set(lane.slot, stage % 2)
            ctx.set(lane.first, int(stage == 0))
            ctx.set(lane.x, to_int(x[stage - 1].ravel()) if 1 <= stage < 3 else 0)
            await ctx.tick()
            seen[stage] = [ctx.get(lane.nodes[i]) for i in range(CHANNELS // FOLD)]
        seen["acc"] = ctx.get(lane.acc)

    dut = Lane(CHANNELS, 2, FOLD, 8)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    nodes = cells.reshape(2, TAPS, CHANNELS // FOLD, FOLD).sum((1, 3))
    assert seen[2] == nodes[0].tolist()
    assert seen[3] == nodes[1].tolist()
    assert seen["acc"] == (0 if conjoin else cells.sum())  # AND beats are summed outside
