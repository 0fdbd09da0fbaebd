"""Results of a minibatch's forward passes: hidden bits, masks and logits, L samples at a time."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import times, within
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import FilePort, index_shape, write_port
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan


class ForwardRows(wiring.Component):
    """The sums of hidden.forward and output.forward become hidden bits, masks and logits.

    In a cycle of ``valid``, ``acc`` holds one row's sums of the pass's samples. Hidden bits are
    collected into a word a lane, which goes to its file and its bank; logits and, where the hidden
    layer learns, masks are written at once. ``largest`` are the largest logits of the P samples
    from ``sample``.
    """

    def __init__(self, plan: Plan, acc_bits: int):
        self.plan = plan
        target = plan.target
        lanes = target.lanes
        self.group = min(lanes, target.batch)  # samples of a full pass
        self.passes = target.batch // self.group
        self.logit_bits = plan.memory("batch.logit").width // lanes
        bank = plan.memory("batch.bank")
        mask = {}
        if target.hidden_learns:
            mask = {"mask": Out(write_port(plan.memory("batch.mask")))}
        super().__init__(
            {
                "of_hidden": In(1),
                "of_output": In(1),
                "seen": In(range(plan.network.classes + 1)),
                "samples": In(range(target.batch + 1)),
                "valid": In(1),
                "acc": In(data.ArrayLayout(acc_bits, lanes)),
                "file": Out(FilePort(lanes, plan.slots, target.channels)),
                "words": Out(data.ArrayLayout(target.channels, lanes)),
                "bank_en": Out(target.batch),
                "bank_addr": Out(index_shape(bank.depth)),
                "logit": Out(write_port(plan.memory("batch.logit"))),
                "sample": In(index_shape(target.batch)),
                "largest": Out(data.ArrayLayout(signed(self.logit_bits), target.error_units)),
            }
            | mask
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        self.row = Signal(range(max(self.plan.network.hidden, self.plan.network.classes)))
        self.index = Signal(index_shape(self.passes))
        last = Signal()
        # Which samples of the pass exist.
        self.works = Signal(self.plan.target.lanes)
        first = times(self.index, self.group)
        m.d.comb += [
            last.eq(self.row + 1 >= Mux(self.of_hidden, self.plan.network.hidden, self.seen)),
            self.works.eq(Cat(first + i < self.samples for i in range(self.group))),
        ]
        with m.If(self.valid & (self.of_hidden | self.of_output)):
            m.d.sync += self.row.eq(self.row + 1)
            with m.If(last):
                m.d.sync += [self.row.eq(0), self.index.eq(self.index + 1)]
                with m.If(times(self.index + 1, self.group) >= self.samples):
                    m.d.sync += self.index.eq(0)
        self.build_hidden(m)
        self.build_output(m)
        return m

    def build_hidden(self, m):
        """Collect hidden bits into words, and write the masks of the straight-through estimator."""
        plan, target = self.plan, self.plan.target
        hidden, word_bits = plan.network.hidden, target.channels
        valid = Signal()
        full = Signal()
        place = self.row[: (word_bits - 1).bit_length()] if word_bits > 1 else Const(0, 1)
        index = self.row[(word_bits - 1).bit_length() :] if word_bits > 1 else self.row
        m.d.comb += [
            valid.eq(self.valid & self.of_hidden),
            full.eq(valid & ((place == word_bits - 1) | (self.row == hidden - 1))),
        ]
        most = (1 << len(self.acc[0])) - 1
        for lane in range(target.lanes):
            bits = Signal(word_bits, name=f"bits{lane}")
            bit = within(self.acc[lane], plan.hidden.threshold, most)
            word = Mux(place == 0, 0, bits) | bit << place
            m.d.comb += self.words[lane].eq(word)
            with m.If(valid):
                m.d.sync += bits.eq(word)
        # The hidden layer's words follow the latent's.
        words = range(plan.replay.words, plan.replay.words + -(-hidden // word_bits))
        slots, taps = Array(w // TAPS for w in words), Array(1 << w % TAPS for w in words)
        banks = self.works[: self.group] << times(self.index, self.group)
        m.d.comb += [
            self.file.lanes.eq(Mux(full, self.works, 0)),
            self.file.slot.eq(times(self.index, plan.batch_slots) + slots[index]),
            self.file.taps.eq(taps[index]),
            self.bank_en.eq(Mux(full, banks, 0)),
            self.bank_addr.eq(plan.replay.words + index),
        ]
        if target.hidden_learns:
            # abs(2 P - offset) <= hidden_mask
            pads = plan.replay.words * word_bits - plan.network.latent
            offset, reach = plan.network.latent + 2 * pads, plan.rule.hidden_mask
            low, high = max(0, -(-(offset - reach) // 2)), (offset + reach) // 2
            near = Cat(within(self.acc[i], low, high) for i in range(self.group))
            m.d.comb += [
                self.mask.en.eq(Mux(valid, 1 << self.index, 0)),
                self.mask.addr.eq(self.row),
                self.mask.data.eq((near & self.works[: self.group]).replicate(self.passes)),
            ]

    def build_output(self, m):
        """Write the logits, and keep the largest of each sample."""
        plan, bits = self.plan, self.logit_bits
        m.submodules.largest_file = file = RegisterFile(self.passes, self.group * bits, bits)
        valid = Signal()
        sums = [(2 * self.acc[i] - plan.output.offset)[:bits] for i in range(plan.target.lanes)]
        logits = [Mux(self.works[i], value, 0) for i, value in enumerate(sums)]
        # What twice a sum must exceed to be the largest: sums of a pass are two cycles apart, at least, and a register keeps
        # it ready. Of lanes that do not work, too: they write none.
        larger = []
        for i in range(self.group):
            largest = file.rdata.word_select(i, bits).as_signed()
            bar = Signal(signed(bits + 1), name=f"bar{i}")
            m.d.sync += bar.eq(largest + plan.output.offset)
            larger.append((self.row == 0) | (self.acc[i] << 1 > bar))
        m.d.comb += [
            valid.eq(self.valid & self.of_output),
            self.logit.en.eq(valid),
            self.logit.addr.eq(times(self.index, plan.network.classes) + self.row),
            self.logit.data.eq(Cat(logits)),
            file.wen.eq(Mux(valid, Cat(larger) & self.works, 0)),
            file.waddr.eq(self.index),
            file.wdata.eq(Cat(sums)),
            file.raddr.eq(self.index),
        ]
        lane_bits = (self.group - 1).bit_length()
        with m.If(~self.of_output):
            m.d.comb += file.raddr.eq(self.sample[lane_bits:])
        units = self.plan.target.error_units
        unit_bits = (units - 1).bit_length()
        place = self.sample[unit_bits:lane_bits] if lane_bits > unit_bits else Const(0, 1)
        m.d.comb += self.largest.eq(file.rdata.word_select(place, units * bits))
