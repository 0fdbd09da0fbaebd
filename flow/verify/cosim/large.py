"""The script for a network whose whole comparison would take hours: the same checks on fewer samples.

The replay memory starts with latents of real images, or with the components that such latents make, written by
the test bench and by the model alike, so that a session has several whole minibatches without hundreds of images
through the chip.
"""

from dataclasses import replace

import numpy as np

from xnoreplay.flow.datasets.registry import RANDOM, Dataset
from xnoreplay.flow.verify import scenario
from xnoreplay.flow.verify.cosim import edges, minibatches
from xnoreplay.flow.verify.cosim.building import merged, others, port, prepared
from xnoreplay.flow.verify.cosim.coverage import carries
from xnoreplay.flow.verify.cosim.script import Script, Step, changing, low_bits, memories
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

BATCHES = 2.5  # minibatches that the stored latents make: whole ones, and a partial one
STAGED = 2  # new samples
EDGE = 100  # cycles traced at the beginning and the end of each operation
TRACED = 2_000  # cycles of each phase of the first minibatch


def build(preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, images: int) -> Script:
    """Every command, with few samples: some images, and one retraining session of several minibatches.

    Parameters
    ----------
    preset : Preset
    plan : Plan
        The preset's.
    data : Dataset
    bundle : Bundle
    images : int
        How many are recognised with every memory bit, counter and boundary compared; corner images come besides,
        between which counters are moved to below powers of two.
    """
    base = preset.scenario.base
    classes = scenario.by_class(preset.scenario, data)
    labels = remembered_labels(plan, base)
    contents = replay_contents(plan, bundle, remembered(preset, plan, data, bundle, labels), labels)
    some, whole = changing(plan, learning=False), memories(plan)
    seen = preset.scenario.seen_first
    new = new_samples(plan, classes[:seen])
    chosen = np.linspace(0, len(data.images) - 1, images).round().astype(int).tolist()
    rng = np.random.default_rng(0)
    stage = {"brief": True, "transfers": 40}
    corner = edges.images(plan, bundle, data.max_pixel, "large")
    pictures = np.concatenate([data.images, corner])
    steps = [
        *edges.refused(plan.network.classes, 0),
        Step("arrive", base, bus=True),
        Step("insert", 0, int(classes[0][-1]), memories=some),
        # Its restores count labels that were written past every port: their classes must be seen.
        replace(port(plan, 1, (), **stage), image=chosen[0]),
    ]
    for n, i in enumerate(chosen):
        gaps = tuple(rng.choice([0, 0, 1, 4], plan.input.pixels).tolist()) if n % 2 else None
        traced = n == 0
        windows = boundaries(plan) if traced else ()
        steps.append(Step("infer", 0, i, gaps, some, trace=traced, windows=windows, bus=traced))
    powers = (0, *carries(plan))
    for n in range(len(corner)):
        bits = powers[n % len(powers)]
        steps += [Step("counters", bits), Step("infer", 0, len(data.images) + n, bus=True)]
    steps.append(Step("counters", 0))
    steps += [Step("stage", k, i, memories=some) for k, i in new]
    steps.append(Step("epoch", memories=some))
    named = [*steps, *map(Step, ("retrain", "rebalance", "restore"))]
    more = others(named, chosen[0], seen, plan.network.classes)
    chip = prepared(plan, bundle, steps, pictures, contents)
    kinds = minibatches.beginning(chip, TRACED)
    steps += [
        Step(
            "retrain",
            memories=changing(plan),
            before=low_bits(plan),
            trace=True,
            windows=merged(kinds.values()),
            bus=True,
        ),
        Step("rebalance", memories=changing(plan), bus=True),
        Step("retrain", abort=plan.feature_cycles, memories=changing(plan), bus=True),
        Step("infer", 0, chosen[0], memories=whole, bus=True),
        Step("restore", memories=changing(plan), bus=True),
        *(replace(s, memories=changing(plan), bus=True) for s in more),
        Step("infer", 0, chosen[0], reset=EDGE, memories=changing(plan), bus=True),
    ]
    steps.append(replace(port(plan, 2, whole, **stage), image=chosen[0]))
    used = sorted({s.image for s in steps if s.image is not None})
    place = {image: n for n, image in enumerate(used)}
    placed = tuple(s if s.image is None else replace(s, image=place[s.image]) for s in steps)
    return Script(placed, pictures[used], kinds=tuple(kinds), contents=contents, length="large")


def remembered_labels(plan: Plan, base: int) -> np.ndarray:
    """Base classes of the latents that are remembered at first: (n,) int.

    Of generative replay one class, of which an epoch draws several minibatches.
    """
    if plan.generative:
        return np.zeros(plan.generative.components + 1, int)
    count = min(int(BATCHES * plan.target.batch), plan.replay.capacity - base)
    return np.arange(count) % base


def new_samples(plan: Plan, classes: list[np.ndarray]) -> list[tuple[int, int]]:
    """Class and index of each of `STAGED` new samples: of the last classes, of generative replay of the last one.

    classes : indices of the training samples of each class that the session has seen
    """
    if plan.generative:
        return [(len(classes) - 1, int(i)) for i in classes[-1][:STAGED]]
    return [(k, int(members[0])) for k, members in enumerate(classes)][-STAGED:]


def remembered(
    preset: Preset, plan: Plan, data: Dataset, bundle: Bundle, labels: np.ndarray
) -> np.ndarray:
    """Latents of training samples: (n, latent) bits.

    A class of few samples comes round again: random images are few. Where random images stand in for a data set,
    the latents are those that the package carries for the bundle, if it does.

    Parameters
    ----------
    preset : Preset
    plan : Plan
    data : Dataset
    bundle : Bundle
    labels : ndarray
        (n,) base classes in turn.
    """
    from xnoreplay.flow.datasets import latent_files as latents
    from xnoreplay.sim.run import Simulator

    wanted = preset.scenario
    stand_in = data.name == RANDOM != wanted.dataset
    carried = latents.packaged(bundle) if stand_in else None
    classes = scenario.by_class(wanted, carried or data)
    indices = [classes[k][n // wanted.base % len(classes[k])] for n, k in enumerate(labels)]
    if carried:
        return carried.latents[indices]
    return Simulator(plan, bundle).latents(data.images[indices])


def replay_contents(
    plan: Plan, bundle: Bundle, stored: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """First rows of the memories of a chip that remembers these latents: name -> (rows, width) bits."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    if plan.generative:
        chip.arrive(int(labels.max()) + 1)
        for latent, label in zip(stored, labels.tolist(), strict=True):
            chip.enter_latent(latent, label, stage=False)
        return {name: chip.memories()[name] for name in ("replay.mean", "replay.share")}
    chip.preload(stored, labels)
    rows = {
        "replay.latent": len(labels) * plan.replay.words,
        "replay.label": len(labels),
        "replay.count": plan.network.classes,
    }
    found = chip.memories()
    return {name: found[name][:n] for name, n in rows.items()}


def boundaries(plan: Plan) -> tuple[tuple[int, int], ...]:
    """Windows of an image's cycles around the boundaries of its operations."""
    found, at = [], 0
    for op in (*plan.feature_ops, plan.hidden):
        found += [(at, at + min(EDGE, op.cycles)), (max(at, at + op.cycles - EDGE), at + op.cycles)]
        at += op.cycles
    return merged([*found, (at, at + EDGE)])
