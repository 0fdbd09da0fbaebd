"""Stepping mode: registers with a current and a next value, and the ports of the memories.

A clock reads `now` and the memories, assigns `nxt`, and queues its writes on the ports. The clock's
edge then applies the writes and makes `nxt` the new `now`; so the order of statements within a
clock cannot matter. A register that a clock does not assign keeps its value.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import FULL, ZERO, low_bits, part
from xnoreplay.sim.common.state import SCALARS
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.network import TAPS


class R(IntEnum):
    """Scalar registers; `Scalar`'s come first. An operation starts with all of these at 0."""

    K = SCALARS  # cycle of the operation
    DONE = SCALARS + 1  # this was the operation's last cycle
    # array: operand, count, mid and accumulator stages
    X_VALID = SCALARS + 2
    X_TAPS = SCALARS + 3
    X_SLOT = SCALARS + 4
    X_LANES = SCALARS + 5
    X_FIRST = SCALARS + 6
    X_LAST = SCALARS + 7
    C_VALID = SCALARS + 8
    C_LANES = SCALARS + 9
    C_FIRST = SCALARS + 10
    C_LAST = SCALARS + 11
    M_VALID = SCALARS + 12
    M_LANES = SCALARS + 13
    M_FIRST = SCALARS + 14
    M_LAST = SCALARS + 15
    A_VALID = SCALARS + 16
    A_LANES = SCALARS + 17
    A_LAST = SCALARS + 18
    # words that arrive from memories
    FEATURE_VALID = SCALARS + 19
    WEIGHT_VALID = SCALARS + 20
    WEIGHT_LANE = SCALARS + 21
    WEIGHT_SLOT = SCALARS + 22
    # counters of the issuing side, of the side in the middle and of the results
    TILE = SCALARS + 23
    STEP = SCALARS + 24
    PIXEL = SCALARS + 25
    BEAT = SCALARS + 26
    LANE = SCALARS + 27
    RING = SCALARS + 28
    W_TILE = SCALARS + 29
    W_STEP = SCALARS + 30
    W_ROW = SCALARS + 31
    W_COL = SCALARS + 32
    W_BEAT = SCALARS + 33
    W_LANE = SCALARS + 34
    W_LOAD = SCALARS + 35
    OUT_TILE = SCALARS + 36
    OUT_ROW = SCALARS + 37
    OUT_COL = SCALARS + 38
    ROW = SCALARS + 39
    BEST = SCALARS + 40
    # replay unit
    STATE = SCALARS + 41
    INDEX = SCALARS + 42
    WALK_STATE = SCALARS + 43
    VISITED = SCALARS + 44
    SLOT = SCALARS + 45
    WORD = SCALARS + 46
    ARRIVED = SCALARS + 47
    LABEL = SCALARS + 48
    REST = SCALARS + 49
    HITS = SCALARS + 50
    SEEK = SCALARS + 51
    HIGH = SCALARS + 52  # which word of a pair is written


SIZE = SCALARS + 53


class Registers(NamedTuple):
    """Views of one block of 64-bit registers."""

    all: np.ndarray  # (registers,) int64: everything below
    s: np.ndarray  # (SIZE,) int64, by `R` and `Scalar`
    feature: np.ndarray  # (units,) uint64, word read from a feature map or a latent memory
    skip: np.ndarray  # (units,) uint64, word of the map that a skip adds
    kernel: np.ndarray  # (units,) uint64, word read from weights.lgap
    weight: np.ndarray  # (9 units,) uint64, word read from a weight memory
    row_out: np.ndarray  # (2, units) uint64, words read from the line buffer's rings
    shift: np.ndarray  # (3, 2 beats, units) uint64, earlier words of the three rows
    x: np.ndarray  # (9 units,) uint64
    count: np.ndarray  # (lanes,) int64, ones of a lane's cells; the chip has one a channel
    mid: np.ndarray  # (lanes,) int64, the same a cycle later; the chip has one a node
    acc: np.ndarray  # (lanes,) int64
    word: np.ndarray  # (units,) uint64, output bits being collected
    average: np.ndarray  # (units,) uint64, LGAP's average bits
    held: np.ndarray  # (lane words,) uint64, a tile's bits of the even column
    ones: np.ndarray  # (G,) int64, LGAP's counters
    agree: np.ndarray  # (G,) int64


