"""And-inverter graphs that are built here: equal gates are one, and what is written begins in state 0.

A literal is twice a variable, plus 1 where it is inverted; literals 0 and 1 are the constants. See `aiger` for the format.
"""

from collections.abc import Sequence
from pathlib import Path


class Graph:
    """A graph with inputs, latches that begin at 0, and AND gates."""

    def __init__(self) -> None:
        self.inputs: list[int] = []
        self.next: dict[int, int] = {}
        """Next state of each latch; `latch` makes one that stays 0 until it is given another."""
        self.gates: dict[int, tuple[int, int]] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._last = 0

    def _variable(self) -> int:
        self._last += 2
        return self._last

    def input(self) -> int:
        """Return a new input."""
        self.inputs.append(self._variable())
        return self.inputs[-1]

    def latch(self) -> int:
        """Return a new latch."""
        made = self._variable()
        self.next[made] = 0
        return made

    def both(self, left: int, right: int) -> int:
        """The AND of two literals."""
        if left > right:
            left, right = right, left
        if left == 0 or left ^ 1 == right:
            return 0
        if left == 1 or left == right:
            return right
        key = (left, right)
        if key not in self._known:
            self._known[key] = made = self._variable()
            self.gates[made] = key
        return self._known[key]

    def either(self, left: int, right: int) -> int:
        """The OR of two literals."""
        return self.both(left ^ 1, right ^ 1) ^ 1

    def any(self, literals: Sequence[int]) -> int:
        """The OR of literals; 0 of none."""
        found = 0
        for literal in literals:
            found = self.either(found, literal)
        return found

    def differ(self, left: int, right: int) -> int:
        """The exclusive OR of two literals."""
        if left == right:
            return 0
        return self.either(self.both(left, right ^ 1), self.both(left ^ 1, right))

    def choose(self, which: int, one: int, zero: int) -> int:
        """Literal `one` where `which` is 1, else `zero`."""
        if one == zero:
            return one
        return self.either(self.both(which, one), self.both(which ^ 1, zero))

    def write(self, path: Path, outputs: Sequence[int]) -> None:
        """Write what outputs depend on as a binary AIGER file."""
        needed: set[int] = set()
        left = [literal & ~1 for literal in outputs]
        while left:
            variable = left.pop()
            if variable == 0 or variable in needed:
                continue
            needed.add(variable)
            if variable in self.gates:
                left += [literal & ~1 for literal in self.gates[variable]]
            elif variable in self.next:
                left.append(self.next[variable] & ~1)
        inputs = [v for v in self.inputs if v in needed]
        latches = [v for v in self.next if v in needed]
        gates = [v for v in self.gates if v in needed]
        order = (0, *inputs, *latches, *gates)
        number = {variable: 2 * n for n, variable in enumerate(order)}

        def renumbered(literal: int) -> int:
            return number[literal & ~1] | literal & 1

        counts = (len(order) - 1, len(inputs), len(latches), len(outputs), len(gates))
        text = ["aig " + " ".join(map(str, counts))]
        text += [str(renumbered(self.next[v])) for v in latches]
        text += [str(renumbered(literal)) for literal in outputs]
        packed = bytearray()
        for gate in gates:
            high, low = sorted(map(renumbered, self.gates[gate]), reverse=True)
            for delta in (number[gate] - high, high - low):
                while delta >= 0x80:
                    packed.append(delta & 0x7F | 0x80)
                    delta >>= 7
                packed.append(delta)
        path.write_bytes("\n".join([*text, ""]).encode() + bytes(packed))
