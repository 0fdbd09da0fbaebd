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
from xnoreplay.sim.common.learn_ops import plane_scale, segment_place
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.step.learn_registers import Issue, P, S, advance_pipe
from xnoreplay.sim.step.registers import R, present, queue
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.timeline import CELL_STAGE, NODE_STAGE, READ_LATENCY, ROUND_DRAIN

CHECK, PLANES, BEATS, ROUND, DRAIN = 0, 1, 2, 3, 4  # states of the issuing side
BACK, OUTPUT, HIDDEN = 0, 1, 2  # which phase


# ----------------------------------------------------------------- what has been issued


@part
def _plane_arrives(g, p, c, ls, lx):
    """A plane's word goes to every node of a lane."""
    i = ls.pipe[READ_LATENCY - 1, P.INDEX]
    lane, slot = i % g.lanes, i // g.lanes
    entry = queue(p, c, Mem.LANE_FILE, lane * g.slots + slot, 0, TAPS)
    c.writes[Mem.LANE_FILE] += 1
    fold = g.channels // lx.gradient.shape[0]
    ones = 0
    for n in range(g.batch):
        bit = n < ls.pipe[READ_LATENCY - 1, P.BANKS] and get_bit(ls.plane, n)
        ones += bit
        for node in range(lx.gradient.shape[0]):
            tap, channel = n // fold, node * fold + n % fold
            place = tap * g.units * 64 + channel
            put_bit(p.data[entry], place, bit)
    for w in range(TAPS * g.units):
        p.mask[entry, w] = FULL
    lx.scale[i] = ls.pipe[READ_LATENCY - 1, P.PLANE]
    lx.ones[i] = ones


@part
def _columns_arrive(g, nxt, ls, lx):
    """Words of all banks become the operand: node i takes column i of every bank."""
    segment = lx.gradient.shape[0]
    fold = g.channels // segment
    for w in range(TAPS * g.units):
        nxt.x[w] = ZERO
    first = ls.pipe[READ_LATENCY - 1, P.SAMPLE]  # of the segment, in the word
    for n in range(ls.pipe[READ_LATENCY - 1, P.BANKS]):
        for node in range(segment):
            place = n // fold * g.units * 64 + node * fold + n % fold
            put_bit(nxt.x, place, get_bit(ls.columns[n], first + node))
    nxt.s[R.X_VALID] = 1
    nxt.s[R.X_SLOT] = ls.pipe[READ_LATENCY - 1, P.GROUP]
    nxt.s[R.X_TAPS] = TAPS
    nxt.s[R.X_LANES] = ls.pipe[READ_LATENCY - 1, P.LANES]


@part
def _array(g, m, c, now, ls, lx):
    """AND cells, nodes of B cells, and the weighted sum of the planes."""
    segment = lx.gradient.shape[0]
    fold = g.channels // segment
    if now.s[R.X_VALID]:
        lanes, slot = now.s[R.X_LANES], now.s[R.X_SLOT]
        c.events[Event.BEATS] += 1
        c.events[Event.NODES] += lanes * segment
        c.reads[Mem.LANE_FILE] += lanes
        for lane in range(lanes):
            for w in range(TAPS * g.units):
                lx.cells[lane, w] = now.x[w] & m.lane_file[lane, slot, w]
            lx.c_scale[lane] = ls.scale[slot * g.lanes + lane]
            lx.c_ones[lane] = ls.ones[slot * g.lanes + lane]
    if ls.pipe[CELL_STAGE - 1, P.KIND] == Issue.BEAT:
        for lane in range(ls.pipe[CELL_STAGE - 1, P.LANES]):
            for node in range(segment):
                lx.nodes[lane, node] = _node(g, ls.cells[lane], node * fold, fold)
            lx.m_scale[lane] = ls.c_scale[lane]
            lx.m_ones[lane] = ls.c_ones[lane]
    if ls.pipe[NODE_STAGE - 1, P.KIND] == Issue.BEAT:
        for node in range(segment):
            total = 0 if ls.pipe[NODE_STAGE - 1, P.GROUP] == 0 else ls.gradient[node]
            for lane in range(ls.pipe[NODE_STAGE - 1, P.LANES]):
                total += ls.m_scale[lane] * (2 * ls.nodes[lane, node] - ls.m_ones[lane])
            lx.gradient[node] = total


