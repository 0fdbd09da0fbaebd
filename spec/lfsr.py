"""The linear feedback shift registers of the chip.

`draw` steps the 32-bit source of random bits by eight; `walk_next` steps the short register whose
maximal sequence visits every index once; `wide_next` steps the register from which latents are drawn.
"""

MASK32 = (1 << 32) - 1

WALK_TAPS = {
    1: (1,),
    2: (2, 1),
    3: (3, 2),
    4: (4, 3),
    5: (5, 3),
    6: (6, 5),
    7: (7, 6),
    8: (8, 6, 5, 4),
    9: (9, 5),
    10: (10, 7),
    11: (11, 9),
    12: (12, 6, 4, 1),
    13: (13, 4, 3, 1),
    14: (14, 5, 3, 1),
    15: (15, 14),
    16: (16, 15, 13, 4),
}
"""Taps of maximal-length registers of 1 to 16 bits (Xilinx XAPP052, table 3)."""


def draw(state: int) -> int:
    """Step a 32-bit register by eight: taps 32, 30, 26, 25, shifting left.

    The lowest tap, 25, is more than eight bits from the low end, so the eight new bits depend on
    the old state alone and form one byte of XORs.

    >>> hex(draw(1 << 31))
    '0x80'
    """
    byte = (state >> 24 ^ state >> 22 ^ state >> 18 ^ state >> 17) & 0xFF
    return (state << 8 & MASK32) | byte


def walk_next(state: int, bits: int) -> int:
    """Step a maximal-length register of 1 to 16 bits: shift left, the XOR of its taps comes in.

    >>> walk_next(0b1000, 4)
    1
    """
    new = 0
    for tap in WALK_TAPS[bits]:
        new ^= state >> (tap - 1) & 1
    return (state << 1 & (1 << bits) - 1) | new


WIDE_BITS = 63
WIDE_STEPS = 32
"""The most steps of a wide register in a cycle: channels that it serves."""


def wide_next(state: int, steps: int) -> int:
    """Step a 63-bit register by 1 to 32: taps 63 and 62, shifting left (Xilinx XAPP052, table 3).

    Both taps are more than 32 bits from the low end, so the new bits depend on the old state alone: one XOR
    of two bits each. The oldest of them is the highest.

    >>> hex(wide_next(1 << 62, 32)), hex(wide_next(1 << 61, 32))
    ('0x80000000', '0xc0000000')
    """
    new = (state >> WIDE_BITS - steps ^ state >> WIDE_BITS - 1 - steps) & (1 << steps) - 1
    return (state << steps & (1 << WIDE_BITS) - 1) | new
