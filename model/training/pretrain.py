"""Pre-training of the feature extractor and the classifier on the base classes.

`pretrain` trains alone, or leads the processes that torchrun has started; the others call `follow`.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training import distributed, loop, native, resuming, teach
from xnoreplay.model.training.distributed import Processes
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Recipe, recipe_of
from xnoreplay.model.training.resuming import Record, Resumed
from xnoreplay.model.training.samples import Dataset, Samples, channel_counts, digest, of_classes
from xnoreplay.model.training.teacher import Teacher
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.rows import Images

CHECKPOINT = "pretrain.safetensors"
STARTED_RATE = 0.5  # of a recipe's learning rate, for a network that is trained already


def thresholds(net: NetworkSpec, max_pixel: int) -> np.ndarray:
    """Return thermometer thresholds: N levels in the middles of N equal parts of 0..max_pixel.

    Level i of N is ceil((2 i + 1) max_pixel / (2 N)); with as many levels as grey steps, 1..N.
    (sum of levels,) uint8.
    """
    rows = [-(-(2 * np.arange(n) + 1) * max_pixel // (2 * n)) for n in net.levels]
    return np.concatenate(rows).astype(np.uint8)


def equalised(net: NetworkSpec, images: Images) -> np.ndarray:
    """Return thermometer thresholds: N levels at the quantiles (2 i + 1) / (2 N) of a channel's pixels.

    images (n, height, width, channels) uint8 -> (sum of levels,) uint8.
    """
    parts = []
    for channel, levels in enumerate(net.levels):
        share = channel_counts(images, channel).cumsum()
        wanted = (2 * np.arange(levels) + 1) * share[-1] / (2 * levels)
        parts.append(np.searchsorted(share, wanted))
    return np.concatenate(parts).astype(np.uint8)


def build(
    preset: Preset, dataset: Dataset, recipe: Recipe, seed: int, all_classes: bool = False
) -> FBNN:
    """Make the untrained network, with an output row for every class and pseudo-class."""
    net, classes = preset.network, trained_classes(preset, all_classes)
    if recipe.equalised:
        levels = equalised(net, _samples(preset, dataset, classes).images)
    else:
        levels = thresholds(net, dataset.max_pixel)
    return FBNN(net, levels, recipe.classes(classes), seed)


def trained_classes(preset: Preset, all_classes: bool) -> int:
    """Return how many classes the pre-training sees: the base (RPT), or all of the scenario (FPT)."""
    return preset.scenario.classes if all_classes else preset.scenario.base


def _samples(preset: Preset, dataset: Dataset, classes: int) -> Samples:
    return of_classes(preset.scenario, range(classes), dataset.train_images, dataset.train_labels)


class Job(NamedTuple):
    """A training, as the leading process describes it to the others."""

    preset: Preset
    seed: int
    epochs: int
    all_classes: bool
    recipe: Recipe
    start: dict  # of tensors: a trained network, from `native.start`
    taught: dict  # of tensors: a trained teacher's state, from `teach.train_teacher`
    resumed: Resumed


def pretrain(  # noqa: PLR0913  each is a choice of the training
    preset: Preset,
    dataset: Dataset,
    out_dir: Path,
    seed: int = 0,
    epochs: int | None = None,
    all_classes: bool = False,
    objective: str = "supervised",
    start: Bundle | None = None,
    augment: bool = True,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Train the network, or go on training from a checkpoint of the same run, in the middle of an epoch too.

    Parameters
    ----------
    preset : Preset
        With network and scenario.
    dataset : Dataset
        As `xnoreplay.flow.datasets.registry.load` gives it for the preset's network.
    out_dir : Path
        Where the checkpoint lies, and goes; beside it a teacher's, where the objective has one.
    seed : int
        Of the initial proxies, the order of samples and the augmentation.
    epochs : int, optional
        Instead of the data set's recipe.
    all_classes : bool
        Train on every class of the scenario, not on the base alone.
    objective : str
        One of `xnoreplay.model.training.recipe.OBJECTIVES`.
    start : Bundle, optional
        A trained network of the preset's to go on from, at half the recipe's learning rate: its
        thresholds, its classifier, and its extractor's bits, whose proxies start at plus or minus
        `native.STARTED_PROXY`. Rows of classes after the base, of which a bundle has none, start at random.
    augment : bool
        Move and mirror images. Without, the network sees each of them as it is, and learns them by heart
        the sooner; a teacher still sees them with holes.
    report : callable
        Receives a log line every `loop.REPORT_SECONDS`.

    Returns
    -------
    Path
        The finished checkpoint, for `xnoreplay.model.export.export_bundle`.
    """
    recipe = recipe_of(dataset.name, objective, augment)
    if start is not None:
        recipe = replace(recipe, learning_rate=STARTED_RATE * recipe.learning_rate)
    epochs = recipe.epochs if epochs is None else epochs
    limits.count("training epochs", epochs, "epochs")
    config = {
        "preset": presets.to_dict(preset),
        "dataset": dataset.name,
        "samples": digest(_samples(preset, dataset, trained_classes(preset, all_classes))),
        "recipe": asdict(recipe),
        "seed": seed,
        "epochs": epochs,
    }
    if all_classes:
        config["all_classes"] = True
    if start is not None:
        told = ("epochs", "trained_classes", "recipe", "teacher", "hardware", "torch", "start")
        known = {n: start.provenance[n] for n in told if n in start.provenance}
        config["start"] = {"digest": bundles.digest(start), "proxy": native.STARTED_PROXY} | known
    if recipe.distilled:
        config["teacher"] = asdict(teach.recipe_for(recipe))
    processes, record = distributed.join(), Record(Path(out_dir) / CHECKPOINT, config)
    begin = {} if start is None else native.start(start)
    resumed, taught = record.load(report), {}
    if recipe.distilled and resumed.epochs < epochs:
        classes = trained_classes(preset, all_classes)
        taught = teach.train_teacher(
            preset, dataset, classes, recipe, seed, Path(out_dir), processes, report
        )
    job = Job(preset, seed, epochs, all_classes, recipe, begin, taught, resumed)
    distributed.broadcast(job)
    _train(job, dataset, processes, report, record)
    return record.path


