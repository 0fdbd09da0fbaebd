"""Fast mode, images: what a phase does, in one go.

The functions named `..._bits` compute what an operation writes for a consumer; they serve a data
set as well. The others leave every memory and counter as the clocks of a phase would.

A skip's map is the destination itself. Taken in raster order, an output lands where its own tile
has read already: at or before its window's pixel, in that tile's slices.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.counters import Event, Mem
from xnoreplay.sim.jit import ZERO, get_bit, kernel, low_bits, part, popcount, put_bit
from xnoreplay.sim.state import Scalar


class Scratch(NamedTuple):
    """Room to work in: kernels allocate nothing."""

    x: np.ndarray  # (4, beats, 9 units) uint64, windows of a pooled pixel
    bits: np.ndarray  # (lanes,) uint8, outputs of a tile
    word: np.ndarray  # (2, units) uint64, words being collected


def scratch(geometry, beats: int) -> Scratch:
    """Scratch for convolutions of at most so many beats."""
    return Scratch(
        np.zeros((4, beats, 9 * geometry.units), np.uint64),
        np.zeros(geometry.lanes, np.uint8),
        np.zeros((2, geometry.units), np.uint64),
    )


@part
def input_bits(op, g, threshold, image, target):
    """Thermometer words of (pixels, channels) uint8 into (pixels * words, units)."""
    for p in range(op.pixels):
        for w in range(op.words):
            row = target[p * op.words + w]
            for u in range(g.units):
                row[u] = ZERO
            first = w * g.channels
            for i in range(min(g.channels, op.bits - first)):
                if image[p, op.channel[first + i]] >= threshold[first + i]:
                    put_bit(row, i, 1)


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
        for tap in range(9):
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
    return 9 * g.channels * op.beats - different


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
    words = -(-op.destination_group_tiles // op.word_tiles)
    return group * words + member // op.word_tiles, member % op.word_tiles * g.lanes


@part
def put_slice(op, g, tile, pixel, bits, target):
    """Write a tile's bits of one pixel to the destination map."""
    word, first = place(op, g, tile)
    row = target[pixel * op.destination_words + word]
    for lane in range(g.lanes):
        put_bit(row, first + lane, bits[lane])


@part
def conv_bits(op, g, weights, source, target, k):
    """A convolution from map to map."""
    step = 2 if op.pool else 1
    x, bits = k.x, k.bits
    for row in range(op.height // step):
        for col in range(op.width // step):
            for tile in range(op.tiles):
                if tile % op.group_tiles == 0:
                    for i in range(step * step):
                        window(op, g, source, tile, row * step + i // step,
                               col * step + i % step, x[i])  # fmt: skip
                _clear(bits)
                for i in range(step * step):
                    tile_bits(op, g, x[i], weights, tile, target, row * step + i // step,
                              col * step + i % step, bits)  # fmt: skip
                put_slice(op, g, tile, row * (op.width // step) + col, bits, target)


@kernel
def conv_phase(op, g, m, c, k, source, target, source_mem, target_mem):
    """A convolution with all it leaves behind."""
    if op.pool:
        _leave_pool_row(op, g, m, k, source, target)  # before the map of a skip is overwritten
    conv_bits(op, g, m.weights_fe, source, target, k)
    for lane in range(g.lanes):
        for tile in range(max(0, op.tiles - 2), op.tiles):
            for beat in range(op.beats):
                row = op.weight_base + (tile * g.lanes + lane) * op.beats + beat
                for i in range(9 * g.units):
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
    c.events[Event.TAPS] += beats * 9 * g.lanes
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
    x, bits, tile = k.x[0], k.bits, op.tiles - 1
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
        _clear(average)
        _clear(depthwise)
        valid = op.last_channels if w == op.words - 1 else g.channels
        for i in range(valid):
            ones = agree = 0
            for p in range(op.pixels):
                x = source[p * op.words + w, i >> 6] >> np.uint64(i & 63) & np.uint64(1)
                y = kernels[w * op.pixels + p, i >> 6] >> np.uint64(i & 63) & np.uint64(1)
                ones += np.int64(x)
                agree += np.int64(x == y)
            put_bit(average, i, 2 * ones >= op.pixels)
            put_bit(depthwise, i, 2 * agree >= op.pixels)
        put_word(g, file, w, average)
        put_word(g, file, op.words + w, depthwise)


@part
def put_word(g, file, w, word):
    """Write word w of a vector into a lane's file."""
    for u in range(g.units):
        file[w // 9, w % 9 * g.units + u] = word[u]


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
        taps = last_taps if beat == beats - 1 else 9
        for i in range(taps * g.units):
            different += popcount(weights[row + beat, i] ^ file[slot + beat, i])
    return ((beats - 1) * 9 + last_taps) * g.channels - different


@part
def dense_bits(op, g, weights, file, latent, k):
    """A dense layer from and to a lane's vectors; `latent` is written if the operation does."""
    words = -(-op.rows // g.channels)
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
    words = -(-op.rows // g.channels)
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
    c.events[Event.TAPS] += rows * ((op.beats - 1) * 9 + op.last_taps)


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
    c.events[Event.CYCLES] += 2 * seen * op.beats + 5


@kernel
def input_phase(op, g, m, c, image, stalls):
    """Pixels, with `stalls` cycles in which none was offered."""
    input_bits(op, g, m.threshold, image, m.ping)
    c.writes[Mem.PING] += op.pixels * op.words
    c.events[Event.STALLS] += stalls
    c.events[Event.IMAGES] += 1
    c.events[Event.CYCLES] += op.pixels * op.words + stalls


