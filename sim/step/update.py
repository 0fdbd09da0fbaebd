"""Stepping mode, learning: back-propagation, and the update of a layer's proxies."""

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import FULL, draw, get_bit, part, put_bit
from xnoreplay.sim.common.learn_program import get_field, put_field, segment_columns, segment_place
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.arithmetic import rounded_delta
from xnoreplay.sim.step.learn_registers import Issue, LearnFlop, Pipe, write_bank, write_bit
from xnoreplay.sim.step.planes import BACK, OUTPUT, plane_step
from xnoreplay.sim.step.registers import Flop, present, queue
from xnoreplay.spec.learning import DRAW_MASK
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.timeline import PIPE_LATENCY, ROUND_STAGE, TOP_STAGE, UPDATE_LATENCY


@part
def back_clock(clock, learning, shift):
    """Advance back-propagation by a clock.

    Class rows go to the banks, then sample after sample is multiplied and rounded. shift: of a back-propagated error to
    its delta.
    """
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    files = learning.files
    op = learning.op
    wide = learning.wide
    rows = now[Scalar.SEEN] * COPIES * op.hidden_words
    k = now[Flop.K]
    if k <= rows:
        _fill(clock, learning, k, rows)
        return
    plane_step(clock, learning, BACK, PIPE_LATENCY)
    stage = wide.pipe[PIPE_LATENCY - 1]
    if stage[Pipe.KIND] == Issue.BEAT and stage[Pipe.LAST]:
        first = stage[Pipe.INDEX] * op.segment
        for node in range(min(op.segment, op.hidden - first)):
            e = 0 if stage[Pipe.FIRST] else files.back[first + node]
            files.back[first + node] = e + wide.gradient[node]
    if stage[Pipe.KIND] == Issue.ROUND:
        present(ports, Mem.MASK, stage[Pipe.ROW])
        nxt[LearnFlop.MASK_BIT] = get_bit(learning.memory.mask[stage[Pipe.ROW]], stage[Pipe.SAMPLE])
    stage = wide.pipe[ROUND_STAGE - 1]
    if stage[Pipe.KIND] == Issue.ROUND:
        nxt[Scalar.ERROR] = draw(now[Scalar.ERROR])
        random = nxt[Scalar.ERROR] & DRAW_MASK
        delta = rounded_delta(_error_of(files, stage), shift, random, op.delta_bits)
        nxt[LearnFlop.ROUNDED] = delta if now[LearnFlop.MASK_BIT] else 0
    stage = wide.pipe[UPDATE_LATENCY - 1]
    if stage[Pipe.KIND] == Issue.ROUND:
        row, n = stage[Pipe.ROW], stage[Pipe.SAMPLE]
        planes = now[LearnFlop.ROUNDED] & (1 << op.delta_bits) - 1
        for plane in range(op.delta_bits):
            address = row * op.delta_bits + plane
            write_bit(ports, Mem.HIDDEN_DELTA, address, n, planes >> plane & 1)
        files.hidden_planes[row] = planes if n == 0 else files.hidden_planes[row] | planes


@part
def _error_of(files, stage):
    """Back-propagated error of the hidden unit of a stage; 0 where every block of the sample was skipped."""
    return files.back[stage[Pipe.ROW]] if stage[Pipe.FIRST] else 0


@part
def _fill(clock, learning, k, rows):
    """Copy a word of an output row's hidden part to the bank of its class.

    Word k of `rows` is read in cycle k and written in the next.
    """
    geometry = clock.geometry
    ports = clock.ports
    op = learning.op
    if k > 0:
        i = k - 1
        copy_word, row = i % (COPIES * op.hidden_words), i // (COPIES * op.hidden_words)
        w = op.sample_base + row // geometry.batch * COPIES * op.hidden_words + copy_word
        write_bank(geometry, op, ports, row % geometry.batch, w, learning.wide.columns[0])
    if k < rows:
        word = op.latent_words + k % op.hidden_words
        address = op.output_base + k // op.hidden_words * op.output_beats + word // TAPS
        present(ports, Mem.CLS_TOP, address)
        for u in range(geometry.units):
            bits = clock.memory.cls_top[address, word % TAPS * geometry.units + u]
            learning.nxt_wide.columns[0, u] = bits


# --------------------------------------------------------------------------- updates


@part
def update_clock(clock, learning, phase):
    """Advance the update of a layer's proxies by a clock; OUTPUT or HIDDEN is the phase."""
    now, nxt = clock.now, clock.nxt
    wide = learning.wide
    plane_step(clock, learning, phase, UPDATE_LATENCY)
    stage = wide.pipe[TOP_STAGE - 1]
    if stage[Pipe.KIND] == Issue.BEAT and stage[Pipe.LAST]:
        _read_top(clock, learning, stage, phase)
    stage = wide.pipe[PIPE_LATENCY - 1]
    if stage[Pipe.KIND] == Issue.BEAT and stage[Pipe.LAST]:
        _read_proxies(clock, learning, stage, phase)
    stage = wide.pipe[ROUND_STAGE - 1]
    if stage[Pipe.KIND] == Issue.BEAT and stage[Pipe.LAST]:
        nxt[Scalar.UPDATE] = draw(now[Scalar.UPDATE])
        _subtract(learning, nxt[Scalar.UPDATE], _copies(learning.op, phase))
    stage = wide.pipe[UPDATE_LATENCY - 1]
    if stage[Pipe.KIND] == Issue.BEAT and stage[Pipe.LAST]:
        _write_proxies(clock, learning, stage, phase)


