"""What parity, and a code that corrects one bit, cost a memory, and what they would spare a chip."""

from dataclasses import dataclass

from xnoreplay.spec.plan import Plan

XOR_INPUTS = 2


def check_bits(width: int) -> int:
    """Bits beside a word of `width` bits that correct one wrong bit and find two: a Hamming code and a parity bit.

    Source: R. W. Hamming, Error detecting and error correcting codes, 1950: c check bits name one of width + c places, or
    none, so that 2^c is at least width + c + 1.

    >>> [check_bits(n) for n in (1, 4, 8, 32, 64, 288)]
    [3, 4, 5, 7, 8, 10]
    """
    c = 1
    while 1 << c < width + c + 1:
        c += 1
    return c + 1


@dataclass(frozen=True)
class Cost:
    """What the protection of a memory takes.

    Parameters
    ----------
    parity, code : int
        Bits beside the memory's: one for each part of a word that is written by itself, and `check_bits` of it.
    parity_gates, code_gates : int
        Gates of two inputs: trees of XOR where a word is written and where it is read; of the code also an AND of the
        check bits and an XOR for each bit that may be corrected.
    """

    parity: int
    code: int
    parity_gates: int
    code_gates: int


def cost(plan: Plan, name: str) -> Cost | None:
    """The cost of a memory's protection; None where the plan has no memory of this name."""
    found = next((m for m in plan.memories if m.name == name), None)
    if found is None:
        return None
    part = found.granule or found.width
    parts, bits = found.width // part, check_bits(part)
    words = found.depth * found.count
    hamming = bits - 1
    # Half of the places take part in each check bit, and all in the parity bit.
    encode = hamming * max(0, part // XOR_INPUTS - 1) + part + hamming - 1
    correct = part * (hamming - 1) + part
    instances = found.count
    return Cost(
        words * parts,
        words * parts * bits,
        instances * parts * (2 * part - 1),
        instances * parts * (2 * encode + hamming + 1 + correct),
    )
