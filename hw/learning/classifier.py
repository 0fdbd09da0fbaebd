"""The classifier's weight memory cls.top: one RAM for each of its two weight copies.

So both rows of a class are read and written in one cycle.
"""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import times, tree_sum
from xnoreplay.hw.parts.memory import Ram
from xnoreplay.hw.parts.ports import HostPort, index_shape
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import Plan


def divide(value: Value, divisor: int) -> Value:
    """Quotient of a value and a divisor, as a product and a shift that are exact for every value of its width."""
    top = (1 << len(value)) - 1
    for shift in range(2 * len(value) + 1):
        factor = -(-(1 << shift) // divisor)
        if factor * top >> shift == top // divisor and all(
            (k * divisor * factor >> shift, (k * divisor - 1) * factor >> shift) == (k, k - 1)
            for k in range(1, top // divisor + 1)
        ):
            return times(value, factor)[shift:]
    raise AssertionError("a shift of twice the width always serves")


class ClassifierRam(wiring.Component):
    """The memory cls.top: bank 0 holds the hidden rows and every class's first copy, bank 1 the second copies.

    The chip addresses by the row of bank 0: hidden rows as in the memory map, then
    ``output_base`` + class * beats + beat for either copy. ``rdata`` holds what each bank read last.
    A write covers granules of the banks of ``wen``, and is there a cycle later. The host sees the rows of the memory map.
    """

    def __init__(self, plan: Plan):
        memory = plan.memory("cls.top")
        self.memory, self.base, self.beats = memory, plan.output.weight_base, plan.output.beats
        self.rows = plan.network.classes * self.beats
        self.depth = plan.classifier_rows
        granules = memory.width // memory.granule
        late = memory.declaration.late
        self.banks = [
            Ram(self.depth, memory.width, memory.granule, late),
            Ram(self.rows, memory.width, memory.granule, late),
        ]
        super().__init__(
            {
                "ren": In(COPIES),
                "raddr": In(index_shape(self.depth)),
                "rdata": Out(data.ArrayLayout(memory.width, COPIES)),
                "wen": In(data.ArrayLayout(granules, COPIES)),
                "waddr": In(index_shape(self.depth)),
                "wdata": In(data.ArrayLayout(memory.width, COPIES)),
                "host": In(HostPort(memory.depth, memory.width)),
            }
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        first, second = self.wen
        return {
            "cls.top.reads": tree_sum(list(self.ren)),
            "cls.top.writes": first.any() + second.any(),
        }

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        host = self.host
        row = Signal(range(self.memory.depth))
        pair = Signal(range(self.memory.depth))
        copy = Signal()
        address = Signal(range(self.depth))
        # Row (2 class + copy) beats + beat is class beats + beat of its bank.
        m.d.comb += [
            row.eq(host.addr - self.base),
            pair.eq(divide(row, self.beats)),
            copy.eq((host.addr >= self.base) & pair[0]),
            address.eq(Mux(host.addr < self.base, host.addr, self.at_host(host.addr, pair))),
        ]
        read_copy = Signal()
        with m.If(host.ren):
            m.d.sync += read_copy.eq(copy)
        for i, bank in enumerate(self.banks):
            first = self.base if i else 0
            m.submodules[f"bank{i}"] = bank
            m.d.comb += [
                bank.ren.eq(self.ren[i]),
                bank.raddr.eq(self.raddr - first),
                self.rdata[i].eq(bank.rdata),
                bank.wen.eq(self.wen[i]),
                bank.waddr.eq(self.waddr - first),
                bank.wdata.eq(self.wdata[i]),
                bank.host.open.eq(host.open),
                bank.host.ren.eq(host.ren & (copy == i)),
                bank.host.wen.eq(host.wen & (copy == i)),
                bank.host.addr.eq(address - first),
                bank.host.wdata.eq(host.wdata),
            ]
        m.d.comb += host.rdata.eq(Mux(read_copy, self.banks[1].rdata, self.banks[0].rdata))
        return m

    def at_host(self, row: Value, pair: Value) -> Value:
        """Row of bank 0 where the chip finds an output row that the host addresses by its row in the memory map."""
        return row - times((pair + 1) >> 1, self.beats)
