"""Kernels of the packed convolutions: popcounts forward, expansion to bfloat16 for the gradients.

A map of bits is (images, groups, height + 2, width + 2, words) uint64: the groups are those of the
convolution that reads it, a word holds 64 channels, least significant bit first, and the edge holds
the pad bit. bfloat16 numbers are handled as their uint16 patterns: they are copied, never computed.
"""

from pathlib import Path

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.extending import intrinsic

from xnoreplay.spec import caches

WORD = 64
BLOCKED = -1  # code of an output whose gradient the STE stops
MINUS_ONE, PLUS_ONE = np.uint16(0xBF80), np.uint16(0x3F80)  # in bfloat16

STAMP = caches.stamp_of([Path(__file__)], [numba.__version__, np.__version__])


def kernel(function):
    """Compile a kernel; it is kept as `spec.caches` says."""
    compiled = numba.njit(nogil=True)(function)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import
        compiled._cache = caches.KernelCache(
            function,
            lambda _signature: STAMP,
            dumps,
            CompileResult._rebuild,
            numba.config.CACHE_DIR,
        )
    return compiled


@intrinsic
def _ctpop(_context, _word):
    """LLVM's population count, which it vectorises over the filters of a layer."""

    def build(_ctx, builder, _signature, arguments):
        count = cgutils.get_or_insert_function(
            builder.module,
            cgutils.ir.FunctionType(cgutils.ir.IntType(64), [cgutils.ir.IntType(64)]),
            "llvm.ctpop.i64",
        )
        return builder.call(count, arguments)

    return types.int64(types.uint64), build


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set at import

    def popcount(word):
        """Ones of a uint64 word."""
        return int(word).bit_count()

else:

    @numba.njit(inline="always")
    def popcount(word):
        """Ones of a uint64 word: int64."""
        return _ctpop(np.uint64(word))


@kernel
def thermometer(images, channel, thresholds, out):
    """Set bit n of a pixel to image[channel[n]] >= thresholds[n].

    images (n, h, w, channels) uint8; channel, thresholds (bits,); out (n, 1, h + 2, w + 2, words).
    """
    n, height, width, _ = images.shape
    for b in range(n):
        for y in range(height):
            for x in range(width):
                for k in range(out.shape[4]):
                    word = np.uint64(0)
                    for i in range(WORD):
                        j = k * WORD + i
                        word |= np.uint64(
                            images[b, y, x, channel[j]] >= thresholds[j]
                        ) << np.uint64(i)
                    out[b, 0, y + 1, x + 1, k] = word


@kernel
def _differences(bits, y, x, w, out):
    """Count the products of -1 of a window at (y, x), by filter.

    bits (h + 2, w + 2, words); w (words, 9, filters) uint64; out (filters,) int64.
    """
    for k in range(w.shape[0]):
        a, b, c = bits[y, x, k], bits[y, x + 1, k], bits[y, x + 2, k]
        d, e, f = bits[y + 1, x, k], bits[y + 1, x + 1, k], bits[y + 1, x + 2, k]
        g, h, i = bits[y + 2, x, k], bits[y + 2, x + 1, k], bits[y + 2, x + 2, k]
        v = w[k]
        for n in range(w.shape[2]):
            count = (
                popcount(a ^ v[0, n])
                + popcount(b ^ v[1, n])
                + popcount(c ^ v[2, n])
                + popcount(d ^ v[3, n])
                + popcount(e ^ v[4, n])
                + popcount(f ^ v[5, n])
                + popcount(g ^ v[6, n])
                + popcount(h ^ v[7, n])
                + popcount(i ^ v[8, n])
            )
            if k:
                out[n] += count
            else:
                out[n] = count


