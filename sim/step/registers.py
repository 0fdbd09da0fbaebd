"""Stepping mode: registers with a current and a next value, the ports of the memories, and the clock that has both.

A unit of the chip is a function of a `Clock`. It reads `now`, `wide` and the memories, assigns `nxt` and `nxt_wide`,
and queues its writes on the ports. The clock's edge then applies the writes and makes the next values the present
ones; so the order of statements within a clock cannot matter. A register that a clock does not assign keeps its value.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.codes import Wrong, note_reads, note_writes
from xnoreplay.sim.common.counters import Counters, Event, Mem
from xnoreplay.sim.common.jit import FULL, ZERO, low_bits, part
from xnoreplay.sim.common.program import Geometry, Program
from xnoreplay.sim.common.state import SCALARS, Memories, Rows, Scalar, State
from xnoreplay.spec.bits import WORD, ceil_div
from xnoreplay.spec.generative import registers as wide_registers
from xnoreplay.spec.network import TAPS


class Flop(IntEnum):
    """Registers of one number each; `Scalar`'s come first. An operation starts with all of these at 0."""

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
    # replay unit of generative replay
    COMPONENT = SCALARS + 53
    PLANE = SCALARS + 54  # cycle of a word
    SHARE = SCALARS + 55
    CHOSEN = SCALARS + 56  # component of a sample or of a draw
    DISTANCE = SCALARS + 57
    LEAST = SCALARS + 58
    ROOM = SCALARS + 59  # draws of the class in this epoch
    NUMBER = SCALARS + 60  # of the draw
    TOTAL = SCALARS + 61
    PRODUCT = SCALARS + 62
    BELOW = SCALARS + 63
    COUNT = SCALARS + 64  # of a class, that a check has read


FLOPS = SCALARS + len(Flop)


class Wide(NamedTuple):
    """Registers of words and vectors: views of a block of 64-bit numbers, which begins with the registers of `Flop`."""

    block: np.ndarray  # (numbers,) int64: everything below, and the registers of one number each
    feature: np.ndarray  # (units,) uint64, word read from a feature map or a latent memory
    skip: np.ndarray  # (units,) uint64, word of the map that a skip adds
    kernel: np.ndarray  # (units,) uint64, word read from weights.lgap
    weight: np.ndarray  # (9 units,) uint64, word read from a weight memory
    row_out: np.ndarray  # (2, units) uint64, words read from the line buffer's rings
    shift: np.ndarray  # (3, 2 beats, units) uint64, earlier words of the three rows
    x: np.ndarray  # (9 units,) uint64, operand of the array
    count: np.ndarray  # type: ignore[assignment]  # (lanes,) int64, ones of a lane's cells; the chip has one a channel
    mid: np.ndarray  # (lanes,) int64, the same a cycle later; the chip has one a node
    acc: np.ndarray  # (lanes,) int64, accumulators
    word: np.ndarray  # (units,) uint64, output bits being collected
    average: np.ndarray  # (units,) uint64, LGAP's average bits
    held: np.ndarray  # (lane words,) uint64, a tile's bits of the even column
    ones: np.ndarray  # (G,) int64, LGAP's counters of ones
    agree: np.ndarray  # (G,) int64, LGAP's counters of pixels that agree with the kernel
    carry: np.ndarray  # (units,) uint64, carries of counters
    # (2^mean_bits - 1, units) uint64, channels whose counters reach a mean's threshold; while a class is opened, planes of
    # means
    reached: np.ndarray
    draw: np.ndarray  # (units,) uint64, word that is drawn
    given: np.ndarray  # (units,) uint64, word that went into a lane last


Shapes = dict[str, tuple[int, ...]]


