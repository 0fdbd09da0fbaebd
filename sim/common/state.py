"""What the chip holds: memories, architectural registers and counters.

A row of a memory is uint64 words, laid out as its `spec.memories.Storage` says.
"""

import math
from collections import namedtuple
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xnoreplay.sim.common import counters
from xnoreplay.sim.common.codes import Codes
from xnoreplay.spec import image, reading, whole
from xnoreplay.spec.bits import WORD, ceil_div, pack_words, unpack_words
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.generative import power_on
from xnoreplay.spec.memories import Declaration, Mem, Memory, Storage, label_bits
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.replay import LFSR_SEEDS


class Scalar(IntEnum):
    """Architectural registers, and a session's place in its walk from one load to the next."""

    PREDICTION = 0
    SEEN = 1
    QUOTA = 2
    STAGED = 3
    REFUSED = 4
    WALK = 5
    ERROR = 6
    UPDATE = 7
    # a session's place in its walk
    VISITED = 8
    WALK_STATE = 9
    SAMPLES = 10
    FINISHED = 11
    STALE = 12  # the host has written what the counts follow from
    DRAWN = 13  # what the register `walk` held as the walk began: its mask and its start are bits of that
    ERRORS = 14  # what decoders have told of


SCALARS = len(Scalar)
CODES = "codes.flips"
"""What a copy of a state calls the wrong bits of its memories with codes."""


def _fields(learning: bool) -> list[str]:
    """Fields of the memories that retraining alone touches, or of the others."""
    return [mem.name.lower() for mem in Mem if mem.declaration.learning is learning]


class Rows(NamedTuple):
    """All memories as one block, of which `Memories` and `LearningMemories` are views.

    Row r of memory i, counted through all its instances, starts at ``start[i] + r * words[i]``. What reads a memory has
    it by name; this serves what is given a memory's number alone.
    """

    block: np.ndarray  # (uint64s of all memories,) uint64
    start: np.ndarray  # (memories,) int64, by `Mem`: where row 0 begins
    words: np.ndarray  # (memories,) int64, by `Mem`: uint64s of a row


def _type_of(name: str, fields: list[str]) -> Any:
    """Make a NamedTuple of arrays whose fields follow from the table of memories, so that no type checker knows them."""
    return namedtuple(name, fields)  # noqa: PYI024  # type: ignore[misc]


Memories = _type_of("Memories", _fields(False))
Memories.__doc__ = """The chip's memories by the names of `spec.memories.Mem` in lower case; see `Layout.shape`.

A memory that a plan lacks has no rows.
"""
LearningMemories = _type_of("LearningMemories", _fields(True))
LearningMemories.__doc__ = """Memories that only retraining touches, as those of `Memories`."""
ALIGNMENT = 8  # a memory starts at a multiple of so many uint64s, a line of the processor's cache


