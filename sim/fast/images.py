"""Fast mode, images: what a phase does, in one go.

The functions named `..._bits` compute what an operation writes for a consumer. The others leave
every memory and counter as the clocks of a phase would.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import (
    ONE,
    ZERO,
    ceil_div,
    get_bit,
    kernel,
    low_bits,
    part,
    popcount,
    put_bit,
)
from xnoreplay.sim.common.state import Scalar
from xnoreplay.spec import timeline
from xnoreplay.spec.network import COPIES, TAPS

stream_cycles = part(timeline.stream_cycles)


class Scratch(NamedTuple):
    """Room to work in: kernels allocate nothing."""

    x: np.ndarray  # (beats, 9 units) uint64, a window
    columns: np.ndarray  # (rows, filters) uint64, weights as `load_columns` lays them
    sums: np.ndarray  # (2, filters) int64, products of -1 by filter
    ones: np.ndarray  # (2, 64 units) int64, counters of a word's channels
    bits: np.ndarray  # (lanes,) uint8, outputs of a tile
    word: np.ndarray  # (2, units) uint64, words being collected


def scratch(geometry, convolutions) -> Scratch:
    """Scratch for any of these operations of a plan."""
    beats = max(op.beats for op in convolutions)
    filters = max(op.group_tiles for op in convolutions) * geometry.lanes
    rows = max(op.tiles // op.group_tiles * op.beats for op in convolutions) * TAPS * geometry.units
    return Scratch(
        np.zeros((beats, TAPS * geometry.units), np.uint64),
        np.zeros((rows, filters), np.uint64),
        np.zeros((2, filters), np.int64),
        np.zeros((2, 64 * geometry.units), np.int64),
        np.zeros(geometry.lanes, np.uint8),
        np.zeros((2, geometry.units), np.uint64),
    )


@part
def input_bits(op, g, threshold, image, target):
    """Thermometer words of (pixels, channels) uint8 into (pixels * words, units)."""
    for p in range(op.pixels):
        for w in range(op.words):
            row = target[p * op.words + w]
            first = w * g.channels
            for u in range(g.units):
                bits = ZERO
                for i in range(64 * u, min(64 * (u + 1), g.channels, op.bits - first)):
                    reached = image[p, op.channel[first + i]] >= threshold[first + i]
                    bits |= np.uint64(reached) << np.uint64(i & 63)
                row[u] = bits


@part
def _clear(words):
    for i in range(words.shape[0]):
        words[i] = 0


@part
def source_word(op, tile, beat):
    """Word of a pixel that a beat of a tile reads."""
    return (tile // op.group_tiles) * op.beats + beat


@part
def window(op, g, source, tile, row, col, out):
    """The (beats, 9 units) operand around one pixel."""
    for beat in range(op.beats):
        word = source_word(op, tile, beat)
        valid = op.last_channels if beat == op.beats - 1 else g.channels
        for tap in range(TAPS):
            y, x = row + tap // 3 - 1, col + tap % 3 - 1
            inside = 0 <= y < op.height and 0 <= x < op.width
            for u in range(g.units):
                if inside:
                    bits = source[(y * op.width + x) * op.source_words + word, u]
                else:
                    bits = low_bits(g.unit_bits) if op.pad_bit else ZERO
                out[beat, tap * g.units + u] = bits & low_bits(valid - 64 * u)


@part
def window_sum(op, g, x, weights, row):
    """Raw popcount of one filter, whose first beat is in `row`."""
    different = 0
    for beat in range(op.beats):
        for i in range(x.shape[1]):
            different += popcount(x[beat, i] ^ weights[row + beat, i])
    return TAPS * g.channels * op.beats - different


@part
def tile_bits(op, g, x, weights, tile, target, row, col, out):
    """OR the bits of a tile's filters at one pixel into out[0 : lanes]; a skip is in `target`."""
    word, first = place(op, g, tile)
    for lane in range(g.lanes):
        least = op.threshold
        if op.skip_shift:
            skip = target[(row * op.width + col) * op.destination_words + word]
            least += op.skip_shift * (1 - 2 * get_bit(skip, first + lane))
        weight = op.weight_base + (tile * g.lanes + lane) * op.beats
        if window_sum(op, g, x, weights, weight) >= least:
            out[lane] = 1


