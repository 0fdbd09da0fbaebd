"""The sign convention, packing, and dot products of one-bit numbers.

Bit 1 means +1 and bit 0 means -1, everywhere; sign(0) = +1. Unpacked bits are ``uint8`` arrays of
0 and 1. Packed bits are ``uint8`` bytes or ``uint64`` words, least significant bit first.
"""

import numpy as np
from numpy.typing import DTypeLike

WORD = 64  # bits in a packed word of the simulator


def ceil_div(a: int, b: int) -> int:
    """The least integer that is not below a / b; b is positive.

    >>> [ceil_div(a, 8) for a in (0, 1, 8, 9)]
    [0, 1, 1, 2]
    """
    return -(-a // b)


def dot(x: int, w: int, n: int) -> int:
    """Signed dot product of two n-bit words; bit 1 means +1, bit 0 means -1.

    Of n products, P are +1 and n - P are -1, so their sum is 2P - n.
    A product is +1 where the bits agree: P is the popcount of XNOR.

    >>> dot(0b1011, 0b1001, 4)
    2
    """
    return 2 * (~(x ^ w) & (1 << n) - 1).bit_count() - n


def threshold(n: int, more: int = 0) -> int:
    """Least popcount P of n products for which 2P - n + more has sign +1.

    2P - n + more >= 0 where P >= (n - more) / 2; sign(0) = +1 makes the bound inclusive. An even
    `more` shifts the threshold by its half.

    >>> [threshold(n) for n in (1, 2, 3, 576)]
    [1, 1, 2, 288]
    >>> threshold(576, 32), threshold(576, -32)
    (272, 304)
    """
    return (n - more + 1) // 2


def sign(x: np.ndarray) -> np.ndarray:
    """Bits of the signs of integers or floats: 1 where x >= 0. Same shape, uint8."""
    return (np.asarray(x) >= 0).astype(np.uint8)


def signed(bits: np.ndarray, dtype: DTypeLike = np.int64) -> np.ndarray:
    """Values +1 and -1 of bits 1 and 0, of a signed type: int64 where none is given. Same shape.

    >>> signed(np.array([1, 0], np.uint8), np.float32)
    array([ 1., -1.], dtype=float32)
    """
    return 2 * bits.astype(dtype) - 1


def pack_bytes(bits: np.ndarray) -> np.ndarray:
    """Pack the last axis into bytes, least significant bit first, zero-padded.

    (..., n) uint8 of 0/1 -> (..., ceil(n / 8)) uint8.
    """
    return np.packbits(bits, axis=-1, bitorder="little")


def unpack_bytes(packed: np.ndarray, n: int) -> np.ndarray:
    """Inverse of `pack_bytes`: (..., ceil(n / 8)) uint8 -> (..., n) uint8 of 0/1."""
    return np.unpackbits(packed, axis=-1, count=n, bitorder="little")


def padded(bits: np.ndarray, word: int) -> np.ndarray:
    """Add zeros to the last axis, to a multiple of `word`: (..., n) -> (..., word * ceil(n / word))."""
    n = bits.shape[-1]
    if n % word == 0:
        return bits
    wide = np.zeros((*bits.shape[:-1], n + -n % word), bits.dtype)
    wide[..., :n] = bits
    return wide


def pack_words(bits: np.ndarray) -> np.ndarray:
    """Pack the last axis into 64-bit words, least significant bit first, zero-padded.

    (..., n) uint8 of 0/1 -> (..., ceil(n / 64)) uint64.
    """
    return np.ascontiguousarray(pack_bytes(padded(bits, WORD))).view(np.uint64)


def unpack_words(packed: np.ndarray, n: int) -> np.ndarray:
    """Inverse of `pack_words`: (..., ceil(n / 64)) uint64 -> (..., n) uint8 of 0/1."""
    return unpack_bytes(np.ascontiguousarray(packed).view(np.uint8), n)


def to_int(bits: np.ndarray) -> int:
    """The integer whose bit i is ``bits[i]``.

    >>> to_int(np.array([1, 0, 1], np.uint8))
    5
    """
    return int.from_bytes(pack_bytes(np.asarray(bits, np.uint8)).tobytes(), "little")
