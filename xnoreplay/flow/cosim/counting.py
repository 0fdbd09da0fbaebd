"""Counters that a script moves to just below a power of two, so that their top bits take part."""

from xnoreplay.spec.registers import COUNTER_BITS

MASK = (1 << COUNTER_BITS) - 1


class Counting:
    """How far each counter stands from what it would be, had nobody moved it.

    Chip and model keep one each, in the same order of counters.
    """

    def __init__(self, counters: int) -> None:
        self.shifts = [0] * counters

    def moved(self, values: list[int], bits: int) -> list[int]:
        """New values of counters that hold `values`: 2^bits - 1, or with 0 bits what they would be."""
        own = [value - shift & MASK for value, shift in zip(values, self.shifts, strict=True)]
        new = [(1 << bits) - 1] * len(own) if bits else own
        self.shifts = [a - b & MASK for a, b in zip(new, own, strict=True)]
        return new

    def own(self, value: int, index: int = 0) -> int:
        """What a counter, the first without an index, would be; the first is `cycles`."""
        return value - self.shifts[index] & MASK
