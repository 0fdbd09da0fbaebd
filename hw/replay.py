"""The replay memory's policy: insertion, eviction, admission, and the order of an epoch."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.epoch import EpochUnit
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
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.replay import SEED_DRAWS


class State(enum.Enum):
    """What the replay unit does in a cycle: a bit each, so that no state is decoded."""

    REFUSE = 1 << 0
    QUOTA = 1 << 1
    SEED = 1 << 2
    WALK = 1 << 3
    CHECK = 1 << 4
    SEEK = 1 << 5
    LOOK = 1 << 6
    COPY = 1 << 7
    ZERO = 1 << 8
    READ = 1 << 9
    JUDGE = 1 << 10
    WEIGH = 1 << 11
    BEGIN = 1 << 12
    """The first cycle of every operation, which does what the state does that the operation begins in."""


class ReplayUnit(EpochUnit):
    """Replay unit: what the replay and staging memories keep, evict and replay.

    It carries out the operations of `PHASES`.

    ``active`` spans an operation and ``done`` marks its last cycle; the next one may follow at once. ``evicted`` and ``inserted`` strobe in
    the cycle of an eviction and of an insertion's last word, ``hit`` and ``loading`` in the check of a
    sample that epoch, or load, is about to copy.

    ``quota`` and ``staged`` outlive operations, so they live outside: where ``set_`` is high they
    become ``new_``. ``samples`` are those that the last load found, ``loaded`` that there are some
    at the cycle's end, and ``walked`` that the epoch's walk has ended. ``count_addr`` chooses the word
    of replay.count in ``count`` while the unit is not active; through ``count_host`` the host reads it.
    Where ``clearing`` is high, the count of class ``cleared``, if there is such a class, becomes 0.
    """

    PHASES = ("stage", "insert", "quota", "evict", "admit", "epoch", "seed", "load", "restore")
    """Phases of the operations that this unit carries out."""
    WALK = State.WALK

    def __init__(self, plan: Plan):
        self.plan = plan
        target, op = plan.target, plan.replay
        self.label_bits = plan.memory("replay.label").width - 1
        bank = plan.memory("batch.bank")
        staging = {}
        if op.staging:
            staging = {
                "staging_read": Out(read_port(plan.memory("staging.latent"))),
                "staging_label_read": Out(read_port(plan.memory("staging.label"))),
                "staging_write": Out(write_port(plan.memory("staging.latent"))),
                "staging_label_write": Out(write_port(plan.memory("staging.label"))),
            }
        super().__init__(
            {
                "active": In(1),
                "at": In(len(plan.phases)),
                "done": Out(1),
                "label": In(self.label_bits),
                "seen": In(range(plan.network.classes + 1)),
                "step": Out(1),
                "random": In(32),
                "latent": Out(read_port(plan.memory("act.latent"))),
                "read": Out(read_port(plan.memory("replay.latent"))),
                "write": Out(write_port(plan.memory("replay.latent"))),
                "label_read": Out(read_port(plan.memory("replay.label"))),
                "label_write": Out(write_port(plan.memory("replay.label"))),
                "file": Out(FilePort(target.lanes, plan.slots, target.channels)),
                "quota": In(range(op.capacity + 1)),
                "new_quota": Out(range(op.capacity + 1)),
                "set_quota": Out(1),
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
                "count": Out(plan.memory("replay.count").width),
                "refused": Out(1),
                "evicted": Out(1),
                "inserted": Out(1),
                "hit": Out(1),
                "count_read": Out(1),
                "count_write": Out(1),
                "count_host": In(HostPort(plan.network.classes, plan.memory("replay.count").width)),
                "clearing": In(1),
                "cleared": In(index_shape(op.capacity)),
            }
            | staging
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        load = self.at[self.plan.phases.index("load")]
        return {
            "learn.samples": self.loading,
            "learn.minibatches": self.done & self.loaded & load,
            "replay.evictions": self.evicted,
            "replay.insertions": self.inserted,
            "replay.refusals": self.refused,
            "epoch.samples": self.hit,
            "replay.count.reads": self.count_read,
            "replay.count.writes": self.count_write,
        }

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        numbers = {name: n for n, name in enumerate(self.plan.phases)}
        self.is_phase = {name: self.at[numbers[name]] for name in self.PHASES}
        self.of_epoch = self.is_phase["epoch"] | self.is_phase["seed"] | self.is_phase["load"]
        self.state = Signal(State, init=State.BEGIN)
        op = self.plan.replay
        self.slot = Signal(range(op.capacity))
        self.last_slot = Signal()
        self.all_taken = Signal()  # of admit: no slot is free from `slot` on
        m.d.comb += self.last_slot.eq(self.slot == op.capacity - 1)
        self.rest = Signal(range(op.capacity + 1), init=op.capacity)
        longest = max(len(self.rest), len(self.seen))
        self.left = Signal(
            longest + 1
        )  # what is left of it, negative where the classes seen are more
        m.d.comb += self.left.eq(self.rest - self.seen)
        self.seeds = Signal(range(SEED_DRAWS))
        # Of restore: a class whose count becomes 0, then a slot, replay slots first.
        self.place = Signal(range(max(2, self.plan.network.classes, op.capacity + op.staging)))
        self.judged_slot = Signal()  # whether it is a replay slot
        self.judged_last = Signal()
        self.judged_label = Signal(self.label_bits)
        label = self.label_read.data[: self.label_bits]
        if op.staging:
            label = Mux(self.judged_slot, label, self.staging_label_read.data)
        m.d.comb += self.judged_label.eq(label)
        self.build_counts(m)
        self.build_walks(m)
        self.build_copy(m)
        now = self.build_begin(m)
        with m.If(self.state == 0):  # no state at all, after an upset
            m.d.sync += self.state.eq(State.BEGIN)
        cycles = {
            State.REFUSE: self.refuse_cycle,
            State.QUOTA: self.quota_cycle,
            State.SEED: self.seed_cycle,
            State.WALK: self.walk_cycle,
            State.CHECK: self.check_cycle,
            State.WEIGH: self.weigh_cycle,
            State.SEEK: self.seek_cycle,
            State.LOOK: self.look_cycle,
            State.COPY: self.copy_cycle,
            State.ZERO: self.zero_cycle,
            State.READ: self.read_cycle,
            State.JUDGE: self.judge_cycle,
        }
        for state, cycle in cycles.items():
            with m.If(now[state]):
                cycle(m)
        self.build_ends(m, now)
        self.build_addresses(m)
        with m.If((self.samples != 0) & ~self.in_state(State.BEGIN)):
            m.d.comb += self.loaded.eq(1)
        with m.If(self.done & self.is_phase["admit"]):
            m.d.comb += self.set_staged.eq(1)
        with m.If(self.done):
            m.d.sync += [
                self.state.eq(State.BEGIN),
                self.slot.eq(0),
                self.all_taken.eq(0),
                self.from_staging.eq(0),
                self.seeds.eq(0),
                self.place.eq(0),
                self.rest.eq(op.capacity),
            ]
        return m

    # ----------------------------------------------------------------- registers and data

    def build_begin(self, m) -> dict[State, Signal]:
        """One signal a state, high in its cycles; the first cycle of an operation is of a state that the phase chooses.

        So no operation's end decides what the next one begins with: it would be the chip's longest path. The first cycle
        forgets the samples of the last load.
        """
        waits = self.in_state(State.BEGIN)
        with m.If(self.active & waits):
            m.d.sync += self.samples.eq(0)
        phase = self.is_phase
        full = Signal()  # an image comes in between a sample staged and the next
        m.d.sync += full.eq(self.staged == self.plan.replay.staging)
        first = {
            State.REFUSE: phase["stage"] & full,
            State.COPY: phase["stage"] & ~full,
            State.CHECK: phase["insert"],
            State.QUOTA: phase["quota"],
            State.WALK: phase["load"],
            State.ZERO: phase["restore"],
            State.SEED: phase["evict"] | phase["admit"] | phase["epoch"] | phase["seed"],
        }
        now = {state: Signal(name=f"in_{state.name.lower()}") for state in list(State)}
        # In any other state than BEGIN the unit is active.
        for state, signal in now.items():
            begins = waits & first[state] if state in first else Const(0)
            m.d.comb += signal.eq(self.in_state(state) | begins)
            with m.If(begins):
                m.d.sync += self.state.eq(state)
        return now

    def build_ends(self, m, now):
        """Build ``done``: the ends of operations side by side, by the state that they are in.

        What follows waits for it, so no end passes the choice between states. An operation's first cycle may be its last in
        three of them.
        """
        phase, held = self.is_phase, self.in_state
        full = Signal(reset_less=True)  # a load copies the minibatch's last sample
        m.d.sync += full.eq(self.samples == self.plan.target.batch - 1)
        ends = [
            now[State.REFUSE] & (~phase["admit"] | self.walked),
            now[State.QUOTA] & self.quota_found(),
            now[State.WALK] & ~(self.names_slot | self.names_place) & self.walk_last,
            held(State.SEED) & phase["seed"] & self.last_draw(),
            held(State.CHECK) & self.of_epoch & ~self.found() & self.walked,
            held(State.WEIGH) & phase["evict"] & self.walked,
            held(State.COPY)
            & self.copied_all
            & (phase["stage"] | phase["insert"] | self.walked | phase["load"] & full),
            held(State.JUDGE) & (self.judged_wrong() | self.judged_last),
        ]
        m.d.comb += self.done.eq(Cat(ends).any())

    def build_addresses(self, m):
        """Choose the addresses of labels by the phase and a bit of the state, not by who reads, which is known late."""
        restores = self.is_phase["restore"]
        walked = Mux(self.in_state(State.SEEK), self.slot, self.index)
        m.d.comb += self.label_read.addr.eq(Mux(restores, self.place, walked))
        if self.plan.replay.staging:
            place = self.place - self.plan.replay.capacity
            m.d.comb += self.staging_label_read.addr.eq(Mux(restores, place, self.named))

    def found(self):
        """Whether an epoch finds a sample where it has read a label."""
        held = self.holds(self.label_read.data)
        if not self.plan.replay.staging:
            return held
        return Mux(self.from_staging, self.known(self.staging_label_read.data), held)

    def quota_found(self):
        """Whether the classes seen are no longer contained in what is left of the capacity."""
        return (self.seen == 0) | self.left[-1]

    def judged_wrong(self):
        """Whether restore finds the label of no class seen."""
        held = self.label_read.data[-1]
        if self.plan.replay.staging:
            held = held | ~self.judged_slot
        return held & (self.judged_label >= self.seen)

    def in_state(self, state):
        """Whether the unit's register holds a state."""
        return self.state[state.value.bit_length() - 1]

    def refuse_cycle(self, m):
        """Refuse a sample; of admit, pass over it.

        A cycle of its own: no comparison stands before the end of an operation.
        """
        with m.If(self.is_phase["admit"]):
            self.next_index(m)
        with m.Else():
            m.d.comb += self.refused.eq(1)

    def seek_cycle(self, m):
        """Read the label of a slot that may be free."""
        m.d.comb += self.label_read.en.eq(1)
        m.d.sync += self.state.eq(State.LOOK)

    def build_counts(self, m):
        """Build replay.count, the latents of each class in the replay memory."""
        memory = self.plan.memory("replay.count")
        m.submodules.replay_count = self.counts = RegisterFile(memory.depth, memory.width)
        self.copied_label = Signal(self.label_bits)
        self.weighed = Signal(memory.width)  # the count that a check has read
        self.known_checked = Signal()  # whether that is the count of a class seen
        # Every address is chosen by phases, which are registers: the count that it leads to comes late.
        self.label_checked = Signal(self.label_bits, name="checked_label")
        address = self.counts.raddr
        m.d.comb += [self.label_checked.eq(self.label_read.data), address.eq(self.label_checked)]
        if self.plan.replay.staging:
            with m.If(self.is_phase["admit"]):
                m.d.comb += self.label_checked.eq(self.staging_label_read.data)
        with m.If(self.is_phase["insert"]):
            m.d.comb += self.label_checked.eq(self.label)
        with m.If(self.at[self.plan.phases.index("balance")]):
            m.d.comb += address.eq(self.count_addr)
        m.d.comb += [
            self.counts.wen.eq(self.count_write),
            self.counts.waddr.eq(self.copied_label),
            self.count.eq(self.counts.rdata),
        ]
        with m.If(self.is_phase["restore"]):
            judges = self.in_state(State.JUDGE)
            m.d.comb += self.counts.waddr.eq(Mux(judges, self.label_checked, self.place))
        self.build_host_count(m, self.counts, memory.width)
        has_class = Const(1)
        if 1 << len(self.cleared) > memory.depth:
            has_class = self.cleared < memory.depth
        with m.If(self.clearing & has_class):
            m.d.comb += [
                self.counts.wen.eq(1),
                self.counts.waddr.eq(self.cleared),
                self.counts.wdata.eq(0),
            ]

    def build_walks(self, m):
        """Build the walk, whose register has as many bits as the indices of eviction, admission or an epoch take."""
        op = self.plan.replay
        bits = {"evict": op.replay_walk, "admit": op.staging_walk}
        longest = max(*bits.values(), op.epoch_walk)
        self.declare_walk(longest)
        self.low = Signal(longest)
        step = Signal(longest)
        # Whose walk it is stands in registers: an eviction and an admission draw before they walk, and a load is neither.
        self.of_walk = {name: Signal(name=f"walks_{name}", reset_less=True) for name in bits}
        for name, k in ({"epoch": op.epoch_walk} | bits).items():
            with m.If(self.of_walk[name] if name in bits else 1):
                m.d.comb += [self.low.eq((1 << k) - 1), step.eq(walk_next(self.walk_state, k))]
        m.d.sync += [walks.eq(self.is_phase[name]) for name, walks in self.of_walk.items()]
        self.walk_end = Signal(range(op.capacity + op.staging + 1), reset_less=True)
        # Behind the last index that may name a staged sample.
        staged = self.staged + Mux(self.of_walk["admit"], 0, op.capacity)
        m.d.sync += self.walk_end.eq(staged)
        self.build_walk(m, step)
        # Whether the walk's index names a replay slot, or a staging place, and which; and the place of the index before.
        self.names_slot = Signal()
        self.names_staged = Signal()
        self.names_place = Signal()  # a staging place that holds a sample
        self.named = Signal(longest)
        self.from_staging = Signal()
        self.checked_place = Signal(longest)

    def name_next(self, m, index):
        """Note what the next index names: comparisons and a sum, which would be late in its own cycle."""
        op, admits = self.plan.replay, self.of_walk["admit"]
        m.d.sync += self.names_slot.eq(~admits & (index < op.capacity))
        if op.staging:
            staged = admits | ~self.of_walk["evict"] & (index >= op.capacity)
            m.d.sync += [
                self.names_staged.eq(staged),
                self.names_place.eq(staged & (index < self.walk_end)),
                self.named.eq(index - Mux(admits, 0, op.capacity)),
            ]

    def seed_cycle(self, m):
        """Refresh the random register, as `EpochUnit` does; the mask is the walk's first index."""
        super().seed_cycle(m)
        with m.If(self.in_state(State.SEED)):  # the last draw is not the first cycle's
            self.name_next(m, self.random & self.low)

    def build_copy(self, m):
        """Build the copy of a latent: word `copied` is read while the word before it is written."""
        op, target = self.plan.replay, self.plan.target
        self.copied = copied = Signal(range(op.words + 1))
        self.copied_all = Signal()  # whether they are all: the last one is written
        placed = Signal(range(op.words + 1))
        m.d.comb += placed.eq(copied - 1)
        data = Signal(target.channels)
        from_staging = self.from_staging
        m.d.comb += [
            self.latent.addr.eq(copied),
            self.read.addr.eq(times(self.checked, op.words) + copied),
            self.write.addr.eq(times(self.slot, op.words) + placed),
            self.write.data.eq(data),
            data.eq(self.latent.data),
        ]
        if op.staging:
            m.d.comb += [
                self.staging_read.addr.eq(times(self.checked_place, op.words) + copied),
                self.staging_write.addr.eq(times(self.staged, op.words) + placed),
                self.staging_write.data.eq(data),
                self.staging_label_write.addr.eq(self.staged),
                self.staging_label_write.data.eq(self.label),
            ]
            with m.If(from_staging):
                m.d.comb += data.eq(self.staging_read.data)

        # What an epoch enters comes from one of two block RAMs, late: which one stands in registers, a bit each, from the
        # cycle before the first word on.
        enters = Signal(2, reset_less=True)
        m.d.sync += enters.eq(Mux(self.of_epoch, Cat(~from_staging, from_staging), 0))
        entered = self.read.data & enters[0].replicate(target.channels)
        if op.staging:
            entered = entered | self.staging_read.data & enters[1].replicate(target.channels)
        lane = self.enter_lanes(m, placed, entered)
        self.file_lane = Signal(target.lanes)
        m.d.comb += [
            self.file_lane.eq(1 << lane),
            self.bank.addr.eq(placed),
            self.bank.data.eq(entered),
            self.batch_label.addr.eq(self.samples),
            self.batch_label.data.eq(self.label_read.data),
        ]
        if op.staging:
            with m.If(from_staging):
                m.d.comb += self.batch_label.data.eq(self.staging_label_read.data)

    # ------------------------------------------------------------------------ what a cycle does

    def known(self, label):
        """Whether a label is of a class seen: after a fault it may be of none, and its sample is passed over."""
        return label[: self.label_bits] < self.seen

    def holds(self, entry):
        """Whether an entry of replay.label is of a sample of a class seen: its slot is free otherwise."""
        return entry[-1] & self.known(entry)

    def quota_cycle(self, m):
        """Subtract the classes seen once more: quota = capacity // seen."""
        quota = Mux(self.in_state(State.BEGIN), 0, self.quota)
        m.d.comb += [self.set_quota.eq(1), self.new_quota.eq(quota)]
        with m.If(~self.quota_found()):
            m.d.comb += self.new_quota.eq(quota + 1)
            m.d.sync += self.rest.eq(self.left)

    def walk_cycle(self, m):
        """Draw one index; a check follows where it is in range."""
        op = self.plan.replay
        m.d.comb += self.label_read.en.eq(self.names_slot)
        self.name_next(m, self.walk_step ^ self.walk_mask)
        if op.staging:
            m.d.comb += self.staging_label_read.en.eq(self.names_place)
            m.d.sync += [
                self.from_staging.eq(self.names_staged),
                self.checked_place.eq(self.named),
            ]
        m.d.sync += [
            self.checked.eq(self.index),
            self.walk_state.eq(self.walk_step),
            self.walk_first.eq(0),
            self.walk_left.eq(self.walk_left - 1),
            self.walk_last.eq(self.walk_left == 1),
        ]
        with m.If(self.names_slot | self.names_place):
            m.d.sync += self.state.eq(State.CHECK)
        m.d.sync += self.walked.eq(self.walk_last)

    def check_cycle(self, m):
        """Read the count of the label that was read; in an epoch, copy its sample."""
        held = self.holds(self.label_read.data)
        m.d.sync += [
            self.copied_label.eq(self.label_checked),
            self.weighed.eq(self.counts.rdata),
            self.state.eq(State.WEIGH),
        ]
        with m.If(self.is_phase["insert"]):
            m.d.comb += self.count_read.eq(1)
            m.d.sync += self.known_checked.eq(1)
        with m.If(self.is_phase["evict"]):
            m.d.comb += self.count_read.eq(held)
            m.d.sync += self.known_checked.eq(held)
        if self.plan.replay.staging:
            with m.If(self.is_phase["admit"]):
                known = self.known(self.staging_label_read.data)
                m.d.comb += self.count_read.eq(known)
                m.d.sync += self.known_checked.eq(known)
        with m.If(self.of_epoch):
            with m.If(self.found()):
                load = self.is_phase["load"]
                m.d.comb += [self.loading.eq(load), self.hit.eq(~load)]
                m.d.sync += self.state.eq(State.COPY)
            with m.Else():
                self.next_index(m)

    def weigh_cycle(self, m):
        """Compare the count that was read with the quota: evict, or look for a slot where the class is below it."""
        below = Signal()
        m.d.comb += below.eq(self.weighed < self.quota)
        with m.If(self.is_phase["evict"]):
            self.next_index(m)
            with m.If(self.known_checked & (self.weighed > self.quota)):
                m.d.comb += [
                    self.evicted.eq(1),
                    self.label_write.en.eq(1),
                    self.label_write.addr.eq(self.checked),
                    self.count_write.eq(1),
                    self.counts.wdata.eq(self.weighed - 1),
                ]
        with m.Elif(self.known_checked & below & ~self.all_taken):
            m.d.sync += self.state.eq(State.SEEK)
        with m.Else():
            m.d.sync += self.state.eq(State.REFUSE)

    def look_cycle(self, m):
        """Take the slot whose label was read if it is free, else seek on, to the last.

        An admission comes to the last only where a fault made labels and counts disagree.
        """
        m.d.sync += self.state.eq(State.COPY)
        with m.If(self.holds(self.label_read.data)):
            m.d.sync += [self.slot.eq(self.slot + 1), self.state.eq(State.SEEK)]
            with m.If(self.last_slot):
                m.d.sync += [self.all_taken.eq(1), self.state.eq(State.REFUSE)]

    def copy_cycle(self, m):
        """Read word `copied`, write the word before it; the last write commits the sample."""
        op = self.plan.replay
        reading = self.copied < op.words
        writing = self.copied > 0
        last = self.copied_all
        m.d.sync += [
            self.copied.eq(Mux(last, 0, self.copied + 1)),
            self.copied_all.eq(self.copied == op.words - 1),
        ]
        stage, epoch = self.is_phase["stage"], self.of_epoch
        load, batch = self.is_phase["load"], self.plan.target.batch
        insert = self.is_phase["insert"] | self.is_phase["admit"]
        m.d.comb += [
            self.latent.en.eq(reading & (stage | self.is_phase["insert"])),
            self.read.en.eq(reading & epoch & ~self.from_staging),
            self.write.en.eq(writing & insert),
        ]
        if op.staging:
            m.d.comb += [
                self.staging_read.en.eq(reading & self.from_staging),
                self.staging_write.en.eq(writing & stage),
                self.staging_label_write.en.eq(last & stage),
            ]
        with m.If(insert & last):
            m.d.comb += [
                self.inserted.eq(1),
                self.label_write.en.eq(1),
                self.label_write.addr.eq(self.slot),
                self.label_write.data.eq(Cat(self.copied_label, Const(1, 1))),
                self.count_write.eq(1),
                self.counts.wdata.eq(self.weighed + 1),
            ]
            m.d.sync += [self.slot.eq(self.slot + 1), self.all_taken.eq(self.last_slot)]
        with m.If(epoch & writing):
            m.d.comb += self.file.lanes.eq(self.file_lane)
        with m.If(load & writing):
            m.d.comb += self.bank.en.eq(1 << self.samples)
        full = self.samples == batch - 1
        with m.If(epoch & last):
            m.d.comb += [self.batch_label.en.eq(load), self.loaded.eq(load)]
            # Of a whole epoch, minibatch follows minibatch.
            m.d.sync += self.samples.eq(Mux(full & ~load, 0, self.samples + 1))
        with m.If(last):
            with m.If(stage):
                m.d.comb += [
                    self.set_staged.eq(1),
                    self.new_staged.eq(self.staged + 1),
                ]
            with m.Elif(~self.is_phase["insert"]):
                self.next_index(m)

    def zero_cycle(self, m):
        """Of restore: set a class's count to 0."""
        m.d.comb += [
            self.count_write.eq(1),
            self.counts.wdata.eq(0),
        ]
        m.d.sync += self.place.eq(self.place + 1)
        with m.If(self.place == self.plan.network.classes - 1):
            m.d.sync += [self.place.eq(0), self.state.eq(State.READ)]

    def of_replay(self):
        """Whether the place that restore looks at is a replay slot, and not one of the staging memory."""
        op = self.plan.replay
        return self.place < op.capacity if op.staging else Const(1)

    def read_cycle(self, m):
        """Of restore: read the label of a slot."""
        op, remembered = self.plan.replay, self.of_replay()
        m.d.comb += self.label_read.en.eq(remembered)
        if op.staging:
            m.d.comb += self.staging_label_read.en.eq(~remembered)
        m.d.sync += [
            self.state.eq(State.JUDGE),
            self.judged_slot.eq(remembered),
            self.judged_last.eq(alike(self.place, op.capacity + self.staged - 1, len(self.place))),
        ]

    def judge_cycle(self, m):
        """Of restore: count the label that was read, or refuse one that is of no class seen."""
        remembered = self.judged_slot
        m.d.comb += self.counts.wdata.eq(self.counts.rdata + 1)
        m.d.sync += [self.place.eq(self.place + 1), self.state.eq(State.READ)]
        with m.If(self.judged_wrong()):
            m.d.comb += self.refused.eq(1)
        with m.Else():
            counts = self.label_read.data[-1] & remembered
            m.d.comb += [self.count_read.eq(counts), self.count_write.eq(counts)]
