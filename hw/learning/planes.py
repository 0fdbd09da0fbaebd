"""Plane unit: schedules the bit-plane multiplications of back-propagation and both updates, and adds their sums.

Planes sit in the lanes, columns of the banks stream past. See `docs/learning_datapath.md`, AND mode.
"""

from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.inference.array import node_layout, operand_layout
from xnoreplay.hw.parts.arithmetic import alike, times, tree_sum
from xnoreplay.hw.parts.ports import BankPort, FilePort, index_shape
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import (
    NODE_STAGE,
    OPERAND_STAGE,
    PIPE_LATENCY,
    READ_LATENCY,
    ROUND_DRAIN,
    UPDATE_LATENCY,
)

# What was issued s cycles ago is in stages[s - 1].


class State(enum.Enum):
    """What the plane unit issues in a cycle."""

    FILL = 0
    CHECK = 1
    PLANES = 2
    BEATS = 3
    ROUND = 4
    DRAIN = 5


def sum_bits(plan: Plan) -> int:
    """Bits of a signed sum of deltas over a minibatch."""
    return (plan.target.batch << plan.rule.delta_bits - 1).bit_length() + 1


def stage_layout(plan: Plan) -> data.StructLayout:
    """Layout of a pipeline stage: what the plane unit issued some cycles before.

    One of plane, beat and round is high, or none. `index` is a plane's place among those loaded, or
    a segment; `part` the segment's place in its word, `first` begins a sample's sum, or says that it
    has one.
    """
    net, target = plan.network, plan.target
    extra = LearningPlan(plan)
    segments = extra.latent_segments + extra.hidden_segments
    return data.StructLayout(
        {
            "plane": 1,
            "beat": 1,
            "round": 1,
            "index": range(max(segments, plan.rule.delta_bits)),
            "group": index_shape(plan.slots),
            "last": 1,
            "lanes": target.lanes,
            "worth": range(plan.rule.delta_bits),
            "word": index_shape(plan.memory("batch.bank").depth),
            "part": index_shape(target.node_fold),
            "row": range(max(net.classes, net.hidden)),
            "sample": index_shape(target.batch),
            "first": 1,
            "banks": target.batch,
        }
    )


