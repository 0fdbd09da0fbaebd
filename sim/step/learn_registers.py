"""Stepping mode, learning: the unit's registers and register files, and the writes of its memories."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Counters, Mem
from xnoreplay.sim.common.jit import FULL, ONE, part
from xnoreplay.sim.common.learn_program import LearnProgram
from xnoreplay.sim.common.program import Geometry
from xnoreplay.sim.common.state import LearningMemories, State
from xnoreplay.sim.step.registers import FLOPS, Ports, Shapes, new_ports, new_views, queue
from xnoreplay.spec.bits import WORD, ceil_div
from xnoreplay.spec.generative import registers as wide_registers
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.timeline import UPDATE_LATENCY


class LearnFlop(IntEnum):
    """Registers of one number each of the learning unit, behind those of `Flop`; a phase starts with all at 0."""

    STATE = FLOPS
    ROW = FLOPS + 1
    STEP = FLOPS + 2
    PASS = FLOPS + 3
    SAMPLE = FLOPS + 4
    BLOCK = FLOPS + 5
    PLANE = FLOPS + 6
    LOADED = FLOPS + 7
    COPY = FLOPS + 8
    SEGMENT = FLOPS + 9
    GROUP = FLOPS + 10
    DRAIN = FLOPS + 11
    DIVISOR = FLOPS + 12
    REMAINDER = FLOPS + 13
    QUOTIENT = FLOPS + 14
    TOTAL = FLOPS + 15
    NUMERATOR = FLOPS + 16
    X_PASS = FLOPS + 17
    X_STEP = FLOPS + 18
    OUT_PASS = FLOPS + 19
    OUT_ROW = FLOPS + 20
    MASK_BIT = FLOPS + 21
    ROUNDED = FLOPS + 22
    BEGUN = FLOPS + 23  # a sample's error has its first block


LEARN_FLOPS = FLOPS + len(LearnFlop)


class UnitFlop(IntEnum):
    """Registers of one error unit, which are rows of `LearnWide.unit`."""

    LABEL = 0
    CLASS_WEIGHT = 1
    LOGIT = 2
    EXPONENTIAL = 3
    TOTAL = 4
    EXPONENT = 5
    REMAINDER = 6
    QUOTIENT = 7
    PROBABILITY = 8
    ERROR = 9
    RANDOM = 10
    PRODUCT = 11


class Pipe(IntEnum):
    """Fields of the pipe: what was issued some cycles ago. Each kind of issue uses those that it needs."""

    KIND = 0  # 0 nothing, or one of `Issue`
    INDEX = 1  # of a plane among those loaded; of a segment; of a hidden unit
    GROUP = 2
    LAST = 3  # last group of a segment
    LANES = 4
    PLANE = 5  # its worth, 2^k or for the sign plane -2^k
    SAMPLE = 6  # of a round
    ROW = 7
    FIRST = 8  # of a beat, it begins the sum of a sample; of a round, the sample has a sum
    BANKS = 9  # that take part
    PART = 10  # of a beat, the segment's first bit in its word


class Issue(IntEnum):
    """What is issued: a plane that is read, a beat that multiplies by planes, or the rounding of a hidden unit."""

    PLANE = 1
    BEAT = 2
    ROUND = 3


class LearnWide(NamedTuple):
    """Registers of words and vectors of the learning unit: views of a block of 64-bit numbers."""

    block: np.ndarray  # (numbers,) int64: everything below
    unit: np.ndarray  # (error units, fields) int64, by `UnitFlop`
    pipe: np.ndarray  # (UPDATE_LATENCY, fields) int64, by `Pipe`: row s - 1 was issued s cycles ago
    words: np.ndarray  # (lanes, units) uint64, hidden bits being collected
    plane: np.ndarray  # (words of B bits,) uint64, plane that was read
    columns: np.ndarray  # (batch, units) uint64, words of all banks
    scale: np.ndarray  # (planes,) int64, worth of the planes in the lanes
    ones: np.ndarray  # (planes,) int64, their popcounts
    cells: np.ndarray  # (lanes, 9 units) uint64
    cell_scale: np.ndarray  # (lanes,) int64, `scale` of the planes whose cells are in `cells`
    cell_ones: np.ndarray  # (lanes,) int64, their `ones`
    nodes: np.ndarray  # (lanes, segment) int64
    node_scale: np.ndarray  # (lanes,) int64, `scale` of the planes whose sums are in `nodes`
    node_ones: np.ndarray  # (lanes,) int64, their `ones`
    gradient: np.ndarray  # (segment,) int64
    summed: np.ndarray  # (segment,) int64, the gradient one cycle later
    top: np.ndarray  # (2, 9 units) uint64, row of cls.top that was read, of each copy
    theta: np.ndarray  # (2, segment) int64, proxies that were read
    updated: np.ndarray  # (2, segment) int64, proxies to be written


class Files(NamedTuple):
    """Register files: written and read at different times by construction, never in one cycle."""

    largest: np.ndarray  # (batch,) int64, running maximum of a sample's logits
    back: np.ndarray  # (hidden,) int64, back-propagated errors of a sample
    row_planes: np.ndarray  # (classes,) int64, which planes of a row are not empty
    block_planes: np.ndarray  # (batch * blocks,) int64, the same of a sample's block of classes
    hidden_planes: np.ndarray  # (hidden,) int64


class LearnClock(NamedTuple):
    """What one clock of the learning unit reads and writes beside the chip's `Clock`.

    Units of a session take both. `Clock.now` and `Clock.nxt` hold the registers of `LearnFlop` too.
    """

    op: LearnProgram  # sizes, addresses and constants of the learning operations
    memory: LearningMemories
    files: Files
    wide: LearnWide  # registers in this cycle
    nxt_wide: LearnWide  # and in the next


def _wide(geometry: Geometry, op: LearnProgram) -> LearnWide:
    """Registers of words and vectors of the learning unit, all zero."""
    lanes, segment = geometry.lanes, op.segment
    numbers: Shapes = {
        "unit": (op.error_units, len(UnitFlop)),
        "pipe": (UPDATE_LATENCY, len(Pipe)),
        "scale": (op.delta_bits,),
        "ones": (op.delta_bits,),
        "cell_scale": (lanes,),
        "cell_ones": (lanes,),
        "nodes": (lanes, segment),
        "node_scale": (lanes,),
        "node_ones": (lanes,),
        "gradient": (segment,),
        "summed": (segment,),
        "theta": (COPIES, segment),
        "updated": (COPIES, segment),
    }
    words: Shapes = {
        "words": (lanes, geometry.units),
        "plane": (ceil_div(geometry.batch, WORD),),
        "columns": (geometry.batch, geometry.units),
        "top": (COPIES, TAPS * geometry.units),
        "cells": (lanes, TAPS * geometry.units),
    }
    block, parts = new_views(numbers, words)
    return LearnWide(block, **parts)


def new_learn_clock(state: State, geometry: Geometry, op: LearnProgram) -> LearnClock:
    """The learning unit's clock, of a chip whose memories are those of `state`; registers are zero."""
    files = Files(
        np.zeros(geometry.batch, np.int64),
        np.zeros(op.hidden, np.int64),
        np.zeros(op.classes, np.int64),
        np.zeros(geometry.batch * op.blocks, np.int64),
        np.zeros(op.hidden, np.int64),
    )
    return LearnClock(op, state.learning, files, _wide(geometry, op), _wide(geometry, op))


