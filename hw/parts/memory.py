"""Memories: one read port and one write port, shared with the host while the chip is idle."""

from functools import reduce
from operator import or_
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.code import Checks, Decoder
from xnoreplay.hw.parts.ports import HostPort, index_shape
from xnoreplay.spec.codes import Code


class Ram(wiring.Component):
    """A synchronous memory that synthesis tools infer.

    ``rdata`` is the word at ``raddr`` one cycle after ``ren``, and holds otherwise. ``wen`` has one bit for each
    granule. No cycle reads the row that it writes, see `spec.memories.Apart`; while ``host.open`` is high, the chip must not strobe.

    Parameters
    ----------
    depth, width : int
    granule : int
        Bits of one write enable; 0 for the whole width.
    late : bool
        The write port is a register: the array has a word one cycle later than it was given. No cycle reads the row that it was
        given, nor the one before.
    code : Code, optional
        Of the words, which are written as a whole. A row then has their check bits above, and ``rdata`` is the corrected
        word. ``corrected`` and ``wrong`` are high in the cycle in which a word comes, where the decoder has corrected it, or
        found wrong bits that it does not correct.
    """

    def __init__(
        self,
        depth: int,
        width: int,
        granule: int = 0,
        late: bool = False,
        code: Code | None = None,
    ):
        self.depth, self.width, self.granule, self.late = depth, width, granule or width, late
        self.code = code
        if width % self.granule:
            raise ValueError(f"granule must divide the width {width}, not {granule}")
        if code and self.granule < width:
            raise ValueError(
                f"granule of words with a code must be the width {width}, not {granule}"
            )
        stored = width + (code.checks if code else 0)
        self.array = memory.Memory(shape=unsigned(stored), depth=depth, init=[])
        told = {"corrected": Out(1), "wrong": Out(1)} if code else {}
        super().__init__(
            {
                "ren": In(1),
                "raddr": In(index_shape(depth)),
                "rdata": Out(width),
                "wen": In(width // self.granule),
                "waddr": In(index_shape(depth)),
                "wdata": In(width),
                "host": In(HostPort(depth, width)),
            }
            | told
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.array = self.array
        write = self.array.write_port(granularity=None if self.code else self.granule)
        if self.code:
            write = self.coded_write(m, write, self.code)
        read = self.array.read_port(transparent_for=())
        word = self.decoded(m, read, self.code) if self.code else read.data
        given = self.given(m, write) if self.late else write
        m.d.comb += [
            read.en.eq(self.ren | self.host.ren),
            given.en.eq(self.wen | self.host.wen.replicate(len(self.wen))),
            given.data.eq(Mux(self.host.open, self.host.wdata, self.wdata)),
            self.rdata.eq(word),
            self.host.rdata.eq(word),
        ]
        if self.depth > 1:
            m.d.comb += [
                read.addr.eq(Mux(self.host.open, self.host.addr, self.raddr)),
                given.addr.eq(Mux(self.host.open, self.host.addr, self.waddr)),
            ]
        return m

    def coded_write(self, m: Module, write, code: Code) -> SimpleNamespace:
        """What a write port of rows takes of a word: the check bits follow from it."""
        data = Signal(self.width, name="word")
        m.submodules.checks = checks = Checks(code)
        whole = Signal(name="write")
        m.d.comb += [
            checks.word.eq(data),
            write.en.eq(whole.replicate(len(write.en))),
            write.data.eq(Cat(data, checks.bits)),
        ]
        return SimpleNamespace(en=whole, addr=write.addr, data=data)

    def decoded(self, m: Module, read, code: Code):
        """The word of a row that is read, and what is told of it in the cycle in which it comes."""
        m.submodules.decoder = decoder = Decoder(code)
        came = Signal()
        m.d.sync += came.eq(read.en)
        m.d.comb += [
            decoder.row.eq(read.data),
            self.corrected.eq(decoder.corrected & came),
            self.wrong.eq(decoder.wrong & came),
        ]
        return decoder.word

    def given(self, m: Module, write) -> SimpleNamespace:
        """What a port is given one cycle before it, without a reset: what an abort's cycle writes is written."""
        found = SimpleNamespace()
        for name in ("en", "addr", "data"):
            port = getattr(write, name)
            if not len(port):  # the address of a memory of one row
                continue
            before = Signal.like(port, name=f"given_{name}")
            after = Signal.like(port, name=f"late_{name}", reset_less=True)
            m.d.sync += after.eq(before)
            m.d.comb += port.eq(after)
            setattr(found, name, before)
        return found


class PlaneRam(wiring.Component):
    """Rows of bit-planes: one memory a plane, so that all bits of a value are written at once.

    A write puts bit k of a value into plane k, at the columns of ``wen``; column n takes value
    n % ``group`` of ``wvalue``. A read gives one plane of a row. ``late``: see `Ram`.
    """

    def __init__(self, depth: int, width: int, planes: int, group: int = 1, late: bool = False):
        self.depth, self.width, self.planes, self.group = depth, width, planes, group
        self.rams = [Ram(depth, width, 1, late) for _ in range(planes)]
        super().__init__(
            {
                "wen": In(width),
                "waddr": In(index_shape(depth)),
                "wvalue": In(data.ArrayLayout(planes, group)),
                "ren": In(1),
                "raddr": In(index_shape(depth)),
                "rplane": In(index_shape(planes)),
                "rdata": Out(width),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        chosen = Signal(self.planes)  # a bit a plane
        with m.If(self.ren):
            m.d.sync += chosen.eq(Cat(self.rplane == k for k in range(self.planes)))
        given = [ram.rdata & chosen[k].replicate(self.width) for k, ram in enumerate(self.rams)]
        m.d.comb += self.rdata.eq(reduce(or_, given))
        for k, ram in enumerate(self.rams):
            m.submodules[f"plane{k}"] = ram
            m.d.comb += [
                ram.wen.eq(self.wen),
                ram.waddr.eq(self.waddr),
                ram.wdata.eq(Cat(self.wvalue[n % self.group][k] for n in range(self.width))),
                ram.ren.eq(self.ren & (self.rplane == k)),
                ram.raddr.eq(self.raddr),
            ]
        return m


class PlaneBanks(wiring.Component):
    """Banks of bit-planes: one row and column of several banks is written at once, one bank is read."""

    def __init__(self, depth: int, width: int, planes: int, banks: int, late: bool = False):
        self.banks = [PlaneRam(depth, width, planes, late=late) for _ in range(banks)]
        super().__init__(
            {
                "wbanks": In(banks),
                "wen": In(width),
                "waddr": In(index_shape(depth)),
                "wvalue": In(data.ArrayLayout(planes, banks)),
                "ren": In(1),
                "rbank": In(index_shape(banks)),
                "raddr": In(index_shape(depth)),
                "rplane": In(index_shape(planes)),
                "rdata": Out(width),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        chosen = Signal(len(self.banks))  # a bit a bank
        with m.If(self.ren):
            m.d.sync += chosen.eq(Cat(self.rbank == i for i in range(len(self.banks))))
        given = [
            bank.rdata & chosen[i].replicate(len(self.rdata)) for i, bank in enumerate(self.banks)
        ]
        m.d.comb += self.rdata.eq(reduce(or_, given))
        for i, bank in enumerate(self.banks):
            m.submodules[f"bank{i}"] = bank
            m.d.comb += [
                bank.wen.eq(self.wen & self.wbanks[i].replicate(len(self.wen))),
                bank.waddr.eq(self.waddr),
                bank.wvalue[0].eq(self.wvalue[i]),
                bank.ren.eq(self.ren & (self.rbank == i)),
                bank.raddr.eq(self.raddr),
                bank.rplane.eq(self.rplane),
            ]
        return m


class RegisterFile(wiring.Component):
    """A small memory whose read has no latency: distributed RAM or registers.

    ``rdata`` is the word at ``raddr``; ``wen`` has one bit for each granule.
    """

    def __init__(self, depth: int, width: int, granule: int = 0):
        self.depth, self.width, self.granule = depth, width, granule or width
        self.array = memory.Memory(shape=unsigned(width), depth=depth, init=[])
        super().__init__(
            {
                "raddr": In(index_shape(depth)),
                "rdata": Out(width),
                "wen": In(width // self.granule),
                "waddr": In(index_shape(depth)),
                "wdata": In(width),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.array = self.array
        write = self.array.write_port(granularity=self.granule)
        read = self.array.read_port(domain="comb")
        m.d.comb += [
            self.rdata.eq(read.data),
            write.en.eq(self.wen),
            write.data.eq(self.wdata),
        ]
        if self.depth > 1:
            m.d.comb += [read.addr.eq(self.raddr), write.addr.eq(self.waddr)]
        return m
