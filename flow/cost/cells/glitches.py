"""How many transitions of an adder or a multiplier are glitches: its gates with unit delays, against none.

Random operands follow one another, 2,048 pairs of them side by side in the bits of Python's integers. In every step of
time each gate takes the values that its inputs had a step before; its transitions are all counted until nothing moves.
Without delays a gate would have one transition where its last value differs from its first. Real gates swallow pulses
shorter than their own delay, so that this is an upper bound; it has no unit of time, hence is the same at every supply.
"""

import random
from collections.abc import Callable

SAMPLES = 2048
MASK = (1 << SAMPLES) - 1


class Net:
    """A combinational netlist: operands, two-input gates in any order, and the nets of its result by weight."""

    def __init__(self) -> None:
        self.gates: list[tuple[Callable[[int, int], int], int, int] | None] = []
        self.results: list[int] = []

    def operand(self, width: int) -> list[int]:
        """Add the bits of an operand, least significant first."""
        first = len(self.gates)
        self.gates += [None] * width
        return list(range(first, first + width))

    def gate(self, function: Callable[[int, int], int], a: int, b: int) -> int:
        """Add a gate and return its net."""
        self.gates.append((function, a, b))
        return len(self.gates) - 1

    def xor(self, a: int, b: int) -> int:
        """Add an exclusive or."""
        return self.gate(lambda x, y: x ^ y, a, b)

    def nand(self, a: int, b: int) -> int:
        """Add a NAND."""
        return self.gate(lambda x, y: MASK & ~(x & y), a, b)

    def conjunction(self, a: int, b: int) -> int:
        """Add an AND."""
        return self.gate(lambda x, y: x & y, a, b)

    def add(self, bits: list[int]) -> tuple[int, int]:
        """Add two or three bits of one weight, as a half or a full adder; return sum and carry."""
        half = self.xor(bits[0], bits[1])
        both = self.nand(bits[0], bits[1])
        if len(bits) == 2:  # noqa: PLR2004  two operands
            return half, self.nand(both, both)
        return self.xor(half, bits[2]), self.nand(both, self.nand(half, bits[2]))

    def settle(self, values: list[int]) -> tuple[list[int], int]:
        """Return the values when nothing moves any more, and the transitions of gates until then."""
        transitions = 0
        while True:
            new = [
                values[i] if gate is None else gate[0](values[gate[1]], values[gate[2]])
                for i, gate in enumerate(self.gates)
            ]
            moved = sum((a ^ b).bit_count() for a, b in zip(values, new, strict=True))
            if not moved:
                return values, transitions
            values, transitions = new, transitions + moved


def popcount(width: int) -> Net:
    """Make the exclusive ors of two operands and the carry-save tree that counts their ones."""
    net = Net()
    a, b = net.operand(width), net.operand(width)
    columns = [[net.xor(x, y) for x, y in zip(a, b, strict=True)]]
    for weight, column in enumerate(columns):  # grows by the carries
        while len(column) > 1:
            if weight + 1 == len(columns):
                columns.append([])
            taken, column[:3] = column[:3], []
            total, carry = net.add(taken)
            column.append(total)
            columns[weight + 1].append(carry)
    net.results = [column[0] for column in columns]
    return net


def ripple(width: int) -> Net:
    """Make the sum of two operands, with a carry that ripples."""
    net = Net()
    a, b = net.operand(width), net.operand(width)
    carry: list[int] = []
    for pair in zip(a, b, strict=True):
        total, over = net.add([*pair, *carry])
        net.results.append(total)
        carry = [over]
    net.results += carry
    return net


def product(width: int) -> Net:
    """Make the product of two operands as rows of rippling adders."""
    net = Net()
    a, b = net.operand(width), net.operand(width)
    rest: list[int] = []
    for y in b:
        row = [net.conjunction(x, y) for x in a]
        held = rest[1:]
        out: list[int] = []
        carry: list[int] = []
        for j, bit in enumerate(row):
            bits = [bit, *held[j : j + 1], *carry]
            if len(bits) == 1:
                out, carry = [*out, bit], []
            else:
                total, over = net.add(bits)
                out, carry = [*out, total], [over]
        rest = out + carry
        net.results.append(rest[0])
    net.results += rest[1:]
    return net


def share(net: Net, seed: int = 1) -> float:
    """Return the glitches of a net over its transitions without delays.

    >>> round(share(popcount(9)), 2)
    0.64
    """
    draw = random.Random(seed)
    values = [0] * len(net.gates)
    ends = []
    for _ in range(2):
        values = [
            draw.getrandbits(SAMPLES) if gate is None else value
            for gate, value in zip(net.gates, values, strict=True)
        ]
        values, transitions = net.settle(values)
        ends.append(values)
    gates = [i for i, gate in enumerate(net.gates) if gate is not None]
    least = sum((ends[0][i] ^ ends[1][i]).bit_count() for i in gates)
    return transitions / least - 1
