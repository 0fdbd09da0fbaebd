"""Event counters: the activity that the energy estimate rests on."""

from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.memories import identifier
from xnoreplay.spec.registers import most_behind

TOGETHER = 16
"""Counters between which four bits of a row's number choose: a group, and a bit of a register for each."""


class Counters(wiring.Component):
    """The chip's event counters: ``add_<name>`` is added to ``<name>`` every cycle.

    A counter wraps: after 2^bits - 1 comes 0.

    All counters lie in one memory, a row each. Beside it every counter has a register of its lowest bits, which counts
    always. A sweep goes round the rows, one a cycle: it adds to a row what its register has counted since the row was
    written. That is their difference modulo 2^k, of the register's k bits, and the register is never cleared. k is such that
    no register comes round between two visits: `most_behind` cycles of the greatest event are less than 2^k.

    The host looks in between. `value` is the counter `index` of a cycle of ``look``, as of the cycle after, and is there
    ``LATENCY`` cycles after it: the row, and what its register has counted since. The sweep stands still for that cycle.

    A reset clears the registers alone. Until the first sweep ends every row is taken for 0.

    Parameters
    ----------
    widths : dict of str to int
        Bits of what one cycle may add, by counter name; of two counters at least.
    bits : int
        Of each counter.
    apart : int
        Cycles from one look to the next, at least; 2 or more.

    Raises
    ------
    ValueError
        For one counter, or bits that are fewer than a register's.
    """

    LATENCY = 2

    def __init__(self, widths: dict[str, int], bits: int, apart: int):
        self.names, self.bits = tuple(widths), bits
        if len(widths) < 2:
            raise ValueError(f"counters must be at least 2, not {len(widths)}")
        self.behind = most_behind(len(widths), apart)
        self.most = {name: (1 << width) - 1 for name, width in widths.items()}
        self.low_bits = {n: (self.behind * most).bit_length() for n, most in self.most.items()}
        if max(self.low_bits.values()) > bits:
            raise ValueError(
                f"counters must have at least {max(self.low_bits.values())} bits, not {bits}"
            )
        self.rows = RegisterFile(len(widths), bits)
        self.low = {n: Signal(self.low_bits[n], name=identifier(n)) for n in widths}
        self.pending = {n: Signal(w, name=f"pending_{identifier(n)}") for n, w in widths.items()}
        self.fresh = Signal(init=1)
        self.writing = Signal()
        super().__init__(
            {f"add_{identifier(n)}": In(unsigned(w)) for n, w in widths.items()}
            | {"look": In(1), "index": In(index_shape(len(widths))), "value": Out(bits)}
        )

    def add(self, name: str):
        """What is added in this cycle to a counter, by its name."""
        return getattr(self, f"add_{identifier(name)}")

    def chosen(self, values: list, read: Signal, groups: Signal) -> Value:
        """The value whose number is `read`, one of a group by its low bits, and the group by a bit of `groups`."""
        found = []
        for n, group in enumerate(groups):
            some = values[n * TOGETHER : (n + 1) * TOGETHER]
            one = Array(some)[read[: (len(some) - 1).bit_length()]] if len(some) > 1 else some[0]
            found.append(Mux(group, one, 0))
        return reduce(or_, found)

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.values = rows = self.rows
        last = len(self.names) - 1

        # The row that is read in the next cycle: the host's, or the sweep's.
        row = Signal.like(self.index)
        read = Signal.like(self.index)
        sweeping = Signal()
        following = Mux(self.look, self.index, row)
        groups = Signal(last // TOGETHER + 1)  # a bit for every so many rows
        m.d.sync += [
            read.eq(following),
            groups.eq(Cat(following // TOGETHER == n for n in range(len(groups)))),
            sweeping.eq(~self.look),
        ]
        with m.If(~self.look):
            m.d.sync += row.eq(Mux(row == last, 0, row + 1))

        # What was counted before this cycle: an event is added one cycle later, so that no sum waits for it.
        counted = {}
        for name in self.names:
            low, pending = self.low[name], self.pending[name]
            assert self.behind * self.most[name] < 1 << len(low), f"{name} may come round"
            counted[name] = (low + pending)[: len(low)]
            m.d.sync += [pending.eq(self.add(name)), low.eq(counted[name])]

        # Row, register, what it counts next and the register's bits go on together: no sum stands before their choice.
        longest = max(self.low_bits.values())
        word = Signal(self.bits)
        low = Signal(longest)
        pending = Signal(max(self.most.values()).bit_length())
        mask = Signal(longest)
        place = Signal.like(row)
        m.d.comb += rows.raddr.eq(read)
        # Gates, not a reset: with that, synthesis would make this the register of a block RAM, which is late.
        m.d.sync += [
            word.eq(rows.rdata & ~self.fresh.replicate(self.bits)),
            place.eq(read),
            self.writing.eq(sweeping),
        ]
        # Of a look at no counter what it finds is not used, and nothing is decoded to hold.
        masks = [Const((1 << self.low_bits[name]) - 1, longest) for name in self.names]
        for chosen, values in (
            (low, self.low.values()),
            (pending, self.pending.values()),
            (mask, masks),
        ):
            m.d.sync += chosen.eq(self.chosen(list(values), read, groups))
        m.d.comb += [
            self.value.eq(word + ((low + pending - word[:longest]) & mask)),
            rows.wen.eq(self.writing),
            rows.waddr.eq(place),
            rows.wdata.eq(self.value),
        ]
        with m.If(self.writing & (place == last)):
            m.d.sync += self.fresh.eq(0)
        return m
