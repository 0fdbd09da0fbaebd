"""What a co-simulation does to the chip: commands in order, and what is looked at after each."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xnoreplay.flow.datasets.latent_files import LatentSet
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.verify.cosim import minibatches, resets
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec.bits import to_int, unpack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import MANY_CYCLES, Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import HOST_MEMORIES, Command
from xnoreplay.spec.scenario import ScenarioSpec

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
OFTEN = 32  # every so many predictions, and staged samples, memories are looked at
BUS = 3  # cycles from when the test bench writes ABORT to the one that it ends
STAGE_CYCLES = 6000  # busy ones that a stage on the host port takes at most, without inferences
STAGE_INFERS = 10  # whole inferences of a stage
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


def pieces(scenario: ScenarioSpec, data: Dataset | LatentSet) -> list[np.ndarray]:
    """Indices of the training samples of each chip class, in the data set's order."""
    order = scenario.order[: scenario.classes]
    return [np.flatnonzero((data.labels == label) & ~data.is_test) for label in order]


def build(
    preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, images: int, seed: int = 0
) -> Script:
    """The full comparison.

    The host port is tried first, after the first session and last (`port`). Base classes arrive and fill the replay memory until samples are refused; `images` images are
    recognised with every memory, counter and register compared, half of them with pixels that come
    late, and corner images with their thermometer bits traced; then the sessions of the scenario: new samples are staged until the class or the staging
    memory ends, an epoch is walked, the chip retrains, and the memory is rebalanced; then every image
    is recognised; then commands are aborted, and one more session shows what they left; what data do
    not reach is written (`edges`); last, power goes and comes again, the host writes labels, and resets end
    commands (`resets.build`). Words that are no command are refused before and after the first classes.

    What only the host writes is looked at late, so that a wrong bit of it shows where it first
    acts.
    """
    from xnoreplay.flow.verify.cosim import coverage, edges

    rng = np.random.default_rng(seed)
    corner = edges.images(plan, bundle, data.max_pixel)
    pictures = np.concatenate([data.images, corner])
    whole, some = memories(plan), changing(plan, learning=False)
    acting = tuple(n for n in whole if n not in LOW_BITS)
    replay = tuple(n for n in REPLAY + STAGING if n in whole)
    classes = pieces(preset.scenario, data)
    base = preset.scenario.base
    share = MANY_CYCLES // (2 * plan.feature_cycles)
    steps = [port(plan, 1, some), *edges.refused(plan.network.classes, 0)]
    steps.append(Step("arrive", base, memories=some, trace=True, bus=True))
    steps += edges.refused(plan.network.classes, base)
    quota = plan.replay.capacity // base
    first = [int(i) for k in range(base) for i in classes[k][: quota + 1]]
    label = {int(i): k for k, members in enumerate(classes) for i in members}
    for n, i in enumerate(first):
        traced = n == 0
        steps.append(Step("insert", label[i], i, memories=some if traced else REPLAY, trace=traced))
        if traced:
            chip, again = prepared(plan, bundle, steps, pictures), Step("insert", label[i], i)
            if cycle := within(chip, again, pictures, "insert", rng):
                steps.append(replace(again, abort=cycle, memories=some))
    chosen = np.linspace(0, len(data.images) - 1, images).round().astype(int).tolist()
    for n, i in enumerate(chosen):
        gaps = tuple(rng.choice([0, 0, 1, 4], plan.input.pixels).tolist()) if n % 2 else None
        steps.append(Step("infer", 0, i, gaps, acting, trace=n < 2, bus=True))
    steps += edges.shown(plan, len(data.images), len(corner), some)
    tasks = preset.scenario.tasks
    kinds: dict[str, tuple[int, int]] = {}
    for task in range(1, tasks + 1):
        new = [(int(i), k) for k in preset.scenario.task_classes(task) for i in classes[k]]
        # One sample more than fits, so that staging refuses one in every session that fills it.
        new = new[: max(1, min(plan.replay.staging + 1, share // max(1, tasks)))]
        for n, (i, k) in enumerate(new):
            steps.append(
                Step(
                    "stage",
                    k,
                    i,
                    memories=replay if n % OFTEN == 0 else (),
                    trace=n == 0 and task == 1,
                )
            )
        if task == 1:
            steps.append(Step("epoch", memories=some, trace=True, bus=True))
        retrain = Step("retrain", memories=changing(plan), bus=True)
        if task == 1:
            chip = prepared(plan, bundle, steps, pictures)
            kinds = minibatches.windows(plan, chip)
            windows = merged(kinds.values())
            retrain = replace(retrain, trace=True, windows=windows, before=low_bits(plan))
        steps.append(retrain)
        some = changing(plan)
        steps.append(Step("rebalance", memories=some, trace=task in (1, tasks), bus=True))
        if task == 1:
            steps.append(port(plan, 2, some, infers=True))
    count = min(len(data.images), share)
    for n, i in enumerate(np.linspace(0, len(data.images) - 1, count).round().astype(int).tolist()):
        look = n % OFTEN == OFTEN - 1 or n == count - 1
        steps.append(Step("infer", 0, i, memories=some if look else (), bus=n == count - 1))
    chip = prepared(plan, bundle, steps, pictures)
    needed = coverage.required(plan, bundle, Script((), pictures, length="whole"))
    seen = coverage.Coverage(plan, bundle, chip)
    seen.hits["phases aborted"]["insert"] += any(s.abort for s in steps)
    steps += aborted(chip, pictures, preset.scenario.classes - 1, rng, seen)
    steps += edges.rounds(plan, chip, pictures, needed, seen, rng)
    looked = {"memories": changing(plan), "bus": True}
    steps += resets.build(chip, pictures, preset.scenario.classes - 1, rng, looked)
    steps.append(port(plan, 3, whole, infers=True, commands=True))
    return Script(tuple(steps), pictures, kinds=tuple(kinds), length="whole")


def port(plan: Plan, seed: int, look: tuple[str, ...], **more) -> Step:
    """A stage on the host port, with room for all that it may do; `more` of `Stage`.

    All but the last one leave to later commands what an inference leaves.
    """
    stage = Stage(0, seed, **more)
    cycles = STAGE_CYCLES + 4 * most_cycles(plan)["restore"]
    if stage.infers:
        cycles += STAGE_INFERS * (plan.infer_cycles(plan.network.classes) + STAGE_CYCLES // 10)
    if stage.commands:
        most = most_cycles(plan)
        walks = ("quota", "evict", "admit", "epoch", "insert", "restore")
        cycles += 4 * sum(most.get(name, 0) for name in walks) + 4 * plan.feature_cycles
    return Step(PORT, image=0, memories=look, stage=replace(stage, cycles=cycles))


def prepared(
    plan: Plan,
    bundle: Bundle,
    steps: list[Step],
    images: np.ndarray,
    contents: dict[str, np.ndarray] | None = None,
):
    """A simulated chip after some steps; those that only look are left out."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    for name, rows in (contents or {}).items():
        chip.write(name, rows)
    for step in steps:
        if step.command not in ("infer", PORT):
            if step.abort:
                chip.abort(step.abort + BUS)
            step.carry_out(chip, images)
    return chip


def merged(windows: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Windows in order, those that touch or overlap as one.

    >>> merged([(5, 9), (0, 5), (20, 30)])
    ((0, 9), (20, 30))
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted(windows):
        if found and start <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return tuple(found)


def aborted(chip, images: np.ndarray, label: int, rng: np.random.Generator, coverage) -> list[Step]:
    """Commands aborted in each of their phases, and what shows that the chip goes on from there.

    A sample is staged before each abort of a rebalance; a whole session, and an inference, come last.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    coverage : coverage.Coverage
        Of that chip; it counts what is aborted.
    """
    plan, steps = chip.plan, []
    some = changing(plan)
    image = int(rng.integers(len(images)))

    def do(step: Step) -> None:
        if step.abort:
            chip.abort(step.abort + BUS)
        coverage.step(step, step.carry_out(chip, images), images)
        steps.append(replace(step, memories=some, bus=True))

    for whole in (
        Step("infer", 0, image),
        Step("insert", 0, image),
        Step("arrive", plan.network.classes),
        Step("epoch"),
        Step("rebalance"),
        Step("retrain"),
        Step("stage", label, image),
    ):
        for phase in _phases(chip, whole, images):
            if whole.command == "rebalance":
                do(Step("stage", label, image))
            cycle = within(chip, whole, images, phase, rng)
            if cycle:
                do(replace(whole, abort=cycle))
    for whole in (Step("retrain"), Step("rebalance"), Step("infer", 0, image)):
        do(whole)
    return steps


def _spans(chip, step: Step, images: np.ndarray) -> list[tuple[str, int, int]]:
    return minibatches.spans(chip, lambda other: step.carry_out(other, images))


def _phases(chip, step: Step, images: np.ndarray) -> list[str]:
    return list(dict.fromkeys(name for name, _, _ in _spans(chip, step, images)))


def within(chip, step: Step, images: np.ndarray, phase: str, rng: np.random.Generator) -> int:
    """When to write ABORT so that it takes effect in an early run of a phase; 0 where none is.

    A command's first `BUS` cycles are over before a write can reach the chip.
    """
    lengths = [
        range(max(first, BUS) + 1, last)  # cycles that the aborted command then takes
        for name, first, last in _spans(chip, step, images)
        if name == phase
    ]
    possible = [cycles for cycles in lengths if cycles]
    if not possible:
        return 0
    return int(rng.choice(possible[min(int(rng.integers(3)), len(possible) - 1)])) - BUS


def short(preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, images: int = 2) -> Script:
    """Every command and a few images with everything compared: for a slow simulator."""
    from xnoreplay.flow.verify.cosim import edges

    corner = edges.images(plan, bundle, data.max_pixel, "short")
    whole = memories(plan)
    classes = pieces(preset.scenario, data)
    base = preset.scenario.base
    new = preset.scenario.seen(1) - 1 if preset.scenario.tasks else base - 1
    stage = {"brief": True, "transfers": 40}
    plain = [
        *edges.refused(plan.network.classes, 0),
        Step("arrive", base),
        *(Step("insert", k, int(classes[k][0])) for k in range(min(2, base))),
        *(Step("infer", 0, i) for i in range(images)),
        *(Step("stage", new, int(i)) for i in classes[new][:2]),
        Step("epoch"),
        Step("retrain"),
        Step("retrain", abort=100),
        Step("rebalance"),
        Step("restore"),
        *(Step("infer", 0, i) for i in range(images)),
    ]
    learns = next(n for n, s in enumerate(plain) if s.command == "retrain")
    steps = [
        replace(s, memories=changing(plan, n >= learns), bus=True, trace=s.command != "refuse")
        for n, s in enumerate(plain)
    ]
    steps[-1] = replace(steps[-1], memories=whole)
    steps.insert(0, port(plan, 1, changing(plan, False), **stage))
    corners = [Step("infer", 0, len(data.images) + n, bus=True) for n in range(len(corner))]
    last = port(plan, 2, whole, infers=True, commands=True, **stage)
    pictures = np.concatenate([data.images, corner])
    return Script((*steps, *corners, last), pictures, length="short")
