"""What parity, and a code that corrects one bit, cost a memory, and what they would spare a chip."""

from dataclasses import dataclass

from xnoreplay.spec.codes import ECC, KINDS, PARITY, Code
from xnoreplay.spec.plan import Plan


@dataclass(frozen=True)
class Cost:
    """What the protection of a memory takes.

    Parameters
    ----------
    parity, code : int
        Bits beside the memory's: one for each part of a word that is written by itself, and the check bits of its code.
    parity_gates, code_gates : int
        Gates of two inputs: trees of XOR where a word is written and where it is read, and an XOR for each check bit that
        is compared; of the code also an AND of the check bits and an XOR for each bit that may be corrected.
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
    parts, words = found.width // part, found.depth * found.count
    codes = {kind: Code(kind, part) for kind in KINDS}
    bits = {kind: words * parts * code.checks for kind, code in codes.items()}
    gates = {
        kind: found.count * parts * (2 * code.xors + code.checks + code.corrects)
        for kind, code in codes.items()
    }
    return Cost(bits[PARITY], bits[ECC], gates[PARITY], gates[ECC])
