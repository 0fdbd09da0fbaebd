"""Stepping mode, learning: planes sit in the lanes, columns of the banks stream past.

What back-propagation and both updates share: the issuing side, and the array in AND mode.
"""

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import (
    FULL,
    ZERO,
    ceil_div,
    get_bit,
    low_bits,
    part,
    popcount,
    put_bit,
)
from xnoreplay.sim.common.learn_program import plane_scale, segment_place
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.step.learn_registers import Issue, LearnFlop, Pipe, advance_pipe
from xnoreplay.sim.step.registers import Flop, present, queue
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.timeline import CELL_STAGE, NODE_STAGE, READ_LATENCY, ROUND_DRAIN

CHECK, PLANES, BEATS, ROUND, DRAIN = 0, 1, 2, 3, 4  # states of the issuing side
BACK, OUTPUT, HIDDEN = 0, 1, 2  # which phase


# ----------------------------------------------------------------- what has been issued


@part
def _plane_arrives(clock, learning):
    """Write a plane's word to every node of a lane."""
    geometry = clock.geometry
    ports = clock.ports
    wide = learning.wide
    nxt_wide = learning.nxt_wide
    i = wide.pipe[READ_LATENCY - 1, Pipe.INDEX]
    lane, slot = i % geometry.lanes, i // geometry.lanes
    entry = queue(ports, Mem.LANE_FILE, lane * geometry.slots + slot, 0, TAPS)
    clock.counters.writes[Mem.LANE_FILE] += 1
    fold = geometry.channels // nxt_wide.gradient.shape[0]
    ones = 0
    for n in range(geometry.batch):
        bit = n < wide.pipe[READ_LATENCY - 1, Pipe.BANKS] and get_bit(wide.plane, n)
        ones += bit
        for node in range(nxt_wide.gradient.shape[0]):
            tap, channel = n // fold, node * fold + n % fold
            place = tap * geometry.units * 64 + channel
            put_bit(ports.data[entry], place, bit)
    for w in range(TAPS * geometry.units):
        ports.mask[entry, w] = FULL
    nxt_wide.scale[i] = wide.pipe[READ_LATENCY - 1, Pipe.PLANE]
    nxt_wide.ones[i] = ones


@part
def _columns_arrive(clock, learning):
    """Make words of all banks the operand: node i takes column i of every bank."""
    nxt = clock.nxt
    geometry = clock.geometry
    wide = learning.wide
    segment = learning.nxt_wide.gradient.shape[0]
    fold = geometry.channels // segment
    for w in range(TAPS * geometry.units):
        clock.nxt_wide.x[w] = ZERO
    first = wide.pipe[READ_LATENCY - 1, Pipe.PART]
    for n in range(wide.pipe[READ_LATENCY - 1, Pipe.BANKS]):
        for node in range(segment):
            place = n // fold * geometry.units * 64 + node * fold + n % fold
            put_bit(clock.nxt_wide.x, place, get_bit(wide.columns[n], first + node))
    nxt[Flop.X_VALID] = 1
    nxt[Flop.X_SLOT] = wide.pipe[READ_LATENCY - 1, Pipe.GROUP]
    nxt[Flop.X_TAPS] = TAPS
    nxt[Flop.X_LANES] = wide.pipe[READ_LATENCY - 1, Pipe.LANES]


