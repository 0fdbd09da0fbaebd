"""Convolutions: skips, signs, pooling, and the write to the destination map."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import ReadPort, WritePort, index_shape
from xnoreplay.hw.parts.program import fields
from xnoreplay.spec.plan import Convolution, Plan


def program(op: Convolution) -> dict[str, int]:
    """Fields of one convolution that the side after the array reads, as `hw.parts.program.fields` takes them."""
    return {
        "threshold": op.threshold,
        "out_width": op.width - 1,
        "out_height": op.height - 1,
        "pool": int(op.pool),
        "destination_words": op.destination_words,
        "destination_group_tiles": op.destination_group_tiles - 1,
        "word_tiles": op.word_tiles - 1,
    }


def skip_program(op: Convolution) -> dict[str, int]:
    """Fields of one convolution that a plan with skips adds to `program`, for convolutions without one, too."""
    return {
        "skip": int(op.skip_shift > 0),
        "skip_last": (op.pixels - 1) * op.destination_words,
        "threshold_of_0": op.threshold + op.skip_shift,
        "threshold_of_1": op.threshold - op.skip_shift,
    }


class ConvolutionBack(wiring.Component):
    """What becomes of a convolution's sums after the array: skip, sign, pooling and write.

    In a cycle of ``valid``, ``acc`` holds L finished sums of the next pixel of the tile, in raster
    order, tile after tile; their signs, pooled where the operation pools, are written in the same
    cycle. ``restart`` begins an operation.

    Where the plan has skips, ``early`` precedes ``valid`` by one cycle. It reads, in operations with
    a skip, the word of the destination map that the coming bits belong to; its bits of the slice that
    they will replace choose between two thresholds.
    """

    def __init__(self, plan: Plan, first_phase: int, acc_bits: int):
        self.plan, self.first_phase, self.acc_bits = plan, first_phase, acc_bits
        target = plan.target
        depth = max(plan.memory("act.ping").depth, plan.memory("act.pong").depth)
        skip = {}
        if plan.has_skips:
            skip = {"early": In(1), "skip": Out(ReadPort(depth, target.channels))}
        super().__init__(
            {
                "at": In(len(plan.phases)),
                "restart": In(1),
                "valid": In(1),
                "acc": In(data.ArrayLayout(acc_bits, target.lanes)),
                "write": Out(WritePort(depth, target.channels, target.lanes)),
                "pool_read": Out(1),
                "pool_write": Out(1),
            }
            | skip
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        return {"pool.row.reads": self.pool_read, "pool.row.writes": self.pool_write}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        lanes, word = self.plan.target.lanes, self.plan.target.channels
        ops = self.plan.convolutions
        # Registers, for no sum comes in an operation's first cycle.
        op = fields(m, self.at, {self.first_phase + c.index: program(c) for c in ops}, held=True)

        x, y = Signal.like(op["out_width"], name="x"), Signal.like(op["out_height"], name="y")
        part = Signal(index_shape(word // lanes))
        bits = Signal(lanes)
        out = Signal(lanes)
        write = Signal()
        end_of_tile = Signal()
        thresholds = [op["threshold"]] * lanes
        if self.plan.has_skips:
            skips = {self.first_phase + c.index: skip_program(c) for c in ops}
            op |= fields(m, self.at, skips, held=True)
            added = self.skip.data.word_select(part, lanes)
            thresholds = [Mux(bit, op["threshold_of_1"], op["threshold_of_0"]) for bit in added]
        m.d.comb += [
            bits.eq(Cat(self.acc[i] >= thresholds[i] for i in range(lanes))),
            out.eq(bits),
            write.eq(self.valid),
            end_of_tile.eq(self.valid & (x == op["out_width"]) & (y == op["out_height"])),
        ]
        if any(c.pool for c in ops):
            self.build_pool(m, op, x, y, bits, out, write)
        with m.If(self.valid):
            m.d.sync += x.eq(x + 1)
            with m.If(x == op["out_width"]):
                m.d.sync += [x.eq(0), y.eq(y + 1)]
            with m.If(end_of_tile):
                m.d.sync += y.eq(0)

        # The word and slice of a pixel that this tile fills.
        member = Signal.like(op["destination_group_tiles"], name="member")
        tile_word = Signal.like(self.write.addr)
        pixel_base = Signal.like(self.write.addr)
        with m.If(write):
            m.d.sync += pixel_base.eq(pixel_base + op["destination_words"])
        full = member == op["destination_group_tiles"]
        end_of_word = full | (part == op["word_tiles"])
        with m.If(end_of_tile):
            m.d.sync += [pixel_base.eq(0), part.eq(part + 1), member.eq(member + 1)]
            with m.If(end_of_word):
                m.d.sync += [part.eq(0), tile_word.eq(tile_word + 1)]
            with m.If(full):
                m.d.sync += member.eq(0)
        with m.If(self.restart):
            m.d.sync += [
                x.eq(0),
                y.eq(0),
                member.eq(0),
                part.eq(0),
                tile_word.eq(0),
                pixel_base.eq(0),
            ]
        m.d.comb += [
            self.write.en.eq(Mux(write, 1 << part, 0)),
            self.write.addr.eq(pixel_base + tile_word),
            self.write.data.eq(out.replicate(word // lanes)),
        ]
        if self.plan.has_skips:
            self.build_skip(m, op, tile_word + (end_of_tile & end_of_word))
        return m

    def build_skip(self, m, op, coming_word):
        """Read a skip's word one cycle ahead of each result: of the next pixel, or of a new tile's first."""
        base = Signal.like(self.skip.addr, name="skip_base")
        m.d.comb += [
            self.skip.en.eq(self.early & op["skip"]),
            self.skip.addr.eq(base + coming_word),
        ]
        with m.If(self.skip.en):
            m.d.sync += base.eq(Mux(base == op["skip_last"], 0, base + op["destination_words"]))
        with m.If(self.restart):
            m.d.sync += base.eq(0)

    def build_pool(self, m, op, x, y, bits, out, write):
        """Pool 2 x 2 bits, whose maximum is their OR: of two neighbours first, then of two rows."""
        memory = self.plan.memory("pool.row")
        m.submodules.pool_row = row = RegisterFile(memory.depth, memory.width)
        left = Signal.like(bits)
        pair = Signal.like(bits)
        with m.If(self.valid):
            m.d.sync += left.eq(bits)
        m.d.comb += [
            pair.eq(left | bits),
            row.raddr.eq(x[1:]),
            row.waddr.eq(x[1:]),
            row.wdata.eq(pair),
            row.wen.eq(self.pool_write),
        ]
        with m.If(op["pool"]):
            m.d.comb += [
                self.pool_write.eq(self.valid & x[0] & ~y[0]),
                self.pool_read.eq(self.valid & x[0] & y[0]),
                out.eq(pair | row.rdata),
                write.eq(self.pool_read),
            ]
