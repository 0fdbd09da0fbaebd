"""The whole comparison of a design whose images take few cycles."""

from dataclasses import replace

import numpy as np

from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.verify.cosim import coverage, edges, minibatches, reset_steps
from xnoreplay.flow.verify.cosim.building import merged, phases, pieces, port, prepared, within
from xnoreplay.flow.verify.cosim.script import (
    BUS,
    LOW_BITS,
    REPLAY,
    STAGING,
    Script,
    Step,
    changing,
    low_bits,
    memories,
)
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import MANY_CYCLES, Plan
from xnoreplay.spec.presets import Preset

OFTEN = 32  # every so many predictions, and staged samples, memories are looked at


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
    commands (`reset_steps.build`). Words that are no command are refused before and after the first classes.

    What only the host writes is looked at late, so that a wrong bit of it shows where it first
    acts.
    """
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
    steps += reset_steps.build(chip, pictures, preset.scenario.classes - 1, rng, looked)
    steps.append(port(plan, 3, whole, infers=True, commands=True))
    return Script(tuple(steps), pictures, kinds=tuple(kinds), length="whole")


def aborted(
    chip, images: np.ndarray, label: int, rng: np.random.Generator, reached: coverage.Coverage
) -> list[Step]:
    """Commands aborted in each of their phases, and what shows that the chip goes on from there.

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
        if step.abort:
            chip.abort(step.abort + BUS)
        reached.step(step, step.carry_out(chip, images), images)
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
        for phase in phases(chip, whole, images):
            if whole.command == "rebalance":
                do(Step("stage", label, image))
            cycle = within(chip, whole, images, phase, rng)
            if cycle:
                do(replace(whole, abort=cycle))
    for whole in (Step("retrain"), Step("rebalance"), Step("infer", 0, image)):
        do(whole)
    return steps
