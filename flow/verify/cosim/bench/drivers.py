"""What stands at the chip's ports: an AXI4-Lite master and a source of pixels.

They move a few hundred bytes a run, so they are written for brevity; a transfer starts after a
falling edge, when the chip's outputs are settled.
"""

from cocotb.triggers import FallingEdge, Timer

from xnoreplay.spec import registers
from xnoreplay.spec.registers import Register, Response, Window

PERIOD = 10  # time units of the simulator in a clock cycle; any even number does
NOWHERE = (
    1 << registers.WINDOW_SHIFT
) - 4  # the last address below the windows, where nothing is mapped
PATIENCE = 100  # cycles a transfer may take


class BusError(Exception):
    """A transfer that was answered with an error."""


class LiteMaster:
    """An AXI4-Lite master, one transfer at a time. Counts its transfers."""

    def __init__(self, dut) -> None:
        self.clk = dut.clk
        self.pins = {
            name: getattr(dut, f"s_axil_{name}")
            for name in (
                "awaddr",
                "awvalid",
                "awready",
                "wdata",
                "wstrb",
                "wvalid",
                "wready",
                "bresp",
                "bvalid",
                "bready",
                "araddr",
                "arvalid",
                "arready",
                "rdata",
                "rresp",
                "rvalid",
                "rready",
            )
        }
        self.transfers = self.asked = 0
        for name in ("awaddr", "wdata", "araddr"):
            self.pins[name].value = 0
        self.take()

    def take(self) -> None:
        """Drive the pins, at the beginning and when another master has left them."""
        for name in ("awvalid", "wvalid", "arvalid"):
            self.pins[name].value = 0
        # Responses are looked at in the first cycle of their valid.
        for name in ("bready", "rready"):
            self.pins[name].value = 1
        self.pins["wstrb"].value = 15

    async def ask(self, cycles: int, period: int) -> None:
        """Offer requests for so many cycles, and take no response.

        When the cycles are over, channels hold what was taken, of a write its address alone or its data alone, and a
        response waits. The requests change nothing: a read, every other time of an address where nothing is, and a write of a
        register that is only read.
        """
        pins = self.pins
        if not cycles:
            return
        self.asked += 1
        pins["awaddr"].value = int(Register.ID)
        pins["araddr"].value = int(Register.ID) if self.asked % 2 else NOWHERE
        for name in ("bready", "rready"):
            pins[name].value = 0
        for name in ("awvalid", "wvalid", "arvalid"):
            pins[name].value = 1
        for cycle in range(cycles):
            # By time: an edge may be yet to come at the time at which this is called.
            await Timer(period, "step")
            if cycle == 0:  # one write goes through, of the next a part
                pins["wvalid" if self.asked % 2 else "awvalid"].value = 0

    def ask_on(self) -> None:
        """Offer a request on every channel."""
        for name in ("awvalid", "wvalid", "arvalid"):
            self.pins[name].value = 1

    async def _until(self, name: str, address: int) -> None:
        for _ in range(PATIENCE):
            if int(self.pins[name].value):
                return
            await FallingEdge(self.clk)
        raise BusError(f"address {address:#010x} must be answered within {PATIENCE} cycles")

    async def write(self, address: int, data: int) -> None:
        """Write a word; BusError where the answer is not OKAY."""
        self._check(await self.attempt(address, data), address)

    async def attempt(self, address: int, data: int) -> int:
        """Write a word; returns the response, whatever it is."""
        pins = self.pins
        pins["awaddr"].value, pins["wdata"].value = address, data
        pins["awvalid"].value = pins["wvalid"].value = 1
        await FallingEdge(self.clk)  # both channels are empty between transfers
        pins["awvalid"].value = pins["wvalid"].value = 0
        await self._until("bvalid", address)
        response = int(pins["bresp"].value)
        await FallingEdge(self.clk)
        return response

    async def read(self, address: int) -> int:
        """Read a word; BusError where the answer is not OKAY."""
        pins = self.pins
        pins["araddr"].value, pins["arvalid"].value = address, 1
        await FallingEdge(self.clk)
        pins["arvalid"].value = 0
        await self._until("rvalid", address)
        response, value = int(pins["rresp"].value), int(pins["rdata"].value)
        await FallingEdge(self.clk)
        self._check(response, address)
        return value

    def _check(self, response: int, address: int) -> None:
        self.transfers += 1
        if response != Response.OKAY:
            raise BusError(f"address {address:#010x} must answer OKAY, not {response}")

    async def transfer(self, address: int, data: int | None) -> tuple[int, int]:
        """Write data, or read where data is None; returns the response, and the word read or 0."""
        pins = self.pins
        if data is None:
            pins["araddr"].value, pins["arvalid"].value = address, 1
        else:
            pins["awaddr"].value, pins["wdata"].value = address, data
            pins["awvalid"].value = pins["wvalid"].value = 1
        await FallingEdge(self.clk)
        for name in ("arvalid", "awvalid", "wvalid"):
            pins[name].value = 0
        await self._until("rvalid" if data is None else "bvalid", address)
        self.transfers += 1
        response = int(pins["rresp" if data is None else "bresp"].value)
        word = int(pins["rdata"].value) if data is None else 0
        await FallingEdge(self.clk)
        return response, word

    async def write_row(self, window: Window, row: int, value: int) -> None:
        """Write a row of a memory, bit i worth 2^i, word by word from the lowest."""
        for address, data in window.words(row, value):
            await self.write(address, data)

    async def read_row(self, window: Window, row: int) -> int:
        """Read a row of a memory, bit i worth 2^i."""
        value = 0
        for chunk in range(window.chunks):
            value |= await self.read(window.address(row, chunk)) << 32 * chunk
        return value

    async def read_counter(self, index: int) -> int:
        """Read a counter by its place in `spec.registers.counters`."""
        address = Register.COUNTERS + 8 * index
        return await self.read(address) | await self.read(address + 4) << 32

    async def command(self, number: int, argument: int) -> None:
        """Write COMMAND; the command has not ended, and perhaps not begun, when this returns."""
        await self.write(Register.COMMAND, number | argument << 16)

    async def identify(self) -> None:
        """Read ID; BusError where it is not the chip's, before anything else is asked of it."""
        value = await self.read(Register.ID)
        if value != registers.ID:
            raise BusError(f"register ID must be {registers.ID:#x}, not {value:#x}")


class PixelSource:
    """Offers the transfers of a sample, pixels or parts of a latent, in every cycle or after gaps.

    stream : what the names of the stream's pins begin with
    """

    def __init__(self, dut, stream: str) -> None:
        self.clk, self.phase = dut.clk, dut.phase
        pins = (getattr(dut, f"{stream}_{name}") for name in ("tdata", "tvalid", "tready"))
        self.data, self.valid, self.ready = pins
        self.data.value = self.valid.value = 0

    async def send(self, pixels: list[int], gaps: list[int] | None, phase: int) -> None:
        """Send one sample.

        pixels : TDATA of each transfer
        gaps : cycles by which each pixel is late, counted from the first cycle of `phase` and then
            from the pixel before
        """
        for i, pixel in enumerate(pixels):
            if gaps is not None and gaps[i]:
                while int(self.phase.value) != phase:
                    await FallingEdge(self.clk)
                for _ in range(gaps[i]):
                    await FallingEdge(self.clk)
            self.data.value, self.valid.value = pixel, 1
            taken = False
            while not taken:
                # Readiness does not depend on the offer, so it is settled before the next edge.
                taken = bool(int(self.ready.value))
                await FallingEdge(self.clk)
            self.valid.value = 0
