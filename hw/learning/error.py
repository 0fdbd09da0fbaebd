"""Softmax, error and deltas: a group's logits are read twice around a short division."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import times, tree_sum
from xnoreplay.hw.parts.lfsr import draw
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import index_shape, read_port
from xnoreplay.hw.parts.rounding import rounded_delta
from xnoreplay.spec.learning import DECAYS, EXP_ENTRIES, EXP_TABLE, P_BITS, WEIGHT_BITS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import (
    DELTA_STAGE,
    PROBABILITY_STAGE,
    RECIPROCAL_BITS,
    TOTAL_STAGE,
    reciprocal_begins,
    second_reading,
)


class ErrorPath(wiring.Component):
    """The way of one sample from its logits to deltas: exponential, sum and reciprocal, probability, error.

    Each has a register, in step with those of the other samples of `ErrorUnit`. ``row`` is the class whose
    exponential is being shifted to a probability. ``start`` is the
    register `error` when the group begins; while ``walk`` is high the path goes on ``place`` draws a
    cycle, so that after K cycles it stands where its sample's draws begin.
    """

    def __init__(self, plan: Plan, place: int):
        self.plan, self.place = plan, place
        classes = plan.network.classes
        self.logit_bits = plan.memory("batch.logit").width // plan.target.lanes
        self.total_bits = (classes * max(EXP_TABLE)).bit_length()
        super().__init__(
            {
                "logit": In(signed(self.logit_bits)),
                "largest": In(signed(self.logit_bits)),
                "label": In(plan.memory("batch.label").width),
                "take_label": In(1),
                "weight": In(plan.memory("table.weight").width),
                "take_weight": In(1),
                "clear": In(1),
                "add": In(1),
                "normalise": In(1),
                "divide": In(1),
                "row": In(range(classes)),
                "decay": In(range(DECAYS + 1)),
                "start": In(32),
                "restart": In(1),
                "walk": In(1),
                "draw": In(1),
                "random": Out(32),
                "target": Out(plan.memory("batch.label").width),
                "delta": Out(signed(plan.rule.delta_bits)),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        plan = self.plan
        weight = Signal.like(self.weight)
        with m.If(self.take_label):
            m.d.sync += self.target.eq(self.label)
        with m.If(self.take_weight):
            m.d.sync += weight.eq(self.weight)
        self.build_error(m, weight)
        self.build_random(m)
        m.d.comb += self.delta.eq(
            rounded_delta(
                m,
                self.error,
                self.random,
                self.decay,
                plan.rule.delta_shift(0),
                plan.rule.delta_bits,
            )
        )
        return m

    def build_error(self, m, weight):
        """Build the stages from a logit to its error, as in `spec.timeline`; the division comes between two readings."""
        exponential = Signal(range(max(EXP_TABLE) + 1))
        total = Signal(self.total_bits)
        exponent = Signal(range(len(total)))
        remainder = Signal(len(total) + RECIPROCAL_BITS + 1)
        divisor = Signal(len(total) + RECIPROCAL_BITS)
        quotient = Signal(RECIPROCAL_BITS)
        probability = Signal(range((1 << P_BITS) + 1))
        self.error = Signal(signed(P_BITS + 2 + len(weight) - WEIGHT_BITS))

        largest = Signal.like(self.largest, name="largest_logit")
        # The group's largest logits stay the same from its first cycle on, one before its first logit.
        distance = (largest - self.logit) >> self.plan.rule.logit_shift
        entry = Signal(range(EXP_ENTRIES))
        product = Signal(len(exponential) + len(quotient))
        scaled = Signal(len(product) + 8)
        is_target = Signal()
        # A sum of shifted words: the path's only multiplier is the class weight's.
        terms = [Mux(bit, exponential << i, 0) for i, bit in enumerate(quotient)]
        m.d.comb += [
            exponential.eq(Array(Const(e, 8) for e in EXP_TABLE)[entry]),
            scaled.eq((product << 8) >> exponent),
        ]
        share = probability - (is_target << P_BITS)
        m.d.sync += [
            largest.eq(self.largest),
            entry.eq(Mux(distance < 0, 0, Mux(distance >= EXP_ENTRIES, EXP_ENTRIES - 1, distance))),
            product.eq(tree_sum(terms)),
            is_target.eq(self.row == self.target),
            probability.eq(Mux(scaled[P_BITS:].any(), 1 << P_BITS, scaled[:P_BITS])),
            self.error.eq(share * weight >> WEIGHT_BITS),
        ]
        with m.If(self.clear):
            m.d.sync += total.eq(0)
        with m.Elif(self.add):
            m.d.sync += total.eq(total + exponential)
        with m.If(self.normalise):
            length = Signal.like(exponent)
            for i in range(len(total)):
                with m.If(total[i]):
                    m.d.comb += length.eq(i)
            m.d.sync += [
                exponent.eq(length),
                remainder.eq((Const(1 << RECIPROCAL_BITS) << length) + total),
                divisor.eq(total << RECIPROCAL_BITS),
                quotient.eq(0),
            ]
        with m.Elif(self.divide):
            fits = Signal()
            m.d.comb += fits.eq(remainder >= divisor)
            m.d.sync += [
                quotient.eq(quotient << 1 | fits),
                remainder.eq(Mux(fits, remainder - divisor, remainder)),
                divisor.eq(divisor >> 1),
            ]

    def build_random(self, m):
        """Step the random register, which holds the state after the draw of this cycle: ``random``."""
        state = Signal(32)
        m.d.comb += self.random.eq(state)
        following = Signal(32)
        m.d.comb += following.eq(Mux(self.restart, draw(self.start), state))
        for i in range(self.place):
            drawn = Signal(32, name=f"drawn{i}")  # a signal each: an expression would grow fivefold
            m.d.comb += drawn.eq(draw(following))
            following = drawn
        with m.If(self.walk):
            m.d.sync += state.eq(following)
        with m.Elif(self.draw):
            m.d.sync += state.eq(draw(state))


class ErrorUnit(wiring.Component):
    """The operation error, one group of P samples after another; see `docs/learning_datapath.md`.

    Deltas leave as ``delta`` for class ``row`` and the samples from ``sample`` that are ``present``,
    while ``valid``. ``state`` is the register `error`, which becomes ``random`` where ``load`` is
    high. ``row_planes`` and ``block_planes`` say which planes of a class's row, or of a sample's block
    of B classes, are not empty; `planes_row`, and `planes_bank` and `planes_block`, choose them.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        target, classes = plan.target, plan.network.classes
        self.units = target.error_units
        self.paths = [ErrorPath(plan, i) for i in range(self.units)]
        self.logit_bits = self.paths[0].logit_bits
        self.blocks = -(-classes // target.batch)
        self.rows = target.batch // self.units * self.blocks
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
                "largest": In(data.ArrayLayout(signed(self.logit_bits), self.units)),
                "state": In(32),
                "load": Out(1),
                "random": Out(32),
                "valid": Out(1),
                "present": Out(self.units),
                "sample": Out(index_shape(target.batch)),
                "row": Out(range(classes)),
                "block": Out(index_shape(self.rows)),
                "delta": Out(data.ArrayLayout(signed(plan.rule.delta_bits), self.units)),
                "planes_row": In(range(classes)),
                "row_planes": Out(plan.rule.delta_bits),
                "planes_bank": In(index_shape(self.units)),
                "planes_block": In(index_shape(self.rows)),
                "block_planes": Out(plan.rule.delta_bits),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        classes, units = self.plan.network.classes, self.units
        t = Signal(range(2 * classes + 16))  # cycle of the group
        # Cycles that depend on the classes seen, which stay the same while the unit is at work: the first
        # of the second reading, the first past it, and the last but one. In registers, or their sums
        # would stand before every comparison on the way to the next operation.
        whole, again, past, finish = (
            Signal.like(t, name=n, reset_less=True) for n in ("whole", "again", "past", "finish")
        )
        m.d.sync += [
            whole.eq(reciprocal_begins(self.seen) - 1),
            again.eq(second_reading(self.seen)),
            past.eq(again + self.seen),
            finish.eq(past + (DELTA_STAGE - 2)),
        ]
        last = Signal()
        last_group = Signal()
        m.d.comb += [
            self.done.eq(last & last_group),
            self.load.eq(last),
        ]
        first, second, reading = self.build_readings(m, t, again, past, last)
        # Known one cycle before, for deltas are written by them, and sums, divisors and quotients are chosen.
        add = Signal()
        normalise = Signal()
        divide = Signal()
        following = self.sample + units
        m.d.sync += [
            last.eq(self.active & (t == finish)),
            # After an upset `samples` may be more than there are places.
            last_group.eq((following >= self.samples) | following[len(self.sample) :].any()),
            add.eq(self.active & (t >= TOTAL_STAGE - 1) & (t < whole)),
            normalise.eq(self.active & (t == whole)),
            divide.eq(self.active & (t > whole) & (t < again - 1)),
            self.valid.eq(self.active & (t >= again + (DELTA_STAGE - 1)) & ~last),
            self.row.eq(t - again - (DELTA_STAGE - 1)),
        ]
        for i in range(units):
            m.d.comb += self.present[i].eq(self.sample + i < self.samples)
            with m.If(self.present[i]):  # the group's last sample draws last
                m.d.comb += self.random.eq(self.paths[i].random)
        with m.If(self.active):
            m.d.sync += t.eq(t + 1)
            with m.If(last):
                m.d.sync += t.eq(0)
                if self.plan.target.batch > units:
                    m.d.sync += self.sample.eq(Mux(last_group, 0, self.sample + units))
        for i, path in enumerate(self.paths):
            m.submodules[f"path{i}"] = path
            m.d.comb += [
                path.decay.eq(self.decay),
                path.largest.eq(self.largest[i]),
                path.start.eq(self.state),
                path.restart.eq(t == 0),
                path.walk.eq(self.active & first),
                path.draw.eq(self.valid),
                path.clear.eq(t == 0),
                path.add.eq(add),
                path.normalise.eq(normalise),
                path.divide.eq(divide),
                path.row.eq(t - again - PROBABILITY_STAGE),
                self.delta[i].eq(path.delta),
            ]
        self.build_reads(m, t, first | second, reading)
        self.build_planes(m)
        return m

    def build_readings(self, m, t, again, past, last):
        """Give which reading of the logits cycle ``t`` belongs to, the first or the second, and the class it reads.

        They are registers, worked out a cycle before, so that no comparison stands before the memory's address.
        """
        reading = Signal(range(self.plan.network.classes))
        first = Signal()
        second = Signal()
        following = t + 1
        with m.If(self.active & ~last):
            m.d.sync += [
                first.eq(following < self.seen),
                second.eq((following >= again) & (following < past)),
                reading.eq(Mux(following == again, 0, reading + 1)),
            ]
        with m.Else():  # the next cycle is a group's first
            m.d.sync += [first.eq(self.seen != 0), second.eq(0), reading.eq(0)]
        return first, second, reading

    def build_reads(self, m, t, reads, reading):
        """Read the group's logits of one class, which are one row; and a label a cycle, then its class's weight."""
        target, units = self.plan.target, self.units
        lanes = min(target.lanes, target.batch)
        lane_bits, unit_bits = (lanes - 1).bit_length(), (units - 1).bit_length()
        group = self.sample[unit_bits:lane_bits] if lane_bits > unit_bits else Const(0, 1)
        logits = self.logit.data.word_select(group, units * self.logit_bits)
        labelled = Signal(units)  # whose label comes in this cycle
        weighed = Signal(units)  # and whose weight
        asked = Signal(units)
        m.d.comb += [
            self.logit.en.eq(self.active & reads),
            self.logit.addr.eq(times(self.sample[lane_bits:], self.plan.network.classes) + reading),
            asked.eq(Mux(self.active & (t < units), (1 << t[: unit_bits + 1]), 0) & self.present),
            self.label.en.eq(asked.any()),
            self.label.addr.eq(self.sample + t),
            self.weight.en.eq(self.active & labelled.any()),
            # After a fault a label may be of no class seen, which has no weight.
            self.weight.addr.eq(Mux(self.label.data < self.seen, self.label.data, 0)),
        ]
        m.d.sync += [labelled.eq(asked), weighed.eq(labelled)]
        for i, path in enumerate(self.paths):
            m.d.comb += [
                path.logit.eq(logits.word_select(i, self.logit_bits).as_signed()),
                path.label.eq(self.label.data),
                path.take_label.eq(labelled[i]),
                path.weight.eq(self.weight.data),
                path.take_weight.eq(weighed[i]),
            ]

    def build_planes(self, m):
        """Note which bit-planes of the deltas hold a one, by class and by block of a sample."""
        plan, units, bits = self.plan, self.units, self.plan.rule.delta_bits
        m.submodules.row_file = rows = RegisterFile(plan.network.classes, bits)
        place_bits, unit_bits = ((n - 1).bit_length() for n in (plan.target.batch, units))
        block = self.row[place_bits:]
        begins = self.row[:place_bits] == 0 if place_bits else Const(1, 1)
        found = Const(0, bits)
        for i in range(units):
            found = found | Mux(self.present[i], self.delta[i].as_unsigned(), 0)
        m.d.comb += [
            self.block.eq(times(self.sample[unit_bits:], self.blocks) + block),
            rows.raddr.eq(Mux(self.active, self.row, self.planes_row)),
            rows.waddr.eq(self.row),
            rows.wen.eq(self.valid),
            rows.wdata.eq(found | Mux(self.sample == 0, 0, rows.rdata)),
            self.row_planes.eq(rows.rdata),
        ]
        for i in range(units):
            m.submodules[f"block_file{i}"] = file = RegisterFile(self.rows, bits)
            m.d.comb += [
                file.raddr.eq(Mux(self.active, self.block, self.planes_block)),
                file.waddr.eq(self.block),
                file.wen.eq(self.valid & self.present[i]),
                file.wdata.eq(self.delta[i].as_unsigned() | Mux(begins, 0, file.rdata)),
            ]
            with m.If(self.planes_bank == i):
                m.d.comb += self.block_planes.eq(file.rdata)
