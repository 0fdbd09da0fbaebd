"""Stepping mode, learning: back-propagation and updates, planes sitting in the lanes."""

import numpy as np

from xnoreplay.sim.counters import Event, Mem
from xnoreplay.sim.jit import FULL, ZERO, draw, get_bit, low_bits, part, popcount, put_bit
from xnoreplay.sim.learn_kernels import rounded_delta
from xnoreplay.sim.learn_ops import (
    get_field,
    plane_scale,
    put_field,
    segment_columns,
    segment_place,
)
from xnoreplay.sim.learn_registers import Issue, P, S, advance_pipe, write_bank, write_bit
from xnoreplay.sim.registers import R, present, queue
from xnoreplay.sim.state import Scalar

CHECK, PLANES, BEATS, ROUND, FILL, DRAIN = 0, 1, 2, 3, 4, 5  # states of the issuing side
BACK, OUTPUT, HIDDEN = 0, 1, 2  # which phase


# ----------------------------------------------------------------- what has been issued


@part
def _plane_arrives(g, p, c, ls, lx):
    """A plane's word goes to every node of a lane."""
    i = ls.pipe[0, P.INDEX]
    lane, slot = i % g.lanes, i // g.lanes
    entry = queue(p, c, Mem.LANE_FILE, lane * g.slots + slot, 0, 9)
    c.writes[Mem.LANE_FILE] += 1
    fold = g.channels // lx.gradient.shape[0]
    ones = 0
    for n in range(g.batch):
        bit = n < ls.pipe[0, P.BANKS] and get_bit(ls.plane, n)
        ones += bit
        for node in range(lx.gradient.shape[0]):
            tap, channel = n // fold, node * fold + n % fold
            place = tap * g.units * 64 + channel
            put_bit(p.data[entry], place, bit)
    for w in range(9 * g.units):
        p.mask[entry, w] = FULL
    lx.scale[i] = ls.pipe[0, P.PLANE]
    lx.ones[i] = ones


@part
def _columns_arrive(g, nxt, ls, lx):
    """Words of all banks become the operand: node i takes column i of every bank."""
    segment = lx.gradient.shape[0]
    fold = g.channels // segment
    for w in range(9 * g.units):
        nxt.x[w] = ZERO
    first = ls.pipe[0, P.SAMPLE]  # of the segment, in the word
    for n in range(ls.pipe[0, P.BANKS]):
        for node in range(segment):
            place = n // fold * g.units * 64 + node * fold + n % fold
            put_bit(nxt.x, place, get_bit(ls.columns[n], first + node))
    nxt.s[R.X_VALID] = 1
    nxt.s[R.X_SLOT] = ls.pipe[0, P.GROUP]
    nxt.s[R.X_TAPS] = 9
    nxt.s[R.X_LANES] = ls.pipe[0, P.LANES]


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
            for w in range(9 * g.units):
                lx.cells[lane, w] = now.x[w] & m.lane_file[lane, slot, w]
            lx.c_scale[lane] = ls.scale[slot * g.lanes + lane]
            lx.c_ones[lane] = ls.ones[slot * g.lanes + lane]
    if ls.pipe[2, P.KIND] == Issue.BEAT:
        for lane in range(ls.pipe[2, P.LANES]):
            for node in range(segment):
                lx.nodes[lane, node] = _node(g, ls.cells[lane], node * fold, fold)
            lx.m_scale[lane] = ls.c_scale[lane]
            lx.m_ones[lane] = ls.c_ones[lane]
    if ls.pipe[3, P.KIND] == Issue.BEAT:
        for node in range(segment):
            total = 0 if ls.pipe[3, P.GROUP] == 0 else ls.gradient[node]
            for lane in range(ls.pipe[3, P.LANES]):
                total += ls.m_scale[lane] * (2 * ls.nodes[lane, node] - ls.m_ones[lane])
            lx.gradient[node] = total