@part
def _multiply(clock, learning):
    """Advance the array in AND mode by a clock: cells, nodes of B cells, the weighted sum of the planes."""
    now = clock.now
    geometry = clock.geometry
    counters = clock.counters
    wide = learning.wide
    nxt_wide = learning.nxt_wide
    segment = nxt_wide.gradient.shape[0]
    fold = geometry.channels // segment
    if now[Flop.X_VALID]:
        lanes, slot = now[Flop.X_LANES], now[Flop.X_SLOT]
        counters.events[Event.BEATS] += 1
        counters.events[Event.NODES] += lanes * segment
        counters.reads[Mem.LANE_FILE] += lanes
        for lane in range(lanes):
            for w in range(TAPS * geometry.units):
                nxt_wide.cells[lane, w] = clock.wide.x[w] & clock.memory.lane_file[lane, slot, w]
            nxt_wide.cell_scale[lane] = wide.scale[slot * geometry.lanes + lane]
            nxt_wide.cell_ones[lane] = wide.ones[slot * geometry.lanes + lane]
    if wide.pipe[CELL_STAGE - 1, Pipe.KIND] == Issue.BEAT:
        for lane in range(wide.pipe[CELL_STAGE - 1, Pipe.LANES]):
            for node in range(segment):
                nxt_wide.nodes[lane, node] = _node(geometry, wide.cells[lane], node * fold, fold)
            nxt_wide.node_scale[lane] = wide.cell_scale[lane]
            nxt_wide.node_ones[lane] = wide.cell_ones[lane]
    if wide.pipe[NODE_STAGE - 1, Pipe.KIND] == Issue.BEAT:
        for node in range(segment):
            total = 0 if wide.pipe[NODE_STAGE - 1, Pipe.GROUP] == 0 else wide.gradient[node]
            for lane in range(wide.pipe[NODE_STAGE - 1, Pipe.LANES]):
                total += wide.node_scale[lane] * (2 * wide.nodes[lane, node] - wide.node_ones[lane])
            nxt_wide.gradient[node] = total


@part
def _node(geometry, cells, first, fold):
    """Ones among the nine taps' channels from `first` on, `fold` of them."""
    unit = first >> 6
    count = 0
    for u in range(ceil_div(fold, 64)):
        mask = low_bits(fold - 64 * u) << np.uint64(first & 63)
        for tap in range(TAPS):
            count += popcount(cells[tap * geometry.units + unit + u] & mask)
    return count


# ------------------------------------------------------------------------- issuing


@part
def _planes_of(learning, now, phase):
    """Which planes of the row, or of the sample's block, that is checked are not empty: bit k for plane k."""
    files = learning.files
    if phase == BACK:
        return files.block_planes[now[LearnFlop.SAMPLE] * learning.op.blocks + now[LearnFlop.BLOCK]]
    planes = files.row_planes if phase == OUTPUT else files.hidden_planes
    return planes[now[LearnFlop.ROW]]


@part
def _banks(geometry, now, phase):
    """Banks that take part: samples of the minibatch, or classes of the block in back-propagation."""
    if phase == BACK:
        return min(geometry.batch, now[Scalar.SEEN] - now[LearnFlop.BLOCK] * geometry.batch)
    return now[Scalar.SAMPLES]


@part
def _segments(op, phase):
    """Segments of the columns that a phase multiplies by a row's planes."""
    if phase == BACK:
        return op.hidden_segments
    return op.latent_segments + (op.hidden_segments if phase == OUTPUT else 0)


@part
def _after_row(clock, learning, phase):
    """Go on to the next row or block, to the rounding, or to the pipeline's end."""
    now, nxt = clock.now, clock.nxt
    nxt[LearnFlop.STATE] = CHECK
    if phase == BACK:
        nxt[LearnFlop.BLOCK] = now[LearnFlop.BLOCK] + 1
        if (now[LearnFlop.BLOCK] + 1) * clock.geometry.batch >= now[Scalar.SEEN]:
            nxt[LearnFlop.BLOCK] = 0
            nxt[LearnFlop.STATE] = ROUND
            nxt[LearnFlop.ROW] = 0
        return
    rows = now[Scalar.SEEN] if phase == OUTPUT else learning.op.hidden
    nxt[LearnFlop.ROW] = now[LearnFlop.ROW] + 1
    if now[LearnFlop.ROW] + 1 == rows:
        nxt[LearnFlop.STATE] = DRAIN