@part
def _node(g, cells, first, fold):
    """Ones among the nine taps' channels `first` to `first + fold` (within one word of 64)."""
    unit = first >> 6
    count = 0
    for u in range(ceil_div(fold, 64)):
        mask = low_bits(fold - 64 * u) << np.uint64(first & 63)
        for tap in range(TAPS):
            count += popcount(cells[tap * g.units + unit + u] & mask)
    return count


# ------------------------------------------------------------------------- issuing


@part
def issue(lx, kind, index, group, last, lanes, plane, sample, row, first, banks):
    q = lx.pipe[0]
    q[P.KIND], q[P.INDEX], q[P.GROUP], q[P.LAST], q[P.LANES] = kind, index, group, last, lanes
    q[P.PLANE], q[P.SAMPLE], q[P.ROW], q[P.FIRST], q[P.BANKS] = plane, sample, row, first, banks


@part
def _planes_of(op, ls, f, phase):
    """Which planes of the row that is checked are not empty."""
    if phase == BACK:
        return f.block_planes[ls.s[S.SAMPLE] * op.blocks + ls.s[S.BLOCK]]
    return f.row_planes[ls.s[S.ROW]] if phase == OUTPUT else f.hidden_planes[ls.s[S.ROW]]


@part
def _banks(g, now, ls, phase):
    """Banks that take part: samples of the minibatch, or classes of the block."""
    if phase == BACK:
        return min(g.batch, now.s[Scalar.SEEN] - ls.s[S.BLOCK] * g.batch)
    return now.s[Scalar.SAMPLES]


@part
def _segments(op, phase):
    if phase == BACK:
        return op.hidden_segments
    return op.latent_segments + (op.hidden_segments if phase == OUTPUT else 0)


@part
def _after_row(op, g, now, ls, lx, phase):
    """The row, or the sample's block, is done: what is issued next."""
    lx.s[S.STATE] = CHECK
    if phase == BACK:
        lx.s[S.BLOCK] = ls.s[S.BLOCK] + 1
        if (ls.s[S.BLOCK] + 1) * g.batch >= now.s[Scalar.SEEN]:
            lx.s[S.BLOCK] = 0
            lx.s[S.STATE] = ROUND
            lx.s[S.ROW] = 0
        return
    rows = now.s[Scalar.SEEN] if phase == OUTPUT else op.hidden
    lx.s[S.ROW] = ls.s[S.ROW] + 1
    if ls.s[S.ROW] + 1 == rows:
        lx.s[S.STATE] = DRAIN


@part
def _check(op, g, c, now, ls, lx, f, phase):
    planes = _planes_of(op, ls, f, phase)
    if phase == BACK:
        c.events[Event.BLOCKS if planes else Event.BLOCKS_SKIPPED] += 1
    else:
        c.events[Event.ROWS if planes else Event.ROWS_SKIPPED] += 1
    lx.s[S.PLANE] = planes
    lx.s[S.LOADED] = lx.s[S.COPY] = lx.s[S.SEGMENT] = lx.s[S.GROUP] = 0
    if planes:
        lx.s[S.STATE] = PLANES
    else:
        _after_row(op, g, now, ls, lx, phase)


@part
def _read_plane(op, g, lm, c, p, now, ls, lx, phase):
    """Read the lowest plane that is not empty and not yet loaded."""
    planes = ls.s[S.PLANE]
    plane = 0
    while not planes >> plane & 1:
        plane += 1
    if phase == BACK:
        row = ls.s[S.SAMPLE] * op.blocks + ls.s[S.BLOCK]
        mem = Mem.CLASS_DELTA
        c.events[Event.BACK_PLANES] += 1
    elif phase == OUTPUT:
        row, mem = ls.s[S.ROW], Mem.DELTA
        c.events[Event.OUTPUT_PLANES] += 1
    else:
        row, mem = ls.s[S.ROW], Mem.HIDDEN_DELTA
        c.events[Event.HIDDEN_PLANES] += 1
    address = row * op.delta_bits + plane
    present(p, c, mem, address)
    for w in range(lx.plane.shape[0]):
        if phase == BACK:
            lx.plane[w] = lm.class_delta[address, w]
        else:
            lx.plane[w] = lm.delta[address, w] if phase == OUTPUT else lm.hidden_delta[address, w]
    banks = _banks(g, now, ls, phase)
    issue(lx, Issue.PLANE, ls.s[S.LOADED], 0, 0, 0, plane_scale(op, plane), 0, 0, 0, banks)
    lx.s[S.LOADED] = ls.s[S.LOADED] + 1
    lx.s[S.PLANE] = planes & (planes - 1)
    if lx.s[S.PLANE] == 0:
        lx.s[S.STATE] = BEATS


