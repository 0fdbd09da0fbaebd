"""Stepping mode: the sequencer. Runs an operation clock by clock.

Each group of operations is a kernel of its own: nobody waits for one to be compiled that a chip does not carry out,
several are compiled side by side, and an edit of one leaves the others.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.jit import kernel, part
from xnoreplay.sim.common.program import conv_of
from xnoreplay.sim.step.conv import conv_clock
from xnoreplay.sim.step.dense import (
    dense_clock,
    input_clock,
    latent_clock,
    lgap_clock,
    output_clock,
)
from xnoreplay.sim.step.generative import (
    check_clock,
    empty_clock,
    gather_clock,
    keep_clock,
    take_clock,
)
from xnoreplay.sim.step.registers import Flop, edge, idle
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
    """Operations of an image and of the replay memory."""

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
    TAKE = 13
    EMPTY = 14


class Operation(NamedTuple):
    """An operation that is carried out, and what it takes."""

    kind: int  # `Kind`
    index: int  # type: ignore[assignment]  # of a convolution
    label: int  # of a sample that is staged or inserted
    pixels: (
        np.ndarray
    )  # (transfers, bytes) uint8 of the stream, which are pixels or parts of a latent
    gaps: np.ndarray  # (transfers,) int64, cycles by which each is offered late


def running(advance):
    """The kernel that clocks an operation with `advance` until it is done, `cycles` is `stop` or the recording is full.

    It is true when done. log: what happens to samples; trace: records each cycle, if it has rows.
    """

    def run(program, clock, operation, log, trace, stop):
        limit = trace.writes.shape[0]
        conv = conv_of(program.convs, operation.index)
        while not clock.now[Flop.DONE] and clock.counters.events[Event.CYCLES] < stop:
            idle(clock.ports)
            advance(program, clock, operation, conv, log)
            if limit:
                record(trace, clock)
            edge(clock)
            if limit and trace.count[0] == limit:
                break
        return clock.now[Flop.DONE] == 1

    run.__qualname__ = f"run_{advance.__name__.lstrip('_')}"
    return kernel(run)


@part
def _image(program, clock, operation, conv, _log):
    """Advance an operation of an image by a clock."""
    kind = operation.kind
    if kind == Kind.CONV:
        conv_clock(conv, clock)
    elif kind == Kind.INPUT:
        if program.input.part:
            latent_clock(program.input, clock, operation.pixels, operation.gaps)
        else:
            input_clock(program.input, clock, operation.pixels, operation.gaps)
    elif kind == Kind.LGAP:
        lgap_clock(program.lgap, clock)
    elif kind == Kind.LATENT:
        dense_clock(program.latent, clock)
    elif kind == Kind.HIDDEN:
        dense_clock(program.hidden, clock)
    else:
        output_clock(program.output, clock)


@part
def _replay(program, clock, operation, _conv, log):
    """Advance an operation of the replay memory by a clock."""
    kind, label, replay = operation.kind, operation.label, program.replay
    if kind == Kind.STAGE:
        stage_clock(replay, clock, label)
    elif kind == Kind.INSERT:
        insert_clock(replay, clock, label, log)
    elif kind == Kind.QUOTA:
        quota_clock(replay, clock.now, clock.nxt)
    elif kind == Kind.EVICT:
        evict_clock(replay, clock, log)
    elif kind == Kind.ADMIT:
        admit_clock(replay, clock, log)
    elif kind == Kind.RESTORE:
        restore_clock(replay, clock)
    else:
        epoch_clock(replay, clock, log)


@part
def _generative(program, clock, operation, _conv, log):
    """Advance an operation of generative replay by a clock."""
    kind, generative = operation.kind, program.generative
    if kind == Kind.TAKE:
        take_clock(generative, clock, operation.label)
    elif kind == Kind.EMPTY:
        empty_clock(generative, clock)
    elif kind == Kind.STAGE:
        keep_clock(program.replay, generative, clock, operation.label)
    elif kind == Kind.RESTORE:
        check_clock(generative, clock)
    else:
        gather_clock(program.replay, generative, clock, log)


run_image, run_replay, run_generative = map(running, (_image, _replay, _generative))
IMAGE = (Kind.INPUT, Kind.CONV, Kind.LGAP, Kind.LATENT, Kind.HIDDEN, Kind.OUTPUT)
DRAWN = (Kind.TAKE, Kind.EMPTY)
"""Operations that generative replay alone has; STAGE, RESTORE and EPOCH are in both replay units."""


def kernel_of(kind: Kind, is_generative: bool):
    """The kernel that carries out a kind of operation on a chip."""
    if kind in IMAGE:
        return run_image
    drawn = is_generative and kind in (*DRAWN, Kind.STAGE, Kind.RESTORE, Kind.EPOCH)
    return run_generative if drawn else run_replay