@part
def _check(clock, learning, phase):
    """Look whether the row, or the sample's block, has a plane that is not empty; without one it is skipped."""
    now, nxt = clock.now, clock.nxt
    counters = clock.counters
    planes = _planes_of(learning, now, phase)
    if phase == BACK:
        counters.events[Event.BLOCKS if planes else Event.BLOCKS_SKIPPED] += 1
    else:
        counters.events[Event.ROWS if planes else Event.ROWS_SKIPPED] += 1
    nxt[LearnFlop.PLANE] = planes
    nxt[LearnFlop.LOADED] = nxt[LearnFlop.COPY] = nxt[LearnFlop.SEGMENT] = nxt[LearnFlop.GROUP] = 0
    if planes:
        nxt[LearnFlop.STATE] = PLANES
    else:
        _after_row(clock, learning, phase)


@part
def _read_plane(clock, learning, phase):
    """Read the lowest plane that is not empty and not yet loaded."""
    now, nxt = clock.now, clock.nxt
    counters = clock.counters
    learn_memory = learning.memory
    op = learning.op
    nxt_wide = learning.nxt_wide
    planes = now[LearnFlop.PLANE]
    plane = 0
    while not planes >> plane & 1:
        plane += 1
    if phase == BACK:
        row = now[LearnFlop.SAMPLE] * op.blocks + now[LearnFlop.BLOCK]
        mem = Mem.CLASS_DELTA
        counters.events[Event.BACK_PLANES] += 1
    elif phase == OUTPUT:
        row, mem = now[LearnFlop.ROW], Mem.DELTA
        counters.events[Event.OUTPUT_PLANES] += 1
    else:
        row, mem = now[LearnFlop.ROW], Mem.HIDDEN_DELTA
        counters.events[Event.HIDDEN_PLANES] += 1
    address = row * op.delta_bits + plane
    present(clock.ports, mem, address)
    for w in range(nxt_wide.plane.shape[0]):
        if phase == BACK:
            nxt_wide.plane[w] = learn_memory.class_delta[address, w]
        else:
            delta = learn_memory.delta if phase == OUTPUT else learn_memory.hidden_delta
            nxt_wide.plane[w] = delta[address, w]
    issued = nxt_wide.pipe[0]
    issued[Pipe.KIND] = Issue.PLANE
    issued[Pipe.INDEX] = now[LearnFlop.LOADED]
    issued[Pipe.PLANE] = plane_scale(op, plane)
    issued[Pipe.BANKS] = _banks(clock.geometry, now, phase)
    nxt[LearnFlop.LOADED] = now[LearnFlop.LOADED] + 1
    nxt[LearnFlop.PLANE] = planes & (planes - 1)
    if nxt[LearnFlop.PLANE] == 0:
        nxt[LearnFlop.STATE] = BEATS


