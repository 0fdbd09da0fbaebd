"""Stepping mode: the binary array, from a valid operand to the accumulators."""

from xnoreplay.sim.counters import Event, Mem
from xnoreplay.sim.jit import ZERO, low_bits, part, popcount
from xnoreplay.sim.registers import R


@part
def array(g, m, c, now, nxt):
    """One clock of the array's three stages."""
    s = now.s
    if s[R.X_VALID]:
        _cells(g, m, now, nxt)
        c.events[Event.BEATS] += 1
        c.events[Event.TAPS] += s[R.X_TAPS] * s[R.X_LANES]
        c.reads[Mem.LANE_FILE] += s[R.X_LANES]
    nxt.s[R.C_VALID] = s[R.X_VALID]
    nxt.s[R.C_LANES] = s[R.X_LANES]
    nxt.s[R.C_FIRST] = s[R.X_FIRST]
    nxt.s[R.C_LAST] = s[R.X_LAST]
    if s[R.C_VALID]:
        for lane in range(s[R.C_LANES]):
            for tap in range(9):
                ones = 0
                for u in range(g.units):
                    ones += popcount(now.cells[lane, tap * g.units + u])
                nxt.mid[lane, tap] = ones
    nxt.s[R.M_VALID] = s[R.C_VALID]
    nxt.s[R.M_LANES] = s[R.C_LANES]
    nxt.s[R.M_FIRST] = s[R.C_FIRST]
    nxt.s[R.M_LAST] = s[R.C_LAST]
    if s[R.M_VALID]:
        for lane in range(s[R.M_LANES]):
            total = 0 if s[R.M_FIRST] else now.acc[lane]
            for tap in range(9):
                total += now.mid[lane, tap]
            nxt.acc[lane] = total
    nxt.s[R.A_VALID] = s[R.M_VALID]
    nxt.s[R.A_LANES] = s[R.M_LANES]
    nxt.s[R.A_LAST] = s[R.M_LAST]


@part
def _cells(g, m, now, nxt):
    used = low_bits(g.unit_bits)
    slot, taps = now.s[R.X_SLOT], now.s[R.X_TAPS]
    for lane in range(now.s[R.X_LANES]):
        file = m.lane_file[lane, slot]
        for i in range(9 * g.units):
            enabled = i < taps * g.units
            nxt.cells[lane, i] = ~(now.x[i] ^ file[i]) & used if enabled else ZERO


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
