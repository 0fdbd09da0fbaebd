"""Counters that a script moves to just below a power of two, so that their top bits take part."""

from xnoreplay.spec.registers import COUNTER_BITS

MASK = (1 << COUNTER_BITS) - 1


class Counting:
    """Remembers by how much a script has moved each event counter, so that what it would be can be told.

    Test bench and simulator each have an instance, whose counters are in the order of `spec.registers.counters`.
    Values are 48-bit integers and wrap.

    Parameters
    ----------
    counters : int
        How many there are.
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
        """What a counter would hold, had the script never moved it.

        Parameters
        ----------
        value : int
            What it holds, 0 to 2^48 - 1.
        index : int
            Its place in `spec.registers.counters`; 0 is that of `cycles`.

        Returns
        -------
        int
            0 to 2^48 - 1.
        """
        return value - self.shifts[index] & MASK