def new_session_ports(
    geometry: Geometry, op: LearnProgram, counters: Counters, widest: int
) -> Ports:
    """Idle ports of a session, for rows of at most `widest` bits."""
    most = 2 * geometry.lanes + 24 + op.delta_bits * (op.error_units + 1)
    most += wide_registers(geometry.channels)
    words = max(TAPS * geometry.units, ceil_div(widest, WORD) + 1)
    return new_ports(counters, most, words)


@part
def write_bit(ports, mem, address, bit, value):
    """Queue a write of one bit of a row."""
    i = queue(ports, mem, address, bit, 1)
    ports.mask[i, bit >> 6] = ONE << np.uint64(bit & 63)
    if value:
        ports.data[i, bit >> 6] = ports.mask[i, bit >> 6]


@part
def write_bank(geometry, op, ports, bank, w, word):
    """Queue a write of word w of one bank."""
    i = queue(ports, Mem.BANK, bank * op.columns + w, 0, 1)
    for u in range(geometry.units):
        ports.data[i, u] = word[u]
        ports.mask[i, u] = FULL


@part
def learn_edge(learning):
    """Step the learning unit's registers at the clock's edge; `edge` applies what the unit writes."""
    now, nxt = learning.wide.block, learning.nxt_wide.block
    for i in range(now.shape[0]):
        now[i] = nxt[i]


@part
def advance_pipe(learning):
    """Move what was issued on by a stage; nothing is issued yet."""
    now, nxt = learning.wide.pipe, learning.nxt_wide.pipe
    for stage in range(UPDATE_LATENCY - 1, 0, -1):
        for i in range(now.shape[1]):
            nxt[stage, i] = now[stage - 1, i]
    nxt[0, Pipe.KIND] = 0
