"""Every memory of the chip, declared once: size, role, window, counters, place in simulator and Verilog.

A memory is added by one member of `Mem`; the unit that uses it is written beside. Its storage in the simulator,
its counters, its window on the host's port, its instance where the chip's top holds it, its name in traces and
waveforms, its rows of an estimate and of the generated documents all follow from the member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.codes import KINDS, PROTECTED, Code
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative import SHARE_BITS, registers
from xnoreplay.spec.generative_plan import GenerativePlan
from xnoreplay.spec.learning import BALANCE_BITS
from xnoreplay.spec.lfsr import WIDE_BITS
from xnoreplay.spec.network import COPIES, NetworkSpec
from xnoreplay.spec.target import TargetSpec

Plan = Any  # `spec.plan.Plan`, which has the memories from here: an import would be a circle


def identifier(name: str) -> str:
    """A memory's or counter's name as instances and signals are called: with underscores for dots."""
    return name.replace(".", "_")


class Apart(StrEnum):
    """Why no clock cycle reads a row of a memory that it writes.

    The host is not spoken of: it reads or writes, never both in a cycle, and only where the chip does neither.
    Nothing is under way from one phase into the next, see `spec.timeline`: a phase ends with its last write.
    """

    UNWRITTEN = "the chip never writes it"
    PHASES = "no phase that reads it writes it"
    STATES = "a phase that reads and writes it does so in different cycles"
    ROWS = "a cycle that reads and writes it does so in different rows"


MET = "met"
"""Register of a memory in the Verilog that tells of a cycle which read the row that it wrote, against its `Apart`."""


@dataclass(frozen=True)
class Memory:
    """One kind of memory instance.

    Parameters
    ----------
    name : str
    role : str
        What a memory map groups by: weights, feature maps, proxies, replay, staging, minibatch,
        buffers or tables.
    depth, width : int
        Words of one instance, and bits of a word.
    count : int
        Instances.
    granule : int
        Bits one write enable covers; it divides the width.
    learning : bool
        Only on-chip retraining touches it.
    apart : Apart, optional
        Why no cycle reads a row that it writes; None where a read has no clock, which gives what was there before.
    code : str
        Of `spec.codes.KINDS`, or "" where its words have no check bits.
    """

    name: str
    role: str
    depth: int
    width: int
    count: int = 1
    granule: int = 0
    learning: bool = False
    apart: Apart | None = None
    code: str = ""

    @property
    def coded(self) -> Code | None:
        """The code of the memory's words, or None."""
        return Code(self.code, self.width) if self.code else None

    @property
    def stored(self) -> int:
        """Bits of a row: those of the word, and above them its check bits, if it has any."""
        return self.width + (self.coded.checks if self.coded else 0)

    @property
    def bits(self) -> int:
        """Bits of all instances, check bits included."""
        return self.depth * self.stored * self.count

    @property
    def declaration(self) -> Declaration:
        """The entry of `Mem` that this memory has its size from."""
        return DECLARATIONS[self.name]


class Storage(Enum):
    """How the simulator keeps a row of a memory."""

    PACKED = "packed"  # its bits, low bits first, in as few uint64s as hold them
    TAPS = "taps"  # nine words of G bits, each in uint64s of its own, so that a tap is an index
    INTEGER = "integer"  # one int64: a label, a count, a threshold


class Kind(Enum):
    """What a memory is in the Verilog, which decides how a test bench finds its rows and strobes."""

    RAM = "ram"  # `hw.parts.memory.Ram`: a word follows its address by one cycle
    FILE = "file"  # `hw.parts.memory.RegisterFile`: a word comes with its address
    BANKS = "banks"  # one Ram for each of `Memory.count`, named bank0, bank1 and so on
    PLANES = "planes"  # `hw.parts.memory.PlaneRam`: one Ram for each bit-plane of a row
    PLANE_BANKS = "plane banks"  # `hw.parts.memory.PlaneBanks`
    CLASSIFIER = (
        "classifier"  # `hw.learning.classifier.ClassifierRam`: one Ram for each weight copy
    )
    LANES = "lanes"  # register files of the array's lanes
    REGISTERS = "registers"  # a register for each row


