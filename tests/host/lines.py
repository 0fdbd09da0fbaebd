"""Serial lines under cocotb to chips that are given latents, and what a host meets on them when it errs.

The UART's ends are cocotbext-uart's, the SPI master is cocotbext-spi's.
"""

from types import SimpleNamespace

from xnoreplay.spec import frames, registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.frames import Code, Frame
from xnoreplay.spec.registers import Register, Status

PERIOD = 500  # picoseconds of a clock: the UART's model counts whole nanoseconds, and halves a bit
CLOCKS = 4  # of a bit of the UART
SPI_CLOCKS = 12  # of a period of the serial clock: cocotbext-spi halves it in seconds, which must give whole picoseconds
ANSWERED = 3  # bytes' time at most, from a frame's end to its answer on SPI
PATIENCE = 10_000  # clocks
BUSY, FINISHED = 1 << Status.BUSY, 1 << Status.FINISHED
LATENT = bytes(range(1, 20))  # 75 bits, four a byte
WINDOW = registers.HOST_MEMORIES.index("cls.top") + 1 << registers.WINDOW_SHIFT


def make(dut) -> dict:
    """The lines of a design, by name; its pins are idle from here on."""
    return {"uart": Uart(dut), "spi": Spi(dut)}


class Uart:
    """A line of which cocotbext-uart drives one wire and listens to the other."""

    def __init__(self, dut) -> None:
        from cocotbext.uart import UartSink, UartSource

        baud = round(1e12 / (PERIOD * CLOCKS))
        self.source, self.sink = UartSource(dut.uart_rx, baud), UartSink(dut.uart_tx, baud)

    async def send(self, data: bytes) -> None:
        await self.source.write(data)
        await self.source.wait()

    async def answer(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += bytes(await self.sink.read())
        return got

    async def silence(self) -> None:
        """No bytes for the time of 17."""
        from cocotb.triggers import Timer

        await Timer(17 * 10 * CLOCKS * PERIOD, "ps")


class Spi:
    """A line to a chip whose master is cocotbext-spi's, in mode 0.

    That master holds its select for as long as it has bytes, so a frame waits for the zeros under which its answer comes.
    """

    def __init__(self, dut) -> None:
        model = spi_model()
        bus = SimpleNamespace(
            sclk=dut.spi_sck, mosi=dut.spi_mosi, miso=Bit(dut.spi_miso), cs=dut.spi_cs_n
        )
        period = PERIOD * SPI_CLOCKS
        config = model.SpiConfig(
            sclk_freq=1e12 / period, data_output_idle=0, frame_spacing_ns=period // 1000
        )
        self.master = model.SpiMaster(bus, config)
        self.waiting = b""

    async def send(self, data: bytes) -> None:
        self.waiting += data

    async def answer(self, size: int) -> bytes:
        sent = self.waiting
        got = await self.exchange(sent + bytes(ANSWERED + size))
        assert not any(got[: len(sent)]), "a byte came before the frame was whole"
        return got[len(sent) :].lstrip(b"\0")[:size]

    async def silence(self) -> None:
        """The end of the select, in the middle of a frame."""
        await self.exchange(self.waiting)

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes in one select; those that came."""
        self.waiting = b""
        await self.master.write(data, burst=True)
        return bytes(self.master.read_nowait())


class Bit:
    """A pin of one bit whose value has ``integer``, as in cocotb 1."""

    def __init__(self, pin) -> None:
        self.pin = pin

    @property
    def value(self) -> SimpleNamespace:
        return SimpleNamespace(integer=int(self.pin.value))


def spi_model():
    """cocotbext-spi, which asks cocotb 2 for a class of cocotb 1: the base of its clock, which holds a signal."""
    import cocotb.clock

    if not hasattr(cocotb.clock, "BaseClock"):
        vars(cocotb.clock)["BaseClock"] = type("BaseClock", (), {"__init__": lambda *_: None})
    from cocotbext import spi

    return spi


async def ask(line, frame: bytes) -> tuple[Code, int]:
    """The code of a frame's answer, and its word or 0."""
    await line.send(frame)
    return await answered(line, frames.answer_bytes(Frame(frame[0]), Code.OKAY))


async def answered(line, size: int) -> tuple[Code, int]:
    """An answer of so many bytes, which comes within `PATIENCE`."""
    from cocotb.triggers import with_timeout

    got = await with_timeout(line.answer(size), PATIENCE * PERIOD, "ps")
    assert frames.crc(got[:-1]) == got[-1], got.hex()
    return Code(got[0]), int.from_bytes(got[1:-1], "little")


async def live(line) -> list[tuple[Code, int]]:
    """What a chip that is given latents answers to a host that makes the mistakes of a line; `SEEN` are the answers."""
    seen: list[tuple[Code, int]] = []

    async def sent(frame: bytes) -> None:
        seen.append(await ask(line, frame))

    async def command(command: Command, argument: int = 0) -> None:
        await sent(frames.write(Register.COMMAND, command | argument << 16))

    status, counted = frames.read(Register.STATUS), frames.read(Register.SEEN)
    await sent(frames.read(Register.ID))
    await sent(status)
    await command(Command.ARRIVE, 2)
    await command(Command.INSERT, 2)  # of a class that was not announced
    await command(Command.INSERT, 1)
    await sent(status)
    # A host that reads and writes while the chip is busy.
    await sent(frames.read(WINDOW))
    await sent(frames.write(Register.SEEN, 3))
    # A latent whose last frame stops in the middle, and rubbish.
    await sent(frames.pixels(LATENT[:-1]))
    await line.send(frames.pixels(LATENT[-1:])[:2])
    await line.silence()
    await sent(status)
    await line.send(b"rubbish")
    await line.silence()
    if isinstance(line, Uart):
        assert await answered(line, 2) == (Code.UNKNOWN, 0)
    await sent(status)
    await sent(frames.write(Register.ABORT, 1))
    await sent(frames.pixels(b""))
    await sent(status)
    # The same again, whole.
    await command(Command.INSERT, 1)
    await sent(frames.pixels(LATENT))
    while (last := await ask(line, status))[1] & BUSY:
        pass
    seen.append(last)
    damaged = frames.write(Register.SEEN, 4)
    await line.send(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    seen.append(await answered(line, 2))
    await sent(counted)
    await sent(frames.read(0xFF000000))
    return seen


SEEN = [
    (Code.OKAY, registers.ID),
    (Code.OKAY, 0),
    (Code.OKAY, 0),
    (Code.SLVERR, 0),
    (Code.OKAY, 0),
    (Code.OKAY, BUSY),
    (Code.SLVERR, 0),
    (Code.SLVERR, 0),
    (Code.OKAY, 0),
    (Code.OKAY, BUSY),
    (Code.OKAY, BUSY),
    (Code.OKAY, 0),
    (Code.OKAY, 0),
    (Code.OKAY, 0),
    (Code.OKAY, 0),
    (Code.OKAY, 0),
    (Code.OKAY, FINISHED),
    (Code.DAMAGED, 0),
    (Code.OKAY, 2),
    (Code.DECERR, 0),
]
