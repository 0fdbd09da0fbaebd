"""What the chip holds: memories, architectural registers and counters.

A row of a memory is uint64 words. Rows made of words of G bits (`lane.file` and its like) keep
each word in its own `units` uint64s, so that a tap is an index; other rows are packed. Labels,
counts and thresholds are plain int64.
"""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common import counters
from xnoreplay.spec import image, reading, whole
from xnoreplay.spec.bits import WORD, pack_words, unpack_words
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.replay import LFSR_SEEDS


class Scalar(IntEnum):
    """Architectural registers."""

    PREDICTION = 0
    SEEN = 1
    QUOTA = 2
    STAGED = 3
    REFUSED = 4
    WALK = 5
    ERROR = 6
    UPDATE = 7
    # a session's place in its walk, from one load to the next
    VISITED = 8
    WALK_STATE = 9
    SAMPLES = 10
    FINISHED = 11
    STALE = 12  # the host has written what the counts follow from


SCALARS = len(Scalar)


class Memories(NamedTuple):
    """The chip's memories; a memory that a plan lacks has no rows."""

    weights_fe: np.ndarray  # (depth, 9 units) uint64
    weights_lgap: np.ndarray  # (depth, units) uint64
    cls_top: np.ndarray  # (depth, 9 units) uint64
    ping: np.ndarray  # (depth, units) uint64
    pong: np.ndarray  # (depth, units) uint64
    latent: np.ndarray  # (words, units) uint64
    row0: np.ndarray  # (depth, units) uint64
    row1: np.ndarray  # (depth, units) uint64
    lane_file: np.ndarray  # (lanes, slots, 9 units) uint64
    pool_row: np.ndarray  # (depth, words) uint64
    replay_latent: np.ndarray  # (capacity * words, units) uint64
    replay_label: np.ndarray  # (capacity,) int64
    replay_count: np.ndarray  # (classes,) int64
    staging_latent: np.ndarray  # (staging * words, units) uint64
    staging_label: np.ndarray  # (staging,) int64
    threshold: np.ndarray  # (thermometer bits,) int64


class LearningMemories(NamedTuple):
    """Memories that only retraining touches; a memory that a plan lacks has no rows."""

    cls_low: np.ndarray  # (classes * segments, words) uint64
    hidden_low: np.ndarray  # (hidden * segments, words) uint64
    bank: np.ndarray  # (batch, columns, units) uint64
    label: np.ndarray  # (batch,) int64
    mask: np.ndarray  # (hidden, words of B bits) uint64
    logit: np.ndarray  # (passes * classes, words) uint64
    delta: np.ndarray  # (classes * planes, words of B bits) uint64
    class_delta: np.ndarray  # (batch * blocks * planes, words of B bits) uint64
    hidden_delta: np.ndarray  # (hidden * planes, words of B bits) uint64
    inverse: np.ndarray  # (classes,) int64, times the classes seen
    weight: np.ndarray  # (classes,) int64


INTEGERS = (
    "replay.label",
    "replay.count",
    "staging.label",
    "thermometer.threshold",
    "batch.label",
    "table.inverse",
    "table.weight",
)


WINDOWS = ("weights.fe", "cls.top", "lane.file")  # rows of nine words
BANKED = ("lane.file", "batch.bank")  # several instances, the first index


class Layout:
    """How one memory's rows are kept."""

    def __init__(self, memory: Memory, word: int) -> None:
        self.memory = memory
        self.integer = memory.name in INTEGERS
        self.unit = word if memory.name in WINDOWS else memory.width  # bits kept together
        self.units = memory.width // self.unit
        self.words = -(-self.unit // WORD)  # uint64s of a unit

    def zeros(self) -> np.ndarray:
        depth = self.memory.depth
        if self.integer:
            return np.zeros(depth, np.int64)
        shape = (depth, self.units * self.words)
        banks = self.memory.name in BANKED
        return np.zeros((self.memory.count, *shape) if banks else shape, np.uint64)

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
        return packed.reshape(self.zeros().shape)

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
        word = plan.target.channels
        self.layouts = {m.name: Layout(m, word) for m in plan.memories}
        arrays = {}
        for name in counters.MEMORY_NAMES:
            layout = self.layouts.get(name)
            if layout is not None:
                arrays[name] = layout.zeros()
            elif name in INTEGERS:
                arrays[name] = np.zeros(0, np.int64)
            else:
                arrays[name] = np.zeros((0, -(-plan.target.channels // WORD)), np.uint64)
        # A fault can turn a label into a class that does not exist: its count is no memory's row.
        counts = np.zeros(1 << self.layouts["replay.label"].memory.width - 1, np.int64)
        arrays["replay.count"] = counts[: plan.network.classes]
        self.arrays = arrays
        first = len(Memories._fields)
        values = list(arrays.values())
        self.memories = Memories(*values[:first])._replace(replay_count=counts)
        self.learning = LearningMemories(*values[first:])
        self.scalars = np.zeros(SCALARS, np.int64)
        self.counters = counters.zeros()
        self.reset()

    def reset(self) -> None:
        """What a reset leaves: registers and counters anew, and an empty replay memory."""
        self.scalars[:] = 0
        for register in (Scalar.WALK, Scalar.ERROR, Scalar.UPDATE):
            self.scalars[register] = LFSR_SEEDS[register.name.lower()]
        for values in self.counters:
            values[:] = 0
        self.memories.replay_label[:] = 0
        self.memories.replay_count[:] = 0

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

    def write(self, name: str, bits: np.ndarray) -> None:
        """Replace a memory's content by (depth * count, width) bits."""
        array = self.arrays[name]
        array[...] = self.layouts[name].from_bits(bits).reshape(array.shape)

    def flip(self, name: str, row: int, bit: int) -> None:
        """Change one bit of a memory."""
        if name not in self.names():
            raise SpecError(
                f"a fault's memory must be one of {', '.join(self.names())}, not {shown(name)}"
            )
        memory = self.layouts[name].memory
        if not (0 <= row < memory.depth * memory.count and 0 <= bit < memory.width):
            raise SpecError(
                f"a fault in {name} must be in {memory.depth * memory.count} rows of "
                f"{memory.width} bits, not row {row}, bit {bit}"
            )
        self.layouts[name].flip(self.arrays[name], row, bit)

    def _plain(self) -> dict[str, np.ndarray]:
        return self.arrays | {
            "scalars": self.scalars,
            **{f"counters.{k}": v for k, v in self.counters._asdict().items()},
        }

    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        with whole.whole_file(Path(path)) as part, part.open("wb") as f:
            np.savez_compressed(f, plan=np.array(_identity(self.plan)), **self._plain())

    def restore(self, path: Path) -> None:
        """Read what `save` wrote; SpecError where it belongs to another plan."""
        try:
            with reading.opened(Path(path)) as file, np.load(file, allow_pickle=False) as saved:
                tree = dict(saved)
        except reading.DAMAGED_ARRAYS as error:
            raise SpecError(f"state {path} must be a whole file that save wrote: {error}") from None
        plain = self._plain()
        if str(tree.get("plan")) != _identity(self.plan) or not plain.keys() <= tree.keys():
            raise SpecError(f"state {path} must come from the same network and target")
        for name, array in plain.items():
            if (tree[name].shape, tree[name].dtype) != (array.shape, array.dtype):
                raise SpecError(
                    f"state {path}: {name} must be {array.dtype} of shape {array.shape}, not "
                    f"{tree[name].dtype} of shape {tree[name].shape}"
                )
        for name, array in plain.items():
            array[...] = tree[name]


def _identity(plan: Plan) -> str:
    return f"{plan.network!r} {plan.target!r}"
