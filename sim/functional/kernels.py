"""Eight images side by side, from pixels to classes; a word of each of them is a lane of Words.

Rows of weights are words in nines, window words in the same order; a layer's bit is 1 where few
enough products of the two are -1. Those are ones of x ^ w, counted nine words at a time with less
than a population count a word. Let q_k be the parity of the first k + 1 of the words x_i ^ w_i,
bit by bit. With words k + 1 and k + 2 joins a full adder

    q_k + (x_k+1 ^ w_k+1) + (x_k+2 ^ w_k+2) = q_k+2 + 2 carry,   carry = not q_k+2 if q_k+1 else q_k,

so that nine words have ones(q_8) + 2 (ones of four carries). A parity of x ^ w is a parity of x's
words ^ a parity of w's: `prefixes` of both are made beforehand, and one ^ gives any q. Words 2 and
6 of the weights are complemented, which spares the `not`: the first and the third carry come out as
they are, the others complemented, and COMPLEMENTS is what the sum then lacks.

A map is (planes * (height + 2) * (width + 2), LANES): a plane is one uint64 of each pixel, framed
by pads.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import FULL, ONE, ZERO, ceil_div, kernel, low_bits, part
from xnoreplay.sim.common.program import conv_of
from xnoreplay.sim.common.vectors import LANES, at_most, load, ones, splat, store
from xnoreplay.spec.network import COPIES, TAPS

NINE = 9
COMPLEMENTS = 2 * 2 * 64


class Run(NamedTuple):
    """Filters of a convolution whose bits lie side by side in one word; a row of a table of int64."""

    conv: int
    group: int
    first: int  # filter of the group
    count: int  # type: ignore[assignment]
    plane: int  # of the map it makes
    bit: int  # where the first one's bit goes


class Weights(NamedTuple):
    """Rows of weights as `prefixes` of nines, and LGAP's kernels."""

    features: np.ndarray  # (rows * units, 9) uint64
    top: np.ndarray  # (rows * units, 9) uint64
    lgap: np.ndarray  # (words * pixels, units) uint64


class Rows(NamedTuple):
    """Rows of weights whose bits lie side by side in one word."""

    weights: np.ndarray  # (nines of all rows, 9) uint64, as `prefixes`
    first: int  # nine with which the first row begins
    nines: int  # of a row
    count: int  # type: ignore[assignment]  # rows, at most 64
    limit: int  # a bit is 1 where at most so many products are -1, COMPLEMENTS included
    shift: int  # a skip's bit of 1 raises the limit by it, a bit of 0 lowers it; 0: no skip


class Maps(NamedTuple):
    """What a convolution reads and writes."""

    source: np.ndarray  # (rows, LANES) uint64
    earlier: np.ndarray  # (rows, LANES) uint64, the map that a skip adds
    target: np.ndarray  # (rows, LANES) uint64


class Images(NamedTuple):
    """Images that are classified."""

    words: np.ndarray  # (image channels, 256, words, units) uint64, thermometer bits of each value
    pixels: np.ndarray  # (n, pixels, image channels) uint8
    given: (
        np.ndarray
    )  # (n, words * units) uint64: latents where these are given, (n, 0) where there are images


class Answers(NamedTuple):
    """What is found of each image."""

    latents: np.ndarray  # (ceil(n / LANES), words * units, LANES) uint64
    classes: np.ndarray  # (n,) int64, written where classes were seen


class Room(NamedTuple):
    """Where eight images are worked on."""

    maps: np.ndarray  # (4, rows, LANES) uint64: three maps in turn, and one before pooling
    window: np.ndarray  # (nines * 9, LANES) uint64
    sums: np.ndarray  # (rows of weights, LANES) uint64
    counter: np.ndarray  # (bits, LANES) uint64
    file: np.ndarray  # (slots * 9 units, LANES) uint64, the vectors as in a lane's file


def prefixes(rows: np.ndarray) -> np.ndarray:
    """Parities of the first words of each nine: (n, 9) uint64, the same shape."""
    coded = np.bitwise_xor.accumulate(rows, axis=1)
    coded[:, [2, 6]] ^= FULL
    return coded


