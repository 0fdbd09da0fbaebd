"""Frames over both serial lines against a model of the chip's port, with what a line does to them."""

import random

import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from xnoreplay.hw import bridges
from xnoreplay.hw.host.frames import crc_step
from xnoreplay.hw.host.spi import LEAST_CLOCKS
from xnoreplay.spec import frames
from xnoreplay.spec.frames import Code, Frame
from xnoreplay.spec.registers import Response

CLOCKS = 5  # of a bit of the UART; an odd number, so that the middle is none
MAP = {0x10: Response.OKAY, 0x20: Response.SLVERR}  # other addresses: DECERR


class Line:
    """One end of a serial line: sends bytes and takes those that come back."""

    def __init__(self, ctx, bridge):
        self.ctx, self.bridge = ctx, bridge

    async def clocks(self, count):
        for _ in range(count):
            await self.ctx.tick()


class UartLine(Line):
    make = staticmethod(lambda channels: bridges.uart(channels, CLOCKS))

    def __init__(self, ctx, bridge):
        super().__init__(ctx, bridge)
        self.got = []

    async def listen(self, ctx):
        """A process of its own: the wire, bit by bit, from the middle of the start bit on."""
        wire = self.bridge.uart_tx
        while True:
            await ctx.tick()
            if ctx.get(wire):
                continue
            for _ in range(CLOCKS // 2):
                await ctx.tick()
            bits = []
            for _ in range(9):
                for _ in range(CLOCKS):
                    await ctx.tick()
                bits.append(ctx.get(wire))
            assert bits[8] == 1, "no stop bit"
            self.got.append(sum(b << i for i, b in enumerate(bits[:8])))

    async def send(self, data, stop=1):
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), stop):
                self.ctx.set(self.bridge.uart_rx, bit)
                await self.clocks(CLOCKS)
            self.ctx.set(self.bridge.uart_rx, 1)

    async def answer(self, size):
        for _ in range(40 * CLOCKS * 10):
            if len(self.got) >= size:
                break
            await self.ctx.tick()
        data, self.got = bytes(self.got), []
        return data

    async def silence(self):
        await self.clocks(bridges.GAP * 10 * CLOCKS + 20)


class SpiLine(Line):
    make = staticmethod(lambda channels: bridges.spi(channels))
    half = LEAST_CLOCKS // 2

    async def listen(self, ctx):
        pass

    async def byte(self, value):
        got = 0
        for i in range(7, -1, -1):
            self.ctx.set(self.bridge.spi_mosi, value >> i & 1)
            await self.clocks(self.half)
            got = got << 1 | self.ctx.get(self.bridge.spi_miso)
            self.ctx.set(self.bridge.spi_sck, 1)
            await self.clocks(self.half)
            self.ctx.set(self.bridge.spi_sck, 0)
        return got

    async def send(self, data):
        self.ctx.set(self.bridge.spi_cs_n, 0)
        await self.clocks(self.half)
        for value in data:
            assert await self.byte(value) == 0, "a byte came before the frame was whole"

    async def answer(self, size):
        found = []
        for _ in range(40):
            value = await self.byte(0)
            if found or value:
                found.append(value)
            if len(found) == size:
                break
        await self.end()
        return bytes(found)

    async def end(self):
        self.ctx.set(self.bridge.spi_cs_n, 1)
        await self.clocks(self.half)

    async def silence(self):
        await self.end()
        await self.clocks(bridges.GAP * 256 + 20)


