"""The chip as the test bench sees it: memories, counters and registers by their names.

The only place that knows the instance names of `xnoreplay.hw`.
"""

from xnoreplay.flow.cosim.script import REGISTERS
from xnoreplay.hw.host import identifier
from xnoreplay.spec import trace
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import counters
from xnoreplay.spec.trace import TRACED

INSTANCES = {
    "line.row0": "front.line_buffer.line_row0",
    "line.row1": "front.line_buffer.line_row1",
    "pool.row": "back.pool_row",
    "replay.count": "replay.replay_count",
}
"""Memories that are not instances of the top under their own name."""


def number(handle) -> int:
    """The value of a signal, which must be known.

    A comparison reads millions, and cocotb's LogicArray takes longer to make than to read; so the
    text is taken from where cocotb takes it.
    """
    return int(handle._handle.get_signal_val_binstr(), 2)


def _descend(handle, path: str):
    for name in path.split("."):
        handle = getattr(handle, name)
    return handle


class MemoryView:
    """The rows of one memory, as integers."""

    def __init__(self, rows) -> None:
        self.rows = rows

    def __getitem__(self, row: int) -> int:
        return number(self.rows[row])

    def all(self) -> list[int]:
        return [number(row) for row in self.rows]

    def flip(self, row: int, bit: int) -> None:
        self.rows[row].value = self[row] ^ 1 << bit


class Strobes:
    """The chip's side of one memory's ports; a port the chip does not use is absent."""

    def __init__(self, instance, granule: int) -> None:
        self.granule = granule
        names = ("ren", "raddr", "wen", "waddr", "wdata")
        self.ren, self.raddr, self.wen, self.waddr, self.wdata = (
            getattr(instance, name, None) for name in names
        )

    def read(self) -> int | None:
        """The address being read."""
        if self.ren is None or not number(self.ren):
            return None
        return number(self.raddr) if self.raddr is not None else 0

    def write(self, base: int = 0) -> trace.Write | None:
        """The write being made, at `base` plus its address; only written granules show."""
        mask = number(self.wen) if self.wen is not None else 0
        if not mask:
            return None
        keep = 0
        for i in range(mask.bit_length()):
            if mask >> i & 1:
                keep |= (1 << self.granule) - 1 << i * self.granule
        address = number(self.waddr) if self.waddr is not None else 0
        data = number(self.wdata) if self.wdata is not None else 0
        return trace.Write(base + address, data & keep, mask)


class ChipView:
    """Memories, counters and registers of a running chip.

    Parameters
    ----------
    dut : handle of the top module
    plan : Plan
    """

    def __init__(self, dut, plan: Plan) -> None:
        self.dut, self.plan = dut, plan
        self.lanes = [getattr(dut.array, f"lane{i}").file for i in range(plan.target.lanes)]
        self.memories: dict[str, MemoryView] = {}
        for memory in plan.memories:
            if not memory.learning:
                self.memories[memory.name] = MemoryView(self._rows(memory))
        self.counter_names = counters(plan.memories)
        self.counters = [getattr(dut.counters, identifier(n)) for n in self.counter_names]
        self.cycles_handle = dut.counters.cycles
        # The host's inputs, so that names do not depend on where a register lives.
        self.registers = {name: getattr(dut.host, name) for name in REGISTERS}

    def _rows(self, memory) -> list:
        if memory.name == "lane.file":
            return [file.array[slot] for file in self.lanes for slot in range(memory.depth)]
        if memory.name == "thermometer.threshold":
            unit = self.dut.thermometer
            return [getattr(unit, f"threshold{i}") for i in range(memory.depth)]
        path = INSTANCES.get(memory.name, identifier(memory.name))
        array = _descend(self.dut, path).array
        return [array[row] for row in range(memory.depth)]

    @property
    def cycles(self) -> int:
        return number(self.cycles_handle)

    def counter_values(self) -> list[int]:
        return [number(handle) for handle in self.counters]

    def register_values(self) -> dict[str, int]:
        return {name: number(handle) for name, handle in self.registers.items()}


class Tracer:
    """One line of `spec.trace` for the current cycle."""

    def __init__(self, view: ChipView) -> None:
        dut, plan = view.dut, view.plan
        self.view, self.plan = view, plan
        by_name = {m.name: m for m in plan.memories}
        self.strobes = {
            name: Strobes(_descend(dut, identifier(name)), m.granule or m.width)
            for name, m in by_name.items()
            if name in TRACED and name != "lane.file" and not m.learning
        }
        file = by_name["lane.file"]
        self.lanes = [Strobes(lane, file.granule) for lane in view.lanes]
        self.slots = file.depth
        self.array = dut.array
        self.acc_bits = len(dut.array.acc) // plan.target.lanes

    def line(self) -> str:
        """The cycle's text; signals must be settled."""
        reads: dict[str, int] = {}
        writes: dict[str, tuple[trace.Write, ...]] = {}
        for name, strobes in self.strobes.items():
            address = strobes.read()
            if address is not None:
                reads[name] = address
            write = strobes.write()
            if write is not None:
                writes[name] = (write,)
        files = [s.write(i * self.slots) for i, s in enumerate(self.lanes)]
        writes["lane.file"] = tuple(w for w in files if w is not None)
        phase = self.plan.phases[number(self.view.dut.phase)]
        return trace.line(self.view.cycles, phase, reads, writes, self._stream(), self._sums())

    def _stream(self) -> trace.Stream | None:
        """Fields of the stream register, low bits first as `hw.array.operand_layout` lays them."""
        if not number(self.array.x_valid):
            return None
        word = number(self.array.x)
        fields = []
        slot_bits = max(1, (self.slots - 1).bit_length())
        for bits in (self.plan.target.window, slot_bits, 4, self.plan.target.lanes):
            fields.append(word & (1 << bits) - 1)
            word >>= bits
        return trace.Stream(*fields)

    def _sums(self) -> tuple[int, ...] | None:
        if not number(self.array.done):
            return None
        lanes, acc = number(self.array.done_lanes), number(self.array.acc)
        return tuple(
            acc >> i * self.acc_bits & (1 << self.acc_bits) - 1
            for i in range(self.plan.target.lanes)
            if lanes >> i & 1
        )