def registers(geometry, beats: int) -> Registers:
    """A block of registers, all zero. beats: the most of any convolution."""
    g, units = geometry, geometry.units
    shapes = {
        "s": (SIZE,),
        "feature": (units,),
        "skip": (units,),
        "kernel": (units,),
        "weight": (TAPS * units,),
        "row_out": (2, units),
        "shift": (3, 2 * beats, units),
        "x": (TAPS * units,),
        "count": (g.lanes,),
        "mid": (g.lanes,),
        "acc": (g.lanes,),
        "word": (units,),
        "average": (units,),
        "held": (ceil_div(g.lanes, 64),),
        "ones": (g.channels,),
        "agree": (g.channels,),
    }
    signed = ("s", "count", "mid", "acc", "ones", "agree")
    block = np.zeros(sum(int(np.prod(s)) for s in shapes.values()), np.int64)
    views, start = {}, 0
    for name, shape in shapes.items():
        n = int(np.prod(shape))
        view = block[start : start + n].reshape(shape)
        views[name] = view if name in signed else view.view(np.uint64)
        start += n
    return Registers(block, **views)


class Ports(NamedTuple):
    """Strobes of one cycle."""

    read: np.ndarray  # (memories,) int64, address, or -1 where idle
    count: np.ndarray  # (1,) int64, writes queued
    mem: np.ndarray  # (most,) int64
    address: np.ndarray  # (most,) int64
    granule: np.ndarray  # (most,) int64, first granule written
    granules: np.ndarray  # (most,) int64
    data: np.ndarray  # (most, words) uint64
    mask: np.ndarray  # (most, words) uint64, bits written


def ports(geometry, memories: int) -> Ports:
    """Idle ports: a cycle writes at most a word of every lane and a few others."""
    most = geometry.lanes + 6
    words = max(TAPS * geometry.units, ceil_div(geometry.lanes, 64))
    return Ports(
        np.full(memories, -1),
        np.zeros(1, np.int64),
        *(np.zeros(most, np.int64) for _ in range(4)),
        *(np.zeros((most, words), np.uint64) for _ in range(2)),
    )


@part
def present(p, c, mem, address):
    """Present a read address."""
    p.read[mem] = address
    c.reads[mem] += 1


@part
def queue(p, c, mem, address, granule, granules):
    """Queue a write; the caller fills data and mask of the returned entry."""
    i = p.count[0]
    p.mem[i], p.address[i], p.granule[i], p.granules[i] = mem, address, granule, granules
    p.count[0] = i + 1
    if mem != Mem.LANE_FILE:
        c.writes[mem] += 1
    for w in range(p.data.shape[1]):
        p.data[i, w] = p.mask[i, w] = ZERO
    return i


@part
def write_row(p, c, mem, address, row, granules):
    """Write a whole row."""
    i = queue(p, c, mem, address, 0, granules)
    for w in range(row.shape[0]):
        p.data[i, w] = row[w]
        p.mask[i, w] = FULL


@part
def write_value(p, c, mem, address, value):
    """Write a label or a count."""
    i = queue(p, c, mem, address, 0, 1)
    p.data[i, 0] = np.uint64(value)
    p.mask[i, 0] = FULL


@part
def write_slice(g, p, c, mem, address, index, bits):
    """Write slice `index` of L bits of a row."""
    i = queue(p, c, mem, address, index, 1)
    first = index * g.lanes
    if g.lanes >= 64:
        for w in range(g.lanes // 64):
            p.data[i, first // 64 + w] = bits[w]
            p.mask[i, first // 64 + w] = FULL
    else:
        p.data[i, first >> 6] = bits[0] << np.uint64(first & 63)
        p.mask[i, first >> 6] = low_bits(g.lanes) << np.uint64(first & 63)


@part
def write_tap(g, p, c, lane, slot, tap, word):
    """Write one tap of a lane's file."""
    i = queue(p, c, Mem.LANE_FILE, lane * g.slots + slot, tap, 1)
    c.events[Event.TAP_WRITES] += 1
    for u in range(g.units):
        p.data[i, tap * g.units + u] = word[u]
        p.mask[i, tap * g.units + u] = FULL


@part
def write_lane(g, p, c, lane, slot, row):
    """Write a whole word of a lane's file."""
    i = queue(p, c, Mem.LANE_FILE, lane * g.slots + slot, 0, TAPS)
    c.writes[Mem.LANE_FILE] += 1
    for w in range(TAPS * g.units):
        p.data[i, w] = row[w]
        p.mask[i, w] = FULL


@part
def apply_writes(m, p):
    """Write what is queued into the memories: of each row the bits that the mask selects."""
    for i in range(p.count[0]):
        mem = p.mem[i]
        words = m.words[mem]
        first = m.start[mem] + p.address[i] * words
        for w in range(words):
            mask = p.mask[i, w]
            m.block[first + w] = m.block[first + w] & ~mask | p.data[i, w] & mask


@part
def edge(m, c, p, now, nxt):
    """The clock's edge: apply writes, step the registers."""
    apply_writes(m, p)
    c.events[Event.CYCLES] += 1
    nxt.s[R.K] = now.s[R.K] + 1
    for i in range(now.all.shape[0]):
        now.all[i] = nxt.all[i]


@part
def idle(p):
    """No strobes yet in this cycle."""
    p.count[0] = 0
    for i in range(p.read.shape[0]):
        p.read[i] = -1
