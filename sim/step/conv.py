"""Stepping mode: one clock of a convolution."""

import numpy as np

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import ONE, ZERO, ceil_div, get_bit, low_bits, part
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.registers import Flop, present, write_lane, write_row, write_slice
from xnoreplay.spec.network import TAPS


@part
def conv_clock(op, clock):
    """Advance all parts of the chip that a convolution uses by a clock."""
    now, nxt = clock.now, clock.nxt
    nxt[Flop.FEATURE_VALID] = 0
    nxt[Flop.WEIGHT_VALID] = 0
    nxt[Flop.X_VALID] = 0
    if now[Flop.K] < op.load:
        _load(op, clock)
    else:
        _issue(op, clock)
    if now[Flop.WEIGHT_VALID]:
        write_lane(
            clock.geometry,
            clock.ports,
            now[Flop.WEIGHT_LANE],
            now[Flop.WEIGHT_SLOT],
            clock.wide.weight,
        )
    if now[Flop.K] > op.load:
        _line_buffer(op, clock)
    if now[Flop.K] > op.load + op.window_delay and now[Flop.W_TILE] < op.tiles:
        _window(op, clock)
    array(clock)
    if sum_ready(now):
        _result(op, clock)
    if op.skip_shift and now[Flop.M_VALID] and now[Flop.M_LAST]:
        _read_skip(op, clock)
    nxt[Flop.DONE] = now[Flop.K] == op.cycles - 1


@part
def _read_weight(op, clock, tile, lane, beat, address):
    """Read a word of a tile's weights, which the next cycle writes to a lane's file."""
    nxt = clock.nxt
    nxt_wide = clock.nxt_wide
    present(clock.ports, Mem.WEIGHTS_FE, address)
    for i in range(nxt_wide.weight.shape[0]):
        nxt_wide.weight[i] = clock.memory.weights_fe[address, i]
    nxt[Flop.WEIGHT_VALID] = 1
    nxt[Flop.WEIGHT_LANE] = lane
    nxt[Flop.WEIGHT_SLOT] = (tile & 1) * op.beats + beat


@part
def _load(op, clock):
    """Read the next word of the first tile's weights."""
    now, nxt = clock.now, clock.nxt
    address = op.weight_base + now[Flop.K]
    _read_weight(op, clock, 0, now[Flop.LANE], now[Flop.BEAT], address)
    last = now[Flop.BEAT] == op.beats - 1
    nxt[Flop.BEAT] = 0 if last else now[Flop.BEAT] + 1
    nxt[Flop.LANE] = now[Flop.LANE] + last
    if now[Flop.K] == op.load - 1:
        nxt[Flop.BEAT] = 0


@part
def _issue(op, clock):
    """Read the source map's next word, or issue a bubble where weights need more cycles than pixels."""
    now, nxt = clock.now, clock.nxt
    memory = clock.memory
    ports = clock.ports
    nxt_wide = clock.nxt_wide
    if now[Flop.TILE] == op.tiles:
        return
    if now[Flop.PIXEL] < op.height * op.width:
        word = now[Flop.TILE] // op.group_tiles * op.beats + now[Flop.BEAT]
        address = now[Flop.PIXEL] * op.source_words + word
        nxt[Flop.FEATURE_VALID] = 1
        if op.index & 1:
            present(ports, Mem.PONG, address)
            for u in range(nxt_wide.feature.shape[0]):
                nxt_wide.feature[u] = memory.pong[address, u]
        else:
            present(ports, Mem.PING, address)
            for u in range(nxt_wide.feature.shape[0]):
                nxt_wide.feature[u] = memory.ping[address, u]
    last = now[Flop.BEAT] == op.beats - 1
    nxt[Flop.BEAT] = 0 if last else now[Flop.BEAT] + 1
    nxt[Flop.PIXEL] = now[Flop.PIXEL] + last
    nxt[Flop.STEP] = now[Flop.STEP] + 1
    if now[Flop.STEP] == op.period - 1:
        nxt[Flop.STEP] = nxt[Flop.PIXEL] = nxt[Flop.BEAT] = 0
        nxt[Flop.TILE] = now[Flop.TILE] + 1


@part
def _entering(clock, row, u):
    """Word u of what enters a row of the line buffer in this cycle."""
    now = clock.now
    wide = clock.wide
    if row > 0:
        return wide.row_out[row - 1, u]
    return wide.feature[u] if now[Flop.FEATURE_VALID] else ZERO


@part
def _line_buffer(op, clock):
    """Move the line buffer by a word: rings, shift registers and what enters them."""
    now, nxt = clock.now, clock.nxt
    memory = clock.memory
    ports = clock.ports
    nxt_wide = clock.nxt_wide
    ring = now[Flop.RING]
    following = 0 if ring == op.row - 1 else ring + 1
    present(ports, Mem.ROW0, following)
    present(ports, Mem.ROW1, following)
    depth = 2 * op.beats
    for u in range(clock.geometry.units):
        nxt_wide.row_out[0, u] = memory.row0[following, u]
        nxt_wide.row_out[1, u] = memory.row1[following, u]
        for row in range(3):
            for i in range(depth - 1, 0, -1):
                nxt_wide.shift[row, i, u] = clock.wide.shift[row, i - 1, u]
            nxt_wide.shift[row, 0, u] = _entering(clock, row, u)
    write_row(ports, Mem.ROW0, ring, nxt_wide.shift[0, 0], 1)
    write_row(ports, Mem.ROW1, ring, nxt_wide.shift[1, 0], 1)
    nxt[Flop.RING] = following


