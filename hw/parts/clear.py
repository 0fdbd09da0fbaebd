"""The walk that empties the replay memory after a reset, a slot a cycle."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from xnoreplay.hw.parts.ports import index_shape


class Clearing(wiring.Component):
    """Counts the slots once after every reset.

    ``active`` is high for ``slots`` cycles from the first one after a reset, and ``slot`` is 0, 1, ...
    in them.

    Parameters
    ----------
    slots : int
        Of the replay memory.
    """

    def __init__(self, slots: int):
        self.slots = slots
        super().__init__({"active": Out(1, init=1), "slot": Out(index_shape(slots))})

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        with m.If(self.active):
            m.d.sync += self.slot.eq(self.slot + 1)
            with m.If(self.slot == self.slots - 1):
                m.d.sync += self.active.eq(0)
        return m
