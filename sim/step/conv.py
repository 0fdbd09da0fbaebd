"""Stepping mode: one clock of a convolution."""

import numpy as np

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import ONE, ZERO, ceil_div, get_bit, low_bits, part
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.registers import R, present, write_lane, write_row, write_slice
from xnoreplay.spec.network import TAPS


@part
def conv_clock(op, g, m, c, p, now, nxt):
    """All parts of the machine that a convolution uses, in one cycle."""
    nxt.s[R.FEATURE_VALID] = 0
    nxt.s[R.WEIGHT_VALID] = 0
    nxt.s[R.X_VALID] = 0
    if now.s[R.K] < op.load:
        _load(op, m, c, p, now, nxt)
    else:
        _issue(op, m, c, p, now, nxt)
    if now.s[R.WEIGHT_VALID]:
        write_lane(g, p, c, now.s[R.WEIGHT_LANE], now.s[R.WEIGHT_SLOT], now.weight)
    if now.s[R.K] > op.load:
        _line_buffer(op, g, m, c, p, now, nxt)
    if now.s[R.K] > op.load + op.window_delay and now.s[R.W_TILE] < op.tiles:
        _window(op, g, m, c, p, now, nxt)
    array(g, m, c, now, nxt)
    if sum_ready(now):
        _result(op, g, m, c, p, now, nxt)
    if op.skip_shift and now.s[R.M_VALID] and now.s[R.M_LAST]:
        _read_skip(op, m, c, p, now, nxt)
    nxt.s[R.DONE] = now.s[R.K] == op.cycles - 1


@part
def _read_weight(op, m, c, p, nxt, tile, lane, beat, address):
    present(p, c, Mem.WEIGHTS_FE, address)
    for i in range(nxt.weight.shape[0]):
        nxt.weight[i] = m.weights_fe[address, i]
    nxt.s[R.WEIGHT_VALID] = 1
    nxt.s[R.WEIGHT_LANE] = lane
    nxt.s[R.WEIGHT_SLOT] = (tile & 1) * op.beats + beat


@part
def _load(op, m, c, p, now, nxt):
    """Read the first tile's weights."""
    s = now.s
    address = op.weight_base + s[R.K]
    _read_weight(op, m, c, p, nxt, 0, s[R.LANE], s[R.BEAT], address)
    last = s[R.BEAT] == op.beats - 1
    nxt.s[R.BEAT] = 0 if last else s[R.BEAT] + 1
    nxt.s[R.LANE] = s[R.LANE] + last
    if s[R.K] == op.load - 1:
        nxt.s[R.BEAT] = 0


@part
def _issue(op, m, c, p, now, nxt):
    """Read the source map's next word, or issue a bubble."""
    s = now.s
    if s[R.TILE] == op.tiles:
        return
    if s[R.PIXEL] < op.height * op.width:
        word = s[R.TILE] // op.group_tiles * op.beats + s[R.BEAT]
        address = s[R.PIXEL] * op.source_words + word
        nxt.s[R.FEATURE_VALID] = 1
        if op.index & 1:
            present(p, c, Mem.PONG, address)
            for u in range(nxt.feature.shape[0]):
                nxt.feature[u] = m.pong[address, u]
        else:
            present(p, c, Mem.PING, address)
            for u in range(nxt.feature.shape[0]):
                nxt.feature[u] = m.ping[address, u]
    last = s[R.BEAT] == op.beats - 1
    nxt.s[R.BEAT] = 0 if last else s[R.BEAT] + 1
    nxt.s[R.PIXEL] = s[R.PIXEL] + last
    nxt.s[R.STEP] = s[R.STEP] + 1
    if s[R.STEP] == op.period - 1:
        nxt.s[R.STEP] = nxt.s[R.PIXEL] = nxt.s[R.BEAT] = 0
        nxt.s[R.TILE] = s[R.TILE] + 1


@part
def _entering(now, row, u):
    """The word that enters a row of the line buffer in this cycle."""
    if row > 0:
        return now.row_out[row - 1, u]
    return now.feature[u] if now.s[R.FEATURE_VALID] else ZERO


@part
def _line_buffer(op, g, m, c, p, now, nxt):
    """The line buffer moves."""
    ring = now.s[R.RING]
    following = 0 if ring == op.row - 1 else ring + 1
    present(p, c, Mem.ROW0, following)
    present(p, c, Mem.ROW1, following)
    depth = 2 * op.beats
    for u in range(g.units):
        nxt.row_out[0, u] = m.row0[following, u]
        nxt.row_out[1, u] = m.row1[following, u]
        for row in range(3):
            for i in range(depth - 1, 0, -1):
                nxt.shift[row, i, u] = now.shift[row, i - 1, u]
            nxt.shift[row, 0, u] = _entering(now, row, u)
    write_row(p, c, Mem.ROW0, ring, nxt.shift[0, 0], 1)
    write_row(p, c, Mem.ROW1, ring, nxt.shift[1, 0], 1)
    nxt.s[R.RING] = following