class World:
    """What is behind the bridge: words and pixels, with a port that takes its time."""

    def __init__(self, seed=0):
        self.rng = random.Random(seed)
        self.words, self.pixels, self.hungry = {}, [], True

    async def serve(self, ctx, engine):
        write, read = {}, None
        while True:
            sampled = {
                n: ctx.get(getattr(engine, f"m_axil_{n}"))
                for n in ("awvalid", "awaddr", "wvalid", "wdata", "wstrb", "arvalid", "araddr")
            }
            for channel, payload in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb"))):
                ready = channel not in write and self.rng.random() < 0.5
                ctx.set(getattr(engine, f"m_axil_{channel}ready"), ready)
                if ready and sampled[f"{channel}valid"]:
                    write[channel] = [sampled[p] for p in payload]
            ready = read is None and self.rng.random() < 0.5
            ctx.set(engine.m_axil_arready, ready)
            if ready and sampled["arvalid"]:
                read = sampled["araddr"]
            hungry = self.hungry and self.rng.random() < 0.5
            ctx.set(engine.pixel_ready, hungry)
            if hungry and ctx.get(engine.pixel_valid):
                self.pixels.append(ctx.get(engine.pixel))
            await ctx.tick()
            ctx.set(Cat(engine.m_axil_awready, engine.m_axil_wready, engine.m_axil_arready), 0)
            ctx.set(engine.pixel_ready, 0)
            if len(write) == 2:
                (address,), (data, strobe) = write["aw"], write["w"]
                assert strobe == 15
                response = MAP.get(address, Response.DECERR)
                if response is Response.OKAY:
                    self.words[address] = data
                ctx.set(engine.m_axil_bresp, response)
                await self.respond(ctx, engine.m_axil_bvalid, engine.m_axil_bready)
                write = {}
            if read is not None:
                response = MAP.get(read, Response.DECERR)
                ctx.set(engine.m_axil_rresp, response)
                ctx.set(engine.m_axil_rdata, self.words.get(read, 0))
                await self.respond(ctx, engine.m_axil_rvalid, engine.m_axil_rready)
                read = None

    async def respond(self, ctx, valid, ready):
        for _ in range(self.rng.randrange(3)):
            await ctx.tick()
        ctx.set(valid, 1)
        while not ctx.get(ready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(valid, 0)


def run(kind, host, channels=1, seed=0):
    """Let `host` (line, world) talk to a bridge; returns the world."""
    bridge, world = kind.make(channels), World(seed)
    simulator = Simulator(bridge)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        line.ctx = ctx
        await line.clocks(3)
        await host(line, world)

    line = kind(None, bridge)
    simulator.add_testbench(bench)

    async def serve(ctx):
        await world.serve(ctx, bridge.engine)

    simulator.add_testbench(serve, background=True)
    simulator.add_testbench(line.listen, background=True)
    simulator.run()
    return world


async def ask(line, frame, size):
    await line.send(frame)
    return await line.answer(size)


def good(answer):
    assert frames.crc(answer[:-1]) == answer[-1], answer.hex()
    return Code(answer[0]), answer[1:-1]


LINES = pytest.mark.parametrize("kind", [UartLine, SpiLine])


def test_the_check_of_the_logic_is_that_of_the_page():
    from amaranth.hdl import Const, Module, Signal

    state = Signal(8)
    byte = Signal(8)
    out = Signal(8)
    m = Module()
    m.d.comb += out.eq(crc_step(state, byte))
    simulator = Simulator(m)

    async def bench(ctx):
        rng = random.Random(1)
        for _ in range(200):
            a, b = rng.randrange(256), rng.randrange(256)
            ctx.set(state, a)
            ctx.set(byte, b)
            await ctx.delay(1e-6)
            assert ctx.get(out) == frames.step(a, b)

    assert Const(0, 8).shape().width == 8
    simulator.add_testbench(bench)
    simulator.run()


@LINES
@pytest.mark.parametrize("seed", range(3))
def test_words_go_and_come(kind, seed):
    async def host(line, world):
        rng = random.Random(seed)
        for _ in range(4):
            data = rng.randrange(1 << 32)
            assert good(await ask(line, frames.write(0x10, data), 2)) == (Code.OKAY, b"")
            assert world.words == {0x10: data}
            code, got = good(await ask(line, frames.read(0x10), 6))
            assert (code, got) == (Code.OKAY, data.to_bytes(4, "little"))
        assert good(await ask(line, frames.write(0x20, 5), 2)) == (Code.SLVERR, b"")
        assert good(await ask(line, frames.read(0x20), 6))[0] is Code.SLVERR
        assert good(await ask(line, frames.read(0xFF000000), 6))[0] is Code.DECERR

    run(kind, host, seed=seed)


@LINES
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_offered_in_their_order(kind, channels):
    data = bytes(random.Random(channels).randrange(256) for _ in range(21))
    rest = bytes(range(63))

    async def host(line, world):
        assert good(await ask(line, frames.pixels(data), 2)) == (Code.OKAY, b"")
        await line.clocks(400)
        world.hungry = False
        assert good(await ask(line, frames.pixels(rest), 2))[0] is Code.OKAY
        # While the first of them waits, no others are taken, and words still are.
        assert good(await ask(line, frames.pixels(data), 2))[0] is Code.FULL
        assert good(await ask(line, frames.write(0x10, 7), 2))[0] is Code.OKAY
        world.hungry = True
        await line.clocks(800)

    found = run(kind, host, channels).pixels
    whole = data + rest
    expected = [
        int.from_bytes(whole[i : i + channels], "little") for i in range(0, len(whole), channels)
    ]
    assert found == expected


@LINES
def test_an_empty_frame_of_pixels_drops_those_that_wait(kind):
    async def host(line, world):
        world.hungry = False
        assert good(await ask(line, frames.pixels(bytes(range(9))), 2))[0] is Code.OKAY
        await line.clocks(50)
        assert good(await ask(line, frames.pixels(b""), 2))[0] is Code.OKAY
        world.hungry = True
        await line.clocks(100)
        assert world.pixels == []
        assert good(await ask(line, frames.pixels(b"ab"), 2))[0] is Code.OKAY
        await line.clocks(100)

    assert run(kind, host).pixels == [ord("a"), ord("b")]


@LINES
def test_damage_changes_nothing(kind):
    """A wrong bit in any byte of a frame but the first, which says how long it is."""

    async def host(line, world):
        frame = frames.write(0x10, 0x1234567)
        for place in range(1, len(frame)):
            wrong = bytearray(frame)
            wrong[place] ^= 1 << place % 8
            assert good(await ask(line, bytes(wrong), 2)) == (Code.DAMAGED, b"")
        assert good(await ask(line, frames.pixels(b"xy")[:-1] + b"\0", 2))[0] is Code.DAMAGED
        await line.clocks(60)
        assert (world.words, world.pixels) == ({}, [])
        assert good(await ask(line, frame, 2))[0] is Code.OKAY

    run(kind, host)


@LINES
@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_frame_that_stops_is_forgotten(kind, cut):
    async def host(line, world):
        await line.send(frames.write(0x10, 1)[:cut])
        await line.silence()
        assert good(await ask(line, frames.read(0x10), 6)) == (Code.OKAY, bytes(4))
        assert world.words == {}

    run(kind, host)


def test_rubbish_on_a_uart_is_answered_once_it_ends():
    async def host(line, world):
        await line.send(b"\x00hello" + frames.write(0x10, 1))
        assert good(await line.answer(2)) == (Code.UNKNOWN, b"")
        assert world.words == {}
        await line.send(bytes([Frame.PIXELS, 65, 1]))
        assert good(await line.answer(2))[0] is Code.UNKNOWN
        await line.send(b"R", stop=0)  # no stop bit: no byte
        await line.silence()
        assert line.got == []
        assert good(await ask(line, frames.write(0x10, 1), 2))[0] is Code.OKAY

    run(UartLine, host)


def test_rubbish_on_spi_ends_with_the_select():
    async def host(line, world):
        await line.send(b"\x00hello" + frames.write(0x10, 1))
        await line.end()
        assert good(await ask(line, frames.write(0x10, 2), 2))[0] is Code.OKAY
        assert world.words == {0x10: 2}
        # An answer that the master does not fetch is gone.
        await line.send(frames.read(0x10))
        await line.end()
        assert good(await ask(line, frames.read(0x20), 6))[0] is Code.SLVERR

    run(SpiLine, host)
