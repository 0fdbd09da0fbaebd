"""Counters by phase: what each phase of a chip's commands has spent."""

import numpy as np

from xnoreplay.sim.common import counters
from xnoreplay.sim.common.counters import Counters


class Ledger:
    """Sums of counters by phase; phases follow each other without a gap.

    Parameters
    ----------
    running : Counters
        The chip's counters, which only grow.
    memories : sequence of Memory
        Memories of the plan.
    """

    def __init__(self, running: Counters, memories) -> None:
        self._running, self._memories = running, memories
        self.clear()

    def clear(self) -> None:
        """Drop every phase's sum, and begin the next phase now."""
        self._before = Counters(*map(np.copy, self._running))
        self._spent: dict[str, Counters] = {}

    def close_phase(self, phase: str) -> None:
        """Add what was counted since the last call, or since this object was made or cleared, to a phase's sum."""
        spent = self._spent.get(phase)
        if spent is None:
            spent = self._spent[phase] = counters.zeros()
        for total, now, before in zip(spent, self._running, self._before, strict=True):
            total += now - before
            before[:] = now

    @property
    def phases(self) -> dict[str, dict[str, int]]:
        """Counters by name of every phase, in the order in which the phases first ended."""
        return {p: counters.named(c, self._memories) for p, c in self._spent.items()}