def new_views(numbers: Shapes, words: Shapes) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A block of zeros, and its parts by name: int64 of the shapes of `numbers`, uint64 of those of `words`."""
    shapes = numbers | words
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    block = np.zeros(sum(sizes.values()), np.int64)
    parts, start = {}, 0
    for name, shape in shapes.items():
        part = block[start : start + sizes[name]].reshape(shape)
        parts[name] = part.view(np.uint64) if name in words else part
        start += sizes[name]
    return block, parts


def new_registers(geometry: Geometry, beats: int, flops: int = FLOPS) -> tuple[np.ndarray, Wide]:
    """The chip's registers, all zero: those of one number each, and the others.

    beats: the most of any convolution. flops: how many registers of one number there are, those of the learning unit
    included where a session needs them.
    """
    lanes, units, window = geometry.lanes, geometry.units, TAPS * geometry.units
    numbers: Shapes = {
        "flops": (flops,),
        "count": (lanes,),
        "mid": (lanes,),
        "acc": (lanes,),
        "ones": (geometry.channels,),
        "agree": (geometry.channels,),
    }
    words: Shapes = {
        "feature": (units,),
        "skip": (units,),
        "kernel": (units,),
        "weight": (window,),
        "row_out": (2, units),
        "shift": (3, 2 * beats, units),
        "x": (window,),
        "word": (units,),
        "average": (units,),
        "held": (ceil_div(lanes, WORD),),
        "carry": (units,),
        "reached": ((1 << geometry.mean_bits) - 1, units),
        "draw": (units,),
        "given": (units,),
    }
    block, parts = new_views(numbers, words)
    return parts.pop("flops"), Wide(block, **parts)


class Ports(NamedTuple):
    """Strobes of the memories in one cycle, and the counters that count them."""

    counters: Counters
    read: np.ndarray  # (memories,) int64, address by `Mem`, or -1 where idle
    count: np.ndarray  # type: ignore[assignment]  # (1,) int64, writes queued; each is a row of the arrays below
    mem: np.ndarray  # (most,) int64, which memory, by `Mem`
    address: np.ndarray  # (most,) int64
    granule: np.ndarray  # (most,) int64, first granule written
    granules: np.ndarray  # (most,) int64, granules written
    data: np.ndarray  # (most, words) uint64
    mask: np.ndarray  # (most, words) uint64, bits written


def new_ports(counters: Counters, most: int, words: int) -> Ports:
    """Idle ports for at most so many writes a cycle, of rows of at most so many uint64s."""
    return Ports(
        counters,
        np.full(len(counters.reads), -1),
        np.zeros(1, np.int64),
        *(np.zeros(most, np.int64) for _ in range(4)),
        *(np.zeros((most, words), np.uint64) for _ in range(2)),
    )


def new_image_ports(geometry: Geometry, counters: Counters) -> Ports:
    """Idle ports of the operations of an image and of the replay memory.

    A cycle writes at most a word of every lane, a state of every wide register and a few others.
    """
    words = max(TAPS * geometry.units, ceil_div(geometry.lanes, WORD))
    return new_ports(counters, geometry.lanes + 6 + wide_registers(geometry.channels), words)


class Clock(NamedTuple):
    """What one clock of the chip reads and writes: the first argument of every unit of stepping mode.

    Arguments named `op` beside it are the operation under way, as `common.program` has it. Functions of a unit name
    what they take from here by its field.
    """

    geometry: Geometry
    memory: Memories
    rows: Rows  # the same memories, for writes of one that is chosen by number
    counters: Counters
    ports: Ports
    now: np.ndarray  # (FLOPS or more,) int64, by `Scalar` and `Flop`: registers of one number
    nxt: np.ndarray  # the same in the next cycle, as the clock's edge will make them
    wide: Wide  # the other registers
    nxt_wide: Wide  # the same in the next cycle
    wrong: Wrong  # rows of memories with a code whose bits are not as written


def new_clock(
    state: State, program: Program, ports: Ports, beats: int, flops: int = FLOPS
) -> Clock:
    """The clock of a chip whose memories and counters are those of `state`; other arguments as in `new_registers`."""
    geometry = program.geometry
    (now, wide), (nxt, nxt_wide) = (new_registers(geometry, beats, flops) for _ in range(2))
    return Clock(
        geometry,
        state.memories,
        state.rows,
        state.counters,
        ports,
        now,
        nxt,
        wide,
        nxt_wide,
        state.codes.wrong,
    )


@part
def present(ports, mem, address):
    """Present a read address to a memory, and count the strobe."""
    ports.read[mem] = address
    ports.counters.reads[mem] += 1


@part
def queue(ports, mem, address, granule, granules):
    """Queue a write of so many granules of a row; the caller fills data and mask of the entry that is returned."""
    i = ports.count[0]
    ports.mem[i], ports.address[i] = mem, address
    ports.granule[i], ports.granules[i] = granule, granules
    ports.count[0] = i + 1
    if mem != Mem.LANE_FILE:
        ports.counters.writes[mem] += 1
    for w in range(ports.data.shape[1]):
        ports.data[i, w] = ports.mask[i, w] = ZERO
    return i


@part
def write_row(ports, mem, address, row, granules):
    """Queue a write of a whole row, which has so many granules."""
    i = queue(ports, mem, address, 0, granules)
    for w in range(row.shape[0]):
        ports.data[i, w] = row[w]
        ports.mask[i, w] = FULL


@part
def write_value(ports, mem, address, value):
    """Queue a write of a label or a count."""
    i = queue(ports, mem, address, 0, 1)
    ports.data[i, 0] = np.uint64(value)
    ports.mask[i, 0] = FULL


@part
def write_slice(geometry, ports, mem, address, index, bits):
    """Queue a write of slice `index` of L bits of a row."""
    i = queue(ports, mem, address, index, 1)
    lanes = geometry.lanes
    first = index * lanes
    if lanes >= WORD:
        for w in range(lanes // WORD):
            ports.data[i, first // WORD + w] = bits[w]
            ports.mask[i, first // WORD + w] = FULL
    else:
        ports.data[i, first >> 6] = bits[0] << np.uint64(first & 63)
        ports.mask[i, first >> 6] = low_bits(lanes) << np.uint64(first & 63)


@part
def write_tap(geometry, ports, lane, slot, tap, word):
    """Queue a write of one tap of a lane's file."""
    i = queue(ports, Mem.LANE_FILE, lane * geometry.slots + slot, tap, 1)
    ports.counters.events[Event.TAP_WRITES] += 1
    for u in range(geometry.units):
        ports.data[i, tap * geometry.units + u] = word[u]
        ports.mask[i, tap * geometry.units + u] = FULL


