"""The end of back-propagation: sums of hidden units, and their deltas."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.learning.planes import stage_layout
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import index_shape, read_port
from xnoreplay.hw.parts.rounding import rounded_delta
from xnoreplay.spec.learning import DECAYS
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import Plan


class BackUnit(wiring.Component):
    """The end of back-propagation: gradients of segments enter, deltas of hidden units leave.

    It has stages five to seven of a beat; stages one to four are in `planes.PlaneUnit`. A beat that ends a segment adds its gradient to the sample's sums; a round reads its unit's mask,
    draws from ``random`` and leaves as ``delta`` for hidden unit ``row`` of sample ``sample`` while
    ``valid``. ``hidden_planes`` says which planes of unit `planes_row` are not empty.
    """

    def __init__(self, plan: Plan, sum_bits: int):
        self.plan, self.sum_bits = plan, sum_bits
        net, target, rule = plan.network, plan.target, plan.rule
        layout = stage_layout(plan)
        super().__init__(
            {
                "active": In(1),
                "add": In(layout),
                "round": In(layout),
                "write": In(layout),
                "gradient": In(data.ArrayLayout(signed(sum_bits), target.segment)),
                "decay": In(range(DECAYS + 1)),
                "random": In(32),
                "draw": Out(1),
                "mask": Out(read_port(plan.memory("batch.mask"))),
                "valid": Out(1),
                "row": Out(index_shape(net.hidden)),
                "sample": Out(index_shape(target.batch)),
                "delta": Out(signed(rule.delta_bits)),
                "planes_row": In(index_shape(net.hidden)),
                "hidden_planes": Out(rule.delta_bits),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        plan, segment = self.plan, self.plan.target.segment
        bits = (COPIES * plan.network.classes << plan.rule.delta_bits - 1).bit_length() + 1
        m.submodules.sums = sums = RegisterFile(LearningPlan(plan).hidden_segments, segment * bits)
        adds = self.active & self.add.beat & self.add.last
        rounds = self.active & self.round.round
        part_bits = (segment - 1).bit_length()
        unit = self.round.row
        part = unit[:part_bits] if part_bits else Const(0, 1)
        m.d.comb += [
            sums.waddr.eq(self.add.index),
            sums.raddr.eq(Mux(rounds, unit[part_bits:], self.add.index)),
            sums.wen.eq(adds),
        ]
        for node in range(segment):
            before = Mux(self.add.first, 0, sums.rdata.word_select(node, bits).as_signed())
            m.d.comb += sums.wdata.word_select(node, bits).eq(before + self.gradient[node])

        m.d.comb += [
            self.mask.en.eq(self.active & self.add.round),
            self.mask.addr.eq(self.add.row),
            self.draw.eq(rounds),
        ]
        error = Mux(self.round.first, sums.rdata.word_select(part, bits).as_signed(), 0)
        delta = rounded_delta(
            m, error, self.random, self.decay, plan.rule.back_shift, plan.rule.delta_bits
        )
        masked = Signal.like(self.delta)
        m.d.sync += masked.eq(Mux(self.mask.data.bit_select(self.round.sample, 1), delta, 0))

        m.submodules.unit_file = planes = RegisterFile(plan.network.hidden, plan.rule.delta_bits)
        m.d.comb += [
            self.valid.eq(self.active & self.write.round),
            self.row.eq(self.write.row),
            self.sample.eq(self.write.sample),
            self.delta.eq(masked),
            planes.raddr.eq(Mux(self.valid, self.row, self.planes_row)),
            planes.waddr.eq(self.row),
            planes.wen.eq(self.valid),
            planes.wdata.eq(masked.as_unsigned() | Mux(self.sample == 0, 0, planes.rdata)),
            self.hidden_planes.eq(planes.rdata),
        ]
        return m
