"""The watchdog: ends a command that takes longer than any can."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Watchdog(wiring.Component):
    """Counts the cycles of a command, and marks the last one that it may have.

    A command is aborted in that cycle, as by a write of ABORT. So ends what a changed bit makes wait for ever. A changed bit of
    the count itself can end a command too early, or double the cycles that it may have.

    Parameters
    ----------
    bits : int
        A command may have 2^bits cycles.

    Members
    -------
    busy : In(1)
        A command runs.
    expired : Out(1)
        Cycle 2^bits of a command; a register and ``busy`` decide it.
    """

    def __init__(self, bits: int):
        self.bits = bits
        super().__init__({"busy": In(1), "expired": Out(1)})

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        self.age = Signal(self.bits)  # cycles of the command before this one
        self.last = Signal()
        m.d.sync += [
            self.age.eq(Mux(self.busy, self.age + 1, 0)),
            self.last.eq(self.busy & (self.age == (1 << self.bits) - 2)),
        ]
        m.d.comb += self.expired.eq(self.last & self.busy)
        return m
