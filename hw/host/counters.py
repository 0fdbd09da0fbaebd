"""Event counters: the activity that the energy estimate rests on."""

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.memories import identifier


class Counters(wiring.Component):
    """The chip's event counters, a register each: ``add_<name>`` is added to ``<name>`` every cycle.

    A counter wraps: after 2^bits - 1 comes 0.

    Parameters
    ----------
    widths : dict of str to int
        Bits of what one cycle may add, by counter name.
    bits : int
        Of each counter.
    """

    def __init__(self, widths: dict[str, int], bits: int):
        self.names = tuple(widths)
        super().__init__(
            {f"add_{identifier(n)}": In(unsigned(w)) for n, w in widths.items()}
            | {identifier(n): Out(bits) for n in widths}
        )

    def add(self, name: str):
        """What is added in this cycle to a counter, by its name."""
        return getattr(self, f"add_{identifier(name)}")

    def value(self, name: str):
        """The value of a counter, by its name."""
        return getattr(self, identifier(name))

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        for name in self.names:
            m.d.sync += self.value(name).eq(self.value(name) + self.add(name))
        return m
