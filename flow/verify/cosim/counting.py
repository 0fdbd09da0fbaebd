"""Counters that a script moves to just below a power of two, so that their top bits take part."""


class Counting:
    """Remembers by how much a script has moved each event counter, so that what it would be can be told.

    Test bench and simulator each have an instance, whose counters are in the order of `spec.registers.counters`.
    Values have the counters' bits, and wrap.

    Parameters
    ----------
    counters : int
        How many there are.
    bits : int
        Of each.
    """

    def __init__(self, counters: int, bits: int) -> None:
        self.shifts = [0] * counters
        self.mask = (1 << bits) - 1

    def moved(self, values: list[int], bits: int) -> list[int]:
        """New values of counters that hold `values`: 2^bits - 1, or with 0 bits what they would be."""
        own = [value - shift & self.mask for value, shift in zip(values, self.shifts, strict=True)]
        new = [(1 << bits) - 1] * len(own) if bits else own
        self.shifts = [a - b & self.mask for a, b in zip(new, own, strict=True)]
        return new
