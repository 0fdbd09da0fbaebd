"""Stepping mode: the sequencer. Runs an operation clock by clock."""

from enum import IntEnum

from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.jit import kernel
from xnoreplay.sim.common.ops import conv_of
from xnoreplay.sim.step.conv import conv_clock
from xnoreplay.sim.step.dense import dense_clock, input_clock, lgap_clock, output_clock
from xnoreplay.sim.step.registers import R, edge, idle
from xnoreplay.sim.step.replay import (
    admit_clock,
    epoch_clock,
    evict_clock,
    insert_clock,
    quota_clock,
    restore_clock,
    stage_clock,
)
from xnoreplay.sim.step.trace import record


class Kind(IntEnum):
    """What an operation is."""

    INPUT = 0
    CONV = 1
    LGAP = 2
    LATENT = 3
    HIDDEN = 4
    OUTPUT = 5
    STAGE = 6
    INSERT = 7
    QUOTA = 8
    EVICT = 9
    ADMIT = 10
    EPOCH = 11
    RESTORE = 12


@kernel
def run(pr, kind, index, label, image, gaps, m, c, p, now, nxt, log, t, stop):
    """Clock one operation until it is done, `cycles` is `stop` or the recording is full.

    True when done.
    """
    g = pr.geometry
    conv = conv_of(pr.convs, index)
    limit = t.writes.shape[0]
    while not now.s[R.DONE] and c.events[Event.CYCLES] < stop:
        idle(p)
        if kind == Kind.CONV:
            conv_clock(conv, g, m, c, p, now, nxt)
        elif kind == Kind.INPUT:
            input_clock(pr.input, g, m, c, p, now, nxt, image, gaps)
        elif kind == Kind.LGAP:
            lgap_clock(pr.lgap, g, m, c, p, now, nxt)
        elif kind == Kind.LATENT:
            dense_clock(pr.latent, g, m, c, p, now, nxt)
        elif kind == Kind.HIDDEN:
            dense_clock(pr.hidden, g, m, c, p, now, nxt)
        elif kind == Kind.OUTPUT:
            output_clock(pr.output, g, m, c, p, now, nxt)
        elif kind == Kind.STAGE:
            stage_clock(pr.replay, m, c, p, now, nxt, label)
        elif kind == Kind.INSERT:
            insert_clock(pr.replay, g, m, c, p, now, nxt, label, log)
        elif kind == Kind.QUOTA:
            quota_clock(pr.replay, now, nxt)
        elif kind == Kind.EVICT:
            evict_clock(pr.replay, g, m, c, p, now, nxt, log)
        elif kind == Kind.ADMIT:
            admit_clock(pr.replay, g, m, c, p, now, nxt, log)
        elif kind == Kind.RESTORE:
            restore_clock(pr.replay, g, m, c, p, now, nxt)
        else:
            epoch_clock(pr.replay, g, m, c, p, now, nxt, log)
        if limit:
            record(t, p, now)
        edge(m, c, p, now, nxt)
        if limit and t.count[0] == limit:
            break
    return now.s[R.DONE] == 1
