"""What a co-simulation does to the chip: commands in order, and what is looked at after each."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xnoreplay.flow.data import Dataset
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import HOST_MEMORIES
from xnoreplay.spec.replay import SEED_DRAWS
from xnoreplay.spec.scenario import ScenarioSpec

VARIABLE = "XNOREPLAY_COSIM_SCRIPT"  # environment variable: the folder of the script
REPLAY = ("replay.latent", "replay.label", "replay.count")
STAGING = ("staging.latent", "staging.label")
REGISTERS = ("prediction", "seen", "quota", "staged", "refused", "lfsr_walk")
CYCLE_BUDGET = 12_000_000  # cycles of a script; a larger network gets fewer samples
OFTEN = 32  # every so many predictions, and staged samples, memories are looked at
SLACK = 1000  # cycles past its closed form that a command may take before it counts as stalled


@dataclass(frozen=True)
class Step:
    """One command.

    command : name of a `spec.registers.Command`, in lower case
    argument : its argument
    image : index of its image
    gaps : cycles by which each pixel is late
    memories : compared row by row when the command has ended
    trace : compared cycle by cycle
    bus : control registers and counters are also read over the bus
    """

    command: str
    argument: int = 0
    image: int | None = None
    gaps: tuple[int, ...] | None = None
    memories: tuple[str, ...] = ()
    trace: bool = False
    bus: bool = False

    def plain(self, plan: Plan) -> dict:
        """As the test bench reads it."""
        given = {k: v for k, v in vars(self).items() if v != getattr(Step, k, None)}
        return given | {"limit": self.limit(plan)}

    @classmethod
    def load(cls, tree: dict) -> "Step":
        """Inverse of `plain`."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()}
        fields.pop("limit", None)
        return cls(**fields)

    def limit(self, plan: Plan) -> int:
        """Cycles after which the command cannot be running any more."""
        op = plan.replay
        walk = SEED_DRAWS + (2 << op.epoch_walk) + 2 * op.capacity
        copies = (op.capacity + op.staging) * (op.copy_cycles + 2)
        late = sum(self.gaps or ())
        return plan.infer_cycles(plan.network.classes) + 2 * (walk + copies) + late + SLACK


@dataclass(frozen=True)
class Script:
    """Commands from power-on, and the images they name: (n, height, width, channels) uint8."""

    steps: tuple[Step, ...]
    images: np.ndarray
    faults: tuple[tuple[str, int, int], ...] = field(default=())

    def until(self, index: int, **changes) -> "Script":
        """The commands up to `index`, that one changed; the others look at nothing."""
        quiet = tuple(replace(s, memories=(), trace=False, bus=False) for s in self.steps[:index])
        return replace(self, steps=(*quiet, replace(self.steps[index], **changes)))

    def watched(self, first: int, last: int, memories: tuple[str, ...]) -> "Script":
        """The commands up to `last`; from `first` on, all memories are looked at."""
        steps = [
            replace(s, memories=memories if i >= first else (), trace=False)
            for i, s in enumerate(self.steps[: last + 1])
        ]
        return replace(self, steps=tuple(steps))


def memories(plan: Plan) -> tuple[str, ...]:
    """Every memory that the hardware has."""
    return tuple(m.name for m in plan.memories if not m.learning)


def changing(plan: Plan) -> tuple[str, ...]:
    """Those of them that commands write: all but what the host alone writes."""
    constant = {n for n in HOST_MEMORIES if n.startswith(("weights", "cls", "thermometer"))}
    return tuple(n for n in memories(plan) if n not in constant)


def pieces(scenario: ScenarioSpec, data: Dataset) -> list[np.ndarray]:
    """Indices of the training samples of each chip class, in the data set's order."""
    order = scenario.order[: scenario.classes]
    return [np.flatnonzero((data.labels == label) & ~data.is_test) for label in order]


def build(preset: Preset, plan: Plan, data: Dataset, images: int, seed: int = 0) -> Script:
    """The full comparison.

    Base classes arrive and fill the replay memory until samples are refused; `images` images are
    recognised with every memory, counter and register compared, half of them with pixels that come
    late; then the sessions of the scenario: new samples are staged until the class or the staging
    memory ends, an epoch is walked, and the memory rebalanced; then every image is recognised.

    What only the host writes is looked at late, so that a wrong bit of it shows where it first
    acts.
    """
    rng = np.random.default_rng(seed)
    whole, some = memories(plan), changing(plan)
    replay = tuple(n for n in REPLAY + STAGING if n in whole)
    classes = pieces(preset.scenario, data)
    base = preset.scenario.base
    share = CYCLE_BUDGET // (2 * plan.feature_cycles)
    steps = [Step("arrive", base, memories=some, trace=True, bus=True)]
    quota = plan.replay.capacity // base
    first = [int(i) for k in range(base) for i in classes[k][: quota + 1]]
    label = {int(i): k for k, members in enumerate(classes) for i in members}
    for n, i in enumerate(first):
        traced = n == 0
        steps.append(Step("insert", label[i], i, memories=some if traced else REPLAY, trace=traced))
    chosen = np.linspace(0, len(data.images) - 1, images).round().astype(int).tolist()
    for n, i in enumerate(chosen):
        gaps = tuple(rng.choice([0, 0, 1, 4], plan.input.pixels).tolist()) if n % 2 else None
        steps.append(Step("infer", 0, i, gaps, whole, trace=n < 2, bus=True))
    tasks = preset.scenario.tasks
    for task in range(1, tasks + 1):
        new = [(int(i), k) for k in preset.scenario.task_classes(task) for i in classes[k]]
        # One sample more than fits, so that staging refuses one in every session that fills it.
        new = new[: max(1, min(plan.replay.staging + 1, share // max(1, tasks)))]
        for n, (i, k) in enumerate(new):
            steps.append(
                Step("stage", k, i, memories=replay if n % OFTEN == 0 else (),
                     trace=n == 0 and task == 1)
            )  # fmt: skip
        steps.append(Step("epoch", memories=some, trace=True, bus=True))
        steps.append(Step("rebalance", memories=some, trace=task in (1, tasks), bus=True))
    count = min(len(data.images), share)
    for n, i in enumerate(np.linspace(0, len(data.images) - 1, count).round().astype(int).tolist()):
        look = n % OFTEN == OFTEN - 1 or n == count - 1
        steps.append(Step("infer", 0, i, memories=some if look else (), bus=n == count - 1))
    return Script(tuple(steps), data.images)


def short(preset: Preset, plan: Plan, data: Dataset, images: int = 2) -> Script:
    """Every command and a few images with everything compared: for a slow simulator."""
    whole = memories(plan)
    classes = pieces(preset.scenario, data)
    base = preset.scenario.base
    new = preset.scenario.seen(1) - 1 if preset.scenario.tasks else base - 1
    plain = [
        Step("arrive", base),
        *(Step("insert", k, int(classes[k][0])) for k in range(min(2, base))),
        *(Step("infer", 0, i) for i in range(images)),
        *(Step("stage", new, int(i)) for i in classes[new][:2]),
        Step("epoch"),
        Step("rebalance"),
    ]
    steps = [replace(s, memories=changing(plan), bus=True, trace=True) for s in plain]
    steps[-1] = replace(steps[-1], memories=whole)
    return Script(tuple(steps), data.images)