@part
def _window(op, clock):
    """Read ahead a word of the next tile's weights, and form the operand from the window."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    if now[Flop.W_STEP] < op.load and now[Flop.W_TILE] + 1 < op.tiles:
        address = op.weight_base + (now[Flop.W_TILE] + 1) * op.load + now[Flop.W_STEP]
        _read_weight(op, clock, now[Flop.W_TILE] + 1, now[Flop.W_LANE], now[Flop.W_LOAD], address)
        last = now[Flop.W_LOAD] == op.beats - 1
        nxt[Flop.W_LOAD] = 0 if last else now[Flop.W_LOAD] + 1
        nxt[Flop.W_LANE] = now[Flop.W_LANE] + last
    if now[Flop.W_ROW] < op.height:
        slot = (now[Flop.W_TILE] & 1) * op.beats + now[Flop.W_BEAT]
        last = now[Flop.W_BEAT] == op.beats - 1
        operand(nxt, slot, TAPS, geometry.lanes, now[Flop.W_BEAT] == 0, last)
        valid = op.last_channels if last else geometry.channels
        for tap in range(TAPS):
            y, x = now[Flop.W_ROW] + tap // 3 - 1, now[Flop.W_COL] + tap % 3 - 1
            outside = y < 0 or y >= op.height or x < 0 or x >= op.width
            for u in range(geometry.units):
                bits = _tap(clock, 2 - tap // 3, (2 - tap % 3) * op.beats, u)
                if outside:
                    bits = low_bits(geometry.unit_bits) if op.pad_bit else ZERO
                clock.nxt_wide.x[tap * geometry.units + u] = bits & low_bits(valid - 64 * u)
        nxt[Flop.W_BEAT] = 0 if last else now[Flop.W_BEAT] + 1
        if last:
            end = now[Flop.W_COL] == op.width - 1
            nxt[Flop.W_COL] = 0 if end else now[Flop.W_COL] + 1
            nxt[Flop.W_ROW] = now[Flop.W_ROW] + end
    nxt[Flop.W_STEP] = now[Flop.W_STEP] + 1
    if now[Flop.W_STEP] == op.period - 1:
        nxt[Flop.W_STEP] = nxt[Flop.W_ROW] = nxt[Flop.W_COL] = nxt[Flop.W_BEAT] = 0
        nxt[Flop.W_LANE] = nxt[Flop.W_LOAD] = 0
        nxt[Flop.W_TILE] = now[Flop.W_TILE] + 1


@part
def _tap(clock, row, delay, u):
    """Word u of what a row of the line buffer held `delay` cycles ago."""
    return clock.wide.shift[row, delay - 1, u] if delay else _entering(clock, row, u)


@part
def _place(op, tile):
    """(word, slice in it) of a destination pixel that hold a tile's bits."""
    group = tile // op.destination_group_tiles
    member = tile % op.destination_group_tiles
    words = ceil_div(op.destination_group_tiles, op.word_tiles)
    return group * words + member // op.word_tiles, member % op.word_tiles


@part
def _following(op, now):
    """(tile, row, column) of the result that comes in the next cycle, or of the next that will come."""
    tile, row, col = now[Flop.OUT_TILE], now[Flop.OUT_ROW], now[Flop.OUT_COL]
    if not sum_ready(now):
        return tile, row, col
    end = col == op.width - 1
    bottom = end and row == op.height - 1
    return tile + bottom, 0 if bottom else row + end, 0 if end else col + 1


@part
def _read_skip(op, clock):
    """Read what the next cycle's sums add: the word of the map that their tile's bits will replace."""
    now = clock.now
    memory = clock.memory
    nxt_wide = clock.nxt_wide
    tile, row, col = _following(op, now)
    word, _ = _place(op, tile)
    address = (row * op.width + col) * op.destination_words + word
    present(clock.ports, Mem.PING if op.index & 1 else Mem.PONG, address)
    for u in range(nxt_wide.skip.shape[0]):
        nxt_wide.skip[u] = memory.ping[address, u] if op.index & 1 else memory.pong[address, u]


@part
def _result(op, clock):
    """Form a tile's bits of one pixel, pool them, and write them where they are complete."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    ports = clock.ports
    wide = clock.wide
    tile, row, col = now[Flop.OUT_TILE], now[Flop.OUT_ROW], now[Flop.OUT_COL]
    nxt[Flop.OUT_TILE], nxt[Flop.OUT_ROW], nxt[Flop.OUT_COL] = _following(op, now)
    bits = clock.nxt_wide.held
    word, slot = _place(op, tile)
    even = op.pool == 0 or col % 2 == 0
    for w in range(bits.shape[0]):
        collected = ZERO
        for i in range(min(64, geometry.lanes - 64 * w)):
            least = op.threshold
            if op.skip_shift:
                skip = get_bit(wide.skip, slot * geometry.lanes + 64 * w + i)
                least += op.skip_shift * (1 - 2 * skip)
            if wide.acc[64 * w + i] >= least:
                collected |= ONE << np.uint64(i)
        bits[w] = collected if even else wide.held[w] | collected
    if op.pool and even:
        return
    if op.pool and row % 2 == 0:
        write_row(ports, Mem.POOL_ROW, col // 2, bits, 1)
        return
    pixel = row * op.width + col
    if op.pool:
        present(ports, Mem.POOL_ROW, col // 2)
        for w in range(bits.shape[0]):
            bits[w] |= clock.memory.pool_row[col // 2, w]
        pixel = row // 2 * (op.width // 2) + col // 2
    target = Mem.PING if op.index & 1 else Mem.PONG
    write_slice(geometry, ports, target, pixel * op.destination_words + word, slot, bits)
