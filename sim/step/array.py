"""Stepping mode: the binary array, from a valid operand to the accumulators."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import low_bits, part, popcount
from xnoreplay.sim.step.registers import R


@part
def array(g, m, c, now, nxt):
    """One clock of the array's three stages."""
    s = now.s
    if s[R.X_VALID]:
        _count(g, m, now, nxt)
        c.events[Event.BEATS] += 1
        c.events[Event.TAPS] += s[R.X_TAPS] * s[R.X_LANES]
        c.reads[Mem.LANE_FILE] += s[R.X_LANES]
    nxt.s[R.C_VALID] = s[R.X_VALID]
    nxt.s[R.C_LANES] = s[R.X_LANES]
    nxt.s[R.C_FIRST] = s[R.X_FIRST]
    nxt.s[R.C_LAST] = s[R.X_LAST]
    if s[R.C_VALID]:
        for lane in range(s[R.C_LANES]):
            nxt.mid[lane] = now.count[lane]
    nxt.s[R.M_VALID] = s[R.C_VALID]
    nxt.s[R.M_LANES] = s[R.C_LANES]
    nxt.s[R.M_FIRST] = s[R.C_FIRST]
    nxt.s[R.M_LAST] = s[R.C_LAST]
    if s[R.M_VALID]:
        for lane in range(s[R.M_LANES]):
            nxt.acc[lane] = now.mid[lane] + (0 if s[R.M_FIRST] else now.acc[lane])
    nxt.s[R.A_VALID] = s[R.M_VALID]
    nxt.s[R.A_LANES] = s[R.M_LANES]
    nxt.s[R.A_LAST] = s[R.M_LAST]


@part
def _count(g, m, now, nxt):
    """Cells of the enabled taps that are 1: all but those whose two bits differ."""
    used, slot = low_bits(g.unit_bits), now.s[R.X_SLOT]
    words = now.s[R.X_TAPS] * g.units
    for lane in range(now.s[R.X_LANES]):
        file, differing = m.lane_file[lane, slot], 0
        for i in range(words):
            differing += popcount((now.x[i] ^ file[i]) & used)
        nxt.count[lane] = words * g.unit_bits - differing


@part
def operand(nxt, slot, taps, lanes, first, last):
    """Make the operand register valid in the next cycle; the caller fills `nxt.x`."""
    nxt.s[R.X_VALID] = 1
    nxt.s[R.X_SLOT] = slot
    nxt.s[R.X_TAPS] = taps
    nxt.s[R.X_LANES] = lanes
    nxt.s[R.X_FIRST] = first
    nxt.s[R.X_LAST] = last


@part
def sum_ready(now):
    """Whether this is the accumulator's cycle of a sum's last beat."""
    return now.s[R.A_VALID] == 1 and now.s[R.A_LAST] == 1