@part
def _copies(op, phase):
    """Proxies of a pair of weights that the layer of a phase has."""
    return op.proxies if phase == OUTPUT else 1


@part
def _place(op, geometry, stage, phase):
    """(cls.top row, bit in it, row of the low memory) of the segment of a stage, of the first copy."""
    word, first = segment_place(op, geometry, stage[Pipe.INDEX])
    bit = word % TAPS * geometry.channels + first
    if phase == OUTPUT:
        row = op.output_base + COPIES * stage[Pipe.ROW] * op.output_beats + word // TAPS
        segments = op.latent_segments + op.hidden_segments
        return row, bit, stage[Pipe.ROW] * segments + stage[Pipe.INDEX]
    row = op.hidden_base + stage[Pipe.ROW] * op.hidden_beats + word // TAPS
    return row, bit, stage[Pipe.ROW] * op.latent_segments + stage[Pipe.INDEX]


@part
def _top_bit(geometry, row, bit):
    """A bit of a row of nine words of G bits, counted without gaps."""
    return get_bit(row, bit // geometry.channels * geometry.units * 64 + bit % geometry.channels)


@part
def _read_top(clock, learning, stage, phase):
    """Read a row of cls.top of all copies with its first segment: what was read holds for the others."""
    row, bit, _ = _place(learning.op, clock.geometry, stage, phase)
    if bit:
        return
    rows = COPIES if phase == OUTPUT else 1
    present(clock.ports, Mem.CLS_TOP, row)
    clock.counters.reads[Mem.CLS_TOP] += rows - 1
    for copy in range(rows):
        for w in range(learning.nxt_wide.top.shape[1]):
            held = clock.memory.cls_top[row + copy * learning.op.output_beats, w]
            learning.nxt_wide.top[copy, w] = held


@part
def _read_proxies(clock, learning, stage, phase):
    """Read the low bits of a segment, join the top bits of the row that was read to them, and keep its gradient."""
    geometry = clock.geometry
    ports = clock.ports
    learn_memory = learning.memory
    op = learning.op
    nxt_wide = learning.nxt_wide
    _, bit, low_row = _place(op, geometry, stage, phase)
    half = 1 << (op.proxy_bits - 1)
    rows = COPIES if phase == OUTPUT else 1
    copies = _copies(op, phase)
    low = op.low if phase == OUTPUT else op.proxy_bits - 1
    if low:
        present(ports, Mem.CLS_LOW if phase == OUTPUT else Mem.HIDDEN_LOW, low_row)
    for node in range(op.segment):
        nxt_wide.summed[node] = learning.wide.gradient[node]
        for copy in range(copies):
            code = _top_bit(geometry, learning.wide.top[copy], bit + node)
            if rows > copies:
                code = 2 * code + _top_bit(geometry, learning.wide.top[1], bit + node)
            if low:
                lows = learn_memory.cls_low if phase == OUTPUT else learn_memory.hidden_low
                place = (node * copies + copy) * low
                code = code << low | get_field(lows[low_row], place, low)
            nxt_wide.theta[copy, node] = code - half


@part
def _subtract(learning, random, copies):
    """Subtract the rounded gradient from the proxies, and saturate.

    The second copy takes the complement of the rounding offset.
    """
    op = learning.op
    wide = learning.wide
    t = op.update_shift
    top = (1 << t) - 1 if t > 0 else 0
    high = (1 << (op.proxy_bits - 1)) - 1
    offset = random & top
    for copy in range(copies):
        r = top - offset if copy else offset
        for node in range(op.segment):
            gradient = wide.summed[node]
            step = (gradient + r) >> t if t >= 0 else gradient << -t
            value = wide.theta[copy, node] - step
            learning.nxt_wide.updated[copy, node] = min(high, max(-high - 1, value))


@part
def _write_proxies(clock, learning, stage, phase):
    """Write a segment's proxies: a granule of each copy's row, and the low bits."""
    geometry = clock.geometry
    ports = clock.ports
    op = learning.op
    wide = learning.wide
    row, bit, low_row = _place(op, geometry, stage, phase)
    half = 1 << (op.proxy_bits - 1)
    rows = COPIES if phase == OUTPUT else 1
    copies = _copies(op, phase)
    low = op.low if phase == OUTPUT else op.proxy_bits - 1
    columns = segment_columns(op, stage[Pipe.INDEX])
    place = bit // geometry.channels * geometry.units * 64 + bit % geometry.channels
    for copy in range(rows):
        entry = queue(ports, Mem.CLS_TOP, row + copy * op.output_beats, bit // op.segment, 1)
        for node in range(op.segment):
            put_bit(ports.mask[entry], place + node, 1)
            if node < columns:
                code = wide.updated[copy if copies == 2 else 0, node] + half
                top = code >> (op.proxy_bits - 1)
                if rows > copies and copy:
                    top = code >> (op.proxy_bits - 2) & 1
                put_bit(ports.data[entry], place + node, top)
    if low:
        mem = Mem.CLS_LOW if phase == OUTPUT else Mem.HIDDEN_LOW
        entry = queue(ports, mem, low_row, 0, 1)
        for w in range(ports.mask.shape[1]):
            ports.mask[entry, w] = FULL
        for node in range(columns):
            for copy in range(copies):
                code = wide.updated[copy, node] + half
                put_field(ports.data[entry], (node * copies + copy) * low, low, code)
