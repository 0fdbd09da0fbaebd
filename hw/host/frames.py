"""A serial line's bytes as transfers of the chip: `spec.frames` is the meaning of each."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.host import axi
from xnoreplay.hw.parts.memory import Ram
from xnoreplay.spec import frames
from xnoreplay.spec.frames import MOST_BYTES, Code, Frame
from xnoreplay.spec.registers import Response

ADDRESS_BYTES, WORD_BYTES = 4, 4
CARRIED = Code.OKAY - Response.OKAY  # what a response is added to


def crc_step(check: Value, byte: Value) -> Value:
    """The check after one byte more, as one level of XORs: each bit of it is linear in the 16 bits before."""
    state = Cat(check, byte)
    columns = [frames.step(1 << i, 0) for i in range(8)] + [
        frames.step(0, 1 << i) for i in range(8)
    ]
    return Cat(Cat(state[i] for i in range(16) if columns[i] >> bit & 1).xor() for bit in range(8))


class FrameEngine(wiring.Component):
    """Frames of a host as AXI4-Lite transfers and pixels, and the answers to them.

    A frame is carried out once its check is right. Bytes that come while one is carried out or answered are lost. A
    frame in which no byte comes for ``gap`` cycles is dropped without an answer; after a byte that begins no frame, all
    bytes are dropped until none has come for so long.

    Parameters
    ----------
    channels : int
        Bytes of a pixel.
    gap : int
        Clock cycles.

    Members
    -------
    rx : In(8), rx_valid : In(1)
        A byte, in the cycle with ``rx_valid``.
    restart : In(1)
        Drops the frame that comes in, and the answer that goes out, as the end of an SPI frame does.
    tx : Out(8), tx_valid : Out(1), tx_ready : In(1)
    m_axil_* : as `axi.lite_members`, of a master
    pixel, pixel_valid : Out, pixel_ready : In(1)
    """

    def __init__(self, channels: int, gap: int) -> None:
        self.channels, self.gap = channels, gap
        lite = {name: member.flip() for name, member in axi.lite_members("m_axil_").items()}
        super().__init__(
            {
                "rx": In(8),
                "rx_valid": In(1),
                "restart": In(1),
                "tx": Out(8),
                "tx_valid": Out(1),
                "tx_ready": In(1),
                "pixel": Out(8 * channels),
                "pixel_valid": Out(1),
                "pixel_ready": In(1),
            }
            | lite
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        self.kind = Signal(8)
        self.check = Signal(8)
        self.left = Signal(range(MOST_BYTES + 1))
        self.payload = Signal(8 * (ADDRESS_BYTES + WORD_BYTES))
        self.code = Signal(8)
        self.data = Signal(8 * WORD_BYTES)
        self.waiting = Signal()
        silence = Signal(range(self.gap + 1))
        silent = Signal()
        m.d.comb += silent.eq(silence == self.gap)
        with m.If(self.rx_valid):
            m.d.sync += [silence.eq(0), self.check.eq(crc_step(self.check, self.rx))]
        with m.Elif(~silent):
            m.d.sync += silence.eq(silence + 1)
        self._build_pixels(m)
        with m.FSM():
            self._build_intake(m, silent)
            self._build_transfers(m)
            self._build_answer(m)
        return m

    def _reply(self, m: Module, code: int | Value) -> None:
        """Go on with the answer."""
        m.d.sync += self.code.eq(code)
        m.next = "CODE"

    def _build_intake(self, m: Module, silent: Value) -> None:
        """Build the states in which a frame comes in."""
        lost = silent | self.restart
        sizes = range(0, MOST_BYTES + 1, self.channels)
        with m.State("IDLE"):
            m.d.sync += [self.kind.eq(self.rx), self.full.eq(self.waiting), self.place.eq(0)]
            with m.If(self.rx_valid):
                m.d.sync += self.check.eq(crc_step(Const(0, 8), self.rx))
                with m.Switch(self.rx):
                    with m.Case(Frame.READ):
                        m.d.sync += self.left.eq(ADDRESS_BYTES)
                        m.next = "WORDS"
                    with m.Case(Frame.WRITE):
                        m.d.sync += self.left.eq(ADDRESS_BYTES + WORD_BYTES)
                        m.next = "WORDS"
                    with m.Case(Frame.PIXELS):
                        m.next = "COUNT"
                    with m.Default():
                        m.next = "SKIP"
        with m.State("WORDS"):
            with m.If(self.rx_valid):
                # The first byte comes to lie lowest once all eight are in; of a read, four bytes up.
                m.d.sync += [
                    self.payload.eq(Cat(self.payload, self.rx)[8:]),
                    self.left.eq(self.left - 1),
                ]
                with m.If(self.left == 1):
                    m.next = "CHECK"
            with m.Elif(lost):
                m.next = "IDLE"
        with m.State("COUNT"):
            m.d.sync += [self.left.eq(self.rx), self.incoming.eq(self.rx)]
            with m.If(self.rx_valid):
                with m.Switch(self.rx):
                    with m.Case(0):
                        m.next = "CHECK"
                    with m.Case(*sizes[1:]):
                        m.next = "BYTES"
                    with m.Default():
                        m.next = "SKIP"
            with m.Elif(lost):
                m.next = "IDLE"
        with m.State("BYTES"):
            with m.If(self.rx_valid):
                m.d.comb += self.buffer.wen.eq(~self.full)
                m.d.sync += [self.place.eq(self.place + 1), self.left.eq(self.left - 1)]
                with m.If(self.left == 1):
                    m.next = "CHECK"
            with m.Elif(lost):
                m.next = "IDLE"
        with m.State("CHECK"):
            with m.If(self.rx_valid):
                with m.If(self.rx != self.check):
                    self._reply(m, Code.DAMAGED)
                with m.Elif(self.kind == Frame.READ):
                    m.next = "READ"
                with m.Elif(self.kind == Frame.WRITE):
                    m.next = "WRITE"
                with m.Elif(self.incoming == 0):
                    m.d.comb += self.drop.eq(1)
                    self._reply(m, Code.OKAY)
                with m.Elif(self.full):
                    self._reply(m, Code.FULL)
                with m.Else():
                    m.d.sync += [self.held.eq(self.incoming), self.index.eq(0)]
                    self._reply(m, Code.OKAY)
            with m.Elif(lost):
                m.next = "IDLE"
        with m.State("SKIP"):
            with m.If(self.restart):
                m.next = "IDLE"
            with m.Elif(silent & ~self.rx_valid):
                self._reply(m, Code.UNKNOWN)

    def _build_pixels(self, m: Module) -> None:
        """Build the buffer of pixels: a frame's bytes go in, and once the frame is right, out as pixels."""
        m.submodules.buffer = self.buffer = buffer = Ram(MOST_BYTES, 8)
        self.place = Signal(range(MOST_BYTES))
        self.index = Signal(range(MOST_BYTES))
        self.incoming = Signal(8)
        self.held = Signal(range(MOST_BYTES + 1))
        self.full = Signal()
        self.drop = Signal()
        fetched = Signal()
        part = Signal(range(max(2, self.channels)))
        m.d.comb += [
            buffer.waddr.eq(self.place),
            buffer.wdata.eq(self.rx),
            buffer.raddr.eq(self.index),
            self.waiting.eq((self.held != 0) | self.pixel_valid),
        ]
        with m.If(self.pixel_valid & self.pixel_ready):
            m.d.sync += self.pixel_valid.eq(0)
        with m.If((self.held != 0) & ~self.pixel_valid):
            with m.If(~fetched):
                m.d.comb += buffer.ren.eq(1)
                m.d.sync += fetched.eq(1)
            with m.Else():
                m.d.sync += [
                    self.pixel.eq(Cat(self.pixel, buffer.rdata)[8:]),
                    self.index.eq(self.index + 1),
                    self.held.eq(self.held - 1),
                    fetched.eq(0),
                    part.eq(part + 1),
                ]
                with m.If(part == self.channels - 1):
                    m.d.sync += [part.eq(0), self.pixel_valid.eq(1)]
        with m.If(self.drop):
            m.d.sync += [self.held.eq(0), self.pixel_valid.eq(0), part.eq(0), fetched.eq(0)]

    def _build_transfers(self, m: Module) -> None:
        """Build the states that carry out a word's frame; a transfer that has begun comes to its end."""
        address_taken = Signal()
        data_taken = Signal()
        low, high = self.payload[: 8 * ADDRESS_BYTES], self.payload[8 * ADDRESS_BYTES :]
        m.d.comb += [
            self.m_axil_awaddr.eq(low),
            self.m_axil_araddr.eq(high),
            self.m_axil_wdata.eq(high),
            self.m_axil_wstrb.eq(~0),
        ]
        with m.State("READ"):
            m.d.comb += [self.m_axil_arvalid.eq(~address_taken), self.m_axil_rready.eq(1)]
            with m.If(self.m_axil_arready):
                m.d.sync += address_taken.eq(1)
            with m.If(self.m_axil_rvalid):
                m.d.sync += [self.data.eq(self.m_axil_rdata), address_taken.eq(0)]
                self._reply(m, self.m_axil_rresp | CARRIED)
        with m.State("WRITE"):
            m.d.comb += [
                self.m_axil_awvalid.eq(~address_taken),
                self.m_axil_wvalid.eq(~data_taken),
                self.m_axil_bready.eq(1),
            ]
            with m.If(self.m_axil_awready):
                m.d.sync += address_taken.eq(1)
            with m.If(self.m_axil_wready):
                m.d.sync += data_taken.eq(1)
            with m.If(self.m_axil_bvalid):
                m.d.sync += [address_taken.eq(0), data_taken.eq(0)]
                self._reply(m, self.m_axil_bresp | CARRIED)

    def _build_answer(self, m: Module) -> None:
        """Build the states in which an answer goes out; `check` becomes that of its bytes."""
        byte = self.data[:8]
        carried = (self.code & ~0x0F == CARRIED) & ~self.code[3]
        with m.State("CODE"):
            m.d.comb += [self.tx.eq(self.code), self.tx_valid.eq(1)]
            m.d.sync += [self.check.eq(crc_step(Const(0, 8), self.code)), self.left.eq(WORD_BYTES)]
            with m.If(self.tx_ready):
                m.next = "SUM"
                with m.If((self.kind == Frame.READ) & carried):
                    m.next = "DATA"
            with m.If(self.restart):
                m.next = "IDLE"
        with m.State("DATA"):
            m.d.comb += [self.tx.eq(byte), self.tx_valid.eq(1)]
            m.d.sync += self.check.eq(self.check)  # bytes that come now do not count
            with m.If(self.tx_ready):
                m.d.sync += [
                    self.check.eq(crc_step(self.check, byte)),
                    self.data.eq(self.data >> 8),
                    self.left.eq(self.left - 1),
                ]
                with m.If(self.left == 1):
                    m.next = "SUM"
            with m.If(self.restart):
                m.next = "IDLE"
        with m.State("SUM"):
            m.d.comb += [self.tx.eq(self.check), self.tx_valid.eq(1)]
            m.d.sync += self.check.eq(self.check)
            with m.If(self.tx_ready | self.restart):
                m.next = "IDLE"