@part
def _read_columns(op, g, lm, c, p, now, ls, lx, phase):
    """Read a segment of all banks."""
    s = ls.s
    groups = ceil_div(s[S.LOADED], g.lanes)
    last = s[S.GROUP] == groups - 1
    if phase == BACK:
        column = s[S.SEGMENT] * op.segment
        word = op.sample_base + (2 * s[S.BLOCK] + s[S.COPY]) * op.hidden_words
        word, first = word + column // g.channels, column % g.channels
        c.events[Event.BACK_BEATS] += 1
    else:
        word, first = segment_place(op, g, s[S.SEGMENT])
        c.events[Event.OUTPUT_BEATS if phase == OUTPUT else Event.HIDDEN_BEATS] += 1
    banks = _banks(g, now, ls, phase)
    present(p, c, Mem.BANK, word)
    c.reads[Mem.BANK] += banks - 1
    for n in range(banks):
        for u in range(g.units):
            lx.columns[n, u] = lm.bank[n, word, u]
    lanes = min(g.lanes, s[S.LOADED] - s[S.GROUP] * g.lanes)
    begins = s[S.BEGUN] == 0 and s[S.COPY] == 0
    issue(lx, Issue.BEAT, s[S.SEGMENT], s[S.GROUP], last, lanes, 0, first, s[S.ROW], begins, banks)
    lx.s[S.GROUP] = 0 if last else s[S.GROUP] + 1
    if not last:
        return
    lx.s[S.SEGMENT] = s[S.SEGMENT] + 1
    if s[S.SEGMENT] + 1 < _segments(op, phase):
        return
    lx.s[S.SEGMENT] = 0
    lx.s[S.COPY] = s[S.COPY] + 1
    if phase != BACK or s[S.COPY] == 1:
        lx.s[S.BEGUN] = 1
        _after_row(op, g, now, ls, lx, phase)


@part
def _round_unit(op, now, ls, lx):
    """Issue the rounding of one hidden unit; `ROUND_DRAIN` more cycles follow the last."""
    s = ls.s
    if s[S.ROW] < op.hidden:
        issue(lx, Issue.ROUND, 0, 0, 0, 0, 0, s[S.SAMPLE], s[S.ROW], s[S.BEGUN], 0)
    lx.s[S.ROW] = s[S.ROW] + 1
    if s[S.ROW] == op.hidden + ROUND_DRAIN - 1:
        lx.s[S.ROW] = 0
        lx.s[S.BEGUN] = 0
        lx.s[S.SAMPLE] = s[S.SAMPLE] + 1
        lx.s[S.STATE] = DRAIN if s[S.SAMPLE] + 1 == now.s[Scalar.SAMPLES] else CHECK


@part
def _issue_next(op, g, lm, c, p, now, nxt, ls, lx, f, phase, latency):
    state = ls.s[S.STATE]
    if state == CHECK:
        _check(op, g, c, now, ls, lx, f, phase)
    elif state == PLANES:
        _read_plane(op, g, lm, c, p, now, ls, lx, phase)
    elif state == BEATS:
        _read_columns(op, g, lm, c, p, now, ls, lx, phase)
    elif state == ROUND:
        _round_unit(op, now, ls, lx)
    else:
        lx.s[S.DRAIN] = ls.s[S.DRAIN] + 1
        nxt.s[R.DONE] = ls.s[S.DRAIN] == latency - 1


@part
def plane_step(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase, latency):
    """One cycle of what the three phases share."""
    nxt.s[R.X_VALID] = 0
    advance_pipe(ls, lx)
    _issue_next(op, g, lm, c, p, now, nxt, ls, lx, f, phase, latency)
    if ls.pipe[READ_LATENCY - 1, P.KIND] == Issue.PLANE:
        _plane_arrives(g, p, c, ls, lx)
    if ls.pipe[READ_LATENCY - 1, P.KIND] == Issue.BEAT:
        _columns_arrive(g, nxt, ls, lx)
    _array(g, m, c, now, ls, lx)
