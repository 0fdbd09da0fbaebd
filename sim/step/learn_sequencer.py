"""Stepping mode, learning: the sequencer. Runs a phase of a session clock by clock."""

from enum import IntEnum

from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.jit import kernel
from xnoreplay.sim.step.forward import error_clock, hidden_forward_clock, output_forward_clock
from xnoreplay.sim.step.learn_registers import learn_edge
from xnoreplay.sim.step.loading import balance_clock, load_clock, seed_clock
from xnoreplay.sim.step.planes import HIDDEN, OUTPUT
from xnoreplay.sim.step.registers import R, edge, idle
from xnoreplay.sim.step.trace import record
from xnoreplay.sim.step.update import back_clock, update_clock


class Phase(IntEnum):
    """Phases of a session, as `spec.plan.LEARNING_PHASES`."""

    BALANCE = 0
    SEED = 1
    LOAD = 2
    HIDDEN_FORWARD = 3
    OUTPUT_FORWARD = 4
    ERROR = 5
    BACK = 6
    OUTPUT_UPDATE = 7
    HIDDEN_UPDATE = 8


@kernel
def run_session(op, pr, phase, shift, m, lm, c, p, now, nxt, ls, lx, f, t, stop):
    """Clock one phase until it is done, `cycles` is `stop` or the recording is full.

    True when done.
    """
    g = pr.geometry
    limit = t.writes.shape[0]
    while not now.s[R.DONE] and c.events[Event.CYCLES] < stop:
        idle(p)
        if phase == Phase.LOAD:
            load_clock(op, pr, m, c, p, now, nxt)
        elif phase == Phase.HIDDEN_FORWARD:
            hidden_forward_clock(op, g, m, c, p, now, nxt, ls, lx)
        elif phase == Phase.OUTPUT_FORWARD:
            output_forward_clock(op, g, m, c, p, now, nxt, ls, lx, f)
        elif phase == Phase.ERROR:
            error_clock(op, g, lm, c, p, now, nxt, ls, lx, f, shift)
        elif phase == Phase.BACK:
            back_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, shift)
        elif phase == Phase.OUTPUT_UPDATE:
            update_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, OUTPUT)
        elif phase == Phase.HIDDEN_UPDATE:
            update_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, HIDDEN)
        elif phase == Phase.BALANCE:
            balance_clock(pr, m, lm, c, p, now, nxt, ls, lx)
        else:
            seed_clock(now, nxt)
        if limit:
            record(t, p, now)
        learn_edge(ls, lx)
        edge(m, c, p, now, nxt)
        if limit and t.count[0] == limit:
            break
    return now.s[R.DONE] == 1
