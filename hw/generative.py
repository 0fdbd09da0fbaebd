"""The replay unit of a chip with generative replay: taking, staging, drawing, and the order of an epoch."""

from collections.abc import Callable

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.epoch import EpochUnit
from xnoreplay.hw.learning.fit import FitUnit
from xnoreplay.hw.parts.arithmetic import alike, times
from xnoreplay.hw.parts.lfsr import walk_next
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import (
    BankPort,
    FilePort,
    HostPort,
    index_shape,
    read_port,
    write_port,
)
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.memories import label_bits
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.replay import SEED_DRAWS


class State(enum.Enum):
    """What the replay unit does in a cycle; a take is the fit unit's."""

    TAKE = 0
    KEEP = 1
    STAGE = 2
    QUOTA = 3
    EMPTY = 4
    SEED = 5
    WALK = 6
    CHECK = 7
    COPY = 8
    TOTAL = 9
    SCALE = 10
    PICK = 11
    DRAW = 12
    ZERO = 13
    SHARES = 14
    READ = 15
    JUDGE = 16
    BALANCE = 17


class GenerativeUnit(EpochUnit):
    """Replay unit of generative replay: what components learn, and what is staged and drawn.

    It carries out the operations of `PHASES`; of balance the frequency of each class.

    ``enter`` marks the cycle before an operation of this unit begins and ``next_phase`` names it; ``active`` spans
    it and ``done`` marks its last cycle. ``hit`` and ``loading`` strobe in the cycle in which epoch, or load, finds a
    sample, ``taken`` with a take's last cycle. ``entry`` is fit.open, see `hw.learning.fit`; ``draw_step``,
    ``draw_first`` and ``draw_word`` are those of `hw.learning.draw`, whose plane is ``mean``'s data.

    ``staged`` outlives operations, so it lives outside: where ``set_staged`` is high it becomes ``new_staged``.
    ``samples`` are those that the last load found, ``loaded`` that there are some at the cycle's end, and
    ``walked`` that the epoch's walk has ended. While ``counting`` is high, ``count`` is the frequency of class
    ``count_addr`` in cycles of ``count_valid``. Through ``count_host`` the host reads staging.count. Where ``clearing``
    is high, the count of class ``cleared``, if there is such a class, becomes 0.
    """

    PHASES = ("take", "stage", "quota", "empty", "epoch", "seed", "load", "balance", "restore")
    """Phases in which this unit works; a plan without staging memory lacks some."""
    WALK = State.WALK

    def __init__(self, plan: Plan):
        self.plan = plan
        assert plan.generative is not None
        target, op = plan.target, plan.replay
        self.label_bits = label_bits(plan.network)
        bank = plan.memory("batch.bank")
        staging = {}
        if op.staging:
            count = plan.memory("staging.count")
            staging = {
                "staging_read": Out(read_port(plan.memory("staging.latent"))),
                "staging_label_read": Out(read_port(plan.memory("staging.label"))),
                "staging_write": Out(write_port(plan.memory("staging.latent"))),
                "staging_label_write": Out(write_port(plan.memory("staging.label"))),
                "count_host": In(HostPort(count.depth, count.width)),
                "count_read": Out(1),
                "count_write": Out(1),
            }
        self.fit = FitUnit(plan)
        mean, share, counters = (
            plan.memory(name) for name in ("replay.mean", "replay.share", "fit.count")
        )
        super().__init__(
            {
                "active": In(1),
                "enter": In(1),
                "at": In(len(plan.phases)),
                "next_phase": In(range(len(plan.phases))),
                "done": Out(1),
                "label": In(self.label_bits),
                "seen": In(range(plan.network.classes + 1)),
                "sees": Out(1),
                "step": Out(1),
                "random": In(32),
                "latent": Out(read_port(plan.memory("act.latent"))),
                "mean": Out(read_port(mean)),
                "mean_write": Out(write_port(mean)),
                "share": Out(read_port(share)),
                "share_write": Out(write_port(share)),
                "fit_read": Out(read_port(counters)),
                "fit_write": Out(write_port(counters)),
                "entry": In(self.label_bits + 1),
                "set_entry": Out(1),
                "new_entry": Out(self.label_bits + 1),
                "draw_step": Out(1),
                "draw_first": Out(1),
                "draw_word": In(target.channels),
                "file": Out(FilePort(target.lanes, plan.slots, target.channels)),
                "staged": In(index_shape(op.staging + 1)),
                "new_staged": Out(index_shape(op.staging + 1)),
                "set_staged": Out(1),
                "bank": Out(BankPort(target.batch, bank.depth, bank.width)),
                "batch_label": Out(write_port(plan.memory("batch.label"))),
                "loading": Out(1),
                "samples": Out(range(target.batch + 1)),
                "loaded": Out(1),
                "walked": Out(1),
                "count_addr": In(range(plan.network.classes)),
                "counting": In(1),
                "count": Out(plan.frequency_bits),
                "count_valid": Out(1),
                "refused": Out(1),
                "taken": Out(1),
                "hit": Out(1),
                "clearing": In(1),
                "cleared": In(index_shape(plan.generative.share_rows)),
            }
            | staging
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        load = self.at[self.plan.phases.index("load")]
        found: dict[str, Value] = {
            "learn.samples": self.loading,
            "learn.minibatches": self.done & self.loaded & load,
            "replay.evictions": Const(0, 1),
            "replay.insertions": self.taken,
            "replay.refusals": self.refused,
            "epoch.samples": self.hit,
        }
        if self.plan.replay.staging:
            found["staging.count.reads"] = self.count_read
            found["staging.count.writes"] = self.count_write
        return found

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        plan, form = self.plan, self.plan.generative
        numbers = {name: n for n, name in enumerate(plan.phases)}
        self.is_phase = {n: self.at[numbers[n]] for n in self.PHASES if n in numbers}
        self.state = Signal(State)
        self.seeds = Signal(range(SEED_DRAWS))
        self.component = Signal(range(form.components + 1))
        self.word = Signal(range(form.words + 1))
        self.plane = Signal(range(form.mean_bits + 1))
        self.owner = Signal(self.label_bits)  # class of a draw, or of a share that restore looks at
        self.place = Signal(index_shape(max(form.share_rows + 1, form.staging, form.classes)))
        self.build_fit(m)
        if form.staging:
            self.build_counts(m)
        bits = plan.replay.epoch_walk
        self.declare_walk(bits)
        self.low = Const((1 << bits) - 1, bits)
        self.build_walk(m, walk_next(self.walk_state, bits))
        self.build_addresses(m)
        self.build_gift(m)
        self.build_product(m)
        cycles: dict[State, Callable] = {
            State.QUOTA: self.quota_cycle,
            State.SEED: self.seed_cycle,
            State.WALK: self.walk_cycle,
            State.TOTAL: self.total_cycle,
            State.SCALE: self.scale_cycle,
            State.PICK: self.pick_cycle,
            State.DRAW: self.draw_cycle,
            State.SHARES: self.shares_cycle,
        }
        if form.staging:
            cycles |= {
                State.KEEP: self.keep_cycle,
                State.STAGE: self.stage_cycle,
                State.EMPTY: self.empty_cycle,
                State.CHECK: self.check_cycle,
                State.COPY: self.copy_cycle,
                State.ZERO: self.zero_cycle,
                State.READ: self.read_cycle,
                State.JUDGE: self.judge_cycle,
            }
        with m.If(self.active):
            with m.Switch(self.state):
                for state, cycle in cycles.items():
                    with m.Case(state):
                        cycle(m)
                # After an upset: a state that is none, or of another operation. That of quota ends this one.
                with m.Default(), m.If(~self.is_phase["take"] & ~self.is_phase["balance"]):
                    m.d.sync += self.state.eq(State.QUOTA)
        with m.If(self.counting):
            self.frequency_cycle(m)
        with m.If(self.samples != 0):
            m.d.comb += self.loaded.eq(1)
        self.build_entry(m, numbers)
        return m

    # ----------------------------------------------------------------- registers and data

    def build_fit(self, m):
        """Wire the fit unit, which has the memories in take alone."""
        m.submodules.fit = fit = self.fit
        taking = self.is_phase["take"]
        m.d.comb += [
            fit.active.eq(self.active & taking),
            fit.enter.eq(self.enter),
            fit.label.eq(self.label),
            fit.entry.eq(self.entry),
            self.set_entry.eq(fit.set_entry),
            self.new_entry.eq(fit.new_entry),
            self.sees.eq(fit.first),
            self.taken.eq(fit.done),
            self.done.eq(fit.done),
            fit.share.data.eq(self.share.data),
            fit.mean.data.eq(self.mean.data),
            fit.count.data.eq(self.fit_read.data),
            fit.latent.data.eq(self.latent.data),
            self.fit_read.en.eq(fit.count.en),
            self.fit_read.addr.eq(fit.count.addr),
        ]
        for own, port in (
            (self.share_write, fit.share_write),
            (self.mean_write, fit.mean_write),
            (self.fit_write, fit.count_write),
        ):
            m.d.comb += [own.en.eq(port.en), own.addr.eq(port.addr), own.data.eq(port.data)]

    def build_counts(self, m):
        """Build staging.count, the staged samples of each class."""
        memory = self.plan.memory("staging.count")
        m.submodules.staging_count = self.counts = RegisterFile(memory.depth, memory.width)
        m.d.comb += [
            self.counts.wen.eq(self.count_write),
            self.counts.waddr.eq(self.counts.raddr),
        ]
        self.build_host_count(m, self.counts, memory.width)
        with m.If(self.clearing & (self.cleared < memory.depth)):
            m.d.comb += [
                self.counts.wen.eq(1),
                self.counts.waddr.eq(self.cleared),
                self.counts.wdata.eq(0),
            ]

    def build_addresses(self, m):
        """Build the rows of shares and means that are read, and the words of staged samples."""
        form, op = self.plan.generative, self.plan.replay
        row = Signal.like(self.share.addr, name="row")
        chosen = Signal(index_shape(form.components))
        self.chosen = chosen
        self.read_component = Signal(index_shape(form.components))
        self.read_owner = Signal(self.label_bits)
        self.read_share = Signal()
        self.read_mean = Signal()
        mean_row = Signal.like(self.mean.addr, name="mean_row")
        share_row = Signal.like(self.share.addr, name="share_row")
        m.d.comb += [
            row.eq(times(self.owner, form.components) + chosen),
            mean_row.eq(
                times((times(row, form.words) + self.word)[: len(mean_row)], form.mean_bits)
            ),
            self.read_owner.eq(self.owner),
            share_row.eq(times(self.read_owner, form.components) + self.read_component),
            self.share.en.eq(self.fit.share.en | self.read_share),
            self.share.addr.eq(share_row),
            self.mean.en.eq(self.fit.mean.en | self.read_mean),
            self.mean.addr.eq(mean_row + self.plane),
            self.latent.en.eq(self.fit.latent.en),
            self.latent.addr.eq(self.fit.latent.addr),
        ]
        with m.If(self.is_phase["take"]):
            m.d.comb += [
                self.share.addr.eq(self.fit.share.addr),
                self.mean.addr.eq(self.fit.mean.addr),
            ]
        with m.If(self.is_phase["restore"]):
            m.d.comb += self.share.addr.eq(self.place)
        if op.staging:
            staged_index = Signal(index_shape(op.staging))
            placed = self.placed()
            m.d.comb += [
                staged_index.eq(self.checked - op.first_staged),
                self.staging_read.addr.eq(times(staged_index, op.words) + self.word),
                self.staging_write.addr.eq(times(self.staged, op.words) + placed),
                self.staging_write.data.eq(self.latent.data),
                self.staging_label_write.addr.eq(self.staged),
                self.staging_label_write.data.eq(self.label),
            ]

    def placed(self):
        """The word before `word`, which is written while that is read."""
        return (self.word - 1)[: len(self.word)]

    def next_index(self, m):
        """Go back to the walk, or end the operation after the last index."""
        super().next_index(m)
        m.d.comb += self.done.eq(self.walked)

    def seed_cycle(self, m):
        """Refresh the random register, as `EpochUnit` does, and end `seed`."""
        super().seed_cycle(m)
        with m.If(self.last_draw()):
            m.d.comb += self.done.eq(self.is_phase["seed"])

    def build_gift(self, m):
        """Build what puts a word of a sample into its lane and bank; `gives` marks the cycles."""
        form, target = self.plan.generative, self.plan.target
        self.gives = Signal()
        data = Signal(target.channels)
        placed = Signal(range(form.words + 1))
        m.d.comb += placed.eq(self.placed())
        last = self.plan.network.latent - (form.words - 1) * target.channels
        mask = Mux(placed == form.words - 1, (1 << last) - 1, (1 << target.channels) - 1)
        m.d.comb += data.eq(self.draw_word & mask)
        m.d.comb += [
            self.batch_label.addr.eq(self.samples),
            self.batch_label.data.eq(self.owner),
        ]
        if form.staging:
            with m.If(self.state == State.COPY):
                m.d.comb += [
                    data.eq(self.staging_read.data),
                    self.batch_label.data.eq(self.staging_label_read.data),
                ]
        load = self.is_phase["load"]
        entered = Mux(load | self.is_phase["epoch"], data, 0)
        lane = self.enter_lanes(m, placed, entered)
        m.d.comb += [
            self.file.lanes.eq(Mux(self.gives, 1 << lane, 0)),
            self.bank.en.eq(Mux(self.gives & load, 1 << self.samples, 0)),
            self.bank.addr.eq(placed),
            self.bank.data.eq(data),
        ]

    def build_entry(self, m, numbers):
        """Begin an operation in the state of its first cycle, with its counters at 0.

        These assignments come last, for the operation before may end in the same cycle.
        """
        firsts = {
            "take": State.TAKE,
            "stage": State.KEEP,
            "quota": State.QUOTA,
            "empty": State.EMPTY,
            "load": State.WALK,
            "balance": State.BALANCE,
            "restore": State.ZERO if self.plan.replay.staging else State.SHARES,
        }
        with m.If(self.enter):
            m.d.sync += [
                self.seeds.eq(0),
                self.samples.eq(0),
                self.place.eq(0),
                self.component.eq(0),
                self.word.eq(0),
                self.plane.eq(0),
                self.owner.eq(0),
            ]
            with m.Switch(self.next_phase):
                for name, state in firsts.items():
                    if name in numbers:
                        with m.Case(numbers[name]):
                            m.d.sync += self.state.eq(state)
                with m.Default():
                    m.d.sync += self.state.eq(State.SEED)

    # ------------------------------------------------------------------------ what a cycle does

    def quota_cycle(self, m):
        """End: no class has a quota."""
        m.d.comb += self.done.eq(1)

    def keep_cycle(self, m):
        """Look whether there is room for a sample of the class; end where there is none."""
        form = self.plan.generative
        m.d.comb += [self.counts.raddr.eq(self.label), self.count_read.eq(1)]
        m.d.sync += self.state.eq(State.STAGE)
        full = self.staged == form.staging
        with m.If(full | (self.counts.rdata >= form.most_staged)):
            m.d.comb += self.done.eq(1)

    def stage_cycle(self, m):
        """Read a word of the latent, write the word before it; the last write commits the sample."""
        last = Signal(name="staged_last")
        m.d.comb += [
            last.eq(self.word == self.plan.replay.words),
            self.latent.en.eq(~last),
            self.latent.addr.eq(self.word),
            self.staging_write.en.eq(self.word != 0),
        ]
        m.d.sync += self.word.eq(self.word + 1)
        with m.If(last):
            m.d.comb += [
                self.staging_label_write.en.eq(1),
                self.counts.raddr.eq(self.label),
                self.count_write.eq(1),
                self.counts.wdata.eq(self.counts.rdata + 1),
                self.set_staged.eq(1),
                self.new_staged.eq(self.staged + 1),
                self.done.eq(1),
            ]

    def empty_cycle(self, m):
        """Set a class's count of staged samples to 0."""
        self.forget_count(m)
        with m.If(self.place == self.plan.network.classes - 1):
            m.d.comb += [self.set_staged.eq(1), self.new_staged.eq(0), self.done.eq(1)]

    def forget_count(self, m):
        """Set the count of class `place` to 0, and go on to the next."""
        m.d.comb += [
            self.counts.raddr.eq(self.place),
            self.count_write.eq(1),
            self.counts.wdata.eq(0),
        ]
        m.d.sync += self.place.eq(self.place + 1)

    def walk_cycle(self, m):
        """Visit one index: a draw of a class that is seen, a staged sample, or nothing."""
        form, op = self.plan.generative, self.plan.replay
        label, number = self.index[form.slot_bits :], self.index[: form.slot_bits]
        draws, staged = Signal(name="is_draw"), Signal(name="is_staged")
        known, held = Signal(name="is_known"), Const(0, 1)
        m.d.comb += [known.eq(label < self.seen), draws.eq(known & (number < form.drawn_per_class))]
        if op.staging:
            held = self.counts.rdata
            m.d.comb += [
                self.counts.raddr.eq(label),
                self.count_read.eq(known),
                draws.eq(known & (number + held < form.drawn_per_class)),
                staged.eq(
                    (self.index >= op.first_staged) & (self.index - op.first_staged < self.staged)
                ),
                self.staging_label_read.en.eq(staged),
                self.staging_label_read.addr.eq(self.index - op.first_staged),
            ]
        m.d.sync += [
            self.checked.eq(self.index),
            self.owner.eq(label),
            self.number.eq(number),
            self.room.eq(form.drawn_per_class - held),
            self.component.eq(0),
            self.word.eq(0),
            self.plane.eq(0),
            self.walk_state.eq(self.walk_step),
            self.walk_first.eq(0),
            self.walk_left.eq(self.walk_left - 1),
            self.walk_last.eq(self.walk_left == 1),
            self.walked.eq(self.walk_last),
        ]
        with m.If(draws):
            m.d.sync += self.state.eq(State.TOTAL)
        with m.Elif(staged):
            m.d.sync += self.state.eq(State.CHECK)
        with m.Else():
            m.d.comb += self.done.eq(self.walk_last)

    def found(self, m):
        """A sample of an epoch, or of a minibatch, was found."""
        load = self.is_phase["load"]
        m.d.comb += [self.loading.eq(load), self.hit.eq(~load)]

    def check_cycle(self, m):
        """A staged sample was found; after a fault its label may be of no class seen, and it is passed over."""
        with m.If(self.staging_label_read.data < self.seen):
            self.found(m)
            m.d.sync += self.state.eq(State.COPY)
        with m.Else():
            self.next_index(m)

    def copy_cycle(self, m):
        """Read a word of a staged latent, and give the word before it."""
        last = Signal(name="copied_last")
        m.d.comb += [
            last.eq(self.word == self.plan.replay.words),
            self.staging_read.en.eq(~last),
            self.gives.eq(self.word != 0),
        ]
        m.d.sync += self.word.eq(self.word + 1)
        with m.If(last):
            self.end_sample(m)

    def end_sample(self, m):
        """Write the label of a sample that is whole, and go on with the walk, or end where the minibatch is full."""
        load, full = self.is_phase["load"], self.samples == self.plan.target.batch - 1
        m.d.comb += [self.batch_label.en.eq(load), self.loaded.eq(load)]
        # Of a whole epoch, minibatch follows minibatch.
        m.d.sync += self.samples.eq(Mux(full & ~load, 0, self.samples + 1))
        self.next_index(m)
        with m.If(load & full):
            m.d.comb += self.done.eq(1)

    def total_cycle(self, m):
        """Add up the shares of the class of a draw."""
        parts = self.plan.generative.components
        summed, last = Signal.like(self.total, name="summed"), Signal(name="total_last")
        m.d.comb += [
            last.eq(self.component == parts),
            summed.eq(Mux(self.component == 0, 0, self.total + self.share.data)),
            self.read_share.eq(~last),
            self.read_component.eq(self.component),
        ]
        m.d.sync += [self.total.eq(summed), self.component.eq(self.component + 1)]
        with m.If(last):
            m.d.sync += self.state.eq(State.SCALE)
            with m.If(summed == 0):
                self.next_index(m)

    def scale_cycle(self, m):
        """Multiply the draw's number by the sum of shares: a draw was found."""
        self.found(m)
        m.d.comb += self.read_share.eq(1)
        m.d.sync += [
            self.target.eq(self.product),
            self.below.eq(0),
            self.component.eq(0),
            self.state.eq(State.PICK),
        ]

    def build_product(self, m):
        """Build the one multiplier: of a draw's number and the sum of shares, or of the class's draws and a share."""
        form = self.plan.generative
        self.number = Signal(form.slot_bits)
        self.room = Signal(range(form.drawn_per_class + 1))
        self.total = Signal(SHARE_BITS + form.components.bit_length())
        width = len(self.number) + len(self.total)
        self.target = Signal(width)
        self.below = Signal(width + 1)
        scales = self.state == State.SCALE
        left = Signal(max(len(self.number), len(self.room)))
        right = Signal.like(self.total, name="right")
        self.product = Signal(len(left) + len(right))
        m.d.comb += [
            left.eq(Mux(scales, self.number, self.room)),
            right.eq(Mux(scales, self.total, self.share.data)),
            self.product.eq(left * right),
        ]

    def pick_cycle(self, m):
        """Add a share, times the class's draws: the component is found that the draw's number falls to."""
        below, last = Signal.like(self.below, name="below_next"), Signal(name="picked")
        parts = self.plan.generative.components
        m.d.comb += [
            below.eq(self.below + self.product),
            last.eq((self.target < below) | (self.component == parts - 1)),
            self.read_share.eq(~last),
            self.read_component.eq(self.component + 1),
        ]
        m.d.sync += [self.below.eq(below), self.component.eq(self.component + 1)]
        with m.If(last):
            m.d.sync += [self.chosen.eq(self.component), self.state.eq(State.DRAW)]

    def draw_cycle(self, m):
        """Step the wide registers, read the next plane of the means; give the word that the last step completed."""
        form = self.plan.generative
        last, whole = Signal(name="drawn_last"), Signal(name="drawn_word")
        m.d.comb += [
            last.eq(self.word == form.words),
            whole.eq(self.plane == form.mean_bits),
            self.draw_step.eq(~last),
            self.draw_first.eq(self.plane == 0),
            self.read_mean.eq(~last & ~whole),
            self.gives.eq((self.plane == 0) & (self.word != 0)),
        ]
        m.d.sync += self.plane.eq(self.plane + 1)
        with m.If(whole):
            m.d.sync += [self.plane.eq(0), self.word.eq(self.word + 1)]
        with m.If(last):
            m.d.sync += self.plane.eq(0)
            self.end_sample(m)

    def frequency_cycle(self, m):
        """Of balance: look at the shares of a class, then give its frequency in an epoch."""
        form = self.plan.generative
        known, some, last = Signal(name="known"), Signal(name="some"), Signal(name="frequency_last")
        m.d.comb += [
            self.read_owner.eq(self.count_addr),
            self.read_component.eq(self.component),
            last.eq(self.component == form.components),
            self.read_share.eq(~last),
            some.eq((self.component != 0) & (known | (self.share.data != 0))),
            self.count_valid.eq(last),
        ]
        m.d.sync += [known.eq(some), self.component.eq(Mux(last, 0, self.component + 1))]
        held = Const(0, 1)
        if form.staging:
            held = self.counts.rdata
            m.d.comb += [self.counts.raddr.eq(self.count_addr), self.count_read.eq(last)]
        drawn = form.drawn_per_class
        m.d.comb += self.count.eq(Mux(some & (held < drawn), drawn, held))

    def zero_cycle(self, m):
        """Of restore: set a class's count to 0."""
        self.forget_count(m)
        with m.If(self.place == self.plan.network.classes - 1):
            m.d.sync += [self.place.eq(0), self.state.eq(State.SHARES)]

    def shares_cycle(self, m):
        """Of restore: look at the open class, then at every share; refuse what is of no class seen."""
        form = self.plan.generative
        last, bad = Signal(name="shares_last"), Signal(name="bad")
        m.d.comb += [
            last.eq(self.place == form.share_rows),
            self.read_share.eq(~last),
            bad.eq((self.share.data != 0) & (self.owner >= self.seen)),
        ]
        m.d.sync += self.place.eq(self.place + 1)
        with m.If(self.place == 0):
            m.d.comb += bad.eq(self.entry[-1] & (self.entry[:-1] >= self.seen))
        with m.Else():
            m.d.sync += self.component.eq(self.component + 1)
            with m.If(self.component == form.components - 1):
                m.d.sync += [self.component.eq(0), self.owner.eq(self.owner + 1)]
        with m.If(bad):
            m.d.comb += [self.refused.eq(1), self.done.eq(1)]
        with m.Elif(last):
            m.d.comb += self.done.eq(1)
            if form.staging:
                m.d.comb += self.done.eq(self.staged == 0)
                m.d.sync += [self.place.eq(0), self.state.eq(State.READ)]

    def read_cycle(self, m):
        """Of restore: read the label of a staged sample."""
        m.d.comb += [
            self.staging_label_read.en.eq(1),
            self.staging_label_read.addr.eq(self.place),
        ]
        m.d.sync += self.state.eq(State.JUDGE)

    def judge_cycle(self, m):
        """Of restore: count the label that was read, or refuse one that is of no class seen."""
        label = self.staging_label_read.data
        m.d.comb += [
            self.counts.raddr.eq(label),
            self.counts.wdata.eq(self.counts.rdata + 1),
        ]
        m.d.sync += [self.place.eq(self.place + 1), self.state.eq(State.READ)]
        with m.If(label >= self.seen):
            m.d.comb += [self.refused.eq(1), self.done.eq(1)]
        with m.Else():
            m.d.comb += [self.count_read.eq(1), self.count_write.eq(1)]
            with m.If(alike(self.place, self.staged - 1, len(self.place))):
                m.d.comb += self.done.eq(1)
