"""Stepping mode, learning: the sequencer. Runs a phase of a session clock by clock.

Phases are grouped into kernels as operations are; see `sequencer`.
"""

from enum import IntEnum

from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.jit import kernel, part
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


def running(advance):
    """The kernel that clocks a phase with `advance` until it is done, `cycles` is `stop` or the recording is full.

    It is true when done. shift: of the deltas of `Phase.ERROR` and `Phase.BACK`; trace: records each cycle, if it has
    rows.
    """

    def run(program, clock, learning, phase, shift, trace, stop):
        limit = trace.writes.shape[0]
        while not clock.now[Flop.DONE] and clock.counters.events[Event.CYCLES] < stop:
            idle(clock.ports)
            advance(program, clock, learning, phase, shift)
            if limit:
                record(trace, clock)
            learn_edge(learning)
            edge(clock)
            if limit and trace.count[0] == limit:
                break
        return clock.now[Flop.DONE] == 1

    run.__qualname__ = f"run_{advance.__name__.lstrip('_')}"
    return kernel(run)


@part
def _load(program, clock, learning, phase, _shift):
    """Advance a phase that begins a session or an epoch, or loads a minibatch, by a clock."""
    if phase == Phase.LOAD:
        load_clock(program.replay, clock, learning)
    elif phase == Phase.BALANCE:
        balance_clock(program, clock, learning)
    else:
        seed_clock(clock.now, clock.nxt)


@part
def _gather(program, clock, learning, _phase, _shift):
    """Advance the load of a minibatch by a clock, where generative replay draws a part of it."""
    gather_minibatch_clock(program.replay, program.generative, clock, learning)


@part
def _forward(_program, clock, learning, phase, shift):
    """Advance a forward pass or the error unit by a clock."""
    if phase == Phase.HIDDEN_FORWARD:
        hidden_forward_clock(clock, learning)
    elif phase == Phase.OUTPUT_FORWARD:
        output_forward_clock(clock, learning)
    else:
        error_clock(clock, learning, shift)


@part
def _back(_program, clock, learning, _phase, shift):
    """Advance back-propagation by a clock."""
    back_clock(clock, learning, shift)


@part
def _update(_program, clock, learning, phase, _shift):
    """Advance an update by a clock; its code is compiled once for both layers."""
    update_clock(clock, learning, OUTPUT if phase == Phase.OUTPUT_UPDATE else HIDDEN)


run_load, run_gather, run_forward, run_back, run_update = map(
    running, (_load, _gather, _forward, _back, _update)
)
KERNELS = {
    Phase.BALANCE: run_load,
    Phase.SEED: run_load,
    Phase.LOAD: run_load,
    Phase.HIDDEN_FORWARD: run_forward,
    Phase.OUTPUT_FORWARD: run_forward,
    Phase.ERROR: run_forward,
    Phase.BACK: run_back,
    Phase.OUTPUT_UPDATE: run_update,
    Phase.HIDDEN_UPDATE: run_update,
}


def kernel_of(phase: Phase, is_generative: bool):
    """The kernel that carries out a phase of a session on a chip."""
    return run_gather if is_generative and phase is Phase.LOAD else KERNELS[phase]
