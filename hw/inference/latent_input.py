"""A latent enters a chip without convolutions."""

from amaranth.hdl import Array, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import FilePort, index_shape, write_port
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan


class LatentInput(wiring.Component):
    """The operation input of a chip that is given latents.

    Transfer i of the stream has bits i * part and up of the latent in its low `part` bits; what the latent does not fill is
    ignored. While ``active``, each cycle in which a transfer is offered takes it. With the last part of a word of G bits,
    or of the latent, the word is written to act.latent and to lane 0's file, where the hidden layer reads it; bits past
    the latent's last are 0. ``done`` marks the cycle of the last transfer, ``stall`` a cycle without one.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        target = plan.target
        super().__init__(
            {
                "active": In(1),
                "sample": In(stream.Signature(unsigned(8 * plan.input.byte_lanes))),
                "latent": Out(write_port(plan.memory("act.latent"))),
                "file": Out(FilePort(target.lanes, plan.slots, target.channels)),
                "done": Out(1),
                "stall": Out(1),
            }
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        return {"input.stalls": self.stall, "images": self.done}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        op, words = self.plan.input, self.plan.replay.words
        word_bits = self.plan.target.channels
        parts = word_bits // op.part

        count = Signal(index_shape(op.pixels))
        last = Signal()
        step = Signal()
        left = op.channels - (op.pixels - 1) * op.part  # bits of the last transfer
        bits = Signal(op.part)
        m.d.comb += [
            last.eq(count == op.pixels - 1),
            step.eq(self.active & self.sample.valid),
            self.stall.eq(self.active & ~self.sample.valid),
            self.sample.ready.eq(self.active),
            self.done.eq(step & last),
            bits.eq(
                self.sample.payload[: op.part] & Mux(last, (1 << left) - 1, (1 << op.part) - 1)
            ),
        ]
        word = Signal(word_bits)
        full = Signal()
        index = Signal(index_shape(words))
        with m.If(step):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        if parts == 1:
            m.d.comb += [word.eq(bits), full.eq(1), index.eq(count)]
        else:
            place = Signal(range(parts))
            gathered = Signal(word_bits)
            m.d.comb += [
                word.eq(gathered | (bits << (place * op.part))),
                full.eq(last | (place == parts - 1)),
                index.eq(count // parts),
            ]
            with m.If(step):
                m.d.sync += [
                    place.eq(Mux(full, 0, place + 1)),
                    gathered.eq(Mux(full, 0, word)),
                ]
        write = Signal()
        slots = Array(w // TAPS for w in range(words))
        taps = Array(1 << w % TAPS for w in range(words))
        m.d.comb += [
            write.eq(step & full),
            self.latent.en.eq(write),
            self.latent.addr.eq(index),
            self.latent.data.eq(word),
            self.file.lanes.eq(write),
            self.file.slot.eq(slots[index]),
            self.file.taps.eq(taps[index]),
            self.file.data.eq(word),
        ]
        return m