class PlaneUnit(wiring.Component):
    """Issues checks, planes and beats, and sums what the array counts.

    ``stages`` are what was issued one to seven cycles ago; the gradient of a beat of the fifth is in
    ``gradient``. ``filled`` says which planes are not empty: of class ``row``, of hidden unit
    ``row``, or of ``block`` of ``bank``, by phase; ``plane_en`` reads plane ``plane`` of it, which comes as
    ``plane_data``.
    """

    def __init__(self, plan: Plan):
        self.plan, self.extra = plan, LearningPlan(plan)
        net, target, rule = plan.network, plan.target, plan.rule
        self.segment, self.fold = target.segment, target.node_fold
        bank = plan.memory("batch.bank")
        self.error_units = target.error_units
        blocks = target.batch // self.error_units * self.extra.blocks(net.classes)
        self.sum_bits = sum_bits(plan)
        super().__init__(
            {
                "back": In(1),
                "of_output": In(1),
                "of_hidden": In(1),
                "done": Out(1),
                "seen": In(range(net.classes + 1)),
                "samples": In(range(target.batch + 1)),
                "row": Out(range(max(net.classes, net.hidden))),
                "bank": Out(index_shape(self.error_units)),
                "block": Out(index_shape(blocks)),
                "filled": In(rule.delta_bits),
                "plane_en": Out(1),
                "plane": Out(range(rule.delta_bits)),
                "plane_data": In(target.batch),
                "fill": Out(1),
                "fill_addr": Out(range(plan.classifier_rows)),
                "fill_copy": Out(1),
                "fill_words": In(data.ArrayLayout(target.channels, TAPS)),
                "fill_write": Out(BankPort(target.batch, bank.depth, bank.width)),
                "bank_en": Out(target.batch),
                "bank_addr": Out(index_shape(bank.depth)),
                "bank_data": In(data.ArrayLayout(bank.width, target.batch)),
                "valid": Out(1),
                "operand": Out(operand_layout(target.window, plan.slots, target.lanes)),
                "file": Out(FilePort(target.lanes, plan.slots, target.window)),
                "nodes": In(
                    data.ArrayLayout(node_layout(target.channels, self.fold), target.lanes)
                ),
                "stages": Out(data.ArrayLayout(stage_layout(plan), UPDATE_LATENCY)),
                "gradient": Out(data.ArrayLayout(signed(self.sum_bits), self.segment)),
                "checked": Out(1),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        plan, target = self.plan, self.plan.target
        self.state = Signal(State)
        self.active = Signal()
        self.sample = Signal(index_shape(target.batch))
        self.copy = Signal()
        self.begun = Signal()  # the sample has a sum
        self.left = Signal(plan.rule.delta_bits)
        self.loaded = Signal(range(plan.rule.delta_bits + 1))
        self.at = Signal(range(self.extra.latent_segments + self.extra.hidden_segments))
        self.last_at = Signal(reset_less=True)  # whether that is the row's last segment
        self.group = Signal(index_shape(plan.slots))
        self.last_group = Signal()  # of a segment
        self.unit = Signal(range(plan.network.hidden + ROUND_DRAIN))
        self.drained = Signal(range(UPDATE_LATENCY))
        self.fill_row = Signal(range(plan.network.classes + 1))
        self.fill_base = Signal(range(plan.network.classes * plan.output.beats + 1))
        self.fill_second = Signal()
        classes = plan.network.classes
        unit_bits = (self.error_units - 1).bit_length()
        self.row_block = Signal(index_shape(self.extra.blocks(classes)))
        m.d.comb += [
            self.active.eq(self.back | self.of_output | self.of_hidden),
            self.bank.eq(self.sample[:unit_bits]),
            self.block.eq(
                times(self.sample[unit_bits:], self.extra.blocks(classes)) + self.row_block
            ),
        ]
        self.build_stages(m)
        state = Signal(State)
        m.d.comb += state.eq(self.state)
        # The state is FILL between operations; only back-propagation stays in it.
        with m.If((self.state == State.FILL) & ~self.back):
            m.d.comb += state.eq(State.CHECK)
        with m.If(self.active):
            with m.Switch(state):
                with m.Case(State.FILL):
                    self.fill_cycle(m)
                with m.Case(State.CHECK):
                    self.check_cycle(m)
                with m.Case(State.PLANES):
                    self.plane_cycle(m)
                with m.Case(State.BEATS):
                    self.beat_cycle(m)
                with m.Case(State.ROUND):
                    self.round_cycle(m)
                with m.Default():  # also in a state that is none, after an upset
                    self.drain_cycle(m)
        self.build_fill(m)
        self.build_arrivals(m)
        self.build_sums(m)
        return m

    def build_stages(self, m):
        """Build the stages, through which everything issued moves on, one a cycle."""
        layout = stage_layout(self.plan)
        self.issued = Signal(layout)
        m.d.sync += self.stages[0].eq(self.issued)
        for n in range(1, UPDATE_LATENCY):
            m.d.sync += self.stages[n].eq(self.stages[n - 1])
        # Banks that take part: the minibatch's samples, or the block's classes. A check comes between a new block and its
        # first plane.
        batch = self.plan.target.batch
        count = Mux(self.back, self.seen - times(self.row_block, batch), self.samples)
        self.banks = Signal(batch, reset_less=True)
        self.last_class = Signal.like(self.row, reset_less=True)
        m.d.sync += [
            self.banks.eq(Cat(n < count for n in range(batch))),
            self.last_class.eq(self.seen - 1),
        ]

    # ------------------------------------------------------------------------- what is issued

    def after_row(self, m):
        """Choose what follows when a row, or a sample's block, is done."""
        m.d.sync += self.state.eq(State.CHECK)
        with m.If(self.back):
            m.d.sync += self.row_block.eq(self.row_block + 1)
            batch, blocks = self.plan.target.batch, self.extra.blocks(self.plan.network.classes)
            last_block = times(self.row_block + 1, batch) >= self.seen
            # An upset of `seen` may leave more than the register comes to.
            if batch << len(self.row_block) < 1 << len(self.seen):
                last_block |= self.row_block == blocks - 1
            with m.If(last_block):
                m.d.sync += [self.row_block.eq(0), self.state.eq(State.ROUND)]
        with m.Else():
            m.d.sync += self.row.eq(self.row + 1)
            last = Mux(self.of_output, self.last_class, self.plan.network.hidden - 1)
            with m.If(self.row >= last):
                m.d.sync += [self.row.eq(0), self.state.eq(State.DRAIN)]

    def check_cycle(self, m):
        """Look whether a row or block has planes at all."""
        m.d.comb += self.checked.eq(1)
        m.d.sync += self.left.eq(self.filled)
        with m.If(self.filled == 0):
            self.after_row(m)
        with m.Else():
            m.d.sync += [self.state.eq(State.PLANES), self.loaded.eq(0)]

    def plane_cycle(self, m):
        """Read the lowest plane that is not empty and not yet loaded."""
        bits = self.plan.rule.delta_bits
        rest = Signal(bits)
        for k in reversed(range(bits)):
            with m.If(self.left[k]):
                m.d.comb += self.plane.eq(k)
        m.d.comb += [
            rest.eq(self.left & (self.left - 1)),
            self.plane_en.eq(1),
            self.issued.plane.eq(1),
            self.issued.index.eq(self.loaded),
            self.issued.worth.eq(self.plane),
            self.issued.banks.eq(self.banks),
        ]
        m.d.sync += [
            self.last_at.eq(self.segments() == 1),
            self.left.eq(rest),
            self.loaded.eq(self.loaded + 1),
            self.last_group.eq(self.loaded < self.plan.target.lanes),
        ]
        with m.If(rest == 0):
            m.d.sync += self.state.eq(State.BEATS)

    def segments(self) -> Value:
        """Segments of a row, or of a block's class: a constant of the phase."""
        latent, hidden = self.extra.latent_segments, self.extra.hidden_segments
        return Mux(self.back, hidden, Mux(self.of_output, latent + hidden, latent))

    def beat_cycle(self, m):
        """Read a segment of all banks; groups of L planes follow each other."""
        plan, extra, lanes = self.plan, self.extra, self.plan.target.lanes
        base = Signal.like(self.bank_addr)
        column = Signal.like(self.at)
        m.d.comb += column.eq(self.at)
        with m.If(self.back):
            m.d.comb += base.eq(
                extra.sample_base + times(Cat(self.copy, self.row_block), extra.hidden_words)
            )
        with m.Elif(self.at >= extra.latent_segments):
            m.d.comb += [base.eq(plan.replay.words), column.eq(self.at - extra.latent_segments)]
        shift = (self.fold - 1).bit_length()
        ended = Signal()
        segments = self.segments()
        done = times(self.group, lanes)
        m.d.comb += [
            self.bank_en.eq(self.banks),
            self.bank_addr.eq(base + (column >> shift)),
            self.issued.beat.eq(1),
            self.issued.index.eq(self.at),
            self.issued.group.eq(self.group),
            self.issued.last.eq(self.last_group),
            self.issued.lanes.eq(Cat(done + i < self.loaded for i in range(lanes))),
            self.issued.word.eq(self.bank_addr),
            self.issued.part.eq(column[:shift] if shift else 0),
            self.issued.row.eq(self.row),
            self.issued.first.eq(~self.begun & ~self.copy),
            self.issued.banks.eq(self.banks),
            ended.eq(self.last_group & self.last_at),
        ]
        # Known one beat before: the next row, and the end of the operation, wait for it.
        following = Mux(self.last_group, 0, self.group + 1)
        m.d.sync += [
            self.group.eq(following),
            self.last_group.eq(times(following, lanes) + lanes >= self.loaded),
        ]
        with m.If(self.last_group):
            m.d.sync += [
                self.at.eq(Mux(self.last_at, 0, self.at + 1)),
                self.last_at.eq(
                    Mux(self.last_at, segments == 1, alike(self.at + 2, segments, len(self.at)))
                ),
            ]
        with m.If(ended):
            with m.If(self.back & ~self.copy):
                m.d.sync += self.copy.eq(1)
            with m.Else():
                m.d.sync += [self.copy.eq(0), self.begun.eq(self.back)]
                self.after_row(m)

    def round_cycle(self, m):
        """Round the sum of one hidden unit a cycle; `ROUND_DRAIN` more cycles let the last sum arrive."""
        hidden = self.plan.network.hidden
        last_sample = alike(self.sample + 1, self.samples, len(self.sample))
        m.d.comb += [
            self.issued.round.eq(self.unit < hidden),
            self.issued.row.eq(self.unit),
            self.issued.sample.eq(self.sample),
            self.issued.first.eq(self.begun),
        ]
        m.d.sync += self.unit.eq(self.unit + 1)
        with m.If(self.unit == hidden + ROUND_DRAIN - 1):
            m.d.sync += [self.unit.eq(0), self.begun.eq(0), self.state.eq(State.CHECK)]
            m.d.sync += self.sample.eq(Mux(last_sample, 0, self.sample + 1))
            with m.If(last_sample):
                m.d.sync += self.state.eq(State.DRAIN)

    def drain_cycle(self, m):
        """Wait until what was issued has been written."""
        latency = Mux(self.back, PIPE_LATENCY, UPDATE_LATENCY)
        m.d.comb += self.done.eq(self.drained + 1 == latency)
        m.d.sync += self.drained.eq(self.drained + 1)
        with m.If(self.done):
            m.d.sync += [self.drained.eq(0), self.state.eq(State.FILL)]

    # ------------------------------------------------------------------------------ the fill

    def fill_cycle(self, m):
        """Read a word of an output row's hidden part; `build_fill` writes it."""
        m.d.comb += self.fill.eq(self.fill_row < self.seen)
        with m.If(~self.fill):
            m.d.sync += [self.state.eq(State.CHECK), self.fill_row.eq(0), self.fill_base.eq(0)]

    def build_fill(self, m):
        """Build the counters of the fill, and its write one cycle after the read."""
        plan, extra = self.plan, self.extra
        words = range(plan.replay.words, plan.replay.words + extra.hidden_words)
        beats, taps = Array(w // TAPS for w in words), Array(w % TAPS for w in words)
        word = Signal(index_shape(extra.hidden_words))
        m.d.comb += [
            self.fill_addr.eq(plan.output.weight_base + self.fill_base + beats[word]),
            self.fill_copy.eq(self.fill_second),
        ]
        with m.If(self.fill):
            m.d.sync += word.eq(word + 1)
            with m.If(word == extra.hidden_words - 1):
                m.d.sync += [word.eq(0), self.fill_second.eq(~self.fill_second)]
                with m.If(self.fill_second):
                    m.d.sync += [
                        self.fill_row.eq(self.fill_row + 1),
                        self.fill_base.eq(self.fill_base + plan.output.beats),
                    ]
        # w_: the word has come.
        batch = plan.target.batch
        place_bits = (batch - 1).bit_length()
        w_valid, w_tap = Signal(name="w_valid"), Signal(range(TAPS), name="w_tap")
        w_bank = Signal(batch, name="w_bank")
        w_addr = Signal.like(self.bank_addr, name="w_addr")
        block = self.fill_row[place_bits:]
        m.d.sync += [
            w_valid.eq(self.fill),
            w_tap.eq(taps[word]),
            w_bank.eq(1 << self.fill_row[:place_bits] if place_bits else 1),
            w_addr.eq(
                extra.sample_base + times(Cat(self.fill_second, block), extra.hidden_words) + word
            ),
        ]
        m.d.comb += [
            self.fill_write.en.eq(Mux(w_valid, w_bank, 0)),
            self.fill_write.addr.eq(w_addr),
            self.fill_write.data.eq(self.fill_words[w_tap]),
        ]

    # ------------------------------------------------------------------------- what has come

    def build_arrivals(self, m):
        """Write a plane that was read to every node of a lane, and offer words of all banks as the operand."""
        plan, target = self.plan, self.plan.target
        stage, lanes, fold = self.stages[READ_LATENCY - 1], target.lanes, self.fold
        lane_bits = (lanes - 1).bit_length()
        bits = Signal(target.batch)
        place = [
            (n // fold * target.channels + node * fold + n % fold, n, node)
            for n in range(target.batch)
            for node in range(self.segment)
        ]
        plane = [Const(0, 1)] * target.window
        columns = [Const(0, 1)] * target.window
        parts = [
            self.bank_data[n].word_select(stage.part, self.segment)
            & stage.banks[n].replicate(self.segment)
            for n in range(target.batch)
        ]
        for cell, n, node in place:
            plane[cell] = bits[n]
            columns[cell] = parts[n][node]
        lane = stage.index[:lane_bits] if lane_bits else Const(0, 1)
        m.d.comb += [
            bits.eq(self.plane_data & stage.banks),
            self.file.lanes.eq(Mux(stage.plane, 1 << lane, 0)),
            self.file.taps.eq((1 << TAPS) - 1),
            self.file.slot.eq(stage.index[lane_bits:]),
            self.file.data.eq(Cat(plane)),
            self.valid.eq(stage.beat),
            self.operand.x.eq(Cat(columns)),
            self.operand.slot.eq(stage.group),
            self.operand.taps.eq(TAPS),
            self.operand.lanes.eq(stage.lanes),
        ]
        # What the planes in the lanes are worth, and their ones.
        self.worth = [Signal(range(plan.rule.delta_bits), name=f"worth{i}") for i in self.loads()]
        self.ones = [Signal(range(target.batch + 1), name=f"ones{i}") for i in self.loads()]
        came = Signal(target.batch, reset_less=True)
        comes = Signal(len(self.ones))
        m.d.sync += [came.eq(bits), comes.eq(0)]
        # The ones are counted in the cycle after: the first beat's are asked for in the next but one.
        count = tree_sum(list(came))
        for i in self.loads():
            with m.If(stage.plane & (stage.index == i)):
                m.d.sync += [self.worth[i].eq(stage.worth), comes[i].eq(1)]
            with m.If(comes[i]):
                m.d.sync += self.ones[i].eq(count)

    def loads(self) -> range:
        """Lanes and slots that a plane is written to."""
        return range(self.plan.rule.delta_bits)

    def build_sums(self, m):
        """Add the node counts, weighted by the worth w of their planes: sum of w (2 node - ones).

        The highest plane's worth is negative. Minus a term is its complement and 1; of a node's term and of its lane's term of
        ones, the 1 is the same, and their difference is that of the complements.
        """
        plan, lanes = self.plan, self.plan.target.lanes
        bits = plan.rule.delta_bits
        used = min(lanes, bits)
        terms: list[list] = [[] for _ in range(self.segment)]
        offsets: list = []
        # x_: beside the operand. c_: beside the counts' register. n_: beside the nodes'.
        c_lanes = self.stages[NODE_STAGE - 2].lanes
        for lane in range(used):
            places = [i for i in self.loads() if i % lanes == lane]
            worth = Signal.like(self.worth[0])
            ones = Signal.like(self.ones[0])
            with m.Switch(self.stages[OPERAND_STAGE - 1].group):
                for slot, i in enumerate(places):
                    with m.Case(slot):
                        m.d.comb += [worth.eq(self.worth[i]), ones.eq(self.ones[i])]
            c_worth, c_ones = (
                Signal.like(like, name=f"{name}{lane}")
                for name, like in (("c_worth", worth), ("c_ones", ones))
            )
            # A bit for each worth, none of a lane that does not work; a register of them for every other node. They start
            # unlike, or synthesis would merge them: one would be far from half of its nodes.
            c_worths = Signal(bits, name=f"c_worths{lane}")
            n_worths = [
                Signal(bits, name=f"n{i}_worths{lane}", init=-i & (1 << bits) - 1, reset_less=True)
                for i in range(2)
            ]
            m.d.comb += c_worths.eq(Cat((c_worth == k) & c_lanes[lane] for k in range(bits)))
            m.d.sync += [
                c_worth.eq(worth),
                c_ones.eq(ones),
                *(copy.eq(c_worths) for copy in n_worths),
            ]
            offsets.append(self.term(c_ones, c_worths))
            for node in range(self.segment):
                terms[node].append(self.term(self.nodes[lane][node] << 1, n_worths[node % 2]))
        stage = self.stages[NODE_STAGE - 1]
        n_offset = Signal(self.sum_bits)
        n_first = Signal()  # beats of a segment's first group begin its sums
        m.d.sync += [
            n_offset.eq(tree_sum(offsets)),
            n_first.eq(self.stages[NODE_STAGE - 2].group == 0),
        ]
        for node in range(self.segment):
            before = Mux(n_first, 0, self.gradient[node]) - n_offset
            with m.If(stage.beat):
                m.d.sync += self.gradient[node].eq(before + tree_sum(terms[node]))

    def term(self, count, worths):
        """A count shifted by its worth k, bit k of `worths`, in the bits of a sum; the complement of the highest worth's.

        0 where no bit is high.
        """
        bits = self.sum_bits
        scaled = reduce(
            or_, ((count << k)[:bits] & worth.replicate(bits) for k, worth in enumerate(worths))
        )
        return scaled ^ worths[-1].replicate(bits)
