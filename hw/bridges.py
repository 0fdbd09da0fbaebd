"""The chip behind another bus: modules around the one of `verilog.generate`, which stays as it is."""

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.host import axi
from xnoreplay.hw.host.frames import FrameEngine
from xnoreplay.hw.host.spi import SpiSlave
from xnoreplay.hw.host.uart import FRAME, Uart

PIXELS = "s_axis_pixel"  # the stream of a chip that is given images
GAP = 16  # bytes' time, or as many clocks of 256 on SPI, after which an unfinished frame is dropped


class Bridge(wiring.Component):
    """A chip's ports, between an engine of frames and whatever stands for the chip.

    Parameters
    ----------
    serial : Component
        `Uart` or `SpiSlave`; its wires become those of this component.
    gap : int
        See `FrameEngine`.
    channels : int
        Bytes of a pixel, or of a part of a latent.
    top : str
        The chip's module; "" leaves the chip's ports open, as ``m_axil_*`` and ``pixel*`` of ``engine``, for a test.
    phases : int
        Values of the chip's port ``phase``.
    stream : str
        What the names of the chip's stream begin with.
    """

    def __init__(
        self,
        serial,
        gap: int,
        channels: int,
        top: str = "",
        phases: int = 2,
        stream: str = PIXELS,
    ) -> None:
        self.serial, self.top, self.phases, self.stream = serial, top, phases, stream
        self.engine = FrameEngine(channels, gap)
        inner = ("rx", "rx_valid", "ended", "tx", "tx_valid", "tx_ready")
        self.wires = {n: m for n, m in serial.signature.members.items() if n not in inner}
        super().__init__(dict(self.wires) | {"busy": Out(1)})

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.serial, m.submodules.engine = serial, engine = self.serial, self.engine
        for name, member in self.wires.items():
            if member.flow is In:
                m.d.comb += getattr(serial, name).eq(getattr(self, name))
            else:
                m.d.comb += getattr(self, name).eq(getattr(serial, name))
        m.d.comb += [
            engine.rx.eq(serial.rx),
            engine.rx_valid.eq(serial.rx_valid),
            serial.tx.eq(engine.tx),
            serial.tx_valid.eq(engine.tx_valid),
            engine.tx_ready.eq(serial.tx_ready),
        ]
        if hasattr(serial, "ended"):
            m.d.comb += engine.restart.eq(serial.ended)
        if self.top:
            m.submodules.chip = self._chip()
        return m

    def _chip(self) -> Instance:
        """The chip's module, wired to the engine."""
        engine, ports = self.engine, {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for name, member in axi.lite_members("m_axil_").items():
            way = "i" if member.flow is In else "o"
            ports[f"{way}_s_axil_{name.removeprefix('m_axil_')}"] = getattr(engine, name)
        ports |= {
            f"i_{self.stream}_tdata": engine.pixel,
            f"i_{self.stream}_tvalid": engine.pixel_valid,
            f"o_{self.stream}_tready": engine.pixel_ready,
            "o_busy": self.busy,
            "o_phase": Signal(range(self.phases), name="phase"),
        }
        return Instance(self.top, **ports)


def uart(
    channels: int, clocks: int, top: str = "", phases: int = 2, stream: str = PIXELS
) -> Bridge:
    """The chip behind a UART whose bits take so many clocks."""
    return Bridge(Uart(clocks), GAP * FRAME * clocks, channels, top, phases, stream)


def spi(channels: int, top: str = "", phases: int = 2, stream: str = PIXELS) -> Bridge:
    """The chip behind an SPI slave."""
    return Bridge(SpiSlave(), GAP * 256, channels, top, phases, stream)
