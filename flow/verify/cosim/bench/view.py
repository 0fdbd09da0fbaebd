"""The chip as the test bench sees it: memories, counters and registers by their names.

Where a memory's instance is, `spec.memories` declares; what is inside it follows from its kind, and is known here.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from xnoreplay.flow.verify.cosim.at_rest import FOUND
from xnoreplay.flow.verify.cosim.counting import Counting
from xnoreplay.spec import trace
from xnoreplay.spec.image import bank_row, lane_columns
from xnoreplay.spec.memories import MET, Kind, Memory, identifier
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Register, counted, counters, seen_registers
from xnoreplay.spec.timeline import OPERAND_STAGE, PIPE_LATENCY
from xnoreplay.spec.upset import register_of

REGISTER_PATHS = {
    Register.SEEN: "seen",
    Register.QUOTA: "quota",
    Register.STAGED: "staged",
    Register.LFSR_WALK: "random_walk.state",
    Register.LFSR_ERROR: "random_error.state",
    Register.LFSR_UPDATE: "random_update.state",
}
"""Where the flip-flops of a register that outlasts a command are, as a dotted path below the chip's top."""


def number(handle) -> int:
    """The value of a signal, which must be known.

    A comparison reads millions, and cocotb's LogicArray takes longer to make than to read; so the
    text is taken from where cocotb takes it.
    """
    return int(handle._handle.get_signal_val_binstr(), 2)


def _descend(handle, path: str):
    """The handle at a dotted path below another; an empty path is the handle itself."""
    for name in filter(None, path.split(".")):
        handle = getattr(handle, name)
    return handle


