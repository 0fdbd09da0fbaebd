"""Script steps for corner cases that ordinary data never reach: images, proxies, counters, refusals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xnoreplay.flow.verify.cosim.building import within
from xnoreplay.flow.verify.cosim.coverage import (
    Coverage,
    can_fill_staging,
    carries,
    corner_latents,
    corners,
)
from xnoreplay.flow.verify.cosim.kinds import drive_on
from xnoreplay.flow.verify.cosim.resets import HOST
from xnoreplay.flow.verify.cosim.script import Step, changing, write
from xnoreplay.spec import image as layouts
from xnoreplay.spec.bits import pack_bytes, sign, signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command, refused_arguments
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.reference import Classifier
from xnoreplay.spec.registers import Register
from xnoreplay.spec.scenario import BYTE

MOST_ROUNDS = 12  # of `rounds`, the first of which are for the counters
REACHED = (
    "replay memory",
    "predictions",
    "minibatches",
    "deltas clamped",
    "proxies at their ends",
    "updates past the ends",
    "counters moved",
)
"""Points that `rounds` go on for."""


def images(plan: Plan, bundle: Bundle, max_pixel: int, length: str = "whole") -> np.ndarray:
    """Corner images, and images whose pixels lie around every threshold; of a chip that is given latents, corner latents.

    (n, *image_shape) uint8; see `coverage.corners` and `coverage.corner_latents`.
    """
    net = plan.network
    found = []
    if not net.takes_images:
        return np.stack([pack_bytes(bits) for bits in corner_latents(plan).values()])
    for end, place in corners(net.height, net.width, length).values():
        ground, other = (0, max_pixel) if end == "least" else (max_pixel, 0)
        picture = np.full(net.image_shape, ground, np.uint8)
        if place is not None:
            picture[place] = other
        found.append(picture)
    values, first = [], 0
    for levels in net.levels:
        around = bundle.thresholds[first : first + levels].astype(int)[:, None] + (-1, 0, 1)
        values.append(np.unique(around.clip(0, BYTE)))
        first += levels
    pixels = net.height * net.width
    for start in range(0, max(map(len, values)), pixels):
        columns = [np.resize(np.roll(v, -start), pixels) for v in values]
        found.append(np.stack(columns, axis=1).reshape(net.image_shape).astype(np.uint8))
    return np.stack(found)


def shown(plan: Plan, first: int, count: int, memories: tuple[str, ...]) -> list[Step]:
    """Steps that recognise images of a script one after another.

    During the first of them, the host writes another command, which the busy chip must refuse.

    Parameters
    ----------
    plan : Plan
    first, count : int
        Images first .. first + count - 1 of the script.
    memories : tuple of str
        Memories that are compared after each step.

    Returns
    -------
    list of Step
        Infers, each with a trace of the cycles of its input phase.
    """
    windows = ((0, plan.input.cycles),)
    return [
        Step("infer", 0, first + n, memories=memories, trace=True, windows=windows, intrude=n == 0)
        for n in range(count)
    ]


def refused(classes: int, seen: int) -> list[Step]:
    """Steps that write COMMAND words which an idle chip must answer by SLVERR.

    Parameters
    ----------
    classes : int
        Of the network.
    seen : int
        Classes announced so far.

    Returns
    -------
    list of Step
        Unknown commands; of each command the arguments beside those that are taken, and of one with an image the
        greatest. Counters and registers are compared after each.
    """
    words = [0, max(Command) + 1, 0xFF]
    for command in Command:
        arguments = [argument for argument, _ in refused_arguments(command, seen, classes)]
        legal = command.arguments(seen, classes)
        chosen = {a for a in arguments if a in (legal.start - 1, legal.stop)}
        if command.image:  # none of a label's upper bits may be dropped
            chosen |= {*arguments[-1:]}
        words += [command | argument << 16 for argument in sorted(chosen)]
    return [Step("refuse", int(word), bus=True) for word in words]


@dataclass
class _Round:
    """One round of `rounds`: what it writes and does, carried out as it is put together."""

    plan: Plan
    chip: Any
    images: np.ndarray
    coverage: Coverage
    rng: np.random.Generator
    steps: list[Step]

    def do(self, *steps: Step) -> None:
        for step in steps:
            result = drive_on(step, self.chip, self.images)
            self.coverage.step(step, result, self.images)
            self.steps.append(step)

    def classify(self, rows: np.ndarray, hidden: np.ndarray) -> None:
        """Write the classifier: output (classes, latent + hidden) and hidden +-1, all at the ends."""
        rule = self.plan.rule
        half = 1 << rule.proxy_bits - 1
        output = np.where(rows > 0, half - 1, -half)[:, None].repeat(rule.proxies_per_pair, axis=1)
        classifier = Classifier(rule, np.where(hidden > 0, half - 1, -half), output)
        low = layouts.proxy_low_bits(self.plan, classifier)
        for name, bits in {"cls.top": layouts.cls_top(self.plan, classifier), **low}.items():
            self.do(write(name, bits))

    def remember(self, latents: np.ndarray, labels: np.ndarray, empty: int = 0) -> None:
        """Fill the replay memory: (n, latent) bits, (n,) classes; n is `samples`.

        With generative replay the first latents of a class become its components, each of a share of one, whose means
        are the latent's bits as far as means can be.

        empty : samples at its end that are left out
        """
        plan = self.plan
        if plan.generative:
            kept = len(labels) - empty
            self.do(*_components(plan, latents[:kept], labels[:kept]))
            return
        words = layouts.vector_words([latents], plan.target.channels)
        held = np.arange(len(labels)) < len(labels) - empty
        coded = np.where(held, labels | 1 << plan.memory("replay.label").width - 1, 0)
        counts = np.bincount(labels[held], minlength=plan.memory("replay.count").depth)
        for name, values in (("replay.label", coded), ("replay.count", counts)):
            bits = values[:, None] >> np.arange(plan.memory(name).width) & 1
            self.do(write(name, bits.astype(np.uint8)))
        self.do(write("replay.latent", words.reshape(-1, plan.target.channels)))

    @property
    def samples(self) -> int:
        """Samples that `remember` takes: one a slot, or one a component of all classes."""
        return self.plan.forgotten.depth

    def seen_by_hidden(self, latents: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """(..., latent) bits -> (..., latent + hidden) +-1: inputs of the output layer."""
        sums = signed(latents) @ hidden.T
        return np.concatenate([signed(latents), signed(sign(sums))], axis=-1)


def _components(plan: Plan, latents: np.ndarray, labels: np.ndarray) -> list[Step]:
    """Steps that write the components of samples, and those of no others."""
    form = plan.generative
    assert form is not None
    means = np.zeros((form.classes, form.components, plan.network.latent), np.int64)
    shares = np.zeros((form.classes, form.components), np.int64)
    for z, label in zip(latents, labels, strict=True):
        free = np.flatnonzero(shares[label] == 0)
        if len(free):
            shares[label, free[0]] = 1
            means[label, free[0]] = z * ((1 << form.mean_bits) - 1)
    width = plan.memory("replay.share").width
    rows = shares.reshape(-1, 1) >> np.arange(width) & 1
    opened = np.zeros((1, plan.memory("fit.open").width), np.uint8)
    return [
        write("replay.mean", layouts.planes(means, form.mean_bits, plan.target.channels)),
        write("replay.share", rows.astype(np.uint8)),
        write("fit.open", opened),
    ]


def rounds(
    plan: Plan,
    chip,
    pictures: np.ndarray,
    needed: dict[str, tuple[str, ...]],
    coverage: Coverage,
    rng: np.random.Generator,
) -> list[Step]:
    """Steps that take a chip to the required points that no data reach, in at most `MOST_ROUNDS` rounds.

    First a command is aborted in each phase that has not been. Then come rounds of every command, with memories and
    counters written before, until all points of `REACHED` are; the last step gives the counters back what they
    would be. In each round, the classifier is wrong about half of the samples and its proxies stand at their ends;
    then it is right about all; then it finds classes equal. The first rounds begin with counters just
    below a power of two.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on, and watched by `coverage`.
    pictures : ndarray
        (n, height, width, channels) uint8: images of the script.
    needed : dict of str to tuple of str
        Members of each point that the script must reach; see `coverage.required`.
    coverage : Coverage
        What the script has reached so far; these steps are counted in it.
    rng : numpy Generator
        Draws images, latents, and cycles of aborts.

    Returns
    -------
    list of Step
        They go on from where the script's commands left the chip.
    """
    made = _Round(plan, chip, pictures, coverage, rng, [])
    _abort(made, coverage.missing(needed).get("phases aborted", []))
    powers = carries(plan)
    for n in range(MOST_ROUNDS):
        bits = powers[n] if n < len(powers) else 0
        if not bits and not _open(coverage, needed):
            break
        _round(made, bits, n == 0 and can_fill_staging(plan))
    if powers:
        made.do(Step("counters", 0, bus=True))
    return made.steps


def _open(coverage: Coverage, needed: dict[str, tuple[str, ...]]) -> bool:
    """Whether rounds have not reached all that they are for."""
    return bool(coverage.missing({n: m for n, m in needed.items() if n in REACHED}))


def _round(made: _Round, bits: int, fill: bool) -> None:
    """Carry out one round of `rounds`.

    Parameters
    ----------
    made : _Round
    bits : int
        Counters begin at 2^bits - 1; where they are, if 0.
    fill : bool
        The staging memory becomes full.
    """
    plan, rng = made.plan, made.rng
    net, capacity = plan.network, made.samples
    some = changing(plan)
    image = int(rng.integers(len(made.images)))
    late = (*rng.choice([0, 1, 3], plan.input.pixels - 1).tolist(), 1)
    last = net.classes - 1
    latents, rows, hidden = _wrong(made)
    if bits:
        made.do(Step("counters", bits, bus=True))
    made.do(
        Step("infer", 0, image, late, memories=some, bus=True),
        *(Step("stage", last, image) for _ in range(plan.replay.staging + 1 if fill else 2)),
        *(_refused_restore(net.classes) if plan.generative else ()),
        Step("epoch", bus=True),
        Step("retrain", memories=some, bus=True),
        Step("rebalance", memories=some, bus=True),
        *(Step("insert", k, image, memories=some, bus=True) for k in (last, 0)),
    )
    # Full of class 0, which has more than its share, but for the last slot: that is filled, some are
    # evicted, others come.
    made.remember(np.repeat(latents[:1], capacity, axis=0), np.zeros(capacity, int), empty=1)
    rows[:] = -rows[0]
    rows[0] *= -1
    made.classify(rows, hidden)
    made.do(
        Step("retrain", memories=some, bus=True),
        Step("insert", last, image, memories=some, bus=True),
        Step("rebalance", memories=some, bus=True),
        *(Step("insert", k, image, memories=some) for k in (last, 0)),
    )
    # One sample alone; then a full memory of which any slot may be emptied.
    zeros = np.zeros(capacity, int)
    made.remember(latents, zeros, empty=capacity - 1)
    made.do(Step("retrain", memories=some, bus=True))
    made.remember(latents, zeros)
    made.do(Step("rebalance", memories=some, bus=True))
    # What the image shows belongs to the last class, to the first, and to both.
    words = made.chip.memories()["act.latent"].reshape(-1)[: net.latent]
    own = made.seen_by_hidden(words, hidden)
    for owners in ((last,), (0,), (0, last)):
        rows[:] = -own
        rows[list(owners)] = own
        made.classify(rows, hidden)
        made.do(Step("infer", 0, image, memories=some, bus=True))


def _refused_restore(classes: int) -> list[Step]:
    """Steps of a restore that refuses the last class's shares, and of one that does not: no sample is ever refused."""
    status = (int(Register.STATUS), None)
    found = []
    for seen in (classes - 1, classes):
        transfers = ((int(Register.SEEN), seen), status)
        found += [Step(HOST, transfers=transfers, bus=True), Step("restore", bus=True)]
    return found


