"""Upsets of a simulated chip: what is still to come, and how a bit of its state changes."""

from collections.abc import Iterable

import numpy as np

from xnoreplay.sim.common.state import Scalar, State
from xnoreplay.spec.registers import Register
from xnoreplay.spec.target import NEVER
from xnoreplay.spec.upset import BOUNDS, Upset, register_of

SCALAR_OF = {
    Register.SEEN: Scalar.SEEN,
    Register.QUOTA: Scalar.QUOTA,
    Register.STAGED: Scalar.STAGED,
    Register.LFSR_WALK: Scalar.WALK,
    Register.LFSR_ERROR: Scalar.ERROR,
    Register.LFSR_UPDATE: Scalar.UPDATE,
}
"""The simulator's number of each register that a host writes."""


class Upsets:
    """Upsets that are to come, in the order of their cycles; ``came`` tells whether the chip has ever had one.

    ``found`` are those that have come since the last plan, with the cycles in which they did, and ``beyond`` those among
    them that a register of `BOUNDS` cannot bear, which change nothing: what the chip does then no tool defines.

    Parameters
    ----------
    state : State
        Of the chip that they change.
    legal : dict of Register to range
        Of `spec.upset.bounds`.
    """

    def __init__(self, state: State, legal: dict[Register, range]) -> None:
        self.state, self.legal = state, legal
        self.waiting: list[Upset] = []
        self.bounds: list[Upset] = []
        self.found: list[Upset] = []
        self.beyond: list[Upset] = []
        self.came = False

    def plan(self, upsets: Iterable[Upset], start: int) -> None:
        """Take over upsets whose cycles count from `start`, in place of those that wait."""
        later = sorted((_at(u, u.cycle + start) for u in upsets), reverse=True)
        self.waiting = [u for u in later if register_of(u.place) not in BOUNDS]
        self.bounds = [u for u in later if register_of(u.place) in BOUNDS]
        self.found, self.beyond = [], []

    @property
    def cycle(self) -> int:
        """Value of `cycles` at which the next one comes that does not wait for a phase, or `NEVER`."""
        return self.waiting[-1].cycle if self.waiting else NEVER

    @property
    def soon(self) -> int:
        """Value of `cycles` from which on the next one comes, or `NEVER`."""
        return min(self.cycle, self.bounds[-1].cycle if self.bounds else NEVER)

    def begin(self, cycle: int) -> None:
        """Change the bits of `BOUNDS` whose cycle has come: a phase begins at this value of `cycles`."""
        while self.bounds and self.bounds[-1].cycle <= cycle:
            upset = _at(self.bounds.pop(), cycle)
            register = register_of(upset.place)
            assert register is not None
            scalar = SCALAR_OF[register]
            value = int(self.state.scalars[scalar]) ^ 1 << upset.bit
            self.came = True
            self.found.append(upset)
            if value in self.legal[register]:
                self.state.scalars[scalar] = value
            else:
                self.beyond.append(upset)

    def come(self, cycle: int, *registers: np.ndarray) -> None:
        """Change the bits whose cycle has come.

        Parameters
        ----------
        cycle : int
            Value of `cycles`.
        *registers : ndarray
            Where stepping mode has the registers of `Scalar`: now, and after the next edge if nothing is assigned to them.
        """
        while self.cycle <= cycle:
            upset = self.waiting.pop()
            self.found.append(upset)
            self.came, register = True, register_of(upset.place)
            if register is None:
                self.state.flip(upset.place, upset.row, upset.bit)
                continue
            for scalars in registers:
                scalars[SCALAR_OF[register]] ^= 1 << upset.bit


def _at(upset: Upset, cycle: int) -> Upset:
    """The same upset in another cycle."""
    return Upset(cycle, upset.place, upset.row, upset.bit)