@part
def _nine(window, k):
    """Words of a window's k-th nine, which stay in registers while rows of weights pass."""
    i = NINE * k
    return (
        load(window, i),
        load(window, i + 1),
        load(window, i + 2),
        load(window, i + 3),
        load(window, i + 4),
        load(window, i + 5),
        load(window, i + 6),
        load(window, i + 7),
        load(window, i + 8),
    )


@part
def _choose(mask, a, b):
    """Bits of a where the mask has ones, of b elsewhere: one instruction where there is one."""
    return ((a ^ b) & mask) ^ b


@part
def _differences(x, weights, i):
    """Products of -1 of nine words with row i of the weights, less COMPLEMENTS."""
    q0, q1, n2 = (
        x[0] ^ splat(weights[i, 0]),
        x[1] ^ splat(weights[i, 1]),
        x[2] ^ splat(weights[i, 2]),
    )
    q3, q4, q5 = (
        x[3] ^ splat(weights[i, 3]),
        x[4] ^ splat(weights[i, 4]),
        x[5] ^ splat(weights[i, 5]),
    )
    n6, q7, q8 = (
        x[6] ^ splat(weights[i, 6]),
        x[7] ^ splat(weights[i, 7]),
        x[8] ^ splat(weights[i, 8]),
    )
    carries = ones(_choose(q1, n2, q0)) + ones(_choose(q5, n6, q4))
    complemented = ones(_choose(q3, q4, n2)) + ones(_choose(q7, q8, n6))
    twos = carries - complemented
    return ones(q8) + (twos + twos)


@part
def _put(window, i, value):
    """Write word i of a window, as `prefixes` have it but for the complements."""
    if i % NINE:
        value = value ^ load(window, i - 1)
    store(window, i, value)


@part
def _add_nines(window, nines, stop, weights, row, rows, sums):
    """Add up the differences of rows over their first `stop` nines, into sums (rows, LANES)."""
    for k in range(stop):
        x = _nine(window, k)
        for f in range(rows):
            count = _differences(x, weights, row + f * nines + k)
            if k:
                count = count + load(sums, f)
            store(sums, f, count)


@part
def _word(window, rows, sums, bit, skip):
    """Form the bits of `Rows` at one pixel, the first one's at `bit` of a word.

    sums: differences of the other nines, where a row has several; skip: the bits of a skip, in place.
    """
    nines, limit, shift = rows.nines, rows.limit, rows.shift
    x = _nine(window, nines - 1)
    word = splat(ZERO)
    for f in range(rows.count):
        count = _differences(x, rows.weights, rows.first + f * nines + nines - 1)
        if nines > 1:
            count = count + load(sums, f)
        own = ONE << np.uint64(bit + f)
        if shift:
            raised = at_most(count, limit + shift, own) & skip
            word = word | raised | at_most(count, limit - shift, own)
        else:
            word = word | at_most(count, limit, own)
    return word