@part
def _read_columns(clock, learning, phase):
    """Read a segment of all banks, a beat for each group of planes."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    counters = clock.counters
    op = learning.op
    nxt_wide = learning.nxt_wide
    groups = ceil_div(now[LearnFlop.LOADED], geometry.lanes)
    last = now[LearnFlop.GROUP] == groups - 1
    if phase == BACK:
        column = now[LearnFlop.SEGMENT] * op.segment
        word = (
            op.sample_base + (COPIES * now[LearnFlop.BLOCK] + now[LearnFlop.COPY]) * op.hidden_words
        )
        word, first = word + column // geometry.channels, column % geometry.channels
        counters.events[Event.BACK_BEATS] += 1
    else:
        word, first = segment_place(op, geometry, now[LearnFlop.SEGMENT])
        counters.events[Event.OUTPUT_BEATS if phase == OUTPUT else Event.HIDDEN_BEATS] += 1
    banks = _banks(geometry, now, phase)
    present(clock.ports, Mem.BANK, word)
    counters.reads[Mem.BANK] += banks - 1
    for n in range(banks):
        for u in range(geometry.units):
            nxt_wide.columns[n, u] = learning.memory.bank[n, word, u]
    lanes = min(geometry.lanes, now[LearnFlop.LOADED] - now[LearnFlop.GROUP] * geometry.lanes)
    issued = nxt_wide.pipe[0]
    issued[Pipe.KIND] = Issue.BEAT
    issued[Pipe.INDEX] = now[LearnFlop.SEGMENT]
    issued[Pipe.GROUP], issued[Pipe.LAST] = now[LearnFlop.GROUP], last
    issued[Pipe.LANES], issued[Pipe.BANKS] = lanes, banks
    issued[Pipe.PART] = first
    issued[Pipe.ROW] = now[LearnFlop.ROW]
    issued[Pipe.FIRST] = now[LearnFlop.BEGUN] == 0 and now[LearnFlop.COPY] == 0
    nxt[LearnFlop.GROUP] = 0 if last else now[LearnFlop.GROUP] + 1
    if not last:
        return
    nxt[LearnFlop.SEGMENT] = now[LearnFlop.SEGMENT] + 1
    if now[LearnFlop.SEGMENT] + 1 < _segments(op, phase):
        return
    nxt[LearnFlop.SEGMENT] = 0
    nxt[LearnFlop.COPY] = now[LearnFlop.COPY] + 1
    if phase != BACK or now[LearnFlop.COPY] == 1:
        nxt[LearnFlop.BEGUN] = 1
        _after_row(clock, learning, phase)


@part
def _round_unit(clock, learning):
    """Issue the rounding of one hidden unit; `ROUND_DRAIN` more cycles follow the last."""
    now, nxt = clock.now, clock.nxt
    op = learning.op
    if now[LearnFlop.ROW] < op.hidden:
        issued = learning.nxt_wide.pipe[0]
        issued[Pipe.KIND] = Issue.ROUND
        issued[Pipe.SAMPLE] = now[LearnFlop.SAMPLE]
        issued[Pipe.ROW] = now[LearnFlop.ROW]
        issued[Pipe.FIRST] = now[LearnFlop.BEGUN]
    nxt[LearnFlop.ROW] = now[LearnFlop.ROW] + 1
    if now[LearnFlop.ROW] == op.hidden + ROUND_DRAIN - 1:
        nxt[LearnFlop.ROW] = 0
        nxt[LearnFlop.BEGUN] = 0
        nxt[LearnFlop.SAMPLE] = now[LearnFlop.SAMPLE] + 1
        nxt[LearnFlop.STATE] = DRAIN if now[LearnFlop.SAMPLE] + 1 == now[Scalar.SAMPLES] else CHECK


@part
def _issue_next(clock, learning, phase, latency):
    """Do what the issuing side's state says; the phase ends `latency` cycles after its last issue."""
    now, nxt = clock.now, clock.nxt
    state = now[LearnFlop.STATE]
    if state == CHECK:
        _check(clock, learning, phase)
    elif state == PLANES:
        _read_plane(clock, learning, phase)
    elif state == BEATS:
        _read_columns(clock, learning, phase)
    elif state == ROUND:
        _round_unit(clock, learning)
    else:
        nxt[LearnFlop.DRAIN] = now[LearnFlop.DRAIN] + 1
        nxt[Flop.DONE] = now[LearnFlop.DRAIN] == latency - 1


@part
def plane_step(clock, learning, phase, latency):
    """Advance by a clock what back-propagation and both updates share.

    phase: BACK, OUTPUT or HIDDEN; latency: cycles from the last issue to the end.
    """
    nxt = clock.nxt
    wide = learning.wide
    nxt[Flop.X_VALID] = 0
    advance_pipe(learning)
    _issue_next(clock, learning, phase, latency)
    if wide.pipe[READ_LATENCY - 1, Pipe.KIND] == Issue.PLANE:
        _plane_arrives(clock, learning)
    if wide.pipe[READ_LATENCY - 1, Pipe.KIND] == Issue.BEAT:
        _columns_arrive(clock, learning)
    _multiply(clock, learning)
