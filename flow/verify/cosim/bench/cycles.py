"""The test bench's own count of the cycles in which a command runs: no counter of the chip is asked."""

from cocotb.utils import get_sim_time


class Cycles:
    """Counts the clock cycles in which a phase is not idle, from the last reset on.

    It notes at what time the phase becomes another one than idle, and when it is idle again; what lies between are
    whole cycles. So it costs nothing in the cycles themselves.

    Parameters
    ----------
    phase : handle
        The chip's output `phase`, which is 0 where no command runs.
    period : int
        Time units of the simulator in a clock cycle.
    """

    def __init__(self, phase, period: int) -> None:
        self.phase, self.period = phase, period
        self.ended = 0  # cycles of the commands that are over
        self.since: int | None = None  # when the running command began

    def now(self) -> int:
        """Cycles that are over; of the running one, the number, from 0 on."""
        running = 0 if self.since is None else self._time() - self.since
        return self.ended + running // self.period

    def restart(self) -> None:
        """Begin anew, as a reset does."""
        self.ended = 0
        if self.since is not None:
            self.since = self._time()

    async def follow(self) -> None:
        """Follow the phase until the task is cancelled; at its start the chip is idle."""
        while True:
            await self.phase.value_change
            running = int(self.phase.value) != 0
            if running and self.since is None:
                self.since = self._time()
            elif not running:
                self.ended, self.since = self.now(), None

    def _time(self) -> int:
        return int(get_sim_time("step"))