@part
def _enter(op, geometry, images, first, wide, target):
    """Write the thermometer bits of eight images from number `first` on into a map `wide` words wide.

    The last image is repeated where there are fewer.
    """
    words, pixels = images.words, images.pixels
    inner = wide - 2
    area = (op.pixels // inner + 2) * wide
    for p in range(op.pixels):
        at = (p // inner + 1) * wide + p % inner + 1
        for w in range(op.words):
            for u in range(geometry.units):
                row = target[(w * geometry.units + u) * area + at]
                for lane in range(LANES):
                    pixel = pixels[min(first + lane, pixels.shape[0] - 1), p]
                    bits = words[0, pixel[0], w, u]
                    for c in range(1, words.shape[0]):
                        bits |= words[c, pixel[c], w, u]
                    row[lane] = bits


@part
def _frame(op, geometry, source):
    """Write the pads around the map that a convolution reads."""
    high, wide = op.height + 2, op.width + 2
    for plane in range(op.source_words * geometry.units):
        last = plane // geometry.units % op.beats == op.beats - 1
        valid = op.last_channels if last else geometry.channels
        pad = splat(low_bits(valid - 64 * (plane % geometry.units)) if op.pad_bit else ZERO)
        first = plane * high * wide
        for x in range(wide):
            store(source, first + x, pad)
            store(source, first + (high - 1) * wide + x, pad)
        for y in range(high):
            store(source, first + y * wide, pad)
            store(source, first + y * wide + wide - 1, pad)


@part
def _look(op, geometry, source, group, y, x, window):
    """Write the window around a pixel of a group of channels, words in the order of the weights."""
    high, wide, i = op.height + 2, op.width + 2, 0
    for beat in range(op.beats):
        for tap in range(TAPS):
            for u in range(geometry.units):
                plane = (group * op.beats + beat) * geometry.units + u
                at = (plane * high + y + tap // 3) * wide + x + tap % 3
                _put(window, i, load(source, at))
                i += 1


@part
def _convolve(op, geometry, runs, begin, weights, maps, room):
    """Compute a convolution before pooling, from run `begin` on; return the run past its last."""
    filters, nines = op.group_tiles * op.lanes, op.beats * geometry.units
    limit = TAPS * geometry.channels * op.beats - op.threshold - COMPLEMENTS * nines
    area, wide = (op.height + 2) * (op.width + 2), op.width + 2
    for group in range(op.tiles // op.group_tiles):
        end, rows = begin, 0
        while end < runs.shape[0] and runs[end, 0] == op.index and runs[end, 1] == group:
            rows += runs[end, 3]
            end += 1
        first = (op.weight_base + group * filters * op.beats) * geometry.units
        for pixel in range(op.height * op.width):
            y, x = pixel // op.width, pixel % op.width
            _look(op, geometry, maps.source, group, y, x, room.window)
            _add_nines(room.window, nines, nines - 1, weights, first, rows, room.sums)
            for n in range(begin, end):
                f, count, plane, bit = runs[n, 2], runs[n, 3], runs[n, 4], runs[n, 5]
                at = plane * area + (y + 1) * wide + x + 1
                own = Rows(weights, first + f * nines, nines, count, limit, op.skip_shift)
                word = _word(room.window, own, room.sums[f:], bit, load(maps.earlier, at))
                store(maps.target, at, word | load(maps.target, at) if bit else word)
        begin = end
    return begin


@part
def _pool(op, planes, source, target):
    """OR the bits of four pixels of each plane."""
    high, wide = op.height // 2, op.width // 2
    for plane in range(planes):
        for pixel in range(high * wide):
            y, x = pixel // wide, pixel % wide
            at = (plane * (op.height + 2) + 2 * y + 1) * (op.width + 2) + 2 * x + 1
            below = at + op.width + 2
            upper = load(source, at) | load(source, at + 1)
            lower = load(source, below) | load(source, below + 1)
            store(target, (plane * (high + 2) + y + 1) * (wide + 2) + x + 1, upper | lower)


@part
def _lgap(op, geometry, kernels, wide, source, room):
    """Average and depthwise bits into the file, from counters of one bit a Words.

    2 n >= pixels where n + start reaches 2^top, the counter's last bit.
    """
    top = 0
    while 1 << top < op.pixels:
        top += 1
    start = (1 << top) - (op.pixels + 1) // 2
    inner = wide - 2
    area = (op.pixels // inner + 2) * wide
    for w in range(op.words):
        valid = op.last_channels if w == op.words - 1 else geometry.channels
        for u in range(geometry.units):
            for path in range(2):
                for k in range(top + 1):
                    store(room.counter, k, splat(FULL if start >> k & 1 else ZERO))
                for p in range(op.pixels):
                    at = (w * geometry.units + u) * area + (p // inner + 1) * wide + p % inner + 1
                    carry = load(source, at)
                    if path:
                        carry = carry ^ splat(~kernels[w * op.pixels + p, u])
                    for k in range(top + 1):
                        count = load(room.counter, k)
                        store(room.counter, k, count ^ carry)
                        carry = count & carry
                bits = load(room.counter, top) & splat(low_bits(valid - 64 * u))
                store(room.file, (path * op.words + w) * geometry.units + u, bits)


@part
def _look_at_vector(op, geometry, room):
    """Write the window of a dense layer: its source in the file, zeros past its last tap."""
    first, used = (
        op.source_slot * TAPS * geometry.units,
        ((op.beats - 1) * TAPS + op.last_taps) * geometry.units,
    )
    for i in range(op.beats * TAPS * geometry.units):
        _put(room.window, i, load(room.file, first + i) if i < used else splat(ZERO))


@part
def _dense(op, geometry, weights, room):
    """Compute a dense layer from and to the file."""
    nines = op.beats * geometry.units
    limit = (
        ((op.beats - 1) * TAPS + op.last_taps) * geometry.channels
        - op.threshold
        - COMPLEMENTS * nines
    )
    _look_at_vector(op, geometry, room)
    for n in range(ceil_div(op.rows, geometry.channels)):
        for u in range(geometry.units):
            first = n * geometry.channels + 64 * u
            rows = max(0, min(64, geometry.channels, op.rows - first))
            row = (op.weight_base + first * op.beats) * geometry.units
            _add_nines(room.window, nines, nines - 1, weights, row, rows, room.sums)
            own = Rows(weights, row, nines, rows, limit, 0)
            word = _word(room.window, own, room.sums, 0, splat(ZERO))
            store(room.file, (op.destination_word + n) * geometry.units + u, word)


@part
def _best(op, geometry, weights, room, seen, out):
    """The class of the fewest differences over both copies, the first of equals: (n,) int64."""
    nines = op.beats * geometry.units
    _look_at_vector(op, geometry, room)
    _add_nines(
        room.window,
        nines,
        nines,
        weights,
        op.weight_base * geometry.units,
        COPIES * seen,
        room.sums,
    )
    for lane in range(out.shape[0]):
        least, out[lane] = np.int64(0), 0
        for label in range(seen):
            row = COPIES * label
            total = np.int64(room.sums[row, lane]) + np.int64(room.sums[row + 1, lane])
            if label == 0 or total < least:
                least, out[lane] = total, label


@part
def _take(images, geometry, first, slot, file):
    """Put eight given latents from number `first` on into a file from a slot on; the last where there are fewer."""
    at = slot * TAPS * geometry.units
    for i in range(images.given.shape[1]):
        for lane in range(LANES):
            file[at + i, lane] = images.given[min(first + lane, images.given.shape[0] - 1), i]


@part
def _extract(program, runs, weights, room, images, first):
    """Leave the latents of eight images from number `first` on where the latent layer writes them."""
    geometry, run = program.geometry, 0
    op = conv_of(program.convs, 0)
    _enter(program.input, geometry, images, first, op.width + 2, room.maps[0])
    for n in range(program.convs.shape[0]):
        op = conv_of(program.convs, n)
        source, earlier, target = (
            room.maps[n % 3],
            room.maps[(n + 2) % 3],
            room.maps[(n + 1) % 3],
        )
        _frame(op, geometry, source)
        if op.pool:
            maps = Maps(source, earlier, room.maps[3])
            run = _convolve(op, geometry, runs, run, weights.features, maps, room)
            _pool(op, op.destination_words * geometry.units, room.maps[3], target)
        else:
            maps = Maps(source, earlier, target)
            run = _convolve(op, geometry, runs, run, weights.features, maps, room)
    wide = (op.width // 2 if op.pool else op.width) + 2
    source = room.maps[program.convs.shape[0] % 3]
    _lgap(program.lgap, geometry, weights.lgap, wide, source, room)
    _dense(program.latent, geometry, weights.features, room)


@kernel
def classify(program, runs, weights, room, images, seen, answers):
    """Latents of images, and predictions where classes were seen; needs no interpreter lock."""
    geometry, latents = program.geometry, answers.latents
    for block in range(latents.shape[0]):
        first = LANES * block
        if program.input.part:
            _take(images, geometry, first, program.hidden.source_slot, room.file)
        else:
            _extract(program, runs, weights, room, images, first)
        for i in range(latents.shape[1]):
            store(
                latents[block],
                i,
                load(room.file, program.hidden.source_slot * TAPS * geometry.units + i),
            )
        if seen:
            _dense(program.hidden, geometry, weights.top, room)
            _best(
                program.output,
                geometry,
                weights.top,
                room,
                seen,
                answers.classes[first : first + LANES],
            )
