"""Pixels become thermometer bits and enter the first feature map."""

from amaranth.hdl import Array, Cat, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import HostPort, index_shape, write_port
from xnoreplay.spec.plan import Plan


class Thermometer(wiring.Component):
    """The operation input: pixels of the stream become thermometer bits in act.ping.

    While ``active``, each cycle in which a pixel is offered writes one word of its bits; the pixel
    is taken with its last word. ``done`` marks the cycle of the image's last word, ``stall`` a
    cycle without a pixel. Thresholds are registers that the host writes.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.image_channels = plan.network.image_channels
        # Without a reset, as any memory that the host writes.
        self.thresholds = [
            Signal(8, name=f"threshold{i}", reset_less=True) for i in range(plan.input.channels)
        ]
        super().__init__(
            {
                "active": In(1),
                "pixel": In(stream.Signature(unsigned(8 * self.image_channels))),
                "write": Out(write_port(plan.memory("act.ping"))),
                "done": Out(1),
                "stall": Out(1),
                "host": In(HostPort(plan.input.channels, 8)),
            }
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        return {"input.stalls": self.stall, "images": self.done}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        op, levels = self.plan.input, self.plan.network.levels
        word_bits = self.plan.target.channels

        thresholds = Array(self.thresholds)
        with m.If(self.host.wen):
            m.d.sync += thresholds[self.host.addr].eq(self.host.wdata)
        with m.If(self.host.ren):
            m.d.sync += self.host.rdata.eq(thresholds[self.host.addr])

        bits = []
        for channel, n in enumerate(levels):
            pixel = self.pixel.payload.word_select(channel, 8)
            bits += [pixel >= thresholds[len(bits) + i] for i in range(n)]
        words = [Cat(bits[i : i + word_bits]) for i in range(0, len(bits), word_bits)]

        address = Signal.like(self.write.addr)
        word = Signal(index_shape(op.words))
        last = Signal()
        step = Signal()
        m.d.comb += [
            last.eq(word == op.words - 1),
            step.eq(self.active & self.pixel.valid),
            self.stall.eq(self.active & ~self.pixel.valid),
            self.pixel.ready.eq(self.active & last),
            self.write.en.eq(step.replicate(len(self.write.en))),
            self.write.addr.eq(address),
            self.write.data.eq(Array(words)[word]),
            self.done.eq(step & (address == op.pixels * op.words - 1)),
        ]
        with m.If(step):
            m.d.sync += [
                word.eq(0) if op.words == 1 else word.eq(word + 1),
                address.eq(address + 1),
            ]
            with m.If(last):
                m.d.sync += word.eq(0)
            with m.If(self.done):
                m.d.sync += address.eq(0)
        return m