@part
def place(op, g, tile):
    """Word of a destination pixel that holds a tile's bits, and the first of them in it."""
    group = tile // op.destination_group_tiles
    member = tile % op.destination_group_tiles
    words = ceil_div(op.destination_group_tiles, op.word_tiles)
    return group * words + member // op.word_tiles, member % op.word_tiles * g.lanes


@part
def load_columns(op, g, weights, out):
    """Filters of each group side by side, so that one instruction takes several.

    out[(group * beats + beat) * 9 units + i, filter].
    """
    filters, words = op.group_tiles * g.lanes, TAPS * g.units
    for group in range(op.tiles // op.group_tiles):
        for f in range(filters):
            row = op.weight_base + (group * filters + f) * op.beats
            for beat in range(op.beats):
                for i in range(words):
                    out[(group * op.beats + beat) * words + i, f] = weights[row + beat, i]


@part
def differences(op, g, x, w, first, filters, out):
    """Products of -1 of a window with each filter: (filters,) int64."""
    for f in range(filters):
        out[f] = 0
    for beat in range(op.beats):
        for j in range(0, TAPS * g.units, TAPS):
            x0, x1, x2 = x[beat, j], x[beat, j + 1], x[beat, j + 2]
            x3, x4, x5 = x[beat, j + 3], x[beat, j + 4], x[beat, j + 5]
            x6, x7, x8 = x[beat, j + 6], x[beat, j + 7], x[beat, j + 8]
            v = w[first + beat * TAPS * g.units + j :]
            for f in range(filters):
                out[f] += (
                    popcount(x0 ^ v[0, f])
                    + popcount(x1 ^ v[1, f])
                    + popcount(x2 ^ v[2, f])
                    + popcount(x3 ^ v[3, f])
                    + popcount(x4 ^ v[4, f])
                    + popcount(x5 ^ v[5, f])
                    + popcount(x6 ^ v[6, f])
                    + popcount(x7 ^ v[7, f])
                    + popcount(x8 ^ v[8, f])
                )


@part
def put_tiles(op, g, group, pixel, sums, limit, target):
    """Write the bits of a group's tiles at one pixel; a bit is 1 where sums are at most `limit`."""
    for t in range(op.group_tiles):
        word, first = place(op, g, group * op.group_tiles + t)
        row = target[pixel * op.destination_words + word]
        if g.lanes <= 64:
            bits = ZERO
            for lane in range(g.lanes):
                bits |= np.uint64(sums[t * g.lanes + lane] <= limit) << np.uint64(lane)
            shift = np.uint64(first & 63)
            keep = row[first >> 6] & ~(low_bits(g.lanes) << shift)
            row[first >> 6] = keep | bits << shift
        else:
            for lane in range(g.lanes):
                put_bit(row, first + lane, sums[t * g.lanes + lane] <= limit)


@part
def add_skip(op, g, group, pixel, sums, target):
    """Let the bits of a skip, in `target` at a pixel before pooling, move the sums.

    A pixel's bits are read before they are written, with pooling too: it writes behind what it reads.
    """
    for t in range(op.group_tiles):
        word, first = place(op, g, group * op.group_tiles + t)
        row = target[pixel * op.destination_words + word]
        for lane in range(g.lanes):
            sums[t * g.lanes + lane] += op.skip_shift * (1 - 2 * get_bit(row, first + lane))


@part
def conv_bits(op, g, source, target, k):
    """A convolution from map to map; its columns are in the scratch."""
    step = 2 if op.pool else 1
    filters, rows = op.group_tiles * g.lanes, op.beats * TAPS * g.units
    limit = TAPS * g.channels * op.beats - op.threshold
    wide = op.width // step
    least, other = k.sums[0], k.sums[1]
    for group in range(op.tiles // op.group_tiles):
        tile, start = group * op.group_tiles, group * rows
        for pixel in range(op.height // step * wide):
            row, col = pixel // wide * step, pixel % wide * step
            for i in range(step * step):
                window(op, g, source, tile, row + i // step, col + i % step, k.x)
                sums = least if i == 0 else other
                differences(op, g, k.x, k.columns, start, filters, sums)
                if op.skip_shift:
                    at = (row + i // step) * op.width + col + i % step
                    add_skip(op, g, group, at, sums, target)
                if i:
                    for f in range(filters):
                        least[f] = min(least[f], other[f])
            put_tiles(op, g, group, pixel, least, limit, target)


@kernel
def conv_phase(op, g, m, c, k, source, target, source_mem, target_mem):
    """A convolution with all it leaves behind."""
    if op.pool:
        _leave_pool_row(op, g, m, k, source, target)  # before the map of a skip is overwritten
    load_columns(op, g, m.weights_fe, k.columns)
    conv_bits(op, g, source, target, k)
    for lane in range(g.lanes):
        for tile in range(max(0, op.tiles - 2), op.tiles):
            for beat in range(op.beats):
                row = op.weight_base + (tile * g.lanes + lane) * op.beats + beat
                for i in range(TAPS * g.units):
                    m.lane_file[lane, tile % 2 * op.beats + beat, i] = m.weights_fe[row, i]
    moves = op.cycles - op.load - 1
    for n in range(moves - op.row, moves):
        for u in range(g.units):
            m.row0[n % op.row, u] = _entered(op, source, n, u)
            m.row1[n % op.row, u] = _entered(op, source, n - op.row, u)
    pixels = op.height * op.width
    outputs = op.tiles * pixels
    if op.pool:
        outputs //= 4
        c.reads[Mem.POOL_ROW] += outputs
        c.writes[Mem.POOL_ROW] += outputs
    beats = op.tiles * pixels * op.beats
    c.reads[Mem.WEIGHTS_FE] += op.tiles * op.load
    c.writes[Mem.LANE_FILE] += op.tiles * op.load
    c.reads[source_mem] += beats
    if op.skip_shift:
        c.reads[target_mem] += op.tiles * pixels
    c.writes[target_mem] += outputs
    c.reads[Mem.LANE_FILE] += beats * g.lanes
    c.events[Event.BEATS] += beats
    c.events[Event.TAPS] += beats * TAPS * g.lanes
    for mem in (Mem.ROW0, Mem.ROW1):
        c.reads[mem] += moves
        c.writes[mem] += moves
    c.events[Event.CYCLES] += op.cycles


@part
def _entered(op, source, n, u):
    """The word that entered the line buffer in its n-th move."""
    tile, step = n // op.period, n % op.period
    if n < 0 or tile >= op.tiles or step >= op.height * op.width * op.beats:
        return ZERO
    word = source_word(op, tile, step % op.beats)
    return source[step // op.beats * op.source_words + word, u]


@part
def _leave_pool_row(op, g, m, k, source, target):
    x, bits, tile = k.x, k.bits, op.tiles - 1
    for col in range(op.width // 2):
        _clear(bits)
        for i in range(2):
            window(op, g, source, tile, op.height - 2, 2 * col + i, x)
            tile_bits(op, g, x, m.weights_fe, tile, target, op.height - 2, 2 * col + i, bits)
        for lane in range(g.lanes):
            put_bit(m.pool_row[col], lane, bits[lane])


@part
def lgap_bits(op, g, kernels, source, file, k):
    """Average and depthwise bits into the vector at slot 0 of a lane's file (slots, 9 units)."""
    for w in range(op.words):
        average, depthwise = k.word[0], k.word[1]
        ones, agree = k.ones[0], k.ones[1]
        for i in range(64 * g.units):
            ones[i] = agree[i] = 0
        for p in range(op.pixels):
            for u in range(g.units):
                x = source[p * op.words + w, u]
                same = ~(x ^ kernels[w * op.pixels + p, u])
                for i in range(64):
                    ones[64 * u + i] += np.int64(x >> np.uint64(i) & ONE)
                    agree[64 * u + i] += np.int64(same >> np.uint64(i) & ONE)
        valid = op.last_channels if w == op.words - 1 else g.channels
        for u in range(g.units):
            first = second = ZERO
            for i in range(64):
                first |= np.uint64(2 * ones[64 * u + i] >= op.pixels) << np.uint64(i)
                second |= np.uint64(2 * agree[64 * u + i] >= op.pixels) << np.uint64(i)
            average[u] = first & low_bits(valid - 64 * u)
            depthwise[u] = second & low_bits(valid - 64 * u)
        put_word(g, file, w, average)
        put_word(g, file, op.words + w, depthwise)


@part
def put_word(g, file, w, word):
    """Write word w of a vector into a lane's file."""
    for u in range(g.units):
        file[w // TAPS, w % TAPS * g.units + u] = word[u]


@kernel
def lgap_phase(op, g, m, c, k, source, source_mem):
    """LGAP with its counters."""
    lgap_bits(op, g, m.weights_lgap, source, m.lane_file[0], k)
    c.reads[source_mem] += op.words * op.pixels
    c.reads[Mem.WEIGHTS_LGAP] += op.words * op.pixels
    c.events[Event.TAP_WRITES] += 2 * op.words
    c.events[Event.CYCLES] += op.cycles


@part
def dense_sum(g, weights, row, beats, last_taps, file, slot):
    """Raw popcount of one row of weights against a lane's vector."""
    different = 0
    for beat in range(beats):
        taps = last_taps if beat == beats - 1 else TAPS
        for i in range(taps * g.units):
            different += popcount(weights[row + beat, i] ^ file[slot + beat, i])
    return ((beats - 1) * TAPS + last_taps) * g.channels - different


@part
def dense_bits(op, g, weights, file, latent, k):
    """A dense layer from and to a lane's vectors; `latent` is written if the operation does."""
    words = ceil_div(op.rows, g.channels)
    word = k.word[0]
    for w in range(words):
        _clear(word)
        first = w * g.channels
        for i in range(min(g.channels, op.rows - first)):
            row = op.weight_base + (first + i) * op.beats
            total = dense_sum(g, weights, row, op.beats, op.last_taps, file, op.source_slot)
            put_bit(word, i, total >= op.threshold)
        put_word(g, file, op.destination_word + w, word)
        if op.to_latent:
            for u in range(g.units):
                latent[w, u] = word[u]


@kernel
def dense_phase(op, g, m, c, k):
    """A dense layer of one image with its counters."""
    weights = m.cls_top if op.from_top else m.weights_fe
    dense_bits(op, g, weights, m.lane_file[0], m.latent, k)
    words = ceil_div(op.rows, g.channels)
    c.events[Event.TAP_WRITES] += words
    if op.to_latent:
        c.writes[Mem.LATENT] += words
    _count_rows(op, c, op.rows, Mem.CLS_TOP if op.from_top else Mem.WEIGHTS_FE)
    c.events[Event.CYCLES] += op.cycles


@part
def _count_rows(op, c, rows, mem):
    c.reads[mem] += rows * op.beats
    c.reads[Mem.LANE_FILE] += rows * op.beats
    c.events[Event.BEATS] += rows * op.beats
    c.events[Event.TAPS] += rows * ((op.beats - 1) * TAPS + op.last_taps)


@part
def logit_sum(op, g, weights, file, label):
    """Raw popcount of a class over both copies."""
    total = 0
    for copy in range(2):
        row = op.weight_base + (2 * label + copy) * op.beats
        total += dense_sum(g, weights, row, op.beats, op.last_taps, file, op.source_slot)
    return total


@part
def best_class(op, g, weights, file, seen, otherwise):
    """The class with the largest sum, the first of equals; `otherwise` if none was seen."""
    best, label = -1, otherwise
    for i in range(seen):
        total = logit_sum(op, g, weights, file, i)
        if total > best:
            best, label = total, i
    return label


@kernel
def output_phase(op, g, m, c, scalars):
    """The output layer of one image with its counters."""
    seen = scalars[Scalar.SEEN]
    scalars[Scalar.PREDICTION] = best_class(
        op, g, m.cls_top, m.lane_file[0], seen, scalars[Scalar.PREDICTION]
    )
    _count_rows(op, c, 2 * seen, Mem.CLS_TOP)
    c.events[Event.CYCLES] += stream_cycles(COPIES * seen * op.beats)


@kernel
def input_phase(op, g, m, c, image, stalls):
    """Pixels, with `stalls` cycles in which none was offered."""
    input_bits(op, g, m.threshold, image, m.ping)
    c.writes[Mem.PING] += op.pixels * op.words
    c.events[Event.STALLS] += stalls
    c.events[Event.IMAGES] += 1
    c.events[Event.CYCLES] += op.pixels * op.words + stalls
