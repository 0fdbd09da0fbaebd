"""Stepping mode, learning: its registers, register files, and the writes of its memories."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import FULL, ONE, part
from xnoreplay.sim.step.registers import Ports, queue
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.timeline import UPDATE_LATENCY

STAGES = UPDATE_LATENCY  # cycles from an issue to the write of the proxies it updates


class S(IntEnum):
    """Scalar registers of the learning unit; an operation starts with all at 0."""

    STATE = 0
    ROW = 1
    STEP = 2
    PASS = 3
    SAMPLE = 4
    BLOCK = 5
    PLANE = 6
    LOADED = 7
    COPY = 8
    SEGMENT = 9
    GROUP = 10
    DRAIN = 11
    DIVISOR = 12
    REMAINDER = 13
    QUOTIENT = 14
    TOTAL = 15
    NUMERATOR = 16
    X_PASS = 17
    X_STEP = 18
    OUT_PASS = 19
    OUT_ROW = 20
    MASK_BIT = 21
    ROUNDED = 22
    BEGUN = 23  # a sample's error has its first block


class U(IntEnum):
    """Registers of one error unit."""

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


class P(IntEnum):
    """Fields of the pipe: what was issued some cycles ago."""

    KIND = 0  # 0 nothing, or one of `Issue`
    INDEX = 1  # of a plane among those loaded; of a segment; of a hidden unit
    GROUP = 2
    LAST = 3  # last group of a segment
    LANES = 4
    PLANE = 5  # its worth, 2^k or for the sign plane -2^k
    SAMPLE = 6  # of a round; of a beat, the segment's first bit in its word
    ROW = 7
    FIRST = 8  # begins the sum of a sample
    BANKS = 9


class Issue(IntEnum):
    """Kinds of what is issued."""

    PLANE = 1
    BEAT = 2
    ROUND = 3


class LearnRegisters(NamedTuple):
    """Views of one block of 64-bit registers."""

    all: np.ndarray  # (registers,) int64: everything below
    s: np.ndarray  # (scalars,) int64, by `S`
    unit: np.ndarray  # (error units, fields) int64, by `U`
    pipe: np.ndarray  # (STAGES, fields) int64, by `P`
    words: np.ndarray  # (lanes, units) uint64, hidden bits being collected
    plane: np.ndarray  # (words of B bits,) uint64, plane that was read
    columns: np.ndarray  # (batch, units) uint64, words of all banks
    scale: np.ndarray  # (8,) int64, worth of the planes in the lanes
    ones: np.ndarray  # (8,) int64, their popcounts
    cells: np.ndarray  # (lanes, 9 units) uint64
    c_scale: np.ndarray  # (lanes,) int64
    c_ones: np.ndarray  # (lanes,) int64
    nodes: np.ndarray  # (lanes, segment) int64
    m_scale: np.ndarray  # (lanes,) int64
    m_ones: np.ndarray  # (lanes,) int64
    gradient: np.ndarray  # (segment,) int64
    summed: np.ndarray  # (segment,) int64, the gradient one cycle later
    theta: np.ndarray  # (2, segment) int64, proxies that were read
    updated: np.ndarray  # (2, segment) int64, proxies to be written


class Files(NamedTuple):
    """Register files: written and read at different times by construction, never in one cycle."""

    largest: np.ndarray  # (batch,) int64, running maximum of a sample's logits
    back: np.ndarray  # (hidden,) int64, back-propagated errors of a sample
    row_planes: np.ndarray  # (classes,) int64, which planes of a row are not empty
    block_planes: np.ndarray  # (batch * blocks,) int64, the same of a sample's block of classes
    hidden_planes: np.ndarray  # (hidden,) int64


def registers(geometry, op) -> LearnRegisters:
    """A block of registers, all zero."""
    g, lanes, segment = geometry, geometry.lanes, op.segment
    shapes = {
        "s": (len(S),),
        "unit": (op.error_units, len(U)),
        "pipe": (STAGES, len(P)),
        "words": (lanes, g.units),
        "plane": (ceil_div(g.batch, 64),),
        "columns": (g.batch, g.units),
        "scale": (8,),
        "ones": (8,),
        "cells": (lanes, TAPS * g.units),
        "c_scale": (lanes,),
        "c_ones": (lanes,),
        "nodes": (lanes, segment),
        "m_scale": (lanes,),
        "m_ones": (lanes,),
        "gradient": (segment,),
        "summed": (segment,),
        "theta": (2, segment),
        "updated": (2, segment),
    }
    unsigned = ("words", "plane", "columns", "cells")
    block = np.zeros(sum(int(np.prod(s)) for s in shapes.values()), np.int64)
    views, start = {}, 0
    for name, shape in shapes.items():
        n = int(np.prod(shape))
        view = block[start : start + n].reshape(shape)
        views[name] = view.view(np.uint64) if name in unsigned else view
        start += n
    return LearnRegisters(block, **views)


def files(geometry, op) -> Files:
    """Register files, all zero."""
    return Files(
        np.zeros(geometry.batch, np.int64),
        np.zeros(op.hidden, np.int64),
        np.zeros(op.classes, np.int64),
        np.zeros(geometry.batch * op.blocks, np.int64),
        np.zeros(op.hidden, np.int64),
    )


def ports(geometry, op, widest: int) -> Ports:
    """Idle ports for rows of at most so many bits."""
    most = 2 * geometry.lanes + 24 + op.delta_bits * (op.error_units + 1)
    words = max(TAPS * geometry.units, ceil_div(widest, 64) + 1)
    return Ports(
        np.full(len(Mem), -1),
        np.zeros(1, np.int64),
        *(np.zeros(most, np.int64) for _ in range(4)),
        *(np.zeros((most, words), np.uint64) for _ in range(2)),
    )


@part
def write_bit(p, c, mem, address, bit, value):
    """Write one bit of a row."""
    i = queue(p, c, mem, address, bit, 1)
    p.mask[i, bit >> 6] = ONE << np.uint64(bit & 63)
    if value:
        p.data[i, bit >> 6] = p.mask[i, bit >> 6]


@part
def write_bank(g, op, p, c, bank, w, word):
    """Write a word of one bank."""
    i = queue(p, c, Mem.BANK, bank * op.columns + w, 0, 1)
    for u in range(g.units):
        p.data[i, u] = word[u]
        p.mask[i, u] = FULL


@part
def learn_edge(now, nxt):
    """The clock's edge for the learning unit's registers; `edge` applies what it writes."""
    for i in range(now.all.shape[0]):
        now.all[i] = nxt.all[i]


@part
def advance_pipe(now, nxt):
    """What was issued moves on; nothing is issued yet."""
    for stage in range(STAGES - 1, 0, -1):
        for i in range(now.pipe.shape[1]):
            nxt.pipe[stage, i] = now.pipe[stage - 1, i]
    nxt.pipe[0, P.KIND] = 0
