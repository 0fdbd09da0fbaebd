"""Upsets of a simulated chip: what is still to come, and how a bit of its state changes."""

from collections.abc import Iterable

import numpy as np

from xnoreplay.sim.common.state import Scalar, State
from xnoreplay.spec.registers import Register
from xnoreplay.spec.upset import Upset, register_of

SCALAR_OF = {
    Register.SEEN: Scalar.SEEN,
    Register.QUOTA: Scalar.QUOTA,
    Register.STAGED: Scalar.STAGED,
    Register.LFSR_WALK: Scalar.WALK,
    Register.LFSR_ERROR: Scalar.ERROR,
    Register.LFSR_UPDATE: Scalar.UPDATE,
}
"""The simulator's number of each register that a host writes."""
NEVER = (1 << 63) - 1  # a cycle number that no simulation reaches


class Upsets:
    """Upsets that are to come, in the order of their cycles; ``came`` tells whether the chip has ever had one.

    Parameters
    ----------
    state : State
        Of the chip that they change.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.waiting: list[Upset] = []
        self.came = False

    def plan(self, upsets: Iterable[Upset], start: int) -> None:
        """Take over upsets whose cycles count from `start`, in place of those that wait."""
        later = (Upset(u.cycle + start, u.place, u.row, u.bit) for u in upsets)
        self.waiting = sorted(later, reverse=True)

    @property
    def cycle(self) -> int:
        """Value of `cycles` at which the next one comes, or `NEVER`."""
        return self.waiting[-1].cycle if self.waiting else NEVER

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
            self.came, register = True, register_of(upset.place)
            if register is None:
                self.state.flip(upset.place, upset.row, upset.bit)
                continue
            for scalars in registers:
                scalars[SCALAR_OF[register]] ^= 1 << upset.bit
