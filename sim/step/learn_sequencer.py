"""Stepping mode, learning: the sequencer. Runs a phase of a session clock by clock."""

from enum import IntEnum

from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.jit import kernel
from xnoreplay.sim.step.forward import error_clock, hidden_forward_clock, output_forward_clock
from xnoreplay.sim.step.learn_registers import learn_edge
from xnoreplay.sim.step.loading import (
    balance_clock,
    gather_minibatch_clock,
    load_clock,
    seed_clock,
)
from xnoreplay.sim.step.planes import HIDDEN, OUTPUT
from xnoreplay.sim.step.registers import Flop, edge, idle
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
def run_phase(program, clock, learning, phase, shift, trace, stop):  # noqa: C901  a branch a phase
    """Clock one phase until it is done, `cycles` is `stop` or the recording is full.

    True when done. shift: of the deltas of `Phase.ERROR` and `Phase.BACK`; trace: records each cycle, if it has rows.
    """
    limit = trace.writes.shape[0]
    is_generative = program.generative.components > 0
    while not clock.now[Flop.DONE] and clock.counters.events[Event.CYCLES] < stop:
        idle(clock.ports)
        if phase == Phase.LOAD and is_generative:
            gather_minibatch_clock(program.replay, program.generative, clock, learning)
        elif phase == Phase.LOAD:
            load_clock(program.replay, clock, learning)
        elif phase == Phase.HIDDEN_FORWARD:
            hidden_forward_clock(clock, learning)
        elif phase == Phase.OUTPUT_FORWARD:
            output_forward_clock(clock, learning)
        elif phase == Phase.ERROR:
            error_clock(clock, learning, shift)
        elif phase == Phase.BACK:
            back_clock(clock, learning, shift)
        elif phase == Phase.OUTPUT_UPDATE:
            update_clock(clock, learning, OUTPUT)
        elif phase == Phase.HIDDEN_UPDATE:
            update_clock(clock, learning, HIDDEN)
        elif phase == Phase.BALANCE:
            balance_clock(program, clock, learning)
        else:
            seed_clock(clock.now, clock.nxt)
        if limit:
            record(trace, clock)
        learn_edge(learning)
        edge(clock)
        if limit and trace.count[0] == limit:
            break
    return clock.now[Flop.DONE] == 1
