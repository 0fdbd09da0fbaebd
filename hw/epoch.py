"""What the replay units of both ways share: a walk, how a sample enters lanes, counts for the host."""

from typing import Any, ClassVar

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from xnoreplay.hw.parts.arithmetic import times
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.replay import SEED_DRAWS


class EpochUnit(wiring.Component):
    """A replay unit without the policy of its memories.

    A subclass has the members that are used here, and sets before it builds cycles: ``is_phase``, ``state``, ``seeds``,
    and ``low``, whose ones are the bits of the walk's register. It calls `declare_walk` before it uses the walk.
    """

    plan: Plan
    WALK: ClassVar[Any]
    """The subclass's state in which an index is looked at."""

    def declare_walk(self, bits: int) -> None:
        """Declare the registers of a walk of 2^bits indices; ``index`` is a wire."""
        self.walk_state = Signal(bits)
        self.walk_start = Signal(bits)
        self.walk_mask = Signal(bits)
        self.index = Signal(bits)
        self.walk_first = Signal()
        self.walk_left = Signal(bits)  # indices behind this one
        self.walk_last = Signal()  # whether that is 0
        self.checked = Signal(bits)  # the index before, which is looked at

    def build_walk(self, m: Module, following: Value) -> None:
        """Build the walk: index 0 first, then the register's sequence, each XOR the mask.

        Parameters
        ----------
        m : Module
        following : Value
            State of the walk's register after ``walk_state``.
        """
        m.d.comb += [
            self.index.eq(self.walk_state ^ self.walk_mask),
        ]
        self.walk_step = Mux(self.walk_first, self.walk_start, following)

    def next_index(self, m: Module) -> None:
        """Go back to the walk; after its last index, which ``walked`` says, the subclass ends the operation."""
        m.d.sync += self.state.eq(self.WALK)

    def last_draw(self) -> Value:
        """Whether the walk begins after this draw, or the operation `seed` ends."""
        return self.seeds == SEED_DRAWS - 1

    def seed_cycle(self, m: Module) -> None:
        """Refresh the random register; its last state gives the walk's mask and start."""
        m.d.comb += self.step.eq(1)
        m.d.sync += self.seeds.eq(self.seeds + 1)
        with m.If(self.last_draw()):
            start = self.random[16:] & self.low
            m.d.sync += [
                self.state.eq(self.WALK),
                self.walk_state.eq(0),
                self.walk_first.eq(1),
                self.walk_left.eq(self.low),
                self.walk_last.eq(self.low == 0),
                self.walk_mask.eq(self.random & self.low),
                self.walk_start.eq(Mux(start == 0, 1, start)),
                self.walked.eq(0),
            ]

    def enter_lanes(self, m: Module, placed: Value, data: Value) -> Value:
        """Wire the write port of the lane files to a word of the minibatch's next sample; its lane.

        Parameters
        ----------
        m : Module
        placed : Value
            Number of the word.
        data : Value
            Its bits, which are 0 outside epochs and loads; the port's ``lanes`` are left to the caller.
        """
        target, words = self.plan.target, self.plan.replay.words
        slots = Array(w // TAPS for w in range(words))
        taps = Array(1 << w % TAPS for w in range(words))
        lane_bits = (target.lanes - 1).bit_length()
        lane, group = self.samples[:lane_bits], self.samples[lane_bits:]
        if target.batch < target.lanes:
            lane, group = self.samples, Const(0, 1)
        m.d.comb += [
            self.file.slot.eq(times(group, self.plan.batch_slots) + slots[placed]),
            self.file.taps.eq(taps[placed]),
            self.file.data.eq(data),
        ]
        return lane

    def build_host_count(self, m: Module, counts: RegisterFile, width: int) -> None:
        """Give the host a word of the counts, one cycle after it asks.

        Parameters
        ----------
        m : Module
        counts : RegisterFile
        width : int
            Bits of a count.
        """
        host = self.count_host
        # No reset: an abort while idle must not take the word from a read under way.
        word = Signal(width, name="count_word", reset_less=True)
        m.d.comb += host.rdata.eq(word)
        # The host asks while the chip is idle: by the phase, or its decoding would stand before every look at a count.
        with m.If(self.at[self.plan.phases.index("idle")]):
            m.d.comb += counts.raddr.eq(host.addr)
        with m.If(host.ren):
            m.d.sync += word.eq(counts.rdata)
