"""Stepping mode, learning: back-propagation, and the update of a layer's proxies."""

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import FULL, draw, get_bit, part, put_bit
from xnoreplay.sim.common.learn_ops import get_field, put_field, segment_columns, segment_place
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.arithmetic import rounded_delta
from xnoreplay.sim.step.learn_registers import Issue, P, S, write_bank, write_bit
from xnoreplay.sim.step.planes import BACK, OUTPUT, plane_step
from xnoreplay.sim.step.registers import R, present, queue
from xnoreplay.spec.learning import DRAW_MASK
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.timeline import PIPE_LATENCY, ROUND_STAGE, UPDATE_LATENCY


@part
def back_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, shift):
    """One cycle of back-propagation: rows to the banks, then sample after sample."""
    rows = now.s[Scalar.SEEN] * 2 * op.hidden_words
    k = now.s[R.K]
    if k <= rows:
        _fill(op, g, m, c, p, ls, lx, k, rows)
        return
    plane_step(op, g, m, lm, c, p, now, nxt, ls, lx, f, BACK, PIPE_LATENCY)
    stage = ls.pipe[PIPE_LATENCY - 1]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        first = stage[P.INDEX] * op.segment
        for node in range(min(op.segment, op.hidden - first)):
            e = 0 if stage[P.FIRST] else f.back[first + node]
            f.back[first + node] = e + ls.gradient[node]
    if stage[P.KIND] == Issue.ROUND:
        present(p, c, Mem.MASK, stage[P.ROW])
        lx.s[S.MASK_BIT] = get_bit(lm.mask[stage[P.ROW]], stage[P.SAMPLE])
    stage = ls.pipe[ROUND_STAGE - 1]
    if stage[P.KIND] == Issue.ROUND:
        nxt.s[Scalar.ERROR] = draw(now.s[Scalar.ERROR])
        random = nxt.s[Scalar.ERROR] & DRAW_MASK
        delta = rounded_delta(_error_of(f, stage), shift, random, op.delta_bits)
        lx.s[S.ROUNDED] = delta if ls.s[S.MASK_BIT] else 0
    stage = ls.pipe[UPDATE_LATENCY - 1]
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
        address = op.output_base + k // op.hidden_words * op.output_beats + word // TAPS
        present(p, c, Mem.CLS_TOP, address)
        for u in range(g.units):
            lx.columns[0, u] = m.cls_top[address, word % TAPS * g.units + u]


# --------------------------------------------------------------------------- updates


@part
def update_clock(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase):
    """One cycle of the update of a layer's proxies."""
    plane_step(op, g, m, lm, c, p, now, nxt, ls, lx, f, phase, UPDATE_LATENCY)
    stage = ls.pipe[PIPE_LATENCY - 1]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        _read_proxies(op, g, m, lm, c, p, ls, lx, stage, phase)
    stage = ls.pipe[ROUND_STAGE - 1]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        nxt.s[Scalar.UPDATE] = draw(now.s[Scalar.UPDATE])
        _subtract(op, nxt.s[Scalar.UPDATE], ls, lx, _copies(op, phase))
    stage = ls.pipe[UPDATE_LATENCY - 1]
    if stage[P.KIND] == Issue.BEAT and stage[P.LAST]:
        _write_proxies(op, g, c, p, ls, stage, phase)


@part
def _copies(op, phase):
    return op.proxies if phase == OUTPUT else 1


@part
def _place(op, g, stage, phase):
    """(cls.top row, bit in it, row of the low memory) of a segment's first copy."""
    word, first = segment_place(op, g, stage[P.INDEX])
    bit = word % TAPS * g.channels + first
    if phase == OUTPUT:
        row = op.output_base + 2 * stage[P.ROW] * op.output_beats + word // TAPS
        segments = op.latent_segments + op.hidden_segments
        return row, bit, stage[P.ROW] * segments + stage[P.INDEX]
    row = op.hidden_base + stage[P.ROW] * op.hidden_beats + word // TAPS
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