@dataclass(frozen=True)
class Size:
    """Words of an instance, bits of a word, instances, and bits of a write enable (0: the whole word)."""

    depth: int
    width: int
    count: int = 1
    granule: int = 0


@dataclass(frozen=True)
class Declaration:
    """Everything that is true of a memory of any plan.

    Parameters
    ----------
    name : str
        Dotted, as files, reports and traces name the memory.
    role : str
        See `Memory`.
    size : function of Plan
        `Size` of the memory in a plan, or None where the plan has no such memory.
    unit : str
        Instance that holds the memory, as a dotted path below the chip's top; empty for the top itself. There the
        memory is an instance by its own name, with underscores for dots.
    kind : Kind
    storage : Storage
    banked : bool
        The first index of the simulator's array is the instance.
    window : int, optional
        Place of the memory's window in the host's address map, see `spec.registers`; None where the host does not
        reach the memory. Windows are numbered from 0 without a gap, and keep their numbers.
    layout : str
        What a row of a memory with a window holds, for a host's programmer; `docs/microarchitecture.md` has more.
    read_only : bool
        The window answers a write with SLVERR.
    stales : bool
        A write by the host sets STALE of STATUS.
    scratch : bool
        Every command that uses the memory writes it first, so a snapshot leaves it out.
    counted : bool
        Its reads and its writes are counted; the chip has the two counters where its target has those of memories.
    traced : bool
        A trace shows its strobes.
    learning : bool
        Only on-chip retraining touches it.
    apart : Apart, or function of Plan
        Why no cycle reads a row that it writes, of every memory whose read has a clock; of some the plan decides.
        Synthesis builds nothing for what cannot happen; in simulation each memory in the Verilog looks whether it does.
    late : bool
        The write port is a register, so that a row has its word one cycle later than it is given. No cycle reads a row
        that was given a word in the cycle before.
    strobes : tuple of str
        What its counters of reads and of writes count.
    """

    name: str
    role: str
    size: Callable[[Plan], Size | None]
    unit: str = ""
    kind: Kind = Kind.RAM
    storage: Storage = Storage.PACKED
    banked: bool = False
    window: int | None = None
    layout: str = ""
    read_only: bool = False
    stales: bool = False
    scratch: bool = False
    counted: bool = True
    traced: bool = True
    learning: bool = False
    apart: Apart | Callable[[Plan], Apart | None] | None = None
    late: bool = False
    strobes: tuple[str, str] = ("rows read", "rows written")

    @property
    def path(self) -> str:
        """Instance of the memory, as a dotted path below the chip's top."""
        own = identifier(self.name)
        return f"{self.unit}.{own}" if self.unit else own

    def memory(self, plan: Plan) -> Memory | None:
        """The memory in a plan, or None where the plan has no such memory."""
        size = self.size(plan)
        if size is None:
            return None
        apart = self.apart(plan) if callable(self.apart) else self.apart
        return Memory(
            self.name,
            self.role,
            size.depth,
            size.width,
            size.count,
            size.granule,
            self.learning,
            apart,
            plan.target.code_of(self.name),
        )


def _of_images(size: Callable[[Plan], Size | None]) -> Callable[[Plan], Size | None]:
    """Size of a memory that a chip has which is given images, and not one that is given latents."""
    return lambda plan: size(plan) if plan.network.takes_images else None


