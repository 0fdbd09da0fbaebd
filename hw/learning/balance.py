"""The loss balance: a weight for each class from the frequencies of the session's latents."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import alike
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import index_shape, read_port, write_port
from xnoreplay.spec.learning import BALANCE_BITS, WEIGHT_BITS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import INVERSE_CYCLES, weight_cycles


class State(enum.Enum):
    """What the balance does in a cycle."""

    COUNT = 0
    SCAN = 1
    INVERT = 2
    WEIGH = 3


class Balance(wiring.Component):
    """The balance operation: count, then one serial divider for inverses and weights.

    ``count_addr`` chooses the class whose frequency ``count`` holds: a word of replay.count, or with generative
    replay what the replay unit finds in cycles of ``count_read``, in a cycle of ``count_valid``. ``done`` marks the last
    cycle.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        memory = plan.memory("table.inverse")
        self.inverse = RegisterFile(memory.depth, memory.width)
        staging = {}
        self.scans = plan.replay.staging > 0 and plan.generative is None
        if self.scans:
            staging = {"staging_label": Out(read_port(plan.memory("staging.label")))}
        super().__init__(
            {
                "active": In(1),
                "done": Out(1),
                "seen": In(range(plan.network.classes + 1)),
                "staged": In(index_shape(plan.replay.staging + 1)),
                "count_read": Out(1),
                "count_addr": Out(range(plan.network.classes)),
                "count": In(plan.frequency_bits),
                "inverse_read": Out(1),
                "inverse_write": Out(1),
                "weight": Out(write_port(plan.memory("table.weight"))),
            }
            | staging
            | ({"count_valid": In(1)} if plan.generative else {})
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.table_inverse = self.inverse
        self.state = Signal(State)
        self.row = Signal(range(self.plan.network.classes))
        self.last_row = Signal()
        m.d.comb += [
            self.last_row.eq(alike(self.row + 1, self.seen, len(self.row))),
            self.count_addr.eq(self.row),
            self.inverse.raddr.eq(self.row),
            self.inverse.waddr.eq(self.inverse.raddr),
            self.inverse.wen.eq(self.inverse_write),
            self.weight.addr.eq(self.row),
        ]
        # In another state than the first the unit is active.
        with m.Switch(self.state):
            with m.Case(State.COUNT), m.If(self.active):
                self.count_cycle(m)
            if self.scans:
                with m.Case(State.SCAN):
                    self.scan_cycle(m)
            with m.Default():
                self.divide_cycle(m)
        return m

    def next_row(self, m, following: State):
        """Go on to the next class, or after the last to state `following` and class 0."""
        m.d.sync += self.row.eq(self.row + 1)
        with m.If(self.last_row):
            m.d.sync += [self.row.eq(0), self.state.eq(following)]

    def count_cycle(self, m):
        """Copy a class's frequency among the remembered latents, or those of an epoch, into table.inverse."""
        writes = self.count_valid if self.plan.generative else 1
        m.d.comb += [
            self.count_read.eq(1),
            self.inverse_write.eq(writes),
            self.inverse.wdata.eq(self.count),
        ]
        following = State.SCAN if self.scans else State.INVERT
        if self.plan.generative is None:
            self.next_row(m, following)
            return
        with m.If(self.count_valid):
            self.next_row(m, following)

    def scan_cycle(self, m):
        """Read one staged label, and count the one that was read before."""
        place = Signal.like(self.staged)
        some = Signal()
        m.d.comb += [
            # After a fault a label may be of no class seen; its sample is not learned from.
            some.eq((place != 0) & (self.staging_label.data < self.seen)),
            self.staging_label.en.eq(place < self.staged),
            self.staging_label.addr.eq(place),
            self.inverse.raddr.eq(self.staging_label.data),
            self.inverse_read.eq(some),
            self.inverse_write.eq(some),
            self.inverse.wdata.eq(self.inverse.rdata + 1),
        ]
        m.d.sync += place.eq(place + 1)
        with m.If(place == self.staged):
            m.d.sync += [place.eq(0), self.state.eq(State.INVERT)]

    def divide_cycle(self, m):
        """Load the divider from table.inverse, then compute a bit of the quotient a cycle, highest first.

        One numerator serves both: an inverse's has its only one at the top. `product` is ``seen`` times
        the quotient, bit by bit beside it, so that no multiplier is needed.
        """
        division = weight_cycles(self.plan.network.classes)
        bits = division - 1
        total = Signal((self.plan.network.classes << BALANCE_BITS).bit_length())
        step = Signal(range(division))
        invert = Signal()
        first = Signal()
        last = Signal()
        numerator = Signal(bits)
        divisor = Signal.like(total)
        remainder = Signal(len(total) + 1)
        rest = Signal(len(total) + 2)
        quotient = Signal(bits - 1)
        complete = Signal(bits)
        product, multiple = (
            Signal.like(self.inverse.wdata, name=n) for n in ("product", "multiple")
        )
        fits = Signal()
        m.d.comb += [
            invert.eq(self.state == State.INVERT),
            first.eq(step == 0),
            rest.eq(remainder << 1 | numerator[-1]),
            fits.eq((divisor != 0) & (rest >= divisor)),
            complete.eq(quotient << 1 | fits),
            multiple.eq(Mux(fits, (product << 1) + self.seen, product << 1)),
            self.inverse_read.eq(first),
            self.inverse_write.eq(last & invert),
            self.inverse.wdata.eq(multiple),
            self.weight.en.eq(last & ~invert),
            self.weight.data.eq(Mux(complete == 0, 1, complete)),
        ]
        # A register, for much waits for the last cycle.
        m.d.sync += last.eq(step == Mux(invert, INVERSE_CYCLES - 2, division - 2))
        scaled = (self.inverse.rdata << WEIGHT_BITS) + (total >> 1)
        with m.If(first):
            m.d.sync += [
                numerator.eq(Mux(invert, 1 << bits - 1, scaled)),
                divisor.eq(Mux(invert, self.inverse.rdata, total)),
                remainder.eq(0),
                quotient.eq(0),
                product.eq(0),
                step.eq(1),
            ]
        with m.Else():
            m.d.sync += [
                numerator.eq(numerator << 1),
                remainder.eq(Mux(fits, rest - divisor, rest)),
                quotient.eq(complete),
                product.eq(multiple),
                step.eq(step + 1),
            ]
        with m.If(last):
            m.d.sync += step.eq(0)
            with m.If(invert):
                # Two sums, of which the last comparison chooses: it comes late.
                some, more = total + (quotient << 1), total + (quotient << 1 | 1)
                m.d.sync += total.eq(Mux(fits, more, some))
            with m.Elif(self.last_row):
                m.d.comb += self.done.eq(1)
                m.d.sync += total.eq(0)
            self.next_row(m, State.WEIGH)
        with m.If(self.done):
            m.d.sync += self.state.eq(State.COUNT)
