"""The whole comparison of a design whose images take few cycles."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.verify import scenario
from xnoreplay.flow.verify.cosim import (
    coverage,
    drawn,
    edges,
    minibatches,
    reset_steps,
    upset_steps,
)
from xnoreplay.flow.verify.cosim.building import (
    merged,
    others,
    phases,
    port,
    prepared,
    within,
)
from xnoreplay.flow.verify.cosim.kinds import drive_on
from xnoreplay.flow.verify.cosim.script import (
    LOW_BITS,
    STAGING,
    Script,
    Step,
    changing,
    low_bits,
    memories,
    remembered,
)
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import MANY_CYCLES, Plan
from xnoreplay.spec.presets import Preset

OFTEN = 32  # every so many predictions, and staged samples, memories are looked at


def build(
    preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, images: int, seed: int = 0
) -> Script:
    """The full comparison.

    The host port is tried first, after the first session and last (`building.port`). Words that are no command are
    refused before and after the first classes. Base classes arrive and fill the replay memory until samples are
    refused. `images` images are recognised with every memory, counter and register compared, half of them with
    pixels that come late; then corner images with their thermometer bits traced. Then come the sessions of the
    scenario: new samples are staged until the class or the staging memory ends, the chip retrains, and the memory
    is rebalanced; in the first one, an epoch is walked. Then every image is recognised. Then commands are aborted,
    and one more session shows what they left; what data do not reach is written (`edges.rounds`); then power goes
    and comes again, the host writes labels, and resets end commands (`reset_steps.build`); last come memories that
    are drawn (`drawn.build`), and bits that change by themselves (`upset_steps.build`).

    What only the host writes is looked at late, so that a wrong bit of it shows where it first acts.

    Parameters
    ----------
    preset : Preset
    plan : Plan
        The preset's.
    data : Dataset
        Its images are the script's first ones.
    bundle : Bundle
    images : int
        How many are compared in full.
    seed : int
        Of all that is drawn.
    """
    corner = edges.images(plan, bundle, data.max_pixel)
    pictures = np.concatenate([data.images, corner])
    made = _Whole(preset, plan, data, bundle, pictures, np.random.default_rng(seed))
    made.power_on()
    made.in_full(images)
    made.steps += edges.shown(plan, len(data.images), len(corner), made.written)
    kinds: dict[str, tuple[int, int]] = {}
    for task in range(1, preset.scenario.tasks + 1):
        made.stage(task)
        kinds |= made.retrain(task)
    made.every_image()
    made.beyond_data()
    made.steps.append(port(plan, 3, memories(plan), infers=True, commands=True))
    return Script(tuple(made.steps), pictures, kinds=tuple(kinds), length="whole")


@dataclass
class _Whole:
    """The steps of a whole comparison as they are put together."""

    preset: Preset
    plan: Plan
    data: Dataset
    bundle: Bundle
    pictures: np.ndarray
    rng: np.random.Generator
    steps: list[Step] = field(default_factory=list)

    @property
    def share(self) -> int:
        """Images for which there is time, of those of all sessions, or of those that are recognised at the end."""
        return MANY_CYCLES // (2 * self.plan.feature_cycles)

    @property
    def written(self) -> tuple[str, ...]:
        """Memories that the steps so far may have written."""
        return changing(self.plan, any("cls.top" in s.changes for s in self.steps))

    def chip(self) -> Any:
        """A simulated chip as the steps so far leave it."""
        return prepared(self.plan, self.bundle, self.steps, self.pictures)

    @property
    def inserts(self) -> str:
        """The phase in which an inserted sample is remembered."""
        return "take" if self.plan.generative else "insert"

    def power_on(self) -> None:
        """Try the host port, let base classes arrive, and insert their samples; abort an insertion."""
        plan, base, some = self.plan, self.preset.scenario.base, self.written
        self.steps += [port(plan, 1, some), *edges.refused(plan.network.classes, 0)]
        self.steps.append(Step("arrive", base, memories=some, trace=True, bus=True))
        self.steps += edges.refused(plan.network.classes, base)
        form = plan.generative
        capacity = base * (form.components + 1) if form else plan.replay.capacity
        samples = scenario.power_on(self.preset.scenario, self.data, capacity)
        for n, sample in enumerate(samples):
            insert = Step("insert", sample.label, sample.index)
            if n:
                self.steps.append(replace(insert, memories=remembered(plan)))
                continue
            self.steps.append(replace(insert, memories=some, trace=True))
            if cycle := within(self.chip(), insert, self.pictures, self.inserts, self.rng):
                self.steps.append(replace(insert, abort=cycle, memories=some))

    def in_full(self, images: int) -> None:
        """Recognise images with all compared but what only a retraining reads; pixels of every other one come late."""
        acting = tuple(n for n in memories(self.plan) if n not in LOW_BITS)
        for n, i in enumerate(_spread(len(self.data.images), images)):
            late = self.rng.choice([0, 0, 1, 4], self.plan.input.pixels).tolist() if n % 2 else None
            gaps = None if late is None else tuple(late)
            self.steps.append(Step("infer", 0, i, gaps, acting, trace=n < 2, bus=True))

    def stage(self, task: int) -> None:
        """Stage samples of a task, one more than fits, so that staging refuses one where there are as many."""
        kept = tuple(n for n in remembered(self.plan) + STAGING if n in memories(self.plan))
        new = scenario.session(self.preset.scenario, self.data, task)
        form, room = self.plan.generative, self.plan.replay.staging
        room = max(room, form.components + 1) if form else room
        most = min(room + 1, self.share // self.preset.scenario.tasks)
        for n, sample in enumerate(new[: max(1, most)]):
            look = kept if n % OFTEN == 0 else ()
            traced = n == 0 and task == 1
            step = Step("stage", sample.label, sample.index, memories=look, trace=traced)
            self.steps.append(step)

    def retrain(self, task: int) -> dict[str, tuple[int, int]]:
        """Retrain and rebalance; in the first session with a trace of minibatches, whose windows are returned."""
        plan, found = self.plan, {}
        retrain = Step("retrain", memories=changing(plan), bus=True)
        if task == 1:
            self.steps.append(Step("epoch", memories=self.written, trace=True, bus=True))
            found = minibatches.windows(plan, self.chip())
            windows = merged(found.values())
            retrain = replace(retrain, trace=True, windows=windows, before=low_bits(plan))
        traced = task in (1, self.preset.scenario.tasks)
        rebalance = Step("rebalance", memories=changing(plan), trace=traced, bus=True)
        self.steps += [retrain, rebalance]
        if task == 1:
            self.steps.append(port(plan, 2, changing(plan), infers=True))
        return found

    def every_image(self) -> None:
        """Recognise every image, or as many as there is time for; memories are looked at now and then."""
        some, count = self.written, min(len(self.data.images), self.share)
        for n, i in enumerate(_spread(len(self.data.images), count)):
            last = n == count - 1
            look = some if last or n % OFTEN == OFTEN - 1 else ()
            self.steps.append(Step("infer", 0, i, memories=look, bus=last))

    def beyond_data(self) -> None:
        """Abort commands, write what no data reach, and reset the chip."""
        chip, plan, pictures = self.chip(), self.plan, self.pictures
        last, looked = self.preset.scenario.classes - 1, {"memories": changing(plan), "bus": True}
        needed = coverage.required(plan, self.bundle, Script((), pictures, length="whole"))
        seen = coverage.Coverage(plan, self.bundle, chip)
        seen.hits["phases aborted"][self.inserts] += any(s.abort for s in self.steps)
        self.steps += aborted(chip, pictures, last, self.rng, seen)
        self.steps += edges.rounds(plan, chip, pictures, needed, seen, self.rng)
        self.steps += reset_steps.build(chip, pictures, last, self.rng, looked)
        self.steps += drawn.build(chip, pictures, self.rng, looked)
        self.steps += upset_steps.build(chip, pictures, last, self.rng, looked)


def _spread(count: int, chosen: int) -> list[int]:
    """So many indices of `count`, spread evenly from the first to the last."""
    return np.linspace(0, count - 1, chosen).round().astype(int).tolist()


def aborted(
    chip, images: np.ndarray, label: int, rng: np.random.Generator, reached: coverage.Coverage
) -> list[Step]:
    """Commands aborted in each of their phases, from its begin to its end, and what shows that the chip goes on from there.

    A sample is staged before each abort of a rebalance; a whole session, and an inference, come last.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    reached : coverage.Coverage
        Of that chip; it counts what is aborted.
    """
    plan, steps = chip.plan, []
    some = changing(plan)
    image = int(rng.integers(len(images)))

    def do(step: Step) -> None:
        reached.step(step, drive_on(step, chip, images), images)
        steps.append(replace(step, memories=some, bus=True))

    every = [
        Step("infer", 0, image),
        Step("insert", 0, image),
        Step("arrive", plan.network.classes),
        Step("epoch"),
        Step("rebalance"),
        Step("retrain"),
        Step("stage", label, image),
    ]
    classes = plan.network.classes
    more = others(
        [*every, Step("restore")], image, classes, classes
    )  # restores are of `reset_steps`
    for whole in [*every, *more]:
        often = reset_steps.times(reset_steps.length(chip, whole, images))
        for phase in phases(chip, whole, images):
            if whole.command == "rebalance":
                do(Step("stage", label, image))
            for n in range(often):
                if cycle := within(chip, whole, images, phase, rng, (n, often)):
                    do(replace(whole, abort=cycle))
    for whole in (*more, Step("retrain"), Step("rebalance"), Step("infer", 0, image)):
        do(whole)
    return steps