def _feature_map(side: int) -> Callable[[Plan], Size]:
    """Size of act.ping (side 0) or act.pong (side 1): the largest map that is written to that side."""

    def size(plan: Plan) -> Size:
        depths = [plan.input.pixels * plan.input.words if side == 0 else 0]
        depths += [
            (op.pixels // 4 if op.pool else op.pixels) * op.destination_words
            for op in plan.convolutions
            if 1 - op.index % 2 == side
        ]
        return Size(max(depths), plan.target.channels, granule=plan.target.lanes)

    return size


def _line(plan: Plan) -> Size:
    """Its longest row; a row has two words at least, for a map is two pixels wide, and is read a word ahead of a write."""
    return Size(max(op.row for op in plan.convolutions), plan.target.channels)


def _map_apart(plan: Plan) -> Apart:
    """Convolutions read one map and write the other; a skip reads ahead of what is written, by less than a map."""
    return Apart.ROWS if plan.has_skips else Apart.PHASES


_MOVES = ("cycles in which the line buffer moves",) * 2


def _pool(plan: Plan) -> Size | None:
    pooled = [op.width // 2 for op in plan.convolutions if op.pool]
    return Size(max(pooled), plan.target.lanes) if pooled else None


def label_bits(net: NetworkSpec) -> int:
    """Bits of a class's number."""
    return max(1, (net.classes - 1).bit_length())


def _staged(depth: int, width: int) -> Size | None:
    """Size of a part of the staging memory, which has no words where nothing is staged."""
    return Size(depth, width) if depth else None


def _of_stored(size: Callable[[Plan], Size]) -> Callable[[Plan], Size | None]:
    """Size of a memory that a chip has with stored replay alone."""
    return lambda plan: None if plan.generative else size(plan)


def _of_generative(size: Callable[[Plan], Size]) -> Callable[[Plan], Size | None]:
    """Size of a memory that a chip has with generative replay alone."""
    return lambda plan: size(plan) if plan.generative else None


def _staging_count(plan: Plan) -> Size | None:
    """Counts of each class's staged samples, which generative replay alone keeps."""
    if not plan.generative or not plan.replay.staging:
        return None
    return Size(plan.network.classes, plan.generative.most_staged.bit_length())


def _output_low(plan: Plan) -> Size | None:
    """Low proxy bits of the output rows: two halves, of latent and of hidden inputs, in whole segments."""
    net, segment = plan.network, plan.target.segment
    low = plan.rule.low_bits * plan.rule.proxies_per_pair
    spans = ceil_div(net.latent, segment) + ceil_div(net.hidden, segment)
    return Size(net.classes * spans, segment * low) if low else None


def _of_hidden(size: Callable[[Plan], Size]) -> Callable[[Plan], Size | None]:
    """Size of a memory that a chip has where its hidden layer learns."""
    return lambda plan: size(plan) if plan.target.hidden_learns else None


def _bank(plan: Plan) -> Size:
    """A column for each word of latent and hidden bits, and those of the output rows that an error goes back through."""
    net, target = plan.network, plan.target
    hidden = ceil_div(net.hidden, target.channels)
    columns = plan.replay.words + hidden
    if target.hidden_learns:
        columns += ceil_div(net.classes, target.batch) * COPIES * hidden
    return Size(columns, target.channels, target.batch)


def _deltas(values: Callable[[Plan], int]) -> Callable[[Plan], Size]:
    """Bit-planes of deltas, one row of B bits for each bit of so many values."""
    return lambda plan: Size(values(plan) * plan.rule.delta_bits, plan.target.batch, granule=1)


class Mem(IntEnum):
    """All memories, in the order of counters, traces and memory maps; a member's value is its number in that order.

    The member's name in lower case is the field of the simulator's arrays, `sim.common.state`.
    """

    declaration: Declaration

    def __new__(cls, declaration: Declaration) -> Mem:
        """Number the member by its place."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.declaration = declaration
        return member

    WEIGHTS_FE = Declaration(
        "weights.fe",
        "weights",
        _of_images(
            lambda p: Size(p.latent.weight_base + p.latent.rows * p.latent.beats, p.target.window)
        ),
        storage=Storage.TAPS,
        window=0,
        layout=(
            "for each convolution, then the latent layer: row = base of the layer + (tile *"
            " lanes + lane) * beats + beat; bit = tap * channels + channel"
        ),
        apart=Apart.UNWRITTEN,
    )
    WEIGHTS_LGAP = Declaration(
        "weights.lgap",
        "weights",
        _of_images(lambda p: Size(p.lgap.words * p.lgap.pixels, p.target.channels)),
        window=1,
        layout="row = group of channels * pixels + pixel; bit = channel of the group",
        apart=Apart.UNWRITTEN,
    )
    CLS_TOP = Declaration(
        "cls.top",
        "weights",
        lambda p: Size(
            p.output.weight_base + p.network.classes * COPIES * p.output.beats,
            p.target.window,
            granule=p.target.segment,
        ),
        kind=Kind.CLASSIFIER,
        late=True,
        storage=Storage.TAPS,
        window=2,
        layout=(
            "hidden rows, row * beats + beat, then output rows, (class * 2 + copy) * beats "
            "+ beat; top bits of proxies in offset binary"
        ),
        apart=Apart.ROWS,  # an update reads a row with its first segment, which it writes later
    )
    PING = Declaration(
        "act.ping",
        "feature maps",
        _of_images(_feature_map(0)),
        window=3,
        layout="row = pixel * words + word; bit = channel of the word",
        scratch=True,
        apart=_map_apart,
    )
    PONG = Declaration(
        "act.pong",
        "feature maps",
        _of_images(_feature_map(1)),
        window=4,
        layout="row = pixel * words + word; bit = channel of the word",
        scratch=True,
        apart=_map_apart,
    )
    LATENT = Declaration(
        "act.latent",
        "feature maps",
        lambda p: Size(p.replay.words, p.target.channels),
        window=5,
        layout="row = word of the latent; bit i of word w is bit w * channels + i",
        scratch=True,
        apart=Apart.PHASES,
    )
    ROW0 = Declaration(
        "line.row0",
        "buffers",
        _of_images(_line),
        unit="front.line_buffer",
        traced=False,
        apart=Apart.ROWS,
        strobes=_MOVES,
    )
    ROW1 = Declaration(
        "line.row1",
        "buffers",
        _of_images(_line),
        unit="front.line_buffer",
        traced=False,
        apart=Apart.ROWS,
        strobes=_MOVES,
    )
    LANE_FILE = Declaration(
        "lane.file",
        "buffers",
        lambda p: Size(p.slots, p.target.window, p.target.lanes, granule=p.target.channels),
        unit="array",
        kind=Kind.LANES,
        late=True,
        storage=Storage.TAPS,
        banked=True,
        strobes=("lanes enabled, summed over the beats of both modes", "whole words written"),
    )
    POOL_ROW = Declaration("pool.row", "buffers", _pool, unit="back", kind=Kind.FILE, traced=False)
    REPLAY_LATENT = Declaration(
        "replay.latent",
        "replay",
        _of_stored(lambda p: Size(p.replay.capacity * p.replay.words, p.target.channels)),
        window=6,
        layout="row = slot * words + word; bit i of word w is bit w * channels + i",
        apart=Apart.PHASES,
    )
    REPLAY_LABEL = Declaration(
        "replay.label",
        "replay",
        _of_stored(lambda p: Size(p.replay.capacity, label_bits(p.network) + 1)),
        storage=Storage.INTEGER,
        window=7,
        layout="row = slot: the label in the low bits, 1 in the top bit; 0 for a free slot",
        stales=True,
        apart=Apart.STATES,
    )
    REPLAY_COUNT = Declaration(
        "replay.count",
        "tables",
        _of_stored(lambda p: Size(p.network.classes, p.replay.capacity.bit_length())),
        unit="replay",
        kind=Kind.FILE,
        storage=Storage.INTEGER,
        window=13,
        layout="row = class: its occupied slots",
        read_only=True,
        traced=False,
    )
    STAGING_LATENT = Declaration(
        "staging.latent",
        "staging",
        lambda p: _staged(p.replay.staging * p.replay.words, p.target.channels),
        window=8,
        layout="row = place * words + word; bit i of word w is bit w * channels + i",
        apart=Apart.PHASES,
    )
    STAGING_LABEL = Declaration(
        "staging.label",
        "staging",
        lambda p: _staged(p.replay.staging, label_bits(p.network)),
        storage=Storage.INTEGER,
        window=9,
        layout="row = place: the label",
        stales=True,
        apart=Apart.PHASES,
    )
    THRESHOLD = Declaration(
        "thermometer.threshold",
        "tables",
        _of_images(lambda p: Size(p.input.channels, 8)),
        unit="thermometer",
        kind=Kind.REGISTERS,
        storage=Storage.INTEGER,
        window=10,
        layout=(
            "row = threshold, those of channel 0 first; a bit of the input is 1 where the "
            "pixel reaches it"
        ),
        counted=False,
        traced=False,
    )
    CLS_LOW = Declaration(
        "cls.low",
        "proxies",
        _output_low,
        window=11,
        layout=(
            "low bits of the output layer's proxies: row = class * segments + segment; "
            "columns of a segment from the low bits, copies of a column together"
        ),
        learning=True,
        apart=Apart.ROWS,
    )
    HIDDEN_LOW = Declaration(
        "cls.hidden_low",
        "proxies",
        _of_hidden(
            lambda p: Size(
                p.network.hidden * ceil_div(p.network.latent, p.target.segment),
                p.target.segment * (p.rule.proxy_bits - 1),
            )
        ),
        window=12,
        layout=(
            "low bits of the hidden layer's proxies: row = hidden bit * segments + segment;"
            " columns of a segment from the low bits"
        ),
        learning=True,
        apart=Apart.ROWS,
    )
    BANK = Declaration(
        "batch.bank",
        "minibatch",
        _bank,
        unit="learning",
        kind=Kind.BANKS,
        late=True,
        banked=True,
        learning=True,
        apart=Apart.STATES,
        strobes=("rows read, one in each bank that takes part", "rows written"),
    )
    BATCH_LABEL = Declaration(
        "batch.label",
        "minibatch",
        lambda p: Size(p.target.batch, label_bits(p.network)),
        unit="learning",
        storage=Storage.INTEGER,
        learning=True,
        apart=Apart.PHASES,
    )
    MASK = Declaration(
        "batch.mask",
        "minibatch",
        _of_hidden(
            lambda p: Size(
                p.network.hidden, p.target.batch, granule=min(p.target.lanes, p.target.batch)
            )
        ),
        unit="learning",
        learning=True,
        apart=Apart.PHASES,
    )
    LOGIT = Declaration(
        "batch.logit",
        "minibatch",
        lambda p: Size(
            ceil_div(p.target.batch, p.target.lanes) * p.network.classes,
            p.target.lanes * (p.output.offset.bit_length() + 1),
        ),
        unit="learning",
        learning=True,
        apart=Apart.PHASES,
    )
    DELTA = Declaration(
        "batch.delta",
        "minibatch",
        _deltas(lambda p: p.network.classes),
        unit="learning",
        kind=Kind.PLANES,
        late=True,
        learning=True,
        apart=Apart.PHASES,
    )
    CLASS_DELTA = Declaration(
        "batch.class_delta",
        "minibatch",
        _of_hidden(_deltas(lambda p: p.target.batch * ceil_div(p.network.classes, p.target.batch))),
        unit="learning",
        kind=Kind.PLANE_BANKS,
        late=True,
        learning=True,
        apart=Apart.PHASES,
    )
    HIDDEN_DELTA = Declaration(
        "batch.hidden_delta",
        "minibatch",
        _of_hidden(_deltas(lambda p: p.network.hidden)),
        unit="learning",
        kind=Kind.PLANES,
        late=True,
        learning=True,
        apart=Apart.PHASES,
    )
    INVERSE = Declaration(
        "table.inverse",
        "tables",
        lambda p: Size(p.network.classes, (p.network.classes << BALANCE_BITS).bit_length()),
        unit="learning.balance",
        kind=Kind.FILE,
        storage=Storage.INTEGER,
        learning=True,
    )
    WEIGHT = Declaration(
        "table.weight",
        "tables",
        lambda p: Size(p.network.classes, (p.network.classes << 4).bit_length()),
        unit="learning",
        storage=Storage.INTEGER,
        learning=True,
        apart=Apart.PHASES,
    )
    MEAN = Declaration(
        "replay.mean",
        "replay",
        _of_generative(lambda p: Size(p.generative.mean_rows, p.target.channels)),
        window=14,
        apart=Apart.STATES,
    )
    SHARE = Declaration(
        "replay.share",
        "replay",
        _of_generative(lambda p: Size(p.generative.share_rows, SHARE_BITS)),
        storage=Storage.INTEGER,
        window=15,
        stales=True,
        apart=Apart.STATES,
    )
    FIT_COUNT = Declaration(
        "fit.count",
        "replay",
        _of_generative(lambda p: Size(p.generative.count_rows, p.target.channels)),
        window=16,
        apart=Apart.ROWS,
    )
    STAGING_COUNT = Declaration(
        "staging.count",
        "tables",
        _staging_count,
        unit="replay",
        kind=Kind.FILE,
        storage=Storage.INTEGER,
        window=17,
        read_only=True,
        traced=False,
    )
    FIT_OPEN = Declaration(
        "fit.open",
        "tables",
        _of_generative(lambda p: Size(1, label_bits(p.network) + 1)),
        unit="open_class",
        kind=Kind.REGISTERS,
        storage=Storage.INTEGER,
        window=18,
        stales=True,
        counted=False,
        traced=False,
    )
    DRAW_STATE = Declaration(
        "draw.state",
        "tables",
        _of_generative(lambda p: Size(registers(p.target.channels), WIDE_BITS)),
        unit="draw",
        kind=Kind.REGISTERS,
        storage=Storage.INTEGER,
        window=19,
        counted=False,
        traced=False,
    )


DECLARATIONS = {mem.declaration.name: mem.declaration for mem in Mem}
"""Declarations by the memory's name, in the order of `Mem`."""


def memory_map(plan: Plan) -> tuple[Memory, ...]:
    """All memories of a plan, in the order of `Mem`.

    Raises
    ------
    SpecError
        Where the target names a code for a memory that the plan lacks.
    """
    found = (declaration.memory(plan) for declaration in DECLARATIONS.values())
    there = tuple(memory for memory in found if memory is not None)
    names = [memory.name for memory in there]
    for kind in KINDS:
        for name in getattr(plan.target, kind):
            if name not in names:
                can = ", ".join(known for known in PROTECTED if known in names)
                raise SpecError(
                    f"{kind} must name memories that this chip has, of {can}, not {name!r}"
                )
    return there


def remembered(net: NetworkSpec, target: TargetSpec) -> list[Memory]:
    """What a chip with generative replay keeps of samples: components, the counters of the open class, and staging."""
    generative = GenerativePlan.of(net, target)
    replay = SimpleNamespace(words=generative.words, staging=target.staging_capacity)
    plan = SimpleNamespace(network=net, target=target, generative=generative, replay=replay)
    kept = (Mem.MEAN, Mem.SHARE, Mem.FIT_COUNT, Mem.STAGING_LATENT, Mem.STAGING_LABEL)
    found = (mem.declaration.memory(plan) for mem in (*kept, Mem.STAGING_COUNT))
    return [memory for memory in found if memory is not None]