def _wrong(made: _Round) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write memories in which the classifier is wrong.

    The classifier's first row agrees with every other sample, none of which is of class 0.

    Returns
    -------
    latents : ndarray
        (capacity, latent) bits.
    rows : ndarray
        (classes, latent + hidden) weights of the output layer, -1 and +1.
    hidden : ndarray
        (hidden, latent) weights of the hidden layer, -1 and +1.
    """
    net, rng, capacity = made.plan.network, made.rng, made.samples
    hidden = made.chip.proxies().hidden
    if made.plan.target.hidden_learns:
        hidden = rng.choice([-1, 0], hidden.shape)
    hidden = np.where(hidden >= 0, 1, -1)
    rows = rng.choice([-1, 1], (net.classes, net.output_inputs))
    latents = rng.integers(0, 2, (capacity, net.latent), dtype=np.uint8)
    labels = np.zeros(capacity, int)
    latents[::2] = latents[0]
    labels[::2] = rng.integers(1, net.classes, len(labels[::2]))
    labels[0] = net.classes - 1
    rows[0] = made.seen_by_hidden(latents[0], hidden)
    made.remember(latents, labels)
    made.classify(rows, hidden)
    return latents, rows, hidden


def _abort(made: _Round, phases: list[str]) -> None:
    """Abort a command in each of these phases, from memories in which it runs."""
    plan, capacity, last = made.plan, made.samples, made.plan.network.classes - 1
    image = int(made.rng.integers(len(made.images)))
    if phases:
        made.do(Step("rebalance"), Step("arrive", plan.network.classes))
    for phase in phases:
        latents, _, _ = _wrong(made)
        if phase == "insert":
            made.remember(latents, np.zeros(capacity, int), empty=1)
        if phase == "admit":
            made.do(Step("stage", last, image))
        for step in (
            Step("infer", 0, image),
            Step("insert", last, image),
            Step("stage", last, image),
            Step("epoch"),
            Step("rebalance"),
            Step("retrain"),
        ):
            if cycle := within(made.chip, step, made.images, phase, made.rng):
                some = changing(plan)
                made.do(replace(step, abort=cycle, memories=some, bus=True))
                break
        made.do(Step("rebalance", memories=changing(plan)))