class MemoryView:
    """The rows of one memory, as integers."""

    def __init__(self, rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> int:
        return number(self.rows[row])

    def __setitem__(self, row: int, value: int) -> None:
        self.rows[row].value = value

    def all(self) -> list[int]:
        """Every row's integer."""
        return [self[row] for row in range(len(self))]

    def flip(self, row: int, bit: int) -> None:
        """Change one bit of a row."""
        self[row] ^= 1 << bit


class PartsView(MemoryView):
    """Rows that lie in several memories, a run of columns after another in each.

    rows : for each row a handle a memory
    columns : for each memory, where each bit of its word is in the row
    """

    def __init__(self, rows, columns: list[list[int]]) -> None:
        super().__init__(rows)
        self.runs = [_runs(places) for places in columns]

    def __getitem__(self, row: int) -> int:
        value = 0
        for handle, runs in zip(self.rows[row], self.runs, strict=True):
            word = number(handle)
            for place, at, mask in runs:
                value |= (word >> place & mask) << at
        return value

    def __setitem__(self, row: int, value: int) -> None:
        for handle, runs in zip(self.rows[row], self.runs, strict=True):
            handle.value = sum((value >> at & mask) << place for place, at, mask in runs)


def _runs(places: list[int]) -> list[tuple[int, int, int]]:
    """Columns that follow each other: the first one's place in the word and in the row, and a mask."""
    starts = [i for i, at in enumerate(places) if i == 0 or at != places[i - 1] + 1]
    ends = [*starts[1:], len(places)]
    return [(i, places[i], (1 << end - i) - 1) for i, end in zip(starts, ends, strict=True)]


class Strobes:
    """The chip's side of one memory's ports; a port the chip does not use is absent."""

    def __init__(self, instance, granule: int, base: int = 0) -> None:
        self.granule, self.base = granule, base
        names = ("ren", "raddr", "wen", "waddr", "wdata")
        self.ren, self.raddr, self.wen, self.waddr, self.wdata = (
            getattr(instance, name, None) for name in names
        )

    def read(self) -> int | None:
        """The address being read."""
        if self.ren is None or not number(self.ren):
            return None
        return number(self.raddr) if self.raddr is not None else 0

    def write(self) -> trace.Write | None:
        """The write being made, at the base plus its address; only written granules show."""
        mask = number(self.wen) if self.wen is not None else 0
        if not mask:
            return None
        keep = 0
        for i in range(mask.bit_length()):
            if mask >> i & 1:
                keep |= (1 << self.granule) - 1 << i * self.granule
        address = number(self.waddr) if self.waddr is not None else 0
        data = number(self.wdata) if self.wdata is not None else 0
        return trace.Write(self.base + address, data & keep, mask)

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle."""
        write = self.write()
        return () if write is None else (write,)


class AtRest:
    """What is watched inside of the chip; see `cosim.at_rest`.

    Parameters
    ----------
    dut : handle of the top module
    names : dict of str to list of str
        What is watched, by the dotted path of its unit.
    """

    def __init__(self, dut, names: dict[str, list[str]]) -> None:
        self.units = [
            (getattr(_descend(dut, path), FOUND), path, watched) for path, watched in names.items()
        ]

    def found(self) -> list[str]:
        """What was there so far and must not be, with the path of its unit before it."""
        found = []
        for handle, path, watched in self.units:
            bits = number(handle)
            found += [f"{path}.{w}".lstrip(".") for n, w in enumerate(watched) if bits >> n & 1]
        return found

    def __len__(self) -> int:
        return sum(len(watched) for _, _, watched in self.units)


class Banked:
    """Banks of one memory: a read strobes banks at one address, each may be written."""

    def __init__(self, banks: list) -> None:
        self.banks = banks

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        return next((a for bank in self.banks if (a := bank.read()) is not None), None)

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        return tuple(write for bank in self.banks for write in bank.writes())


class Pairs(Banked):
    """cls.top: two banks that hold the rows of the memory map by copies."""

    def __init__(self, instance, granule: int, plan: Plan) -> None:
        rows = {bank_row(plan, row): row for row in range(plan.memory("cls.top").depth)}
        self.rows = rows
        super().__init__([Strobes(getattr(instance, f"bank{i}"), granule) for i in range(COPIES)])

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        for i, bank in enumerate(self.banks):
            address = bank.read()
            if address is not None:
                return self.rows[i, address]
        return None

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        found = []
        for i, bank in enumerate(self.banks):
            for write in bank.writes():
                found.append(replace(write, address=self.rows[i, write.address]))
        return tuple(found)


class Planes:
    """Rows of bit-planes: a write shows a row for each plane; column n takes value n % group."""

    def __init__(self, instance, planes: int, group: int = 1) -> None:
        self.planes, self.group = planes, group
        names = ("ren", "raddr", "rplane", "wen", "waddr", "wvalue")
        self.ren, self.raddr, self.rplane, self.wen, self.waddr, self.wvalue = (
            getattr(instance, name) for name in names
        )

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        if not number(self.ren):
            return None
        return number(self.raddr) * self.planes + number(self.rplane)

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        mask = number(self.wen)
        if not mask:
            return ()
        first, value = number(self.waddr) * self.planes, number(self.wvalue)
        columns = [n for n in range(mask.bit_length()) if mask >> n & 1]
        rows = []
        for k in range(self.planes):
            data = sum((value >> n % self.group * self.planes + k & 1) << n for n in columns)
            rows.append(trace.Write(first + k, data, mask))
        return tuple(rows)


class PlaneBanks:
    """batch.class_delta: sample n is in bank n % banks, its blocks follow each other."""

    def __init__(self, instance, planes: int, count: int, blocks: int) -> None:
        self.planes, self.blocks = planes, blocks
        self.ren, self.rbank = instance.ren, instance.rbank
        self.banks = [Planes(getattr(instance, f"bank{i}"), planes) for i in range(count)]

    def row(self, bank: int, address: int) -> int:
        """Row of the memory map: an address counts a bank's planes."""
        block, plane = divmod(address, self.planes)
        place, block = divmod(block, self.blocks)
        sample = place * len(self.banks) + bank
        return (sample * self.blocks + block) * self.planes + plane

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        if not number(self.ren):
            return None
        bank = number(self.rbank)
        address = self.banks[bank].read()
        return None if address is None else self.row(bank, address)

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        return tuple(
            replace(write, address=self.row(i, write.address))
            for i, bank in enumerate(self.banks)
            for write in bank.writes()
        )


class LaneStrobes:
    """Writes to one lane's file, at the array's port: they are there a cycle later."""

    def __init__(self, array, lane: int, plan: Plan, base: int) -> None:
        self.array, self.lane, self.base = array, lane, base
        self.channels = plan.target.channels

    def read(self) -> int | None:
        """None: the operand shows the reads."""
        return None

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        array, bits = self.array, self.channels
        if not number(array.wlanes) >> self.lane & 1:
            return ()
        mask = number(array.wtaps)
        word = number(array.wdata)
        if number(array.wown) >> self.lane & 1:
            own = number(array.wwords) >> self.lane * bits & (1 << bits) - 1
            word = sum(own << tap * bits for tap in range(TAPS))
        keep = sum((1 << bits) - 1 << tap * bits for tap in range(TAPS) if mask >> tap & 1)
        return (trace.Write(self.base + number(array.wslot), word & keep, mask),)


class FileStrobes:
    """A register file, which is read in every cycle: its unit has a strobe for the reads that count.

    Parameters
    ----------
    unit, file : handle
        Of the unit that holds the file, and of the file.
    granule : int
    name : str
        Of the memory; the unit's strobe is named by what follows the dot, as ``inverse_read``.
    """

    def __init__(self, unit, file, granule: int, name: str) -> None:
        self.reading = getattr(unit, f"{name.rpartition('.')[2]}_read")
        self.address = getattr(file, "raddr", None)
        self.strobes = Strobes(file, granule)

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        if not number(self.reading):
            return None
        return number(self.address) if self.address is not None else 0

    def writes(self) -> tuple[trace.Write, ...]:
        """The writes of one cycle, at rows of the memory map."""
        return self.strobes.writes()


class Lanes(Banked):
    """lane.file, whose reads show in the operand."""

    def read(self) -> int | None:
        """The address being read, a row of the memory map; None where nothing is read."""
        return None


class CountersView:
    """The event counters, in the order of their registers; `hw.host.counters` has what they consist of."""

    def __init__(self, unit, names: tuple[str, ...], bits: int) -> None:
        self.unit, self.bits = unit, bits
        self.low = [getattr(unit, identifier(n)) for n in names]
        self.pending = [getattr(unit, f"pending_{identifier(n)}") for n in names]
        rows = unit.values.array.rows
        self.rows = [rows[i] for i in range(len(names))]

    def all(self) -> list[int]:
        """What each has counted."""
        fresh = number(self.unit.fresh)
        return [
            counted(0 if fresh else number(row), number(low), number(pending), len(low), self.bits)
            for row, low, pending in zip(self.rows, self.low, self.pending, strict=True)
        ]

    def put(self, values: list[int]) -> None:
        """Let each have counted so many; what the sweep is about to write is dropped."""
        self.unit.fresh.value = self.unit.writing.value = 0
        for value, row, low, pending in zip(values, self.rows, self.low, self.pending, strict=True):
            before = value - number(pending) & (1 << self.bits) - 1
            row.value, low.value = before, before & (1 << len(low)) - 1


class ChipView:
    """Memories, counters and registers of a running chip.

    Parameters
    ----------
    dut : handle of the top module
    plan : Plan
    clock : function
        The cycles so far in which a command ran, from the last reset on: see `bench.cycles`. The chip is not asked.
    """

    def __init__(self, dut, plan: Plan, clock: Callable[[], int]) -> None:
        self.dut, self.plan, self.clock = dut, plan, clock
        self.lanes = [getattr(dut.array, f"lane{i}") for i in range(plan.target.lanes)]
        self.memories: dict[str, MemoryView] = {}
        for memory in plan.memories:
            if memory.declaration.kind is Kind.LANES:
                columns = lane_columns(plan.target.channels)
                self.memories[memory.name] = PartsView(
                    self._lane_rows(memory.depth, columns), columns
                )
            else:
                self.memories[memory.name] = MemoryView(self._rows(memory))
        self.watches = {
            memory.name: found
            for memory in plan.memories
            if memory.apart is not None and (found := self._watches(memory))
        }
        self.counter_names = counters(plan.memories, plan.target)
        bits = plan.target.counter_bits
        self.counters = None
        if self.counter_names:
            self.counters = CountersView(dut.counters, self.counter_names, bits)
        self.counting = Counting(len(self.counter_names), bits)
        # The host's inputs, so that names do not depend on where a register lives.
        self.registers = {name: getattr(dut.host, name) for name in seen_registers(plan.memories)}

    def words(self, name: str, rows: Iterable[int] | None = None) -> list[int]:
        """What a reader is given of a memory's rows: of all, or of those that are named."""
        view = self.memories[name]
        found = view.all() if rows is None else [view[row] for row in rows]
        code = self.plan.memory(name).coded
        return [code.decode(row)[0] for row in found] if code else found

    def put(self, name: str, rows: list[int], first: int = 0) -> None:
        """Write words into a memory past every port, from a row on, with their check bits."""
        view, code = self.memories[name], self.plan.memory(name).coded
        for i, word in enumerate(rows, first):
            view[i] = code.encode(word) if code else word

    def place(self, name: str) -> MemoryView:
        """The rows of a place of `spec.upset`: those of a memory, or the one of a register."""
        register = register_of(name)
        if register is None:
            return self.memories[name]
        return MemoryView([_descend(self.dut, REGISTER_PATHS[register])])

    def _lane_rows(self, depth: int, columns: list) -> list:
        """Rows of lane.file out of its parts."""
        rows = []
        for lane in self.lanes:
            parts = [getattr(lane.file, f"part{i}").array.rows for i in range(len(columns))]
            rows += [[part[slot] for part in parts] for slot in range(depth)]
        return rows

    def _rows(self, memory: Memory) -> list:
        """Handles of a memory's rows, in the order of the memory map."""
        declared, bits = memory.declaration, self.plan.rule.delta_bits
        unit = _descend(self.dut, declared.unit)
        match declared.kind:
            case Kind.REGISTERS:
                part = declared.name.rpartition(".")[2]
                return [getattr(unit, f"{part}{i}") for i in range(memory.depth)]
            case Kind.BANKS:
                banks = [getattr(unit, f"bank{n}").array.rows for n in range(memory.count)]
                return [bank[row] for bank in banks for row in range(memory.depth)]
        instance = _descend(self.dut, declared.path)
        match declared.kind:
            case Kind.CLASSIFIER:
                banks = [getattr(instance, f"bank{i}").array.rows for i in range(COPIES)]
                places = [bank_row(self.plan, row) for row in range(memory.depth)]
                return [banks[bank][row] for bank, row in places]
            case Kind.PLANE_BANKS:
                return self._class_rows(instance, memory)
            case Kind.PLANES:
                arrays = [getattr(instance, f"plane{k}").array.rows for k in range(bits)]
                return [array[row] for row in range(memory.depth // bits) for array in arrays]
        return [instance.array.rows[row] for row in range(memory.depth)]

    def _watches(self, memory: Memory) -> list:
        """Handles of what tells that a cycle has read the row that it wrote; a netlist has none."""
        declared, target = memory.declaration, self.plan.target
        unit = _descend(self.dut, declared.unit)
        if declared.kind is Kind.BANKS:
            rams = [getattr(unit, f"bank{n}") for n in range(memory.count)]
        else:
            rams = [_descend(self.dut, declared.path)]
        if declared.kind in (Kind.CLASSIFIER, Kind.PLANE_BANKS):
            banks = COPIES if declared.kind is Kind.CLASSIFIER else target.error_units
            rams = [getattr(rams[0], f"bank{i}") for i in range(banks)]
        if declared.kind in (Kind.PLANES, Kind.PLANE_BANKS):
            planes = range(self.plan.rule.delta_bits)
            rams = [getattr(ram, f"plane{k}") for ram in rams for k in planes]
        found = [getattr(ram.array, MET, None) for ram in rams]
        return [handle for handle in found if handle is not None]

    @property
    def watched(self) -> int:
        """Instances that tell of a cycle that reads the row that it writes."""
        return sum(map(len, self.watches.values()))

    def met(self) -> list[str]:
        """Memories of which a cycle has read the row that it wrote, against their declaration."""
        return [name for name, found in self.watches.items() if any(map(number, found))]

    def _class_rows(self, instance, memory: Memory) -> list:
        """Rows of batch.class_delta out of its banks and planes."""
        target, bits = self.plan.target, self.plan.rule.delta_bits
        banks = [
            [getattr(getattr(instance, f"bank{i}"), f"plane{k}").array.rows for k in range(bits)]
            for i in range(target.error_units)
        ]
        blocks = memory.depth // bits // target.batch
        return [
            banks[n % target.error_units][k][n // target.error_units * blocks + block]
            for n in range(target.batch)
            for block in range(blocks)
            for k in range(bits)
        ]

    @property
    def cycles(self) -> int:
        """Cycles so far in which a command ran, from the last reset on."""
        return self.clock()

    def move_counters(self, bits: int) -> None:
        """See `Counting.moved`."""
        if self.counters:
            self.counters.put(self.counting.moved(self.counters.all(), bits))

    def counter_values(self) -> list[int]:
        """Counters in the order of their registers."""
        return self.counters.all() if self.counters else []

    def register_values(self) -> dict[str, int]:
        """Registers by the names of `spec.registers.seen_registers`."""
        return {name: number(handle) for name, handle in self.registers.items()}


class Tracer:
    """One line of `spec.trace` for the current cycle.

    A sum shows the lanes that worked on it, which the stream register held `BEHIND` cycles before: a
    line is whole where the lines of so many cycles before it were asked for too.
    """

    BEHIND = PIPE_LATENCY - OPERAND_STAGE

    def __init__(self, view: ChipView) -> None:
        dut, plan = view.dut, view.plan
        self.view, self.plan = view, plan
        by_name = {m.name: m for m in plan.memories}
        self.slots = by_name["lane.file"].depth
        self.strobes = {n: self._strobes(m) for n, m in by_name.items() if m.declaration.traced}
        self.array = dut.array
        self.acc_bits = len(dut.array.acc) // plan.target.lanes
        self.worked: deque[int] = deque([0] * self.BEHIND, self.BEHIND)

    def _strobes(self, memory: Memory):
        """What shows one memory's reads and writes."""
        declared, granule = memory.declaration, memory.granule or memory.width
        bits, units = self.plan.rule.delta_bits, self.plan.target.error_units
        unit = _descend(self.view.dut, declared.unit)
        match declared.kind:
            case Kind.LANES:
                lanes, array = range(self.plan.target.lanes), self.view.dut.array
                return Lanes([LaneStrobes(array, i, self.plan, i * self.slots) for i in lanes])
            case Kind.BANKS:
                banks = [getattr(unit, f"bank{n}") for n in range(memory.count)]
                depth = memory.depth
                return Banked([Strobes(bank, granule, n * depth) for n, bank in enumerate(banks)])
        instance = _descend(self.view.dut, declared.path)
        match declared.kind:
            case Kind.CLASSIFIER:
                return Pairs(instance, granule, self.plan)
            case Kind.PLANE_BANKS:
                blocks = memory.depth // bits // self.plan.target.batch
                return PlaneBanks(instance, bits, units, blocks)
            case Kind.PLANES:
                return Planes(instance, bits, len(instance.wvalue) // bits)
            case Kind.FILE:
                return FileStrobes(unit, instance, granule, declared.name)
        return Strobes(instance, granule)

    def line(self) -> str:
        """The cycle's text; signals must be settled."""
        reads: dict[str, int] = {}
        writes: dict[str, tuple[trace.Write, ...]] = {}
        for name, strobes in self.strobes.items():
            address = strobes.read()
            if address is not None:
                reads[name] = address
            writes[name] = strobes.writes()
        phase = self.plan.phases[number(self.view.dut.phase)]
        stream, sums = self._stream(), self._sums()
        self.worked.append(stream.lanes if stream else 0)
        return trace.line(self.view.cycles, phase, reads, writes, stream, sums)

    def _stream(self) -> trace.Stream | None:
        """Fields of the stream register, low bits first as `hw.inference.array.operand_layout` lays them."""
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
        lanes, acc = self.worked[0], number(self.array.acc)
        return tuple(
            acc >> i * self.acc_bits & (1 << self.acc_bits) - 1
            for i in range(self.plan.target.lanes)
            if lanes >> i & 1
        )
