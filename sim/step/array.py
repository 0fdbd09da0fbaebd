"""Stepping mode: the binary array, from a valid operand to the accumulators."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import low_bits, part, popcount
from xnoreplay.sim.step.registers import Flop


@part
def array(clock):
    """Advance the array by a clock: operand to cells, cells to node sums, node sums to accumulators."""
    now, nxt = clock.now, clock.nxt
    counters = clock.counters
    wide = clock.wide
    nxt_wide = clock.nxt_wide
    if now[Flop.X_VALID]:
        _count(clock)
        counters.events[Event.BEATS] += 1
        counters.events[Event.TAPS] += now[Flop.X_TAPS] * now[Flop.X_LANES]
        counters.reads[Mem.LANE_FILE] += now[Flop.X_LANES]
    nxt[Flop.C_VALID] = now[Flop.X_VALID]
    nxt[Flop.C_LANES] = now[Flop.X_LANES]
    nxt[Flop.C_FIRST] = now[Flop.X_FIRST]
    nxt[Flop.C_LAST] = now[Flop.X_LAST]
    if now[Flop.C_VALID]:
        for lane in range(now[Flop.C_LANES]):
            nxt_wide.mid[lane] = wide.count[lane]
    nxt[Flop.M_VALID] = now[Flop.C_VALID]
    nxt[Flop.M_LANES] = now[Flop.C_LANES]
    nxt[Flop.M_FIRST] = now[Flop.C_FIRST]
    nxt[Flop.M_LAST] = now[Flop.C_LAST]
    if now[Flop.M_VALID]:
        for lane in range(now[Flop.M_LANES]):
            nxt_wide.acc[lane] = wide.mid[lane] + (0 if now[Flop.M_FIRST] else wide.acc[lane])
    nxt[Flop.A_VALID] = now[Flop.M_VALID]
    nxt[Flop.A_LANES] = now[Flop.M_LANES]
    nxt[Flop.A_LAST] = now[Flop.M_LAST]


@part
def _count(clock):
    """Count the cells of the enabled taps that are 1: all but those whose two bits differ."""
    now = clock.now
    geometry = clock.geometry
    used, slot = low_bits(geometry.unit_bits), now[Flop.X_SLOT]
    words = now[Flop.X_TAPS] * geometry.units
    for lane in range(now[Flop.X_LANES]):
        file, differing = clock.memory.lane_file[lane, slot], 0
        for i in range(words):
            differing += popcount((clock.wide.x[i] ^ file[i]) & used)
        clock.nxt_wide.count[lane] = words * geometry.unit_bits - differing


@part
def operand(nxt, slot, taps, lanes, first, last):
    """Make the operand register valid in the next cycle, for so many lanes; the caller fills `nxt_wide.x`.

    first, last: whether the beat begins and ends a sum.
    """
    nxt[Flop.X_VALID] = 1
    nxt[Flop.X_SLOT] = slot
    nxt[Flop.X_TAPS] = taps
    nxt[Flop.X_LANES] = lanes
    nxt[Flop.X_FIRST] = first
    nxt[Flop.X_LAST] = last


@part
def sum_ready(now):
    """Whether the accumulators hold a whole sum in this cycle: that of a sum's last beat."""
    return now[Flop.A_VALID] == 1 and now[Flop.A_LAST] == 1
