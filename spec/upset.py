"""Upsets: bits of a running chip that change by themselves, as those that radiation or a low supply flips.

An upset names a *place*, which is a memory of `spec.memories` or a register of `places`, a row of it and a bit of
that row, and the cycle in which the chip first sees the other value: a read in that cycle finds it, and what the edge
before it put into a register of the pipeline is not touched. A bit of one of `BOUNDS` changes in the first cycle of a phase, at
the upset's cycle or next after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from xnoreplay.spec import registers
from xnoreplay.spec.errors import SpecError, require, unknown
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Register

REGISTER_ROLE = "registers"
BOUNDS = (Register.SEEN, Register.STAGED)
"""Registers that say where the chip's loops over rows end. In the midst of a loop, with less in them than the rows that are
done, the chip goes on past the end of a memory, and so it does with a value that is not of `bounds`; what is read there no
tool defines. So the simulator changes them between two phases, and to these values alone."""


@dataclass(frozen=True, order=True)
class Upset:
    """One bit that changes.

    Parameters
    ----------
    cycle : int
        Cycles of commands before it, from the start of what is disturbed; see the module.
    place : str
        A key of `places`.
    row, bit : int
    """

    cycle: int
    place: str
    row: int
    bit: int


class Place(NamedTuple):
    """Where bits change: how many rows of how many bits there are, and what a memory map groups them by."""

    rows: int
    bits: int
    role: str


def places(plan: Plan) -> dict[str, Place]:
    """Every place of a chip, by name: its memories in the order of their map, check bits included, then its registers.

    The registers are those that outlast a command and that the host writes, by the names of `Register` in lower case.
    """
    found = {m.name: Place(m.depth * m.count, m.stored, m.role) for m in plan.memories}
    for register, values in registers.writable(plan.memories).items():
        if bits := (values.stop - 1).bit_length():  # none of STAGED without a staging memory
            found[register.name.lower()] = Place(1, bits, REGISTER_ROLE)
    return found


def bounds(plan: Plan) -> dict[Register, range]:
    """Values of `BOUNDS` with which every loop of the chip ends within its memories.

    Without a class seen a loop that has begun does not end: the chip begins none then.
    """
    legal = registers.writable(plan.memories)
    return {r: range(r is Register.SEEN, legal[r].stop) for r in BOUNDS}


def register_of(place: str) -> Register | None:
    """The register of a place, or None where it is a memory."""
    return Register.__members__.get(place.upper())


def checked(plan: Plan, upsets: Iterable[Upset]) -> list[Upset]:
    """Upsets in the order of their cycles.

    Raises
    ------
    SpecError
        For a place, row or bit that the chip does not have, or a cycle below 0.
    """  # noqa: DOC501  `unknown` makes the SpecError
    known = places(plan)
    found = sorted(upsets)
    for upset in found:
        if upset.place not in known:
            raise unknown("place of an upset", upset.place, known)
        rows, bits, _ = known[upset.place]
        require.between(f"row of an upset in {upset.place}", upset.row, 0, rows - 1)
        require.between(f"bit of an upset in {upset.place}", upset.bit, 0, bits - 1)
        if upset.cycle < 0:
            raise SpecError(f"cycle of an upset must be at least 0, not {upset.cycle}")
    return found