@kernel
def _skip(earlier, y, x, group, half, out):
    """Add a skip to the sums of a group: half its weight to or from the products of -1.

    earlier (groups, h + 2, w + 2, words) uint64; out (filters,) int64.
    """
    words = earlier.shape[3]
    for k in range(out.shape[0] // WORD):
        at = group * (out.shape[0] // WORD) + k
        word = earlier[at // words, y + 1, x + 1, at % words]
        for f in range(WORD):
            one = (word >> np.uint64(f)) & np.uint64(1)
            out[k * WORD + f] += -half if one else half


@kernel
def _pool(sums, least, which):
    """Find the least of each column of four rows of `sums`, and the first row that has it."""
    for f in range(sums.shape[1]):
        a, b, c, d = sums[0, f], sums[1, f], sums[2, f], sums[3, f]
        low = min(min(a, b), min(c, d))
        least[f] = low
        which[f] = 0 if a == low else 1 if b == low else 2 if c == low else 3


@kernel
def forward(bits, w, step, limit, earlier, half, out, code):  # noqa: C901, PLR0913  a compiled loop
    """One convolution, pooled by `step` (1 or 2), and its sign.

    Parameters
    ----------
    bits : (n, groups, h + 2, w + 2, words) uint64
    w : (groups, words, 9, filters of a group) uint64
    limit : int
        The STE passes gradients where abs(sum) is at most this.
    earlier : (n, groups of its reader, h + 2, w + 2, words) uint64
        The map that a skip adds; any where half is 0.
    half : int
        Half of the skip's weight.
    out : (n, groups of the reader, h / step + 2, w / step + 2, words) uint64
        Receives the inner pixels.
    code : (n, h / step, w / step, filters) int8
        Which of the pooled sums was the first of the greatest, row by row; or BLOCKED.
    """
    groups, words, _, member = w.shape
    fan_in = words * WORD * 9
    high, wide = code.shape[1:3]
    to_words = out.shape[4]
    sums = np.empty((4, member), np.int64)
    least, which = np.empty(member, np.int64), np.empty(member, np.int64)
    for b in range(bits.shape[0]):
        for i in range(high):
            for j in range(wide):
                for g in range(groups):
                    if step == 1:
                        _differences(bits[b, g], i, j, w[g], least)
                        if half:
                            _skip(earlier[b], i, j, g, half, least)
                        which[:] = 0
                    else:
                        for q in range(4):
                            y, x = 2 * i + q // 2, 2 * j + q % 2
                            _differences(bits[b, g], y, x, w[g], sums[q])
                            if half:
                                _skip(earlier[b], y, x, g, half, sums[q])
                        _pool(sums, least, which)
                    to = code[b, i, j, g * member : (g + 1) * member]
                    for f in range(member):
                        passes = abs(fan_in - 2 * least[f]) <= limit
                        to[f] = which[f] if passes else BLOCKED
                    for k in range(member // WORD):
                        word = np.uint64(0)
                        for f in range(WORD):
                            word |= np.uint64(2 * least[k * WORD + f] <= fan_in) << np.uint64(f)
                        at = g * (member // WORD) + k
                        out[b, at // to_words, i + 1, j + 1, at % to_words] = word


@kernel
def expand(bits, edge, out):
    """Expand a map of bits to bfloat16, without its outer `edge` pixels.

    bits (n, groups, h, w, words); out (n, h - 2 edge, w - 2 edge, channels) uint16.
    """
    words = bits.shape[4]
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                for g in range(bits.shape[1]):
                    for k in range(words):
                        word = bits[b, g, y + edge, x + edge, k]
                        at = (g * words + k) * WORD
                        to = out[b, y, x, at : at + WORD]
                        for i in range(WORD):
                            one = (word >> np.uint64(i)) & np.uint64(1)
                            to[i] = PLUS_ONE if one else MINUS_ONE


@kernel
def spread(top, edge, code, step, out):
    """Carry gradients by the pooled signs to the sums, where the STE passes them.

    top (n, h + 2 edge, w + 2 edge, filters) uint16; code (n, h, w, filters) as `forward` leaves it;
    out (n, step h, step w, filters) uint16.
    """
    filters = code.shape[3]
    for b in range(code.shape[0]):
        for y in range(code.shape[1]):
            for x in range(code.shape[2]):
                which, value = code[b, y, x], top[b, y + edge, x + edge]
                for q in range(step * step):
                    to = out[b, step * y + q // 2, step * x + q % 2]
                    for f in range(filters):
                        to[f] = value[f] if which[f] == q else np.uint16(0)