@part
def _window(op, g, m, c, p, now, nxt):
    """The window is complete: prefetch the next tile's weights, form the operand."""
    s = now.s
    if s[R.W_STEP] < op.load and s[R.W_TILE] + 1 < op.tiles:
        address = op.weight_base + (s[R.W_TILE] + 1) * op.load + s[R.W_STEP]
        _read_weight(op, m, c, p, nxt, s[R.W_TILE] + 1, s[R.W_LANE], s[R.W_LOAD], address)
        last = s[R.W_LOAD] == op.beats - 1
        nxt.s[R.W_LOAD] = 0 if last else s[R.W_LOAD] + 1
        nxt.s[R.W_LANE] = s[R.W_LANE] + last
    if s[R.W_ROW] < op.height:
        slot = (s[R.W_TILE] & 1) * op.beats + s[R.W_BEAT]
        last = s[R.W_BEAT] == op.beats - 1
        operand(nxt, slot, TAPS, g.lanes, s[R.W_BEAT] == 0, last)
        valid = op.last_channels if last else g.channels
        for tap in range(TAPS):
            y, x = s[R.W_ROW] + tap // 3 - 1, s[R.W_COL] + tap % 3 - 1
            outside = y < 0 or y >= op.height or x < 0 or x >= op.width
            for u in range(g.units):
                bits = _tap(now, 2 - tap // 3, (2 - tap % 3) * op.beats, u)
                if outside:
                    bits = low_bits(g.unit_bits) if op.pad_bit else ZERO
                nxt.x[tap * g.units + u] = bits & low_bits(valid - 64 * u)
        nxt.s[R.W_BEAT] = 0 if last else s[R.W_BEAT] + 1
        if last:
            end = s[R.W_COL] == op.width - 1
            nxt.s[R.W_COL] = 0 if end else s[R.W_COL] + 1
            nxt.s[R.W_ROW] = s[R.W_ROW] + end
    nxt.s[R.W_STEP] = s[R.W_STEP] + 1
    if s[R.W_STEP] == op.period - 1:
        nxt.s[R.W_STEP] = nxt.s[R.W_ROW] = nxt.s[R.W_COL] = nxt.s[R.W_BEAT] = 0
        nxt.s[R.W_LANE] = nxt.s[R.W_LOAD] = 0
        nxt.s[R.W_TILE] = s[R.W_TILE] + 1


@part
def _tap(now, row, delay, u):
    """A row's word of `delay` cycles ago."""
    return now.shift[row, delay - 1, u] if delay else _entering(now, row, u)


@part
def _place(op, tile):
    """Word and slice of a destination pixel that hold a tile's bits."""
    group = tile // op.destination_group_tiles
    member = tile % op.destination_group_tiles
    words = ceil_div(op.destination_group_tiles, op.word_tiles)
    return group * words + member // op.word_tiles, member % op.word_tiles


@part
def _following(op, now):
    """Tile, row and column of the next cycle's result, or of the next to come."""
    tile, row, col = now.s[R.OUT_TILE], now.s[R.OUT_ROW], now.s[R.OUT_COL]
    if not sum_ready(now):
        return tile, row, col
    end = col == op.width - 1
    bottom = end and row == op.height - 1
    return tile + bottom, 0 if bottom else row + end, 0 if end else col + 1


@part
def _read_skip(op, m, c, p, now, nxt):
    """Read what the next cycle's sums add: the word that their tile's bits will replace."""
    tile, row, col = _following(op, now)
    word, _ = _place(op, tile)
    address = (row * op.width + col) * op.destination_words + word
    present(p, c, Mem.PING if op.index & 1 else Mem.PONG, address)
    for u in range(nxt.skip.shape[0]):
        nxt.skip[u] = m.ping[address, u] if op.index & 1 else m.pong[address, u]


@part
def _result(op, g, m, c, p, now, nxt):
    """Form a tile's bits of one pixel, pool them, write them."""
    s = now.s
    tile, row, col = s[R.OUT_TILE], s[R.OUT_ROW], s[R.OUT_COL]
    nxt.s[R.OUT_TILE], nxt.s[R.OUT_ROW], nxt.s[R.OUT_COL] = _following(op, now)
    bits = nxt.held
    word, slot = _place(op, tile)
    even = op.pool == 0 or col % 2 == 0
    for w in range(bits.shape[0]):
        collected = ZERO
        for i in range(min(64, g.lanes - 64 * w)):
            least = op.threshold
            if op.skip_shift:
                skip = get_bit(now.skip, slot * g.lanes + 64 * w + i)
                least += op.skip_shift * (1 - 2 * skip)
            if now.acc[64 * w + i] >= least:
                collected |= ONE << np.uint64(i)
        bits[w] = collected if even else now.held[w] | collected
    if op.pool and even:
        return
    if op.pool and row % 2 == 0:
        write_row(p, c, Mem.POOL_ROW, col // 2, bits, 1)
        return
    pixel = row * op.width + col
    if op.pool:
        present(p, c, Mem.POOL_ROW, col // 2)
        for w in range(bits.shape[0]):
            bits[w] |= m.pool_row[col // 2, w]
        pixel = row // 2 * (op.width // 2) + col // 2
    target = Mem.PING if op.index & 1 else Mem.PONG
    write_slice(g, p, c, target, pixel * op.destination_words + word, slot, bits)
