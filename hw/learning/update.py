"""The update of proxies: read a segment, subtract its rounded gradient, write it back."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.learning.planes import stage_layout
from xnoreplay.hw.parts.arithmetic import times
from xnoreplay.hw.parts.ports import index_shape, read_port, write_port
from xnoreplay.hw.parts.rounding import clamp
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Plan

LOW_BITS = {"low": "cls.low", "hidden_low": "cls.hidden_low"}
"""Memories of the proxies' low bits by the first part of their ports' names; a plan may lack either."""
CHOICES = 4
"""Segments of a row of cls.top between which its word is chosen before it waits in a register: two levels of logic."""


class UpdateUnit(wiring.Component):
    """The update of proxies: gradients of segments enter, rows of proxies are read and leave changed.

    It has stages four to seven of a beat that ends a segment's gradient; stages one to four are in
    `planes.PlaneUnit`, too. The fourth reads the top bits of the proxies, the fifth the low ones, the sixth steps them with
    a draw of ``random``, the seventh writes them. ``top_*`` are ports of cls.top, whose rows are those of bank 0: a row is
    read with its first segment and holds for the others, so that none is read in the cycle in which a segment of it is
    written. Its word comes late: a segment is chosen from it in two cycles.
    """

    def __init__(self, plan: Plan, sum_bits: int):
        self.plan, self.extra = plan, LearningPlan(plan)
        self.sum_bits, self.segment = sum_bits, plan.target.segment
        rule, top = plan.rule, plan.memory("cls.top")
        self.granules = top.width // top.granule
        rows = plan.classifier_rows
        layout = stage_layout(plan)
        # Bits of a proxy outside cls.top, by layer.
        self.output_low = rule.low_bits
        self.hidden_low = rule.proxy_bits - 1
        present = {memory.name: memory for memory in plan.memories}
        self.low_bits = {s: present[name] for s, name in LOW_BITS.items() if name in present}
        self.low_ports = {}
        for short, memory in self.low_bits.items():
            self.low_ports[f"{short}_read"] = Out(read_port(memory))
            self.low_ports[f"{short}_write"] = Out(write_port(memory))
        super().__init__(
            {
                "of_output": In(1),
                "of_hidden": In(1),
                "look": In(layout),
                "read": In(layout),
                "step": In(layout),
                "write": In(layout),
                "gradient": In(data.ArrayLayout(signed(sum_bits), self.segment)),
                "random": In(32),
                "draw": Out(1),
                "top_read": Out(COPIES),
                "top_raddr": Out(index_shape(rows)),
                "top_rdata": In(data.ArrayLayout(top.width, COPIES)),
                "top_write": Out(data.ArrayLayout(self.granules, COPIES)),
                "top_waddr": Out(index_shape(rows)),
                "top_wdata": Out(data.ArrayLayout(top.width, COPIES)),
            }
            | self.low_ports
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        rule = self.plan.rule
        active = self.of_output | self.of_hidden
        looks, reads, steps, writes = (
            active & stage.beat & stage.last
            for stage in (self.look, self.read, self.step, self.write)
        )
        both = Cat(1, self.of_output)
        # Granules of the later stages' segments.
        read_granule, step_granule, write_granule = (
            Signal(range(self.granules), name=f"{name}_granule", reset_less=True)
            for name in ("read", "step", "write")
        )
        granule = self.granule_of(self.look)
        m.d.sync += [
            read_granule.eq(granule),
            step_granule.eq(read_granule),
            write_granule.eq(step_granule),
        ]
        m.d.comb += [
            self.draw.eq(steps),
            self.top_read.eq(Mux(looks & (granule == 0), both, 0)),
            self.top_raddr.eq(self.row_of(self.look)),
            self.top_waddr.eq(self.row_of(self.write)),
        ]
        written = Mux(writes, 1 << write_granule, 0)
        m.d.comb += [
            self.top_write[0].eq(written),
            self.top_write[1].eq(Mux(self.of_output, written, 0)),
        ]
        summed = Signal.like(self.gradient)
        m.d.sync += summed.eq(self.gradient)

        ends = self.end_of_segment(self.write)
        bits: list[list] = [[], []]
        lows: dict[str, list] = {"low": [], "hidden_low": []}
        tops = [
            self.segment_of(m, self.top_rdata[e], read_granule, step_granule, f"few{e}")
            for e in range(COPIES)
        ]
        copies = rule.proxies_per_pair
        for node in range(self.segment):
            exists = node < ends
            new = []
            for copy in range(copies):
                theta = self.proxy(node, copy, tops)
                new.append(self.stepped(m, theta, summed[node], copy))
            first, second = new[0], new[-1]
            bits[0].append(first[-1] & exists)
            bits[1].append((second[-1] if copies == COPIES else first[-2]) & exists)
            for code in new:
                lows["low"].append(Mux(exists, code[: self.output_low], 0)[: self.output_low])
            lows["hidden_low"].append(Mux(exists, first[: self.hidden_low], 0)[: self.hidden_low])
        # A signal of its own, because the Verilog writes out what is repeated.
        for copy, signs in enumerate(bits):
            segment = Signal(self.segment, name=f"segment{copy}")
            m.d.comb += [
                segment.eq(Cat(signs)),
                self.top_wdata[copy].eq(segment.replicate(self.granules)),
            ]
        extra = self.extra
        for port, phase, segments in (
            ("low", self.of_output, extra.latent_segments + extra.hidden_segments),
            ("hidden_low", self.of_hidden, extra.latent_segments),
        ):
            if port not in self.low_bits:
                continue
            read, write = getattr(self, f"{port}_read"), getattr(self, f"{port}_write")
            m.d.comb += [
                read.en.eq(reads & phase),
                read.addr.eq(times(self.read.row, segments) + self.read.index),
                write.en.eq(writes & phase),
                write.addr.eq(times(self.write.row, segments) + self.write.index),
                write.data.eq(Cat(lows[port])),
            ]
        return m

    def segment_of(self, m, row, reads, steps, name: str):
        """The segment of a row of cls.top that granule `steps` is, chosen from a register of every fourth granule.

        row: the word, in the cycle in which granule `reads` will be `steps` in the next.
        """
        groups = -(-self.granules // CHOICES)
        few = Signal(groups * self.segment, name=name, reset_less=True)
        choice = reads[: CHOICES.bit_length() - 1]
        whole = Cat(row, Const(0, groups * CHOICES * self.segment - len(row)))
        m.d.sync += few.eq(
            Cat(
                whole.word_select(group, CHOICES * self.segment).word_select(choice, self.segment)
                for group in range(groups)
            )
        )
        return few.word_select(steps[CHOICES.bit_length() - 1 :], self.segment)

    def row_of(self, stage):
        """Row of bank 0 of cls.top that holds a stage's segment."""
        plan = self.plan
        beat = Array(w // TAPS for w in self.words())[stage.word]
        output = plan.output.weight_base + times(stage.row, plan.output.beats) + beat
        return Mux(
            self.of_output,
            output,
            plan.hidden.weight_base + times(stage.row, plan.hidden.beats) + beat,
        )

    def granule_of(self, stage):
        """Granule of the row of cls.top that holds a stage's segment."""
        fold = self.plan.target.node_fold
        tap = Array(w % TAPS for w in self.words())[stage.word]
        return (times(tap, fold) + stage.part)[: (self.granules - 1).bit_length()]

    def words(self) -> range:
        """Numbers of the words of the output layer's input: latent and hidden bits."""
        return range(self.extra.sample_base)

    def end_of_segment(self, stage):
        """How many columns of a stage's segment exist: fewer than S in the last of latent or hidden bits."""
        net, extra = self.plan.network, self.extra
        latent = net.latent - (extra.latent_segments - 1) * self.segment
        hidden = net.hidden - (extra.hidden_segments - 1) * self.segment
        last = extra.latent_segments - 1
        return Mux(
            stage.index == last,
            latent,
            Mux(stage.index == last + extra.hidden_segments, hidden, self.segment),
        )

    def proxy(self, node: int, copy: int, tops):
        """A proxy in offset binary, from its top bits and its low ones."""
        copies = self.plan.rule.proxies_per_pair
        width = self.output_low
        parts = [tops[copy][node]] if copies == COPIES else [tops[1][node], tops[0][node]]
        if width:
            parts.insert(0, self.low_read.data.word_select(node * copies + copy, width))
        code = Cat(parts)
        if not self.plan.target.hidden_learns:
            return code
        own = self.hidden_low_read.data.word_select(node, self.hidden_low)
        return Mux(self.of_output, code, Cat(own, tops[0][node]))

    def stepped(self, m, code, gradient, copy: int):
        """The proxy minus its rounded gradient, saturated, in offset binary, of registers that take both in the cycle before.

        The memories' words are late in that cycle: nothing is subtracted there.
        """
        rule = self.plan.rule
        n, t = rule.proxy_bits, rule.update_shift
        if t > 0:
            offset = self.random[:t]
            step = (gradient + (~offset if copy else offset)) >> t
        else:
            step = gradient << -t
        theta = Signal(signed(n))
        rounded = Signal.like(step)
        m.d.sync += [theta.eq(code ^ Const(1 << n - 1, n)), rounded.eq(step)]
        stepped = Signal(n)
        low, high = -(1 << n - 1), (1 << n - 1) - 1
        m.d.comb += stepped.eq(clamp(theta - rounded, low, high) + (1 << n - 1))
        return stepped
