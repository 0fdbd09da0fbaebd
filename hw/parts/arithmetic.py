"""Comparisons of numbers, and sums and products as adders: balanced, and out of reach of synthesis that shares multipliers."""

from amaranth.hdl import Cat, Const, Value


def tree_sum(terms: list[Value]) -> Value:
    """Sum as a balanced tree of adders."""
    while len(terms) > 1:
        pairs = [terms[i] + terms[i + 1] for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) & ~1 :]
    return terms[0]


def within(value: Value, low: int, high: int) -> Value:
    """One bit: low <= value <= high, without a comparison that every value of its width passes.

    Tools that read the Verilog take such a comparison for a mistake. `value` is unsigned.
    """
    compared = [value >= low] if low > 0 else []
    if high < (1 << len(value)) - 1:
        compared.append(value <= high)
    return Cat(compared).all() if compared else Const(1, 1)


def alike(left: Value, right: Value, bits: int) -> Value:
    """One bit: whether two numbers are equal in their lowest bits, as they are in their others without a fault.

    A counter of so many bits meets every end so, once each time it comes round; also an end that an upset made
    greater than the counter can be.
    """
    return Value.cast(left)[:bits] == Cat(right, Const(0, bits))[:bits]


def times(value: Value, factor: int) -> Value:
    """Product of a value and a factor, by an adder for each digit of the factor that is not zero.

    As a product, an address would take a multiplier, and synthesis joins multipliers of memories that
    are not read together: what selects between them then begins at the host's bus, and is the chip's
    longest path.

    Parameters
    ----------
    value : Value
        Unsigned.
    factor : int
        At least 0. In non-adjacent form: digits -1, 0 and 1, as few others than 0 as there can be.

    Returns
    -------
    Value
        Unsigned, as wide as the greatest product.

    Raises
    ------
    ValueError
        For a signed value or a negative factor.
    """
    if value.shape().signed or factor < 0:
        raise ValueError(
            f"a product must be of an unsigned value and factor, not of {value!r}, {factor}"
        )
    width = (((1 << len(value)) - 1) * factor).bit_length()
    added: list[Value] = []
    taken: list[Value] = []
    rest, place = factor, 0
    while rest:
        if rest & 1:
            digit = 2 - (rest & 3)
            (added if digit == 1 else taken).append(Cat(Const(0, place), value))
            rest -= digit
        rest, place = rest >> 1, place + 1
    if not added:
        return Const(0, 0)
    total = tree_sum(added)
    return (total - tree_sum(taken) if taken else total)[:width]
