"""What a co-simulation does to the chip: commands in order, and what is looked at after each."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xnoreplay.flow.verify.cosim import resets
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec.bits import to_int, unpack_bytes
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import HOST_MEMORIES, Command

VARIABLE = "XNOREPLAY_COSIM_SCRIPT"  # environment variable: the folder of the script
CONTENTS = "contents.npz"  # in that folder: what memories hold before the first command
REPLAY = ("replay.latent", "replay.label", "replay.count")
STAGING = ("staging.latent", "staging.label")
LOW_BITS = ("cls.low", "cls.hidden_low")
"""Of proxies: only a retraining reads them. A wrong one may vanish again, where a proxy saturates, so they
are looked at before the first."""
ASIDE = ("refuse", "write", "counters")
"""What a step does that is no command of the chip, beside `resets.STEPS`; see `Step`."""
PORT = "port"  # of a step: no command, but a stage on the host port
COMMANDS = (*(c.name.lower() for c in Command), PORT, *resets.STEPS, *ASIDE)
"""What a step can be: a recorded one is held to them."""

BUS = 3  # cycles from when the test bench writes ABORT to the one that it ends
SLACK = 64  # cycles past the most that the plan allows a phase before it counts as stalled


@dataclass(frozen=True)
class Step:
    """One command, or something else that a host may do while the chip is idle.

    command : name of a `spec.registers.Command`, in lower case; `PORT`; one of `resets.STEPS`; or one
        of `ASIDE`:
        "refuse" writes the register COMMAND, which must answer SLVERR and change nothing; "write" writes
        first rows of a memory, over the bus where the host has a window on it, but for labels and
        counts, which would be stale; "counters" moves every event counter to 2^argument - 1, or with 0 back to
        where it would be
    argument : its argument; of "refuse" the word that is written
    image : index of its image
    gaps : cycles by which each pixel is late
    memories : compared row by row when the command has ended
    before : compared row by row when it has not begun yet; where the command shows a difference, too,
        that is what is reported
    trace : compared cycle by cycle
    windows : cycles (first, past the last) of the command that the trace is limited to, if any
    abort : cycles after which the host writes ABORT; the bus adds a few
    bus : control registers and counters are also read over the bus
    reset : cycles of the command before the one in which a reset ends it, or 0
    transfers : (address, data or None to read) of each transfer of a host's step, or of those given after
        a reset, while the chip empties its replay memory
    stage : of `PORT`, what is done at the port
    intrude : while it runs, another command is written, which must be refused with SLVERR
    memory, rows : of "write": the memory's name, and its first rows as hexadecimal numbers
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
    intrude: bool = False
    memory: str = ""
    rows: tuple[str, ...] = ()

    def plain(self, plan: Plan) -> dict:
        """As the test bench reads it."""
        given = {k: v for k, v in vars(self).items() if v != getattr(Step, k, None)}
        if self.stage:
            given["stage"] = vars(self.stage)
        return given | {"limits": self.limits(plan)}

    @classmethod
    def load(cls, tree: dict) -> "Step":
        """Inverse of `plain`."""
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()
        }
        fields.pop("limits", None)
        for name in ("windows", "transfers"):
            fields[name] = tuple(tuple(w) for w in fields.get(name, ()))
        if fields.get("stage"):
            fields["stage"] = Stage(**fields["stage"])
        return cls(**fields)

    def carry_out(self, chip, images: np.ndarray):
        """The command on a simulated chip, and the reset that ends it, if one does; of a stage, what it
        leaves to later commands: cycles; of `ASIDE`, only "write" changes it."""
        from xnoreplay.sim.run import Result

        if self.stage:
            chip.abort(self.stage.cycles)
            never = [self.stage.cycles] * chip.plan.input.pixels
            return chip.infer(images[self.image], gaps=never)
        if self.command == "write":
            chip.write(self.memory, self.bits(chip.plan))
        if self.command in ASIDE:
            return Result()
        if self.command in resets.STEPS:
            return resets.carry_out(self, chip)
        if self.reset:
            chip.abort(self.reset + 1)
            result = replace(self, reset=0).carry_out(chip, images)
            chip.reset()
            return result
        arguments: list = []
        if self.image is not None:
            arguments.append(images[self.image])
        if self.command in ("stage", "insert", "arrive"):
            arguments.append(self.argument)
        if self.image is not None and self.gaps is not None:
            return getattr(chip, self.command)(*arguments, gaps=list(self.gaps))
        return getattr(chip, self.command)(*arguments)

    def bits(self, plan: Plan) -> np.ndarray:
        """(rows, width) uint8 bits that "write" writes."""
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

    def uncounted(self) -> "Script":
        """The same with counters left as they are, for what reads cycles off the chip's."""
        steps = (replace(s, argument=0) if s.command == "counters" else s for s in self.steps)
        return replace(self, steps=tuple(steps))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those on the host port."""
        return tuple(s.stage for s in self.steps if s.stage)

    def until(self, index: int, **changes) -> "Script":
        """The commands up to `index`, that one changed; the others look at nothing."""
        quiet = tuple(replace(s, memories=(), trace=False, bus=False) for s in self.steps[:index])
        steps = (*quiet, replace(self.steps[index], **changes))
        return replace(self, steps=steps, length="part")

    def watched(self, first: int, last: int, plan: Plan) -> "Script":
        """The commands up to `last`; from `first` on, all that commands have written is looked at."""
        steps = [
            replace(
                s, memories=self.written(i, plan) if i >= first else (), trace=False, windows=()
            )
            for i, s in enumerate(self.steps[: last + 1])
        ]
        return replace(self, steps=tuple(steps), length="part")

    def written(self, index: int, plan: Plan) -> tuple[str, ...]:
        """Memories that the commands up to `index` may have written."""
        learned = any(s.command == "retrain" for s in self.steps[: index + 1])
        return changing(plan, learned)


def memories(plan: Plan) -> tuple[str, ...]:
    """Every memory that the hardware has."""
    return tuple(m.name for m in plan.memories)


def low_bits(plan: Plan) -> tuple[str, ...]:
    """`LOW_BITS` that the hardware has."""
    return tuple(n for n in memories(plan) if n in LOW_BITS)


def changing(plan: Plan, learning: bool = True) -> tuple[str, ...]:
    """Those of them that commands write: all but what the host alone writes.

    learning : retraining among them, which writes the classifier
    """
    hosts = ("weights", "thermometer") if learning else ("weights", "thermometer", "cls")
    constant = {n for n in HOST_MEMORIES if n.startswith(hosts)}
    return tuple(n for n in memories(plan) if n not in constant)