@part
def write_lane(geometry, ports, lane, slot, row):
    """Queue a write of a whole word of a lane's file."""
    i = queue(ports, Mem.LANE_FILE, lane * geometry.slots + slot, 0, TAPS)
    ports.counters.writes[Mem.LANE_FILE] += 1
    for w in range(TAPS * geometry.units):
        ports.data[i, w] = row[w]
        ports.mask[i, w] = FULL


@part
def apply_writes(rows, ports):
    """Write what is queued into the memories: of each row the bits that the mask selects."""
    for i in range(ports.count[0]):
        mem = ports.mem[i]
        words = rows.words[mem]
        first = rows.start[mem] + ports.address[i] * words
        for w in range(words):
            mask = ports.mask[i, w]
            rows.block[first + w] = rows.block[first + w] & ~mask | ports.data[i, w] & mask


@part
def edge(clock):
    """Step the chip at the clock's edge: apply the writes, make the next values of the registers the present ones."""
    clock.nxt[Scalar.ERRORS] |= note_reads(clock.wrong, clock.ports.read)
    apply_writes(clock.rows, clock.ports)
    note_writes(clock.wrong, clock.ports)
    clock.counters.events[Event.CYCLES] += 1
    clock.nxt[Flop.K] = clock.now[Flop.K] + 1
    now, nxt = clock.wide.block, clock.nxt_wide.block
    for i in range(now.shape[0]):
        now[i] = nxt[i]


@part
def idle(ports):
    """Begin a cycle: no address is presented, no write queued."""
    ports.count[0] = 0
    for i in range(ports.read.shape[0]):
        ports.read[i] = -1
