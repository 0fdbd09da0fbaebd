"""Learnable global average pooling: two counters a channel."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import FilePort, ReadPort, index_shape, read_port
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan


class Lgap(wiring.Component):
    """The operation lgap, which reads one word of the map a cycle; ``done`` marks its last cycle.

    A map has more pixels than a window has taps, so reading the array's nodes would need these
    counters as well; it would save one XNOR a channel.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        target = plan.target
        depth = max(plan.memory("act.ping").depth, plan.memory("act.pong").depth)
        super().__init__(
            {
                "active": In(1),
                "done": Out(1),
                "source": Out(ReadPort(depth, target.channels)),
                "kernel": Out(read_port(plan.memory("weights.lgap"))),
                "file": Out(FilePort(target.lanes, plan.slots, target.channels)),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        op, channels = self.plan.lgap, self.plan.target.channels
        total = op.words * op.pixels

        k = Signal(range(op.cycles))  # cycle of the operation
        issue = Signal()
        pixel = Signal(range(op.pixels))
        group = Signal(index_shape(op.words))
        base = Signal.like(self.source.addr)
        m.d.comb += [
            issue.eq(self.active & (k < total)),
            self.done.eq(self.active & (k == op.cycles - 1)),
            self.source.en.eq(issue),
            self.source.addr.eq(base + group),
            self.kernel.en.eq(issue),
            self.kernel.addr.eq(k),
        ]
        with m.If(self.active):
            m.d.sync += k.eq(Mux(self.done, 0, k + 1))
        with m.If(issue):
            m.d.sync += [pixel.eq(pixel + 1), base.eq(base + op.words)]
            with m.If(pixel == op.pixels - 1):
                m.d.sync += [pixel.eq(0), base.eq(0), group.eq(group + 1)]
                with m.If(group == op.words - 1):
                    m.d.sync += group.eq(0)

        # d_: the word has come. e_: its counts are complete. f_: the depthwise bits follow.
        d_valid, d_first, d_last = (Signal(name=f"d_{s}") for s in ("valid", "first", "last"))
        d_group, e_group, f_group = (Signal.like(group, name=f"{s}_group") for s in "def")
        e_last, f_last = Signal(name="e_last"), Signal(name="f_last")
        m.d.sync += [
            d_valid.eq(issue),
            d_first.eq(pixel == 0),
            d_last.eq(issue & (pixel == op.pixels - 1)),
            d_group.eq(group),
            e_last.eq(d_last),
            e_group.eq(d_group),
            f_last.eq(e_last),
            f_group.eq(e_group),
        ]
        agreement = ~(self.source.data ^ self.kernel.data)
        averages, depthwise = [], []
        for c in range(channels):
            for bit, signs, name in (
                (self.source.data[c], averages, "average"),
                (agreement[c], depthwise, "depthwise"),
            ):
                count = Signal(range(op.pixels + 1), name=f"{name}{c}")
                with m.If(d_valid):
                    m.d.sync += count.eq(Mux(d_first, 0, count) + bit)
                signs.append((count << 1) >= op.pixels)
        mask = Signal(channels)
        m.d.comb += mask.eq(
            Mux(e_group == op.words - 1, (1 << op.last_channels) - 1, (1 << channels) - 1)
        )
        held = Signal(channels)
        m.d.sync += held.eq(Cat(depthwise) & mask)

        # Vector words of the average path, then of the depthwise path.
        slots = Array(w // TAPS for w in range(2 * op.words))
        taps = Array(1 << w % TAPS for w in range(2 * op.words))
        word = Signal(range(2 * op.words))
        with m.If(e_last):
            average = Cat(averages) & mask
            m.d.comb += [word.eq(e_group), self.file.data.eq(average)]
        with m.Else():
            m.d.comb += [word.eq(f_group + op.words), self.file.data.eq(held)]
        m.d.comb += [
            self.file.lanes.eq(e_last | f_last),
            self.file.slot.eq(slots[word]),
            self.file.taps.eq(taps[word]),
        ]
        return m
