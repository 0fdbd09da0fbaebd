"""The register that says of which class fit.count has the counters."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import HostPort


class OpenClass(wiring.Component):
    """fit.open: a class in the low bits and whether one is open in the top bit, 0 after a reset.

    ``open0`` becomes ``value`` where ``en`` is high. While the host strobes, the chip must not.

    Parameters
    ----------
    width : int
    """

    def __init__(self, width: int):
        self.width = width
        super().__init__(
            {
                "en": In(1),
                "value": In(width),
                "host": In(HostPort(1, width)),
                "open0": Out(width),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        word = Signal(self.width)
        m.d.comb += self.host.rdata.eq(word)
        with m.If(self.host.ren):
            m.d.sync += word.eq(self.open0)
        with m.If(self.host.wen):
            m.d.sync += self.open0.eq(self.host.wdata)
        with m.Elif(self.en):
            m.d.sync += self.open0.eq(self.value)
        return m