class Layout:
    """How the rows of one memory are kept.

    Parameters
    ----------
    declaration : Declaration
    memory : Memory or None
        None where the plan has no such memory: it is kept as one without rows.
    word : int
        G, bits of a word of the chip.
    """

    def __init__(self, declaration: Declaration, memory: Memory | None, word: int) -> None:
        self.memory = memory or Memory(declaration.name, declaration.role, 0, word)
        self.banked = declaration.banked
        self.integer = declaration.storage is Storage.INTEGER
        taps = memory is not None and declaration.storage is Storage.TAPS
        self.unit = word if taps else self.memory.width  # bits kept together
        self.units = self.memory.width // self.unit
        self.words = ceil_div(self.unit, WORD)  # uint64s of a unit

    @property
    def row_words(self) -> int:
        """uint64s of a row."""
        return 1 if self.integer else self.units * self.words

    @property
    def shape(self) -> tuple[int, ...]:
        """(depth,) of int64 for integers, else (depth, uint64s of a row), after (count,) where there are banks."""
        if self.integer:
            return (self.memory.depth,)
        shape = (self.memory.depth, self.row_words)
        return (self.memory.count, *shape) if self.banked else shape

    def view(self, block: np.ndarray) -> np.ndarray:
        """The rows as an array, out of a block of so many uint64s."""
        return (block.view(np.int64) if self.integer else block).reshape(self.shape)

    def to_bits(self, rows: np.ndarray) -> np.ndarray:
        """(depth * count, width) uint8 of 0 and 1."""
        if self.integer:
            return (rows[:, None] >> np.arange(self.memory.width) & 1).astype(np.uint8)
        rows = rows.reshape(-1, self.units, self.words)
        return unpack_words(rows, self.unit).reshape(len(rows), self.memory.width)

    def from_bits(self, bits: np.ndarray) -> np.ndarray:
        """Inverse of `to_bits`."""
        if self.integer:
            return (bits.astype(np.int64) << np.arange(self.memory.width)).sum(1)
        packed = pack_words(bits.reshape(len(bits), self.units, self.unit))
        return packed.reshape(self.shape)

    def flip(self, rows: np.ndarray, row: int, bit: int) -> None:
        """Change one bit."""
        if self.integer:
            rows[row] ^= 1 << bit
            return
        unit, i = divmod(bit, self.unit)
        flat = rows.reshape(-1, self.units * self.words)
        flat[row, unit * self.words + i // WORD] ^= np.uint64(1 << i % WORD)


class State:
    """Everything a chip remembers from one command to the next."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        present = {memory.name: memory for memory in plan.memories}
        layouts = [
            Layout(mem.declaration, present.get(mem.declaration.name), plan.target.channels)
            for mem in Mem
        ]
        sizes = [math.prod(layout.shape) for layout in layouts]
        # A fault can turn a label into a class that does not exist: its count is no memory's row.
        counts = 1 << label_bits(plan.network)
        spare = (Mem.REPLAY_COUNT, Mem.STAGING_COUNT)
        kept = np.array([counts if mem in spare else sizes[mem] for mem in Mem])
        ends = np.cumsum([ceil_div(n, ALIGNMENT) * ALIGNMENT for n in kept.tolist()])
        block, start = np.zeros(ends[-1], np.uint64), np.concatenate([[0], ends[:-1]])
        views = [
            layout.view(block[at : at + size])
            for layout, at, size in zip(layouts, start, sizes, strict=True)
        ]
        self.layouts = {layout.memory.name: layout for layout in layouts}
        self.arrays = dict(zip(self.layouts, views, strict=True))
        fields = {mem.name.lower(): views[mem] for mem in Mem}
        for mem in spare:
            fields[mem.name.lower()] = block[start[mem] : start[mem] + counts].view(np.int64)
        words = np.array([layout.row_words for layout in layouts])
        self.rows = Rows(block, start, words)
        self.memories = Memories(**{name: fields[name] for name in Memories._fields})
        self.learning = LearningMemories(
            **{name: fields[name] for name in LearningMemories._fields}
        )
        self.scalars = np.zeros(SCALARS, np.int64)
        # Words that the line buffer's rings gave last: they stay when an operation or a command ends, and at a reset.
        self.row_out = np.zeros((2, ceil_div(plan.target.channels, WORD)), np.uint64)
        self.counters = counters.zeros()
        self.codes = Codes(plan)
        self.reset()

    def reset(self) -> None:
        """What a reset leaves: registers and counters anew, and an empty replay memory."""
        self.scalars[:] = 0
        for register in (Scalar.WALK, Scalar.ERROR, Scalar.UPDATE):
            self.scalars[register] = LFSR_SEEDS[register.name.lower()]
        for values in self.counters:
            values[:] = 0
        memories = self.memories
        for array in (memories.replay_label, memories.replay_count, memories.staging_count):
            array[:] = 0
        memories.share[:] = memories.fit_open[:] = 0
        self.codes.wrote(self.plan.forgotten.name)
        memories.draw_state[:] = power_on(self.plan.target.channels)[: len(memories.draw_state)]

    def load(self, bundle: Bundle) -> None:
        """Write what the host writes at power-on."""
        images = image.load(self.plan, bundle)
        for name, bits in images.items():
            self.write(name, bits)

    def names(self) -> list[str]:
        """Every memory of this plan."""
        return [m.name for m in self.plan.memories]

    def bits(self, name: str) -> np.ndarray:
        """(depth * count, width) uint8; the lane file's row is lane * slots + slot."""
        return self.layouts[name].to_bits(self.arrays[name])

    def write(self, name: str, bits: np.ndarray, first: int = 0, count: int | None = None) -> None:
        """Replace a memory's content by (depth * count, width) bits.

        first, count : the rows that are written, where the others are given as they were; all without `count`
        """
        array = self.arrays[name]
        array[...] = self.layouts[name].from_bits(bits).reshape(array.shape)
        self.codes.wrote(name, first, count)

    def flip(self, name: str, row: int, bit: int) -> None:
        """Change one bit of a memory; the check bits of a memory with a code lie above those of its word."""
        if name not in self.names():
            raise SpecError(
                f"a fault's memory must be one of {', '.join(self.names())}, not {shown(name)}"
            )
        memory = self.layouts[name].memory
        if not (0 <= row < memory.depth * memory.count and 0 <= bit < memory.stored):
            raise SpecError(
                f"a fault in {name} must be in {memory.depth * memory.count} rows of "
                f"{memory.stored} bits, not row {row}, bit {bit}"
            )
        changed = self.codes.flip(name, row, bit) if memory.code else 1 << bit
        for i in range(changed.bit_length()):
            if changed >> i & 1:
                self.layouts[name].flip(self.arrays[name], row, i)

    def _plain(self) -> dict[str, np.ndarray]:
        return self.arrays | {
            "scalars": self.scalars,
            "line.word": self.row_out,
            **{f"counters.{k}": v for k, v in self.counters._asdict().items()},
        }

    def copied(self) -> dict[str, np.ndarray]:
        """A copy of every memory, register and counter, by name, in the form in which `State` keeps them."""
        copies = {name: array.copy() for name, array in self._plain().items()}
        return copies | {CODES: self.codes.copied()}

    def put(self, copied: dict[str, np.ndarray]) -> None:
        """Take over what `copied` of a state of the same plan returned."""
        for name, array in self._plain().items():
            array[...] = copied[name]
        self.codes.put(copied[CODES])

    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        with whole.whole_file(Path(path)) as part, part.open("wb") as f:
            arrays: dict[str, Any] = {"plan": np.array(_identity(self.plan))} | self._plain()
            arrays[CODES] = self.codes.copied()
            np.savez_compressed(f, **arrays)

    def restore(self, path: Path) -> None:
        """Read what `save` wrote; SpecError where it belongs to another plan."""
        try:
            with reading.opened(Path(path)) as file, np.load(file, allow_pickle=False) as saved:
                tree = dict(saved)
        except reading.DAMAGED_ARRAYS as error:
            raise SpecError(f"state {path} must be a whole file that save wrote: {error}") from None
        plain = self._plain()
        if str(tree.get("plan")) != _identity(self.plan) or not {*plain, CODES} <= tree.keys():
            raise SpecError(f"state {path} must come from the same network and target")
        if not self.codes.fits(tree[CODES]):
            raise SpecError(f"state {path}: {CODES} must name wrong bits of rows with a code")
        for name, array in plain.items():
            if (tree[name].shape, tree[name].dtype) != (array.shape, array.dtype):
                raise SpecError(
                    f"state {path}: {name} must be {array.dtype} of shape {array.shape}, not "
                    f"{tree[name].dtype} of shape {tree[name].shape}"
                )
        self.put(tree)


def _identity(plan: Plan) -> str:
    return f"{plan.network!r} {plan.target!r}"
