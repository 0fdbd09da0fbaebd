"""The chip behind another bus, or with other pins: modules around the one of `verilog.generate`, which stays as it is."""

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.host import axi
from xnoreplay.hw.host.frames import FrameEngine
from xnoreplay.hw.host.spi import SpiSlave
from xnoreplay.hw.host.uart import FRAME, Uart
from xnoreplay.spec.registers import Register

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
        if "ended" in serial.signature.members:
            m.d.comb += engine.restart.eq(serial.ended)
        if self.top:
            transfer = engine.pixel, engine.pixel_valid, engine.pixel_ready
            m.submodules.chip = _chip(self, engine, "m_axil_", transfer, self.busy)
        return m


class AxiPorts(wiring.Component):
    """The chip with the ports that a system on AXI expects, in a reset that is low.

    Parameters
    ----------
    channels : int
        Bytes of a pixel, or of a part of a latent.
    pixels : int
        Transfers of a sample.
    top : str
        The chip's module; "" leaves ``chip_busy`` and ``ready`` to a test, in place of the chip.
    phases : int
        Values of the chip's port ``phase``.
    stream : str
        What the names of the chip's stream begin with.

    Members
    -------
    aclk, aresetn : In(1)
    s_axil_* : as `axi.lite_members`, and ``awprot``, ``arprot``, which are passed over
    <stream>_* : the chip's stream; ``tlast`` is 1 with a sample's last transfer
    irq : Out(1)
        1 from the end of a command, and of the work after a reset, until STATUS is read.
    pixel_error : Out(1)
        1 from a transfer whose ``tlast`` is not that of its place in a sample until the next reset. The places are
        counted from the reset, and anew after each command, for one that was aborted may have taken half a sample.
    busy : Out(1)
    """

    def __init__(
        self,
        channels: int,
        pixels: int,
        top: str = "",
        phases: int = 2,
        stream: str = PIXELS,
    ) -> None:
        self.pixels, self.top, self.phases, self.stream = pixels, top, phases, stream
        self.chip_busy = Signal()
        self.ready = Signal()
        super().__init__(
            {"aclk": In(1), "aresetn": In(1), "irq": Out(1), "pixel_error": Out(1), "busy": Out(1)}
            | axi.lite_members()
            | {"s_axil_awprot": In(3), "s_axil_arprot": In(3)}
            | {
                f"{stream}_tdata": In(8 * channels),
                f"{stream}_tvalid": In(1),
                f"{stream}_tready": Out(1),
                f"{stream}_tlast": In(1),
            }
        )

    def beat(self, name: str) -> Signal:
        """A signal of the stream."""
        return getattr(self, f"{self.stream}_{name}")

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.domains.sync = domain = ClockDomain("sync", local=True)
        m.d.comb += [
            domain.clk.eq(self.aclk),
            domain.rst.eq(~self.aresetn),
            self.busy.eq(self.chip_busy),
            self.beat("tready").eq(self.ready),
        ]
        was_busy = Signal()
        count = Signal(range(max(2, self.pixels)))
        last = count == self.pixels - 1
        looked = self.s_axil_arvalid & self.s_axil_arready
        m.d.sync += was_busy.eq(self.chip_busy)
        with m.If(looked & (self.s_axil_araddr[2:] == Register.STATUS >> 2)):
            m.d.sync += self.irq.eq(0)
        with m.If(was_busy & ~self.chip_busy):
            m.d.sync += self.irq.eq(1)
        with m.If(self.beat("tvalid") & self.ready):
            m.d.sync += count.eq(count + 1)
            with m.If(last):
                m.d.sync += count.eq(0)
            with m.If(last != self.beat("tlast")):
                m.d.sync += self.pixel_error.eq(1)
        with m.If(was_busy & ~self.chip_busy):
            m.d.sync += count.eq(0)
        if self.top:
            transfer = self.beat("tdata"), self.beat("tvalid"), self.ready
            m.submodules.chip = _chip(self, self, "s_axil_", transfer, self.chip_busy)
        return m


def _chip(bridge: Bridge | AxiPorts, lite, prefix: str, transfer: tuple, busy: Signal) -> Instance:
    """The chip's module inside a bridge.

    Parameters
    ----------
    bridge : Bridge or AxiPorts
        Knows the module's name, its stream's, and how many values its port ``phase`` has.
    lite : Component
        Has the signals of its AXI4-Lite port, by names that begin with `prefix`.
    prefix : str
    transfer : tuple of Signal
        Data, valid and ready of its stream.
    busy : Signal
        Is driven with its port ``busy``.
    """
    ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
    for name, member in axi.lite_members("").items():
        ports[f"{'i' if member.flow is In else 'o'}_s_axil_{name}"] = getattr(lite, prefix + name)
    for name, way, signal in zip(("tdata", "tvalid", "tready"), "iio", transfer, strict=True):
        ports[f"{way}_{bridge.stream}_{name}"] = signal
    ports |= {"o_busy": busy, "o_phase": Signal(range(bridge.phases), name="phase")}
    return Instance(bridge.top, **ports)


def uart(
    channels: int, clocks: int, top: str = "", phases: int = 2, stream: str = PIXELS
) -> Bridge:
    """The chip behind a UART whose bits take so many clocks."""
    return Bridge(Uart(clocks), GAP * FRAME * clocks, channels, top, phases, stream)


def spi(channels: int, top: str = "", phases: int = 2, stream: str = PIXELS) -> Bridge:
    """The chip behind an SPI slave."""
    return Bridge(SpiSlave(), GAP * 256, channels, top, phases, stream)