def follow(load: Callable[[Preset], Dataset]) -> None:
    """Take part in the trainings that the leading process starts, until it has no more.

    Parameters
    ----------
    load : callable
        Takes a preset, and returns its data set.
    """
    processes = distributed.join()
    while (job := distributed.broadcast()) is not None:
        _train(job, load(job.preset), processes)
    distributed.leave()


def _train(job: Job, dataset, processes: Processes, report=lambda _line: None, record=None) -> None:
    """Carry a job out in the leading process or in one that follows; only the leading process has a record."""
    known = trained_classes(job.preset, job.all_classes)
    samples = _samples(job.preset, dataset, known)
    weights = job.recipe.weights(np.bincount(samples.classes, minlength=known))
    network = build(job.preset, dataset, job.recipe, job.seed, job.all_classes)
    if job.start:
        native.copy_state(network, job.start)
    objective = Objective(network, ClassLoss(weights), job.recipe, dataset.max_pixel)
    objective.to(processes.device)
    teacher = None
    if job.taught:
        teacher = Teacher.of(job.taught, job.recipe.packed, processes.device)
    fit = loop.Fit(
        objective,
        loop.adam(objective, job.recipe),
        job.recipe,
        samples,
        known,
        job.seed,
        job.epochs,
        processes,
        teacher,
    )
    resuming.train_on(fit, job.resumed, report, record)
    if job.start:
        report(f"bits turned since the start: {_changed_shares(job.start, network)}")


def _changed_shares(start: dict, network: FBNN) -> str:
    """Return the shares of the bits of the extractor's layers that are no longer what they were, in words."""
    shares = [
        f"{name.removesuffix('.weight')} {((start[name] >= 0) != (w.detach().cpu() >= 0)).double().mean():.1%}"
        for name, w in network.named_parameters()
        if not name.startswith("classifier.")
    ]
    return ", ".join(shares)
