"""Softmax, error and deltas: one sample's logits are read twice around a short division."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.array import tree_sum
from xnoreplay.hw.memory import RegisterFile
from xnoreplay.hw.ports import read_port
from xnoreplay.hw.rounding import rounded_delta
from xnoreplay.spec.learning import DECAYS, EXP_ENTRIES, EXP_TABLE, P_BITS, WEIGHT_BITS
from xnoreplay.spec.learning_plan import RECIPROCAL_CYCLES
from xnoreplay.spec.plan import Plan


class ErrorUnit(wiring.Component):
    """The error operation, one sample after another; see `docs/learning_datapath.md`.

    A delta leaves as ``delta`` for class ``row`` and sample ``sample`` while ``valid``, with a draw of
    ``random``. ``row_planes`` and ``block_planes`` say which planes of a class's row, or of a
    sample's block of B classes, are not empty; `planes_row` and `planes_block` choose them.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        target, classes = plan.target, plan.network.classes
        self.logit_bits = plan.memory("batch.logit").width // target.lanes
        self.blocks = -(-classes // target.batch)
        super().__init__(
            {
                "active": In(1),
                "done": Out(1),
                "seen": In(range(classes + 1)),
                "samples": In(range(target.batch + 1)),
                "decay": In(range(DECAYS + 1)),
                "logit": Out(read_port(plan.memory("batch.logit"))),
                "label": Out(read_port(plan.memory("batch.label"))),
                "weight": Out(read_port(plan.memory("table.weight"))),
                "largest": In(signed(self.logit_bits)),
                "random": In(32),
                "valid": Out(1),
                "sample": Out(range(target.batch)),
                "row": Out(range(classes)),
                "block": Out(range(target.batch * self.blocks)),
                "delta": Out(signed(plan.rule.delta_bits)),
                "planes_row": In(range(classes)),
                "row_planes": Out(plan.rule.delta_bits),
                "planes_block": In(range(target.batch * self.blocks)),
                "block_planes": Out(plan.rule.delta_bits),
            }
        )

    def elaborate(self, _platform):
        m = Module()
        plan, target, classes = self.plan, self.plan.target, self.plan.network.classes
        self.t = t = Signal(range(2 * classes + 16))
        again = self.seen + 2 + RECIPROCAL_CYCLES  # first cycle of the second reading
        reading = Signal(range(classes))
        first, last = Signal(), Signal()
        second = Signal()
        last_sample = Signal()
        m.d.comb += [
            first.eq(t < self.seen),
            second.eq((t >= again) & (t < again + self.seen)),
            reading.eq(Mux(first, t, t - again)),
            self.valid.eq(self.active & (t >= again + 4)),
            self.row.eq(t - again - 4),
            last.eq(self.valid & (self.row + 1 == self.seen)),
            last_sample.eq(self.sample + 1 == self.samples),
            self.done.eq(last & last_sample),
        ]
        with m.If(self.active):
            m.d.sync += t.eq(t + 1)
            with m.If(last):
                m.d.sync += t.eq(0)
                if target.batch > 1:
                    m.d.sync += self.sample.eq(Mux(last_sample, 0, self.sample + 1))
        lanes = min(target.lanes, target.batch)
        lane_bits = (lanes - 1).bit_length()
        lane = self.sample[:lane_bits] if lane_bits else Const(0, 1)
        m.d.comb += [
            self.logit.en.eq(self.active & (first | second)),
            self.logit.addr.eq(self.sample[lane_bits:] * classes + reading),
            self.label.en.eq(self.active & (t == 0)),
            self.label.addr.eq(self.sample),
            self.weight.en.eq(self.active & (t == 1)),
            self.weight.addr.eq(self.label.data),
        ]
        logit = self.logit.data.word_select(lane, self.logit_bits).as_signed()
        self.build_path(m, logit, again)
        m.d.comb += self.delta.eq(
            rounded_delta(
                m, self.error, self.random, self.decay, plan.rule.delta_shift(0), plan.rule.delta_bits
            )
        )
        self.build_planes(m)
        return m

    def build_path(self, m, logit, again):
        """Exponential, sum and reciprocal, probability, error: a register each."""
        plan = self.plan
        exponential = Signal(range(max(EXP_TABLE) + 1))
        total = Signal(range(plan.network.classes * max(EXP_TABLE) + 1))
        exponent = Signal(range(len(total)))
        remainder = Signal(len(total) + 6)
        divisor = Signal(len(total) + RECIPROCAL_CYCLES - 1)
        quotient = Signal(RECIPROCAL_CYCLES - 1)
        probability = Signal(range((1 << P_BITS) + 1))
        weight = self.weight.data
        self.error = Signal(signed(P_BITS + 2 + len(weight) - WEIGHT_BITS))

        distance = (self.largest - logit) >> plan.rule.logit_shift
        entry = Signal(range(EXP_ENTRIES))
        product = Signal(len(exponential) + len(quotient))
        scaled = Signal(len(product) + 8)
        is_target = Signal()
        # Five shifted words: the only multiplier is the class weight's.
        terms = [Mux(bit, exponential << i, 0) for i, bit in enumerate(quotient)]
        m.d.comb += [
            entry.eq(
                Mux(distance < 0, 0, Mux(distance >= EXP_ENTRIES, EXP_ENTRIES - 1, distance))
            ),
            product.eq(tree_sum(terms)),
            scaled.eq((product << 8) >> exponent),
            is_target.eq(self.t - again - 3 == self.label.data),
        ]
        share = probability - (is_target << P_BITS)
        m.d.sync += [
            exponential.eq(Array(Const(e, 8) for e in EXP_TABLE)[entry]),
            probability.eq(Mux(scaled > 1 << P_BITS, 1 << P_BITS, scaled)),
            self.error.eq(share * weight >> WEIGHT_BITS),
        ]
        with m.If(self.t == 0):
            m.d.sync += total.eq(0)
        with m.Elif((self.t >= 2) & (self.t < self.seen + 2)):
            m.d.sync += total.eq(total + exponential)
        with m.If(self.t == self.seen + 2):
            length = Signal.like(exponent)
            for i in range(len(total)):
                with m.If(total[i]):
                    m.d.comb += length.eq(i)
            m.d.sync += [
                exponent.eq(length),
                remainder.eq((Const(1 << 5) << length) + total),
                divisor.eq(total << RECIPROCAL_CYCLES - 1),
                quotient.eq(0),
            ]
        with m.Elif((self.t > self.seen + 2) & (self.t < again)):
            fits = Signal()
            m.d.comb += fits.eq(remainder >= divisor)
            m.d.sync += [
                quotient.eq(quotient << 1 | fits),
                remainder.eq(Mux(fits, remainder - divisor, remainder)),
                divisor.eq(divisor >> 1),
            ]

    def build_planes(self, m):
        """Which planes hold a one, by class and by block of a sample."""
        plan, target = self.plan, self.plan.target
        bits = plan.rule.delta_bits
        m.submodules.row_file = rows = RegisterFile(plan.network.classes, bits)
        m.submodules.block_file = blocks = RegisterFile(target.batch * self.blocks, bits)
        place_bits = (target.batch - 1).bit_length()
        m.d.comb += [
            self.block.eq(self.sample * self.blocks + self.row[place_bits:]),
            self.row_planes.eq(rows.rdata),
            self.block_planes.eq(blocks.rdata),
        ]
        begins = Signal()
        m.d.comb += begins.eq(self.row[:place_bits] == 0 if place_bits else 1)
        for file, chosen, own, fresh in (
            (rows, self.planes_row, self.row, self.sample == 0),
            (blocks, self.planes_block, self.block, begins),
        ):
            m.d.comb += [
                file.raddr.eq(Mux(self.valid, own, chosen)),
                file.waddr.eq(own),
                file.wen.eq(self.valid),
                file.wdata.eq(self.delta.as_unsigned() | Mux(fresh, 0, file.rdata)),
            ]
