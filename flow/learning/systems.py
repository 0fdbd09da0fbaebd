"""The paper's systems of class-incremental learning, each in float or in the chip's integers.

system            learns in a session                          starts from
naive             the new classes                              the last session's classifier
naive-reset       the new classes                              a fresh classifier
cumulative        all classes seen so far                      the last session's classifier
cumulative-reset  all classes seen so far                      a fresh classifier
latent            the new classes and remembered latents       the last session's classifier
native            the new classes and remembered images        the last session's network

All but `native` keep the feature extractor as it is. A memory is measured in bits: of latents, or of
images as the network's thermometer distinguishes them (`NetworkSpec.native_image_bits`). It is
shared equally by the classes seen.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnoreplay.flow.learning import cil
from xnoreplay.flow.learning.cil import Latents
from xnoreplay.flow.run.workers import still_wanted
from xnoreplay.spec import limits, presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, require
from xnoreplay.spec.presets import Preset

SYSTEMS = ("naive", "naive-reset", "cumulative", "cumulative-reset", "latent", "native")
RULES = ("float", "chip")
LOSSES = {"cce": "CCE", "fcce": "focal CCE", "sh": "squared hinge"}
REMEMBERING = ("latent", "native")
NATIVE_EPOCHS = 10
FRESH = 1 << 12  # hidden proxies of a fresh chip start in plus or minus this, of 2^15


@dataclass(frozen=True)
class Variant:
    """One system, and how it learns.

    Parameters
    ----------
    system : str
        One of `SYSTEMS`.
    rule : str
        "float": Adam and the STE; "chip": the integer rule.
    loss : str
        One of `LOSSES`.
    balanced : bool
        Weigh classes against their frequency.
    megabits : float, optional
        Of the memory, in 10^6 bits; the preset's replay memory if not given.
    epochs : int, optional
        Of a session; for the chip's rule the target's, else `cil.FLOAT_EPOCHS` or `NATIVE_EPOCHS`.

    Raises
    ------
    SpecError
        For a combination that there is not.
    """

    system: str = "latent"
    rule: str = "float"
    loss: str = "cce"
    balanced: bool = True
    megabits: float | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        require.choice("system", self.system, SYSTEMS)
        require.choice("rule", self.rule, RULES)
        require.choice("loss", self.loss, tuple(LOSSES))
        plain = (self.loss, self.balanced) != ("cce", True)
        if self.rule == "chip" and (self.system == "native" or plain):
            raise SpecError(
                "the chip's rule must have a frozen feature extractor and weighted cross-entropy, "
                f"not {self.label}"
            )
        if self.megabits is not None:
            if self.system not in REMEMBERING:
                raise SpecError(
                    f"system {self.system!r} must have no memory, not {self.megabits:g} Mb"
                )
            if not self.megabits > 0:
                raise SpecError(f"a memory must have more than 0 Mb, not {self.megabits:g}")
            limits.number("megabits", self.megabits, "the Mb of a memory")
        if self.epochs is not None:
            limits.count("epochs", self.epochs)

    @property
    def label(self) -> str:
        """The variant in words."""
        kind = "weighted" if self.balanced else "plain"
        memory = "" if self.megabits is None else f", {self.megabits:.15g} Mb"
        rule = "chip's integers" if self.rule == "chip" else "float"
        return f"{self.system}, {rule}, {kind} {LOSSES[self.loss]}{memory}"

    def capacity(self, preset: Preset) -> int:
        """Return how many samples the memory holds."""
        net = preset.network
        if self.megabits is None and preset.target.replay == "generative":
            raise SpecError(
                f"the Mb of the memory must be given for {self.label!r}, because the preset's generative replay "
                "keeps no samples"
            )
        bits = preset.target.replay_capacity * net.latent
        if self.megabits is not None:
            bits = round(self.megabits * 1e6)
        return bits // (net.native_image_bits if self.system == "native" else net.latent)


class Memory:
    """The indices of the training samples that are remembered, chosen so that classes are balanced.

    Capacity is shared equally among the classes seen; what is left over goes to classes drawn at
    random, one sample each, of those that have one more. Which samples a class keeps is drawn, too.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.held: list[np.ndarray] = []
        self._rng = np.random.default_rng(seed)

    def admit(self, labels: np.ndarray, classes: range) -> None:
        """Add samples of new classes, for which old classes make room; `labels` (n,) are of all training samples."""
        self.held += [np.flatnonzero(labels == c) for c in classes]
        seen = len(self.held)
        quota = np.full(seen, self.capacity // seen)
        more = [c for c in self._rng.permutation(seen) if len(self.held[c]) > quota[c]]
        quota[more[: self.capacity % seen]] += 1
        self.held = [self._rng.permutation(h)[:q] for h, q in zip(self.held, quota, strict=True)]

    @property
    def indices(self) -> np.ndarray:
        """(n,) int64 indices of all remembered samples."""
        return np.concatenate([np.empty(0, np.int64), *self.held])


def learn_variant(  # noqa: PLR0913  each is a choice of the experiment
    variant: Variant,
    preset: Preset,
    bundle: Bundle,
    latents: Latents,
    seed: int,
    images: Latents | None = None,
    checkpoint: Path | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> dict:
    """Learn a scenario with one system, and return what `cil.evaluate` returns.

    Parameters
    ----------
    variant : Variant
        The system and its rule.
    preset : Preset
        With the scenario.
    bundle : Bundle
        With extractor and classifier of the base.
    latents : Latents
        In the order of `seed`.
    seed : int
        Of memory and training.
    images : Latents, optional
        For native replay: the same samples as images, from `pictures`.
    checkpoint : Path, optional
        For native replay: of the pre-training, for the real proxies that the bundle does not have.
    report : callable
        Receives the log lines of native replay's trainings.

    Raises
    ------
    SpecError
        Where native replay lacks its images or its checkpoint.
    """
    if variant.system == "native":
        if images is None:
            raise SpecError("native replay must have the data set's images, but none are given")
        return _native(variant, preset, bundle, images, seed, checkpoint, report)
    if variant.rule == "chip":
        return _chip(variant, preset, bundle, latents, seed)
    return _float(variant, preset, bundle, latents, seed)


def pictures(preset: Preset) -> Latents:
    """Return the images of a scenario's classes in the order of its latents."""
    from xnoreplay.flow.datasets import registry

    dataset = registry.of_preset(preset)
    classes = preset.scenario.chip_classes(dataset.labels)
    train, test = (classes >= 0) & ~dataset.is_test, (classes >= 0) & dataset.is_test
    return Latents(dataset.images[train], classes[train], dataset.images[test], classes[test])


def _sources(variant: Variant, preset: Preset, samples: Latents, seed: int):
    """Return a function from the number of a task to the indices of the training samples of its session."""
    scenario, memory = preset.scenario, Memory(variant.capacity(preset), seed)

    def source(task: int) -> np.ndarray:
        new = scenario.task_classes(task)
        if variant.system.startswith("naive"):
            return np.flatnonzero(np.isin(samples.train_class, list(new)))
        if variant.system.startswith("cumulative"):
            return np.flatnonzero(samples.train_class < scenario.seen(task))
        held = memory.indices
        memory.admit(samples.train_class, new)
        return np.concatenate([held, np.flatnonzero(np.isin(samples.train_class, list(new)))])

    return source


def _float(variant, preset, bundle, latents, seed) -> dict:
    source = _sources(variant, preset, latents, seed)

    def samples(task: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = source(task)
        return latents.train[chosen], latents.train_class[chosen]

    return cil.float_sessions(
        preset,
        bundle,
        latents,
        seed,
        samples,
        reset=variant.system.endswith("-reset"),
        balanced=variant.balanced,
        loss=variant.loss,
        epochs=variant.epochs or cil.FLOAT_EPOCHS,
    )


def _chip(variant, preset, bundle, latents, seed) -> dict:
    if variant.epochs is not None:
        preset = presets.vary(preset, "target", epochs=variant.epochs)
    if variant.system == "latent" and preset.target.replay == "generative":
        if variant.megabits is not None:
            raise SpecError(
                f"generative replay must have the size that follows from its dials, not {variant.megabits:g} Mb"
            )
        return cil.chip(preset, bundle, latents, seed)
    if variant.system == "latent":
        capacity = min(variant.capacity(preset), cil.most_latents(preset.scenario, latents))
        return cil.chip(
            presets.vary(preset, "target", replay_capacity=capacity), bundle, latents, seed
        )
    if not variant.system.endswith("-reset"):
        method = {"naive": cil.naive, "cumulative": cil.cumulative}[variant.system]
        return method(preset, bundle, latents, seed)
    return _chip_reset(variant, preset, bundle, latents, seed)


def _chip_reset(variant, preset, bundle, latents, seed) -> dict:
    """Score sessions that each begin on a new chip: random hidden rows, output rows of no class yet."""
    source, scenario = _sources(variant, preset, latents, seed), preset.scenario
    target = dataclasses.replace(
        preset.target,
        replay="stored",
        replay_capacity=cil.most_latents(scenario, latents),
        staging_capacity=0,
    )
    learner = cil.power_on(target, bundle, seed)

    def session(task: int) -> None:
        nonlocal learner
        if task == 0:
            learner.arrive(scenario.seen(0))  # the base classifier is the bundle's
            return
        learner = cil.power_on(target, fresh(bundle, seed + task), seed)
        learner.arrive(scenario.seen(task))
        for i in source(task):
            learner.insert(latents.train[i], int(latents.train_class[i]))
        learner.retrain()

    return cil.evaluate(scenario, latents, session, lambda z: learner.predict(z))


def fresh(bundle: Bundle, seed: int) -> Bundle:
    """Return the bundle with a classifier that has learnt nothing: drawn hidden rows, cancelling pairs."""
    from xnoreplay.model.network.float_rule import PAIR_OFFSET
    from xnoreplay.spec.bundle import MASTER_BITS

    rng = np.random.default_rng(seed)
    hidden = rng.integers(-FRESH, FRESH, bundle.hidden.shape, dtype=np.int16)
    half = round(PAIR_OFFSET * 2 ** (MASTER_BITS - 1))
    output = np.empty_like(bundle.output)
    output[:, 0], output[:, 1] = half, -half
    return dataclasses.replace(bundle, hidden=hidden, output=output)


def _native(variant, preset, bundle, images, seed, checkpoint, report) -> dict:
    from xnoreplay.model.training import native

    scenario, seen = preset.scenario, 0
    source = _sources(variant, preset, images, seed)

    def note(line: str) -> None:
        still_wanted()
        report(f"native replay, seed {seed}, {seen} classes | {line}")

    network = native.Native(
        bundle,
        native.start(bundle, checkpoint),
        scenario.dataset,
        seed=seed,
        epochs=variant.epochs or NATIVE_EPOCHS,
        loss=variant.loss,
        balanced=variant.balanced,
        report=note,
    )

    def session(task: int) -> None:
        nonlocal seen
        seen = scenario.seen(task)
        chosen = source(task)
        if task:
            network.session(images.train[chosen], images.train_class[chosen], seen, task)

    return cil.evaluate(scenario, images, session, lambda x: network.predict(x, seen))