@part
def _node(g, cells, first, fold):
    """Ones among the nine taps' channels `first` to `first + fold` (within one word of 64)."""
    unit = first >> 6
    count = 0
    for u in range(-(-fold // 64)):
        mask = low_bits(fold - 64 * u) << np.uint64(first & 63)
        for tap in range(9):
            count += popcount(cells[tap * g.units + unit + u] & mask)
    return count


# ------------------------------------------------------------------------- issuing


@part
def _issue(lx, kind, index, group, last, lanes, plane, sample, row, first, banks):
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
    _issue(lx, Issue.PLANE, ls.s[S.LOADED], 0, 0, 0, plane_scale(op, plane), 0, 0, 0, banks)
    lx.s[S.LOADED] = ls.s[S.LOADED] + 1
    lx.s[S.PLANE] = planes & (planes - 1)
    if lx.s[S.PLANE] == 0:
        lx.s[S.STATE] = BEATS


@part
def _read_columns(op, g, lm, c, p, now, ls, lx, phase):
    """Read a segment of all banks."""
    s = ls.s
    groups = -(-s[S.LOADED] // g.lanes)
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
    _issue(lx, Issue.BEAT, s[S.SEGMENT], s[S.GROUP], last, lanes, 0, first, s[S.ROW], begins, banks)
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
def _step(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase, latency):
    """One cycle of what the three phases share."""
    nxt.s[R.X_VALID] = 0
    advance_pipe(ls, lx)
    _issue_next(op, g, lm, c, p, now, nxt, ls, lx, f, phase, latency)
    if ls.pipe[0, P.KIND] == Issue.PLANE:
        _plane_arrives(g, p, c, ls, lx)
    if ls.pipe[0, P.KIND] == Issue.BEAT:
        _columns_arrive(g, nxt, ls, lx)
    _array(g, m, c, now, ls, lx)


# ---------------------------------------------------------------------- back-propagation


@part
def back_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, shift):
    """One cycle of back-propagation: rows to the banks, then sample after sample."""
    rows = now.s[Scalar.SEEN] * 2 * op.hidden_words
    k = now.s[R.K]
    if k <= rows:
        _fill(op, g, m, c, p, ls, lx, k, rows)
        return
    _step(op, g, m, lm, c, p, now, nxt, ls, lx, f, BACK, 5)
    stage = ls.pipe[4]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        first = stage[P.INDEX] * op.segment
        for node in range(min(op.segment, op.hidden - first)):
            e = 0 if stage[P.FIRST] else f.back[first + node]
            f.back[first + node] = e + ls.gradient[node]
    if stage[P.KIND] == Issue.ROUND:
        present(p, c, Mem.MASK, stage[P.ROW])
        lx.s[S.MASK_BIT] = get_bit(lm.mask[stage[P.ROW]], stage[P.SAMPLE])
    stage = ls.pipe[5]
    if stage[P.KIND] == Issue.ROUND:
        nxt.s[Scalar.ERROR] = draw(now.s[Scalar.ERROR])
        random = nxt.s[Scalar.ERROR] & 15
        delta = rounded_delta(_error_of(f, stage), shift, random, op.delta_bits)
        lx.s[S.ROUNDED] = delta if ls.s[S.MASK_BIT] else 0
    stage = ls.pipe[6]
    if stage[P.KIND] == Issue.ROUND:
        row, n = stage[P.ROW], stage[P.SAMPLE]
        planes = ls.s[S.ROUNDED] & (1 << op.delta_bits) - 1
        for plane in range(op.delta_bits):
            address = row * op.delta_bits + plane
            write_bit(p, c, Mem.HIDDEN_DELTA, address, n, planes >> plane & 1)
        f.hidden_planes[row] = planes if n == 0 else f.hidden_planes[row] | planes


@part
def _error_of(f, stage):
    """A unit's back-propagated error; 0 where every block of the sample was skipped."""
    return f.back[stage[P.ROW]] if stage[P.FIRST] else 0


@part
def _fill(op, g, m, c, p, ls, lx, k, rows):
    """Copy a word of an output row's hidden part to the bank of its class."""
    if k > 0:
        i = k - 1
        copy_word, row = i % (2 * op.hidden_words), i // (2 * op.hidden_words)
        w = op.sample_base + row // g.batch * 2 * op.hidden_words + copy_word
        write_bank(g, op, p, c, row % g.batch, w, ls.columns[0])
    if k < rows:
        word = op.latent_words + k % op.hidden_words
        address = op.output_base + k // op.hidden_words * op.output_beats + word // 9
        present(p, c, Mem.CLS_TOP, address)
        for u in range(g.units):
            lx.columns[0, u] = m.cls_top[address, word % 9 * g.units + u]


@part
def _round_unit(op, now, ls, lx):
    """Issue the rounding of one hidden unit; two more cycles follow the last."""
    s = ls.s
    if s[S.ROW] < op.hidden:
        _issue(lx, Issue.ROUND, 0, 0, 0, 0, 0, s[S.SAMPLE], s[S.ROW], s[S.BEGUN], 0)
    lx.s[S.ROW] = s[S.ROW] + 1
    if s[S.ROW] == op.hidden + 1:
        lx.s[S.ROW] = 0
        lx.s[S.BEGUN] = 0
        lx.s[S.SAMPLE] = s[S.SAMPLE] + 1
        lx.s[S.STATE] = DRAIN if s[S.SAMPLE] + 1 == now.s[Scalar.SAMPLES] else CHECK


# --------------------------------------------------------------------------- updates


@part
def update_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase):
    """One cycle of the update of a layer's proxies."""
    _step(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase, 7)
    stage = ls.pipe[4]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        _read_proxies(op, g, m, lm, c, p, ls, lx, stage, phase)
    stage = ls.pipe[5]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        nxt.s[Scalar.UPDATE] = draw(now.s[Scalar.UPDATE])
        _subtract(op, nxt.s[Scalar.UPDATE], ls, lx, _copies(op, phase))
    stage = ls.pipe[6]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        _write_proxies(op, g, c, p, ls, stage, phase)


@part
def _copies(op, phase):
    return op.proxies if phase == OUTPUT else 1


@part
def _place(op, g, stage, phase):
    """(cls.top row, bit in it, row of the low memory) of a segment's first copy."""
    word, first = segment_place(op, g, stage[P.INDEX])
    bit = word % 9 * g.channels + first
    if phase == OUTPUT:
        row = op.output_base + 2 * stage[P.ROW] * op.output_beats + word // 9
        segments = op.latent_segments + op.hidden_segments
        return row, bit, stage[P.ROW] * segments + stage[P.INDEX]
    row = op.hidden_base + stage[P.ROW] * op.hidden_beats + word // 9
    return row, bit, stage[P.ROW] * op.latent_segments + stage[P.INDEX]


@part
def _top_bit(g, row, bit):
    """Bit of a row of nine words."""
    return get_bit(row, bit // g.channels * g.units * 64 + bit % g.channels)


@part
def _read_proxies(op, g, m, lm, c, p, ls, lx, stage, phase):
    """Read the top bits of all copies and the low bits of a segment."""
    row, bit, low_row = _place(op, g, stage, phase)
    half = 1 << (op.proxy_bits - 1)
    rows = 2 if phase == OUTPUT else 1
    copies = _copies(op, phase)
    low = op.low if phase == OUTPUT else op.proxy_bits - 1
    present(p, c, Mem.CLS_TOP, row)
    c.reads[Mem.CLS_TOP] += rows - 1
    if low:
        present(p, c, Mem.CLS_LOW if phase == OUTPUT else Mem.HIDDEN_LOW, low_row)
    for node in range(op.segment):
        lx.summed[node] = ls.gradient[node]
        for copy in range(copies):
            code = _top_bit(g, m.cls_top[row + copy * op.output_beats], bit + node)
            if rows > copies:
                code = 2 * code + _top_bit(g, m.cls_top[row + op.output_beats], bit + node)
            if low:
                memory = lm.cls_low if phase == OUTPUT else lm.hidden_low
                place = (node * copies + copy) * low
                code = code << low | get_field(memory[low_row], place, low)
            lx.theta[copy, node] = code - half


@part
def _subtract(op, random, ls, lx, copies):
    """theta - round(gradient), saturated; the second copy takes the complement of the offset."""
    t = op.update_shift
    top = (1 << t) - 1 if t > 0 else 0
    high = (1 << (op.proxy_bits - 1)) - 1
    offset = random & top
    for copy in range(copies):
        r = top - offset if copy else offset
        for node in range(op.segment):
            gradient = ls.summed[node]
            step = (gradient + r) >> t if t >= 0 else gradient << -t
            value = ls.theta[copy, node] - step
            lx.updated[copy, node] = min(high, max(-high - 1, value))


@part
def _write_proxies(op, g, c, p, ls, stage, phase):
    """Write a segment: a granule of each copy's row, and the low bits."""
    row, bit, low_row = _place(op, g, stage, phase)
    half = 1 << (op.proxy_bits - 1)
    rows = 2 if phase == OUTPUT else 1
    copies = _copies(op, phase)
    low = op.low if phase == OUTPUT else op.proxy_bits - 1
    columns = segment_columns(op, stage[P.INDEX])
    place = bit // g.channels * g.units * 64 + bit % g.channels
    for copy in range(rows):
        entry = queue(p, c, Mem.CLS_TOP, row + copy * op.output_beats, bit // op.segment, 1)
        for node in range(op.segment):
            put_bit(p.mask[entry], place + node, 1)
            if node < columns:
                code = ls.updated[copy if copies == 2 else 0, node] + half
                top = code >> (op.proxy_bits - 1)
                if rows > copies and copy:
                    top = code >> (op.proxy_bits - 2) & 1
                put_bit(p.data[entry], place + node, top)
    if low:
        mem = Mem.CLS_LOW if phase == OUTPUT else Mem.HIDDEN_LOW
        entry = queue(p, c, mem, low_row, 0, 1)
        for w in range(p.mask.shape[1]):
            p.mask[entry, w] = FULL
        for node in range(columns):
            for copy in range(copies):
                code = ls.updated[copy, node] + half
                put_field(p.data[entry], (node * copies + copy) * low, low, code)
