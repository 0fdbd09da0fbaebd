"""What a co-simulation does to the chip: commands in order, and what is looked at after each."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec.bits import to_int, unpack_bytes
from xnoreplay.spec.commands import Command
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import HOST_MEMORIES, TRANSFER_CYCLES

VARIABLE = "XNOREPLAY_COSIM_SCRIPT"  # environment variable: the folder of the script
CONTENTS = "contents.npz"  # in that folder: what memories hold before the first command
REPLAY = ("replay.latent", "replay.label", "replay.count")
COMPONENTS = ("replay.mean", "replay.share", "fit.count", "fit.open")
STAGING = ("staging.latent", "staging.label")
LOW_BITS = ("cls.low", "cls.hidden_low")
"""Of proxies: only a retraining reads them. A wrong one may vanish again, where a proxy saturates, so they
are looked at before the first."""
PORT = "port"  # of a step: no command, but a stage on the host port
BUS = TRANSFER_CYCLES + 1  # cycles from when the test bench writes ABORT to the one that it ends
SLACK = 64  # cycles past the most that the plan allows a phase before it counts as stalled


@dataclass(frozen=True)
class Step:
    """One command, or something else that a host may do while the chip is idle.

    Parameters
    ----------
    command : str
        Name of a `spec.commands.Command`, in lower case, or of one of `kinds.KINDS`.
    argument : int
        The command's argument; of other kinds what they say.
    image : int, optional
        Index of the command's image.
    gaps : tuple of int, optional
        Cycles by which each pixel is late.
    memories : tuple of str
        Memories that are compared row by row when the command has ended.
    before : tuple of str
        Memories that are compared row by row when it has not begun yet. Where the command shows a difference,
        too, that is what is reported.
    trace : bool
        The trace is compared cycle by cycle.
    windows : tuple of (int, int)
        Cycles (first, past the last) of the command that the trace is limited to, if any.
    abort : int
        Cycles after which the host writes ABORT, or 0; the bus adds a few.
    bus : bool
        Control registers are also read over the bus, and every few of the counters, others after the next step; all of them
        after a step that sets them.
    reset : int
        Cycles of the command before the one in which a reset ends it, or 0.
    transfers : tuple of (int, int or None)
        Address, and data or None to read, of each transfer of a host's step, or of those given after a reset,
        while the chip empties its replay memory.
    stage : Stage, optional
        What is done at the host port.
    probes : tuple of (int, int)
        Windows of cycles of the command, in which rst rises and falls between a rising edge of the clock and the falling
        edge after it: no register sees it, but what they would be set to is watched, see `at_rest`.
    intrude : bool
        While the command runs, another one is written, which must be refused with SLVERR.
    upsets : tuple of (int, str, int, int)
        Cycle of the command, place, row and bit of each bit that changes by itself meanwhile, see `spec.upset`. What
        happens to samples in such a command is not reported.
    memory : str
        Name of the memory that is written.
    rows : tuple of str
        Its first rows, as hexadecimal numbers.
    """

    command: str
    argument: int = 0
    image: int | None = None
    gaps: tuple[int, ...] | None = None
    memories: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    trace: bool = False
    windows: tuple[tuple[int, int], ...] = ()
    abort: int = 0
    bus: bool = False
    reset: int = 0
    transfers: tuple[tuple[int, int | None], ...] = ()
    stage: Stage | None = None
    probes: tuple[tuple[int, int], ...] = ()
    intrude: bool = False
    upsets: tuple[tuple[int, str, int, int], ...] = ()
    memory: str = ""
    rows: tuple[str, ...] = ()

    def plain(self, plan: Plan) -> dict:
        """The step as the test bench reads it: the fields that differ from their defaults, and `limits`."""
        given = {k: v for k, v in vars(self).items() if v != getattr(Step, k, None)}
        if self.stage:
            given["stage"] = vars(self.stage)
        return given | {"limits": self.limits(plan)}

    @classmethod
    def load(cls, tree: dict) -> "Step":
        """The step that `plain` made a tree of."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()
        }
        fields.pop("limits", None)
        for name in ("windows", "transfers", "probes", "upsets"):
            fields[name] = tuple(tuple(w) for w in fields.get(name, ()))
        if fields.get("stage"):
            fields["stage"] = Stage(**fields["stage"])
        return cls(**fields)

    @property
    def changes(self) -> tuple[str, ...]:
        """What a command may change of what outlasts it; see `spec.commands.Row`. Nothing for other steps."""
        name = self.command.upper()
        return Command[name].changes if name in Command.__members__ else ()

    def bits(self, plan: Plan) -> np.ndarray:
        """Rows that the kind of step "write" writes: (rows, width) uint8 bits."""
        width = plan.memory(self.memory).width
        raw = b"".join(int(row, 16).to_bytes(-(-width // 8), "little") for row in self.rows)
        return unpack_bytes(np.frombuffer(raw, np.uint8).reshape(len(self.rows), -1), width)

    def limits(self, plan: Plan) -> list[int]:
        """Cycles after which each phase cannot be running any more, by its number."""
        most = {"idle": 0} | most_cycles(plan)
        most["input"] += sum(self.gaps or ())
        return [most[name] + SLACK for name in plan.phases]


def write(memory: str, bits: np.ndarray) -> Step:
    """The step that writes first rows of a memory, (rows, width) bits."""
    return Step("write", memory=memory, rows=tuple(f"{to_int(row):x}" for row in bits))


@dataclass(frozen=True)
class Script:
    """Commands from power-on, and the images they name: (n, height, width, channels) uint8."""

    steps: tuple[Step, ...]
    images: np.ndarray
    kinds: tuple[str, ...] = ()
    """Kinds of minibatches whose trace is compared; see `minibatches`."""
    contents: dict[str, np.ndarray] = field(default_factory=dict)
    """First rows of memories, (rows, width) bits, that the test bench and the model write before
    the first command; see `large`."""
    length: str = "part"
    """What it must reach: a name of `coverage.LENGTHS`."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages on the host port."""
        return tuple(s.stage for s in self.steps if s.stage)

    def until(self, index: int, **changes) -> "Script":
        """The steps up to `index`, with changed fields of that one; those before look at nothing."""
        quiet = tuple(replace(s, memories=(), trace=False, bus=False) for s in self.steps[:index])
        steps = (*quiet, replace(self.steps[index], **changes))
        return replace(self, steps=steps, length="part")

    def watched(self, first: int, last: int, plan: Plan) -> "Script":
        """The steps up to `last`; from `first` on, all memories that steps have written are compared."""
        steps = [
            replace(
                s, memories=self.written(i, plan) if i >= first else (), trace=False, windows=()
            )
            for i, s in enumerate(self.steps[: last + 1])
        ]
        return replace(self, steps=tuple(steps), length="part")

    def written(self, index: int, plan: Plan) -> tuple[str, ...]:
        """Memories that the steps up to `index` may have written."""
        learned = any("cls.top" in s.changes for s in self.steps[: index + 1])
        return changing(plan, learned)


def memories(plan: Plan) -> tuple[str, ...]:
    """Every memory that the hardware has."""
    return tuple(m.name for m in plan.memories)


def remembered(plan: Plan) -> tuple[str, ...]:
    """Memories of samples that are remembered: of `REPLAY`, or with generative replay of `COMPONENTS`."""
    return COMPONENTS if plan.generative else REPLAY


def low_bits(plan: Plan) -> tuple[str, ...]:
    """Memories of `LOW_BITS` that the hardware has."""
    return tuple(n for n in memories(plan) if n in LOW_BITS)


def changing(plan: Plan, learning: bool = True) -> tuple[str, ...]:
    """Memories that commands write: all that the hardware has but those that the host alone writes.

    learning : retraining among them, which writes the classifier
    """
    hosts = ("weights", "thermometer") if learning else ("weights", "thermometer", "cls")
    constant = {n for n in HOST_MEMORIES if n.startswith(hosts)}
    return tuple(n for n in memories(plan) if n not in constant)
