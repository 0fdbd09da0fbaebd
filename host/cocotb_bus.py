"""The Verilog in a simulator that cocotb drives, as a bus for `Driver`.

A driver's calls wait, and a test of cocotb must not: run the host's program in a thread.

    @cocotb.test()
    async def host(dut):
        bus = CocotbBus(dut)
        await bus.reset()
        await cocotb.task.bridge(program)(bus)
"""

import math

from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSource

from xnoreplay.host.bus import drops, whole_transfers, word
from xnoreplay.spec.registers import Response

PERIOD = 10  # time steps of the simulator in a clock cycle
PAUSE = 100_000  # clocks after which STATUS is read again, whatever the pin `busy` says


class CocotbBus:
    """A `host.bus.Bus` on the ports of the chip's top module, driven by the masters of cocotbext-axi.

    Make it in a test, before any thread; it starts the clock. Call the bus from a thread of ``cocotb.task.bridge`` alone.

    Parameters
    ----------
    dut : handle of the top module
        `xnoreplay`, or `xnoreplay_axi`, whose clock and reset are called as AXI calls them.
    """

    def __init__(self, dut) -> None:
        self._dut = dut
        self._low = hasattr(dut, "aresetn")
        self._clk = dut.aclk if self._low else dut.clk
        self._rst = dut.aresetn if self._low else dut.rst
        self._clock = Clock(self._clk, PERIOD, "step")
        pins = self._clk, self._rst, not self._low
        self._lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), *pins)
        named = next(n for n in ("s_axis_pixel", "s_axis_latent") if hasattr(dut, f"{n}_tdata"))
        self._byte_lanes = byte_lanes = len(getattr(dut, f"{named}_tdata")) // 8
        stream = AxiStreamBus.from_prefix(dut, named)
        self._pixels = AxiStreamSource(stream, *pins, byte_lanes=byte_lanes)

    async def reset(self) -> None:
        """Start the clock and hold the chip in reset for three of its edges."""
        self._rst.value = int(not self._low)
        self._clock.start()
        await ClockCycles(self._clk, 3)
        self._rst.value = int(self._low)
        await RisingEdge(self._clk)

    @resume
    async def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        got = await self._lite.read(word("an address", address), 4)
        return Response(int(got.resp)), int.from_bytes(got.data, "little")

    @resume
    async def write(self, address: int, data: int) -> Response:
        """Write a word; one of ABORT also drops the pixels that wait, that on the pins among them."""
        address, data = word("an address", address), word("data", data)
        answer = Response(int((await self._lite.write(address, data.to_bytes(4, "little"))).resp))
        if drops(address):
            self._pixels.clear()
            self._pixels.assert_reset()  # of the master alone, which forgets the pixels that it is about
        return answer

    @resume
    async def stream(self, pixels: bytes, seconds: float = math.inf, /) -> None:  # noqa: ARG002
        """Queue pixels, which the master offers one after another."""
        await self._pixels.send(whole_transfers(pixels, self._byte_lanes))

    @resume
    async def pause(self) -> None:
        """Wait until the pin `busy` falls, for `PAUSE` clocks at most."""
        if self._dut.busy.value:
            await First(FallingEdge(self._dut.busy), ClockCycles(self._clk, PAUSE))
