"""Counters by phase: what each phase of a chip's commands has spent."""

import numpy as np

from xnoreplay.sim.common import counters
from xnoreplay.sim.common.counters import Counters


class Ledger:
    """Sums of counters by the phase that counted them; phases follow each other without a gap.

    Parameters
    ----------
    running : Counters
        The chip's own, which only grow.
    memories : sequence of Memory
        The plan's.
    """

    def __init__(self, running: Counters, memories) -> None:
        self._running, self._memories = running, memories
        self.clear()

    def clear(self) -> None:
        """Forget what was spent so far."""
        self._before = Counters(*map(np.copy, self._running))
        self._spent: dict[str, Counters] = {}

    def charge(self, phase: str) -> None:
        """All that was counted since the last charge was this phase's."""
        spent = self._spent.setdefault(phase, counters.zeros())
        for total, now, before in zip(spent, self._running, self._before, strict=True):
            total += now - before
            before[:] = now

    @property
    def phases(self) -> dict[str, dict[str, int]]:
        """Counters by name of every phase, in the order in which phases first came."""
        return {p: counters.named(c, self._memories) for p, c in self._spent.items()}
