"""Steps whose memories are drawn bit by bit: what no session leaves there, and what no scenario meets in time.

A fault in the last bits of a division, in one proxy of many, or in the cycle in which a counter's row is
written shows in few states. Each step here is short and has such a state by chance, so many of them do.
"""

from collections.abc import Iterator

import numpy as np

from xnoreplay.flow.verify.cosim.building import phases, within
from xnoreplay.flow.verify.cosim.kinds import drive_on
from xnoreplay.flow.verify.cosim.script import Step, changing, low_bits, write
from xnoreplay.spec import image as layouts
from xnoreplay.spec.learning import BALANCE_BITS, WEIGHT_BITS
from xnoreplay.spec.plan import MANY_CYCLES, Plan
from xnoreplay.spec.reference import Classifier
from xnoreplay.spec.registers import counters

BALANCES, OF = 24, 2000
"""Frequencies of all classes that are weighed, those of so many drawn ones that lie closest to another weight: there a wrong
low bit of a sum or of a divisor changes it."""
CLASSIFIERS = 4
"""Classifiers whose proxies are drawn, and bits in columns, too, that do not exist."""
EXTRACTORS, EXTRACTOR = 4, ("weights.fe", "weights.lgap")
"""Extractors whose weights are drawn, and their memories: a given one may have channels that never change."""
TABLES = ("table.inverse", "table.weight")


def build(chip, images: np.ndarray, rng: np.random.Generator, look: dict) -> list[Step]:
    """Weigh drawn frequencies, fill up with refused samples, retrain drawn classifiers, and infer with drawn extractors.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    images : ndarray
        (n, height, width, channels) uint8: images of the script.
    rng : numpy Generator
    look : dict
        Fields of steps, that say what is looked at after them.
    """
    plan, steps = chip.plan, []

    def do(step: Step) -> None:
        drive_on(step, chip, images)
        steps.append(step)

    do(Step("rebalance"))
    do(Step("arrive", plan.network.classes))
    if plan.generative is None:
        if weighed := _until_weighed(chip, images, rng):
            held = chip.memories()["replay.count"]
            for bits in _frequencies(plan, rng):
                do(write("replay.count", bits))
                do(weighed)  # takes as long for all frequencies
            do(write("replay.count", held))
        for step in _refused(chip):
            do(step)

    for step in _classifiers(plan, images, rng, look):
        do(step)
    for step in _extractors(chip, images, rng, look):
        do(step)
    return steps


def _frequencies(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Rows of replay.count for each of `BALANCES`: (frequencies, classes, bits).

    A weight is the quotient of a numerator by the sum of the inverses (`spec.learning.class_weights`), so that its remainder says how
    far the next weight is. Half of what is chosen has a small remainder, half a large one.
    """
    width = plan.memory("replay.count").width
    counts = rng.integers(1, 1 << width, (OF, plan.network.classes))
    inverse = (1 << BALANCE_BITS) // counts
    total = inverse.sum(axis=1, keepdims=True)
    scale = plan.network.classes << WEIGHT_BITS
    rest = (scale * inverse + total // 2) % total / total
    below = rest.min(axis=1).argsort(kind="stable")[: BALANCES // 2]
    above = (1 - rest).min(axis=1).argsort(kind="stable")[: BALANCES // 2]
    return (counts[np.concatenate([below, above]), :, None] >> np.arange(width) & 1).astype(
        np.uint8
    )


def _classifiers(
    plan: Plan, images: np.ndarray, rng: np.random.Generator, look: dict
) -> Iterator[Step]:
    """Steps that write drawn classifiers, and retrain each; an image is seen before and after."""
    for _ in range(CLASSIFIERS):
        yield from _classifier(plan, rng)
        yield Step("infer", 0, int(rng.integers(len(images))), **look)
        yield Step("retrain", **look)
        yield Step("infer", 0, int(rng.integers(len(images))), **look)


def _classifier(plan: Plan, rng: np.random.Generator) -> list[Step]:
    """Steps that write drawn proxies, and drawn bits also where there is no proxy, which an update makes 0."""
    net, rule = plan.network, plan.rule
    half = 1 << rule.proxy_bits - 1
    hidden = rng.integers(-half, half, (net.hidden, net.latent))
    shape = (net.classes, rule.proxies_per_pair, net.output_inputs)
    drawn = Classifier(rule, hidden, rng.integers(-half, half, shape))
    exists = layouts.cls_top_columns(plan)
    top = np.where(exists, layouts.cls_top(plan, drawn), _bits(plan, "cls.top", rng))
    return [
        write("cls.top", top),
        *(write(name, _bits(plan, name, rng)) for name in low_bits(plan)),
    ]


def _extractors(chip, images: np.ndarray, rng: np.random.Generator, look: dict) -> Iterator[Step]:
    """Steps that write drawn weights, see an image with each, and write back what was there."""
    held = {name: bits for name, bits in chip.memories().items() if name in EXTRACTOR}
    for _ in range(EXTRACTORS if held else 0):
        yield from (write(name, _bits(chip.plan, name, rng)) for name in held)
        yield Step("infer", 0, int(rng.integers(len(images))), **look)
    yield from (write(name, bits) for name, bits in held.items())


def _bits(plan: Plan, name: str, rng: np.random.Generator) -> np.ndarray:
    """Drawn bits for all of a memory: (rows, bits)."""
    memory = plan.memory(name)
    return rng.integers(0, 2, (memory.depth, memory.width), dtype=np.uint8)


def _until_weighed(chip, images: np.ndarray, rng: np.random.Generator) -> Step | None:
    """A retraining that is aborted soon after it has weighed the classes, if one can be."""
    retrain = Step("retrain")
    after = phases(chip, retrain, images)
    for phase in after[after.index("balance") + 1 :]:
        if cycle := within(chip, retrain, images, phase, rng):
            return Step("retrain", abort=cycle, memories=TABLES)
    return None


def _refused(chip) -> list[Step]:
    """Samples of a class that has all slots, one after another, as many as there are counters.

    The counters' rows are written one a cycle, in turn. A refusal is one event of a command, and these commands take equally
    long, so that some refusal comes in the very cycle of its counter's row. Then the memories hold again what they held.
    """
    plan, held = chip.plan, chip.memories()
    names = counters(plan.memories, plan.target)
    count = min(len(names), MANY_CYCLES // 8 // plan.feature_cycles)
    if not count:
        return []
    label, counts = plan.memory("replay.label"), plan.memory("replay.count")
    labels = np.zeros((label.depth, label.width), np.uint8)
    labels[:, -1] = 1
    slots = np.zeros((counts.depth, counts.width), np.uint8)
    slots[0] = label.depth >> np.arange(counts.width) & 1
    refused = [Step("insert", 0, 0)] * (count - 1)
    return [
        write("replay.label", labels),
        write("replay.count", slots),
        *refused,
        Step("insert", 0, 0, memories=changing(plan), bus=True),
        *(write(name, held[name]) for name in ("replay.label", "replay.count")),
    ]
