"""Fast mode, images: what a phase does, in one go.

The functions named `..._bits` compute what an operation writes for a consumer. The others leave
every memory and counter as the clocks of a phase would.
"""

from collections.abc import Sequence
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
from xnoreplay.sim.common.program import Geometry
from xnoreplay.sim.common.state import Scalar
from xnoreplay.spec import timeline
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Convolution

stream_cycles = part(timeline.stream_cycles)


class Room(NamedTuple):
    """Where a phase of an image is worked on: kernels allocate nothing."""

    x: np.ndarray  # (beats, 9 units) uint64, a window
    columns: np.ndarray  # (rows, filters) uint64, weights as `load_columns` lays them
    sums: np.ndarray  # (2, filters) int64, products of -1 by filter
    ones: np.ndarray  # (2, 64 units) int64, counters of a word's channels
    bits: np.ndarray  # (lanes,) uint8, outputs of a tile
    word: np.ndarray  # (2, units) uint64, words being collected


def new_room(geometry: Geometry, convolutions: Sequence[Convolution]) -> Room:
    """Room for any of these convolutions, and for the other phases of an image."""
    beats = max([op.beats for op in convolutions], default=0)
    filters = max([op.group_tiles for op in convolutions], default=0) * geometry.lanes
    tall = max([op.tiles // op.group_tiles * op.beats for op in convolutions], default=0)
    rows = tall * TAPS * geometry.units
    return Room(
        np.zeros((beats, TAPS * geometry.units), np.uint64),
        np.zeros((rows, filters), np.uint64),
        np.zeros((2, filters), np.int64),
        np.zeros((2, 64 * geometry.units), np.int64),
        np.zeros(geometry.lanes, np.uint8),
        np.zeros((2, geometry.units), np.uint64),
    )


@part
def input_bits(op, geometry, threshold, image, target):
    """Write the thermometer words of a (pixels, channels) uint8 image into (pixels * words, units) uint64."""
    for p in range(op.pixels):
        for w in range(op.words):
            row = target[p * op.words + w]
            first = w * geometry.channels
            for u in range(geometry.units):
                bits = ZERO
                for i in range(64 * u, min(64 * (u + 1), geometry.channels, op.bits - first)):
                    reached = image[p, op.channel[first + i]] >= threshold[first + i]
                    bits |= np.uint64(reached) << np.uint64(i & 63)
                row[u] = bits


@part
def _clear(words):
    """Set every word to zero."""
    for i in range(words.shape[0]):
        words[i] = 0


@part
def source_word(op, tile, beat):
    """Word of a pixel that a beat of a tile reads."""
    return (tile // op.group_tiles) * op.beats + beat


@part
def window(op, geometry, source, tile, row, col, out):
    """Write the (beats, 9 units) operand around one pixel to `out`."""
    for beat in range(op.beats):
        word = source_word(op, tile, beat)
        valid = op.last_channels if beat == op.beats - 1 else geometry.channels
        for tap in range(TAPS):
            y, x = row + tap // 3 - 1, col + tap % 3 - 1
            inside = 0 <= y < op.height and 0 <= x < op.width
            for u in range(geometry.units):
                if inside:
                    bits = source[(y * op.width + x) * op.source_words + word, u]
                else:
                    bits = low_bits(geometry.unit_bits) if op.pad_bit else ZERO
                out[beat, tap * geometry.units + u] = bits & low_bits(valid - 64 * u)


@part
def window_sum(op, geometry, x, weights, row):
    """Raw popcount of one filter, whose first beat is in `row`."""
    different = 0
    for beat in range(op.beats):
        for i in range(x.shape[1]):
            different += popcount(x[beat, i] ^ weights[row + beat, i])
    return TAPS * geometry.channels * op.beats - different


@part
def tile_bits(op, geometry, room, weights, target, tile, pixel):
    """OR the bits of a tile's filters at one pixel into room.bits.

    The pixel's window is in room.x; a skip is in `target`.
    """
    word, first = place(op, geometry, tile)
    for lane in range(geometry.lanes):
        least = op.threshold
        if op.skip_shift:
            skip = target[pixel * op.destination_words + word]
            least += op.skip_shift * (1 - 2 * get_bit(skip, first + lane))
        weight = op.weight_base + (tile * geometry.lanes + lane) * op.beats
        if window_sum(op, geometry, room.x, weights, weight) >= least:
            room.bits[lane] = 1


@part
def place(op, geometry, tile):
    """Word of a destination pixel that holds a tile's bits, and the first of them in it."""
    group = tile // op.destination_group_tiles
    member = tile % op.destination_group_tiles
    words = ceil_div(op.destination_group_tiles, op.word_tiles)
    return group * words + member // op.word_tiles, member % op.word_tiles * geometry.lanes


@part
def load_columns(op, geometry, weights, out):
    """Lay the filters of each group side by side, so that one instruction takes several.

    Word i of beat b of a filter is out[(group * beats + b) * 9 units + i, filter].
    """
    filters, words = op.group_tiles * geometry.lanes, TAPS * geometry.units
    for group in range(op.tiles // op.group_tiles):
        for f in range(filters):
            row = op.weight_base + (group * filters + f) * op.beats
            for beat in range(op.beats):
                for i in range(words):
                    out[(group * op.beats + beat) * words + i, f] = weights[row + beat, i]


@part
def differences(op, geometry, x, w, first, filters, out):
    """Count the products of -1 of a window with each filter, into out (filters,) int64."""
    for f in range(filters):
        out[f] = 0
    for beat in range(op.beats):
        for j in range(0, TAPS * geometry.units, TAPS):
            x0, x1, x2 = x[beat, j], x[beat, j + 1], x[beat, j + 2]
            x3, x4, x5 = x[beat, j + 3], x[beat, j + 4], x[beat, j + 5]
            x6, x7, x8 = x[beat, j + 6], x[beat, j + 7], x[beat, j + 8]
            v = w[first + beat * TAPS * geometry.units + j :]
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
def put_tiles(op, geometry, group, pixel, sums, limit, target):
    """Write the bits of a group's tiles at one pixel; a bit is 1 where sums are at most `limit`."""
    for t in range(op.group_tiles):
        word, first = place(op, geometry, group * op.group_tiles + t)
        row = target[pixel * op.destination_words + word]
        if geometry.lanes <= 64:
            bits = ZERO
            for lane in range(geometry.lanes):
                bits |= np.uint64(sums[t * geometry.lanes + lane] <= limit) << np.uint64(lane)
            shift = np.uint64(first & 63)
            keep = row[first >> 6] & ~(low_bits(geometry.lanes) << shift)
            row[first >> 6] = keep | bits << shift
        else:
            for lane in range(geometry.lanes):
                put_bit(row, first + lane, sums[t * geometry.lanes + lane] <= limit)


@part
def add_skip(op, geometry, group, pixel, sums, target):
    """Let the bits of a skip, in `target` at a pixel before pooling, move the sums.

    A pixel's bits are read before they are written, with pooling too, which writes behind what it reads.
    """
    for t in range(op.group_tiles):
        word, first = place(op, geometry, group * op.group_tiles + t)
        row = target[pixel * op.destination_words + word]
        for lane in range(geometry.lanes):
            sums[t * geometry.lanes + lane] += op.skip_shift * (1 - 2 * get_bit(row, first + lane))


@part
def conv_bits(op, geometry, source, target, room):
    """Compute a convolution from map to map; its weights lie in room.columns."""
    step = 2 if op.pool else 1
    filters, rows = op.group_tiles * geometry.lanes, op.beats * TAPS * geometry.units
    limit = TAPS * geometry.channels * op.beats - op.threshold
    wide = op.width // step
    least, other = room.sums[0], room.sums[1]
    for group in range(op.tiles // op.group_tiles):
        tile, start = group * op.group_tiles, group * rows
        for pixel in range(op.height // step * wide):
            row, col = pixel // wide * step, pixel % wide * step
            for i in range(step * step):
                window(op, geometry, source, tile, row + i // step, col + i % step, room.x)
                sums = least if i == 0 else other
                differences(op, geometry, room.x, room.columns, start, filters, sums)
                if op.skip_shift:
                    at = (row + i // step) * op.width + col + i % step
                    add_skip(op, geometry, group, at, sums, target)
                if i:
                    for f in range(filters):
                        least[f] = min(least[f], other[f])
            put_tiles(op, geometry, group, pixel, least, limit, target)


@part
def _maps(op, memory):
    """(source, target): the feature maps that a convolution reads and writes."""
    if op.index & 1:
        return memory.pong, memory.ping
    return memory.ping, memory.pong


@kernel
def conv_phase(op, geometry, memory, counters, room, row_out):
    """Leave memories, counters, and the words that the line buffer's rings give, as the clocks of a convolution do."""
    source, target = _maps(op, memory)
    if op.pool:
        # Before the map of a skip is overwritten.
        _leave_pool_row(op, geometry, memory, room, source, target)
    load_columns(op, geometry, memory.weights_fe, room.columns)
    conv_bits(op, geometry, source, target, room)
    _leave_weights(op, geometry, memory)
    moves = op.cycles - op.load - 1
    for n in range(moves - op.row, moves):
        for u in range(geometry.units):
            memory.row0[n % op.row, u] = _entered(op, source, n, u)
            memory.row1[n % op.row, u] = _entered(op, source, n - op.row, u)
    for u in range(geometry.units):
        row_out[0, u] = memory.row0[moves % op.row, u]
        row_out[1, u] = memory.row1[moves % op.row, u]
    _count_conv(op, geometry, counters, moves)


@part
def _leave_weights(op, geometry, memory):
    """Leave the weights of a convolution's last two tiles in the lanes' files."""
    for lane in range(geometry.lanes):
        for tile in range(max(0, op.tiles - 2), op.tiles):
            for beat in range(op.beats):
                row = op.weight_base + (tile * geometry.lanes + lane) * op.beats + beat
                for i in range(TAPS * geometry.units):
                    bits = memory.weights_fe[row, i]
                    memory.lane_file[lane, tile % 2 * op.beats + beat, i] = bits


@part
def _count_conv(op, geometry, counters, moves):
    """Count a convolution, whose line buffer moved so many times."""
    source = Mem.PONG if op.index & 1 else Mem.PING
    target = Mem.PING if op.index & 1 else Mem.PONG
    pixels = op.height * op.width
    outputs = op.tiles * pixels
    if op.pool:
        outputs //= 4
        counters.reads[Mem.POOL_ROW] += outputs
        counters.writes[Mem.POOL_ROW] += outputs
    beats = op.tiles * pixels * op.beats
    counters.reads[Mem.WEIGHTS_FE] += op.tiles * op.load
    counters.writes[Mem.LANE_FILE] += op.tiles * op.load
    counters.reads[source] += beats
    if op.skip_shift:
        counters.reads[target] += op.tiles * pixels
    counters.writes[target] += outputs
    counters.reads[Mem.LANE_FILE] += beats * geometry.lanes
    counters.events[Event.BEATS] += beats
    counters.events[Event.TAPS] += beats * TAPS * geometry.lanes
    for mem in (Mem.ROW0, Mem.ROW1):
        counters.reads[mem] += moves
        counters.writes[mem] += moves
    counters.events[Event.CYCLES] += op.cycles


@part
def _entered(op, source, n, u):
    """Word u of what entered the line buffer in its n-th move."""
    tile, step = n // op.period, n % op.period
    if n < 0 or tile >= op.tiles or step >= op.height * op.width * op.beats:
        return ZERO
    word = source_word(op, tile, step % op.beats)
    return source[step // op.beats * op.source_words + word, u]


@part
def _leave_pool_row(op, geometry, memory, room, source, target):
    """Leave the last tile's bits of the last row but one, pooled by column, in pool.row."""
    tile, row = op.tiles - 1, op.height - 2
    for col in range(op.width // 2):
        _clear(room.bits)
        for i in range(2):
            window(op, geometry, source, tile, row, 2 * col + i, room.x)
            pixel = row * op.width + 2 * col + i
            tile_bits(op, geometry, room, memory.weights_fe, target, tile, pixel)
        for lane in range(geometry.lanes):
            put_bit(memory.pool_row[col], lane, room.bits[lane])


@part
def lgap_bits(op, geometry, kernels, source, file, room):
    """Write average and depthwise bits into the vector at slot 0 of a lane's file (slots, 9 units)."""
    for w in range(op.words):
        average, depthwise = room.word[0], room.word[1]
        ones, agree = room.ones[0], room.ones[1]
        for i in range(64 * geometry.units):
            ones[i] = agree[i] = 0
        for p in range(op.pixels):
            for u in range(geometry.units):
                x = source[p * op.words + w, u]
                same = ~(x ^ kernels[w * op.pixels + p, u])
                for i in range(64):
                    ones[64 * u + i] += np.int64(x >> np.uint64(i) & ONE)
                    agree[64 * u + i] += np.int64(same >> np.uint64(i) & ONE)
        valid = op.last_channels if w == op.words - 1 else geometry.channels
        for u in range(geometry.units):
            first = second = ZERO
            for i in range(64):
                first |= np.uint64(2 * ones[64 * u + i] >= op.pixels) << np.uint64(i)
                second |= np.uint64(2 * agree[64 * u + i] >= op.pixels) << np.uint64(i)
            average[u] = first & low_bits(valid - 64 * u)
            depthwise[u] = second & low_bits(valid - 64 * u)
        put_word(geometry, file, w, average)
        put_word(geometry, file, op.words + w, depthwise)


@part
def put_word(geometry, file, w, word):
    """Write word w of a vector into a lane's file."""
    for u in range(geometry.units):
        file[w // TAPS, w % TAPS * geometry.units + u] = word[u]


@kernel
def lgap_phase(op, geometry, memory, counters, room):
    """Leave memories and counters as the clocks of LGAP do."""
    source, _ = _maps(op, memory)
    lgap_bits(op, geometry, memory.weights_lgap, source, memory.lane_file[0], room)
    counters.reads[Mem.PONG if op.index & 1 else Mem.PING] += op.words * op.pixels
    counters.reads[Mem.WEIGHTS_LGAP] += op.words * op.pixels
    counters.events[Event.TAP_WRITES] += 2 * op.words
    counters.events[Event.CYCLES] += op.cycles


@part
def dense_sum(geometry, weights, row, beats, last_taps, file, slot):
    """Raw popcount of one row of weights against a lane's vector."""
    different = 0
    for beat in range(beats):
        taps = last_taps if beat == beats - 1 else TAPS
        for i in range(taps * geometry.units):
            different += popcount(weights[row + beat, i] ^ file[slot + beat, i])
    return ((beats - 1) * TAPS + last_taps) * geometry.channels - different


@part
def dense_bits(op, geometry, weights, file, latent, room):
    """Compute a dense layer from and to a lane's vectors; act.latent is written if the operation does."""
    words = ceil_div(op.rows, geometry.channels)
    word = room.word[0]
    for w in range(words):
        _clear(word)
        first = w * geometry.channels
        for i in range(min(geometry.channels, op.rows - first)):
            row = op.weight_base + (first + i) * op.beats
            total = dense_sum(geometry, weights, row, op.beats, op.last_taps, file, op.source_slot)
            put_bit(word, i, total >= op.threshold)
        put_word(geometry, file, op.destination_word + w, word)
        if op.to_latent:
            for u in range(geometry.units):
                latent[w, u] = word[u]


@kernel
def dense_phase(op, geometry, memory, counters, room):
    """Leave memories and counters as the clocks of a dense layer of one image do."""
    weights = memory.cls_top if op.from_top else memory.weights_fe
    dense_bits(op, geometry, weights, memory.lane_file[0], memory.latent, room)
    words = ceil_div(op.rows, geometry.channels)
    counters.events[Event.TAP_WRITES] += words
    if op.to_latent:
        counters.writes[Mem.LATENT] += words
    _count_rows(op, counters, op.rows, Mem.CLS_TOP if op.from_top else Mem.WEIGHTS_FE)
    counters.events[Event.CYCLES] += op.cycles


@part
def _count_rows(op, counters, rows, mem):
    """Count the reads and beats of so many rows of weights of a dense layer."""
    counters.reads[mem] += rows * op.beats
    counters.reads[Mem.LANE_FILE] += rows * op.beats
    counters.events[Event.BEATS] += rows * op.beats
    counters.events[Event.TAPS] += rows * ((op.beats - 1) * TAPS + op.last_taps)


@part
def logit_sum(op, geometry, weights, file, label):
    """Raw popcount of a class over both copies."""
    total = 0
    for copy in range(COPIES):
        row = op.weight_base + (COPIES * label + copy) * op.beats
        total += dense_sum(geometry, weights, row, op.beats, op.last_taps, file, op.source_slot)
    return total


@part
def best_class(op, geometry, weights, file, seen, otherwise):
    """The class with the largest sum, the first of equals; `otherwise` if none was seen."""
    best, label = -1, otherwise
    for i in range(seen):
        total = logit_sum(op, geometry, weights, file, i)
        if total > best:
            best, label = total, i
    return label


@kernel
def output_phase(op, geometry, memory, counters, scalars):
    """Leave the prediction and the counters as the clocks of the output layer do."""
    seen = scalars[Scalar.SEEN]
    scalars[Scalar.PREDICTION] = best_class(
        op, geometry, memory.cls_top, memory.lane_file[0], seen, scalars[Scalar.PREDICTION]
    )
    _count_rows(op, counters, COPIES * seen, Mem.CLS_TOP)
    counters.events[Event.CYCLES] += stream_cycles(COPIES * seen * op.beats)


@kernel
def input_phase(op, geometry, memory, counters, image, stalls):
    """Leave memories and counters as the pixels of an image do, with `stalls` cycles in which none was offered."""
    input_bits(op, geometry, memory.threshold, image, memory.ping)
    counters.writes[Mem.PING] += op.pixels * op.words
    counters.events[Event.STALLS] += stalls
    counters.events[Event.IMAGES] += 1
    counters.events[Event.CYCLES] += op.pixels * op.words + stalls


@kernel
def latent_phase(op, geometry, memory, counters, transfers, stalls, room):
    """Leave memories and counters as the parts of a latent do, with `stalls` cycles in which none was offered.

    transfers (transfers, bytes) uint8.
    """
    words = ceil_div(op.bits, geometry.channels)
    word = room.word[0]
    for w in range(words):
        _clear(word)
        first = w * geometry.channels
        for i in range(min(geometry.channels, op.bits - first)):
            t, b = (first + i) // op.part, (first + i) % op.part
            put_bit(word, i, transfers[t, b >> 3] >> (b & 7) & 1)
        put_word(geometry, memory.lane_file[0], w, word)
        for u in range(geometry.units):
            memory.latent[w, u] = word[u]
    counters.events[Event.TAP_WRITES] += words
    counters.writes[Mem.LATENT] += words
    counters.events[Event.STALLS] += stalls
    counters.events[Event.IMAGES] += 1
    counters.events[Event.CYCLES] += op.pixels + stalls
