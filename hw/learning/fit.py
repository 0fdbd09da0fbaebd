"""The fit unit: takes a sample into the components of its class, plane by plane."""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import times, tree_sum
from xnoreplay.hw.parts.ports import index_shape, read_port, write_port
from xnoreplay.spec.generative import MOST_SHARE, SHARE_BITS
from xnoreplay.spec.memories import label_bits
from xnoreplay.spec.plan import Plan


class State(enum.Enum):
    """What the fit unit does in a cycle."""

    BEGIN = 0
    SHARE = 1
    OPEN = 2
    SEEK = 3
    DISTANCE = 4
    FETCH = 5
    JUDGE = 6
    HALVE_SHARE = 7
    HALVE = 8
    COUNT = 9


class FitUnit(wiring.Component):
    """Carries out the operation take, as `docs/microarchitecture.md` has it.

    ``enter`` marks the cycle before the operation begins, ``active`` spans it and ``done`` marks its last cycle.
    ``label`` is the sample's class; the sample is in act.latent. ``entry`` is fit.open, which becomes ``new_entry``
    where ``set_entry`` is high: 0 in the first cycle, the class in the last. ``first`` marks the first cycle.

    Parameters
    ----------
    plan : Plan
        With generative replay.

    Members
    -------
    share, mean, count, latent : read ports of replay.share, replay.mean, fit.count and act.latent
    share_write, mean_write, count_write : write ports
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        share, mean, count = (plan.memory(n) for n in ("replay.share", "replay.mean", "fit.count"))
        entry = label_bits(plan.network) + 1
        super().__init__(
            {
                "active": In(1),
                "enter": In(1),
                "first": Out(1),
                "done": Out(1),
                "label": In(entry - 1),
                "entry": In(entry),
                "set_entry": Out(1),
                "new_entry": Out(entry),
                "share": Out(read_port(share)),
                "share_write": Out(write_port(share)),
                "mean": Out(read_port(mean)),
                "mean_write": Out(write_port(mean)),
                "count": Out(read_port(count)),
                "count_write": Out(write_port(count)),
                "latent": Out(read_port(plan.memory("act.latent"))),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        form, channels = self.plan.generative, self.plan.target.channels
        self.parts, self.words, self.bits = form.components, form.words, form.mean_bits
        self.state = Signal(State)
        self.component = Signal(range(self.parts + 1))
        self.word = Signal(range(self.words + 1))
        self.step = Signal(range(SHARE_BITS + 2 + self.bits))
        self.chosen = Signal(index_shape(self.parts))
        self.samples = Signal(SHARE_BITS)  # that the component stands for
        self.carry = Signal(channels)
        self.reached = [Signal(channels, name=f"reached{v}") for v in range(1, 1 << self.bits)]
        self.planes = self.reached[: self.bits]  # while a class is opened, those of a word's means
        self.build_addresses(m)
        cycles: dict[State, Callable] = {
            State.BEGIN: self.begin_cycle,
            State.SHARE: self.share_cycle,
            State.OPEN: self.open_cycle,
            State.SEEK: self.seek_cycle,
            State.DISTANCE: self.distance_cycle,
            State.FETCH: self.fetch_cycle,
            State.JUDGE: self.judge_cycle,
            State.HALVE_SHARE: self.share_cycle,
            State.HALVE: self.halve_cycle,
            State.COUNT: self.count_cycle,
        }
        with m.If(self.active):
            with m.Switch(self.state):
                for state, cycle in cycles.items():
                    with m.Case(state):
                        cycle(m)
                with m.Default():  # a state that is none, after an upset
                    self.go(m, State.COUNT)
        with m.If(self.enter):
            m.d.sync += self.state.eq(State.BEGIN)
        return m

    def build_addresses(self, m):
        """Build the rows that a cycle reads and writes, of the component that is chosen or under way."""
        place = Signal(index_shape(self.parts))
        of_chosen = Signal()
        m.d.comb += [
            of_chosen.eq((self.state == State.FETCH) | (self.state == State.COUNT)),
            place.eq(Mux(of_chosen, self.chosen, self.component)),
        ]
        share_row = Signal.like(self.share.addr, name="share_row")
        m.d.comb += [
            share_row.eq(times(self.label, self.parts) + place),
            self.share.addr.eq(share_row),
            self.share_write.addr.eq(share_row),
        ]
        word = Signal(index_shape(self.words))
        self.mean_plane, self.new_plane = (
            Signal(index_shape(self.bits), name=n) for n in ("mean_plane", "new_plane")
        )
        self.read_plane, self.written_plane = (
            Signal(range(SHARE_BITS), name=n) for n in ("read_plane", "written_plane")
        )
        mean_row = Signal.like(self.mean.addr, name="mean_row")
        count_row = Signal.like(self.count.addr, name="count_row")
        m.d.comb += [
            word.eq(self.word),
            mean_row.eq(times((times(share_row, self.words) + word)[: len(mean_row)], self.bits)),
            count_row.eq(times((times(place, self.words) + word)[: len(count_row)], SHARE_BITS)),
            self.mean.addr.eq(mean_row + self.mean_plane),
            self.mean_write.addr.eq(mean_row + self.new_plane),
            self.count.addr.eq(count_row + self.read_plane),
            self.count_write.addr.eq(count_row + self.written_plane),
            self.latent.addr.eq(word),
        ]

    def go(self, m, state: State):
        """Begin a state with component, word and step 0."""
        m.d.sync += [self.state.eq(state), self.component.eq(0), self.word.eq(0), self.step.eq(0)]

    def next_place(self, m, word_state: State, share_state: State, after: State):
        """Go on to the next word of a component, to the next component, or to the state after the last."""
        m.d.sync += [
            self.step.eq(0),
            self.word.eq(self.word + 1),
            self.state.eq(word_state),
        ]
        with m.If(self.word == self.words - 1):
            m.d.sync += [
                self.word.eq(0),
                self.component.eq(self.component + 1),
                self.state.eq(share_state),
            ]
            with m.If(self.component == self.parts - 1):
                self.go(m, after)

    # ------------------------------------------------------------------------ what a cycle does

    def begin_cycle(self, m):
        """Close the class that was open; its counters are loaded anew unless it is the sample's."""
        m.d.comb += [self.first.eq(1), self.set_entry.eq(1), self.new_entry.eq(0)]
        self.go(m, State.SHARE)
        with m.If(self.entry == Cat(self.label, Const(1, 1))):
            m.d.sync += self.state.eq(State.SEEK)

    def share_cycle(self, m):
        """Read the share of a component, whose words follow."""
        m.d.comb += self.share.en.eq(1)
        m.d.sync += self.state.eq(Mux(self.state == State.SHARE, State.OPEN, State.HALVE))

    def open_cycle(self, m):
        """Read the planes of a word's means, then write those of its counters."""
        step, bits = self.step, self.bits
        m.d.sync += step.eq(step + 1)
        with m.If((step == 0) & (self.word == 0)):
            m.d.sync += self.samples.eq(self.share.data)
        m.d.comb += [
            self.mean.en.eq(step < bits),
            self.mean_plane.eq(step),
            self.count_write.en.eq(step > bits),
            self.written_plane.eq(step - (bits + 1)),
        ]
        for p, plane in enumerate(self.planes):
            with m.If(step == p + 1):
                m.d.sync += plane.eq(self.mean.data)
        choices: list[Value] = []  # of each mean, the plane's bit of the count that it stands for
        for value in range(1 << bits):
            middle = times(self.samples, 2 * value + 1) + ((1 << bits) - 1)
            count = Signal(SHARE_BITS, name=f"count{value}")
            m.d.comb += count.eq(middle >> bits + 1)
            bit = count.bit_select(self.written_plane, 1)
            choices.append(bit.replicate(len(self.carry)))
        for plane in self.planes:
            pairs = zip(choices[::2], choices[1::2], strict=True)
            choices = [plane & one | ~plane & zero for zero, one in pairs]
        m.d.comb += self.count_write.data.eq(choices[0])
        with m.If(step == bits + SHARE_BITS):
            self.next_place(m, State.OPEN, State.SHARE, State.SEEK)

    def seek_cycle(self, m):
        """Look at the share that was read, and read the next one; the first that is 0 is the sample's component."""
        looks, last = self.component != 0, self.component == self.parts
        with m.If(looks & (self.share.data == 0)):
            self.go(m, State.FETCH)
            m.d.sync += self.chosen.eq(self.component - 1)
        with m.Elif(last):
            self.go(m, State.DISTANCE)
        with m.Else():
            m.d.comb += self.share.en.eq(1)
            m.d.sync += self.component.eq(self.component + 1)

    def distance_cycle(self, m):
        """Read a word of one majority, and count where the word before differs from the sample's."""
        channels = self.plan.target.channels
        most = self.words * channels
        distance = Signal(range(most + 1))
        least = Signal(range(most + 1))
        differ = Signal(channels)
        summed = Signal(range(most + 1))
        reading = Signal()
        looks = Signal()
        m.d.comb += [
            looks.eq(self.step != 0),
            reading.eq(self.component != self.parts),
            differ.eq(self.mean.data ^ self.latent.data),
            summed.eq(distance + tree_sum(list(differ))),
            self.mean.en.eq(reading),
            self.latent.en.eq(reading),
            self.mean_plane.eq(self.bits - 1),
        ]
        m.d.sync += self.step.eq(1)
        with m.If(looks):
            m.d.sync += distance.eq(summed)
            with m.If(self.word == 0):
                m.d.sync += distance.eq(0)
                with m.If((self.component == 1) | (summed < least)):
                    m.d.sync += [least.eq(summed), self.chosen.eq(self.component - 1)]
        m.d.sync += self.word.eq(self.word + 1)
        with m.If(self.word == self.words - 1):
            m.d.sync += [self.word.eq(0), self.component.eq(self.component + 1)]
        with m.If(~reading):
            self.go(m, State.FETCH)

    def fetch_cycle(self, m):
        """Read the share of the sample's component."""
        m.d.comb += self.share.en.eq(1)
        m.d.sync += self.state.eq(State.JUDGE)

    def judge_cycle(self, m):
        """Add the sample to the share; where that was the most, all are halved before."""
        full = Signal()
        m.d.comb += full.eq(self.share.data == MOST_SHARE)
        self.go(m, State.COUNT)
        m.d.sync += self.samples.eq(self.share.data + 1)
        with m.If(full):
            m.d.sync += [
                self.state.eq(State.HALVE_SHARE),
                self.samples.eq((MOST_SHARE >> 1) + 1),
            ]

    def halve_cycle(self, m):
        """Move each plane of a word's counters to the place of the one below."""
        step = self.step
        m.d.sync += step.eq(step + 1)
        m.d.comb += [
            self.share_write.en.eq((step == 0) & (self.word == 0)),
            self.share_write.data.eq(self.share.data >> 1),
            self.count.en.eq(step < SHARE_BITS - 1),
            self.read_plane.eq(step + 1),
            self.count_write.en.eq(step != 0),
            self.written_plane.eq(step - 1),
            self.count_write.data.eq(Mux(step == SHARE_BITS, 0, self.count.data)),
        ]
        with m.If(step == SHARE_BITS):
            self.next_place(m, State.HALVE, State.HALVE_SHARE, State.COUNT)

    def count_cycle(self, m):
        """Add the sample to a plane of a word's counters and compare it, or write a plane of the word's means."""
        step, bits = self.step, self.bits
        first = Signal()
        counting = Signal()
        last = Signal()
        m.d.comb += [
            first.eq(step == 1),
            counting.eq((step != 0) & (step <= SHARE_BITS)),
            last.eq(step == SHARE_BITS + bits),
        ]
        m.d.sync += step.eq(step + 1)
        carry, after = (Signal.like(self.carry, name=n) for n in ("carried", "counted"))
        m.d.comb += [
            self.latent.en.eq(step == 0),
            self.count.en.eq(step < SHARE_BITS),
            self.read_plane.eq(step),
            carry.eq(Mux(first, self.latent.data, self.carry)),
            after.eq(self.count.data ^ carry),
            self.count_write.en.eq(counting),
            self.written_plane.eq(step - 1),
            self.count_write.data.eq(after),
            self.mean_write.en.eq(step > SHARE_BITS),
            self.new_plane.eq(step - (SHARE_BITS + 1)),
        ]
        m.d.sync += self.carry.eq(self.count.data & carry)
        with m.If(counting):
            self.compare(m, first, after)
        for p in range(bits):
            parity: Value = Const(0, len(after))
            for reached in self.reached[(1 << p) - 1 :: 1 << p]:
                parity = parity ^ reached
            with m.If(step == SHARE_BITS + 1 + p):
                m.d.comb += self.mean_write.data.eq(parity)
        with m.If(last):
            m.d.sync += [step.eq(0), self.word.eq(self.word + 1)]
            with m.If(self.word == self.words - 1):
                m.d.comb += [
                    self.share_write.en.eq(1),
                    self.share_write.data.eq(self.samples),
                    self.set_entry.eq(1),
                    self.new_entry.eq(Cat(self.label, Const(1, 1))),
                    self.done.eq(1),
                ]

    def compare(self, m, first, after):
        """Compare a plane of the counters with that of each mean's least count."""
        for value, reached in enumerate(self.reached, 1):
            least = Signal(SHARE_BITS, name=f"least{value}")
            top = (1 << self.bits) - 1
            m.d.comb += least.eq((times(self.samples, value) + top) >> self.bits)
            before = reached | first.replicate(len(reached))
            bit = least.bit_select(self.written_plane, 1)
            m.d.sync += reached.eq(Mux(bit, before & after, before | after))
