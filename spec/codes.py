"""Parity and error-correcting codes of memories: which memories may have them, their bits, and what a reader is given.

A code adds check bits to every word of a memory; they lie above the word's own bits, in the same row. A word is written
with its check bits, and a read gives what the decoder makes of all of them. Nothing is written back: a wrong bit stays
wrong in its row, and is corrected anew by every read, until the row is written.

Both codes are linear, so what a reader is given differs from what was written by bits that follow from the *pattern* of
wrong bits alone, whatever the word: `Code.effect`.
"""

import itertools
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

PARITY, ECC = "parity", "ecc"
KINDS = (PARITY, ECC)
"""Codes, by the field of the target that lists the memories with it."""
PROTECTED = (
    "weights.fe",
    "weights.lgap",
    "replay.latent",
    "replay.label",
    "staging.latent",
    "staging.label",
)
"""Memories that may have a code: a row is written as a whole, and its word comes a cycle after its address."""


class Verdict(IntEnum):
    """What a decoder says of a word."""

    RIGHT = 0  # no bit is wrong, as far as the check bits tell
    CORRECTED = 1  # one was, and the reader is given the word that was written
    WRONG = 2  # more than one, or with parity an odd number: the reader is given the word's bits as they are


def check_bits(width: int) -> int:
    """Bits beside a word of `width` bits that correct one wrong bit and find two.

    As many as a Hamming code and a parity bit take: c bits name one of width + c places, or none, so that 2^c is at least
    width + c + 1. Source: R. W. Hamming, Error detecting and error correcting codes, 1950.

    >>> [check_bits(n) for n in (1, 4, 8, 32, 64, 288)]
    [3, 4, 5, 7, 8, 10]
    """
    c = 1
    while 1 << c < width + c + 1:
        c += 1
    return c + 1


@cache
def columns(width: int) -> tuple[int, ...]:
    """Check bits in which each bit of a word takes part, as masks: all different, each with an odd number, at least 3.

    One wrong bit makes an odd number of check bits disagree, and which ones names it; two make an even number disagree.
    This is an extended Hamming code with the fewest gates: columns of 3 bits come first, then of 5, and each is the one
    that leaves the check bits with the most equal numbers of inputs. Source: M. Y. Hsiao, A class of optimal minimum
    odd-weight-column SEC-DED codes, 1970.

    >>> columns(4)
    (7, 11, 13, 14)
    """
    checks = check_bits(width)
    found: list[int] = []
    inputs = [0] * checks
    for weight in range(3, checks + 1, 2):
        left = list(itertools.combinations(range(checks), weight))
        while left and len(found) < width:
            best = min(left, key=lambda places: sum(inputs[i] for i in places))
            left.remove(best)
            for i in best:
                inputs[i] += 1
            found.append(sum(1 << i for i in best))
    return tuple(found)


@dataclass(frozen=True)
class Code:
    """The code of a memory.

    Parameters
    ----------
    kind : str
        Of `KINDS`. "parity": one check bit, the parity of the word, which finds an odd number of wrong bits. "ecc": a code
        that corrects one wrong bit and finds two.
    width : int
        Bits of a word, without check bits.
    """

    kind: str
    width: int

    @property
    def checks(self) -> int:
        """Check bits of a word."""
        return 1 if self.kind == PARITY else check_bits(self.width)

    @property
    def columns(self) -> tuple[int, ...]:
        """Check bits in which each bit of the word takes part, as masks."""
        return (1,) * self.width if self.kind == PARITY else columns(self.width)

    @property
    def xors(self) -> int:
        """Gates of two inputs that make the check bits of a word; a decoder has them once more, and one for each check bit."""
        return sum(len(self.inputs(n)) - 1 for n in range(self.checks))

    @property
    def corrects(self) -> int:
        """Gates of two inputs that correct a word: for each bit the AND of the check bits that disagree, and an XOR."""
        return 0 if self.kind == PARITY else self.width * self.checks

    def inputs(self, check: int) -> list[int]:
        """Bits of the word that take part in a check bit."""
        return [i for i, column in enumerate(self.columns) if column >> check & 1]

    def check(self, word: int) -> int:
        """Check bits of a word.

        >>> Code("parity", 4).check(0b0111), bin(Code("ecc", 4).check(0b0011))
        (1, '0b1100')
        """
        found = 0
        for i, column in enumerate(self.columns):
            found ^= column * (word >> i & 1)
        return found

    def encode(self, word: int) -> int:
        """What a row holds of a word: its bits, and its check bits above."""
        return word | self.check(word) << self.width

    def decode(self, row: int) -> tuple[int, Verdict]:
        """The word that a reader is given of a row, and what the decoder says of it.

        >>> code = Code("ecc", 4)
        >>> [code.decode(code.encode(9) ^ wrong) for wrong in (0, 4, 128, 5)]
        [(9, <Verdict.RIGHT: 0>), (9, <Verdict.CORRECTED: 1>), (9, <Verdict.CORRECTED: 1>), (12, <Verdict.WRONG: 2>)]
        """
        word, check = row & (1 << self.width) - 1, row >> self.width
        syndrome = check ^ self.check(word)
        if not syndrome:
            return word, Verdict.RIGHT
        if self.kind == PARITY:
            return word, Verdict.WRONG
        if syndrome.bit_count() == 1:  # a check bit
            return word, Verdict.CORRECTED
        if syndrome in self.columns:
            return word ^ 1 << self.columns.index(syndrome), Verdict.CORRECTED
        return word, Verdict.WRONG

    def effect(self, pattern: int) -> tuple[int, Verdict]:
        """Bits in which a reader is given another word than was written, where the bits of `pattern` are wrong; the verdict."""
        return self.decode(pattern)
