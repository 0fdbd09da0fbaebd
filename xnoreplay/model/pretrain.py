"""Pre-training of the feature extractor and the classifier on the base classes.

`run` trains alone, or leads the processes that torchrun has started; the others call `follow`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.model import checkpoint, distributed, native, training
from xnoreplay.model import teacher as teachers
from xnoreplay.model.distributed import Processes
from xnoreplay.model.losses import ClassLoss
from xnoreplay.model.network import FBNN
from xnoreplay.model.objective import Objective
from xnoreplay.model.recipe import Recipe, recipe_of
from xnoreplay.model.samples import Dataset, Samples, of_classes
from xnoreplay.model.teacher import Lesson, Teacher
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import require
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset

CHECKPOINT, TEACHER = "pretrain.safetensors", "teacher.safetensors"
STARTED_RATE = 0.5  # of a recipe's learning rate, for a network that is trained already
STARTED_PROXY = 0.01
"""Distance from 0 at which its extractor's proxies start. The learning rate is what a proxy moves by
in a step: at 0.05, the middle of the range that proxies are drawn from, hardly a bit changes."""
SAVES = 10  # checkpoints of one run at ends of epochs, spread evenly
SAVE_SECONDS = 60.0  # between two checkpoints, anywhere in an epoch: what a stop can cost


def thresholds(net: NetworkSpec, max_pixel: int) -> np.ndarray:
    """Thermometer thresholds: N levels in the middles of N equal parts of 0..max_pixel.

    Level i of N is ceil((2 i + 1) max_pixel / (2 N)); with as many levels as grey steps, 1..N.
    (sum of levels,) uint8.
    """
    rows = [-(-(2 * np.arange(n) + 1) * max_pixel // (2 * n)) for n in net.levels]
    return np.concatenate(rows).astype(np.uint8)


def equalised(net: NetworkSpec, images: np.ndarray) -> np.ndarray:
    """Thermometer thresholds: N levels at the quantiles (2 i + 1) / (2 N) of a channel's pixels.

    images (n, height, width, channels) uint8 -> (sum of levels,) uint8.
    """
    parts = []
    for channel, levels in enumerate(net.levels):
        share = np.bincount(images[..., channel].ravel(), minlength=256).cumsum()
        wanted = (2 * np.arange(levels) + 1) * share[-1] / (2 * levels)
        parts.append(np.searchsorted(share, wanted))
    return np.concatenate(parts).astype(np.uint8)


def build(
    preset: Preset, dataset: Dataset, recipe: Recipe, seed: int, all_classes: bool = False
) -> FBNN:
    """The untrained network, with an output row for every class and pseudo-class."""
    net, classes = preset.network, trained_classes(preset, all_classes)
    if recipe.equalised:
        levels = equalised(net, _samples(preset, dataset, classes).images)
    else:
        levels = thresholds(net, dataset.max_pixel)
    return FBNN(net, levels, recipe.classes(classes), seed)


def trained_classes(preset: Preset, all_classes: bool) -> int:
    """How many classes the pre-training sees: the base (RPT), or all of the scenario (FPT)."""
    return preset.scenario.classes if all_classes else preset.scenario.base


def _samples(preset: Preset, dataset: Dataset, classes: int) -> Samples:
    return of_classes(preset.scenario, range(classes), dataset.train_images, dataset.train_labels)


def _tests(preset: Preset, dataset: Dataset, classes: int) -> Samples:
    return of_classes(preset.scenario, range(classes), dataset.test_images, dataset.test_labels)


class Resumed(NamedTuple):
    """What a checkpoint of the same training holds; nothing, where there is none.

    tensors : of `checkpoint.load`
    epochs, within : that are done, and steps of the next one
    """

    tensors: dict
    epochs: int
    within: int


class Record(NamedTuple):
    """Where a training leaves its checkpoint, and what tells it from every other training."""

    path: Path
    config: dict


class Job(NamedTuple):
    """A training, as the leading process tells it to the others."""

    preset: Preset
    seed: int
    epochs: int
    all_classes: bool
    recipe: Recipe
    start: dict  # of tensors: a trained network, from `native.start`
    resumed: Resumed
    lesson: Resumed | None  # of the teacher's training


def run(
    preset: Preset,
    dataset: Dataset,
    out_dir: Path,
    seed: int = 0,
    epochs: int | None = None,
    all_classes: bool = False,
    objective: str = "supervised",
    start: Bundle | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Train, or go on training where a checkpoint of the same run was left, in the middle of an
    epoch too.

    Parameters
    ----------
    preset : Preset
    dataset : Dataset
        As `xnoreplay.flow.data.load` gives it for the preset's network.
    out_dir : Path
        Where the checkpoint lies, and goes; beside it a teacher's, where the objective has one.
    seed : int
        Of the initial proxies, the order of samples and the augmentation.
    epochs : int, optional
        Instead of the data set's recipe.
    all_classes : bool
        Train on every class of the scenario, not on the base alone.
    objective : str
        One of `xnoreplay.model.recipe.OBJECTIVES`.
    start : Bundle, optional
        A trained network of the preset's to go on from, at half the recipe's learning rate: its
        thresholds, its classifier, and its extractor's bits, whose proxies start at plus or minus
        `STARTED_PROXY`. Rows of classes after the base, of which a bundle has none, start at random.
    report : callable
        Receives a log line every `training.REPORT_SECONDS`.

    Returns
    -------
    Path
        The finished checkpoint, for `xnoreplay.model.export.run`.
    """
    recipe = recipe_of(dataset.name, objective)
    if start is not None:
        recipe = replace(recipe, learning_rate=STARTED_RATE * recipe.learning_rate)
    epochs = recipe.epochs if epochs is None else epochs
    require.positive("epochs", epochs)
    config = {
        "preset": presets.to_dict(preset),
        "dataset": dataset.name,
        "recipe": asdict(recipe),
        "seed": seed,
        "epochs": epochs,
    }
    if all_classes:
        config["all_classes"] = True
    if start is not None:
        known = {n: start.provenance[n] for n in ("epochs", "start") if n in start.provenance}
        config["start"] = {"digest": bundles.digest(start), "proxy": STARTED_PROXY} | known
    records = {name: Record(Path(out_dir) / name, config) for name in (CHECKPOINT, TEACHER)}
    lesson = None
    if recipe.distilled:
        records[TEACHER] = Record(Path(out_dir) / TEACHER, _lesson(preset, recipe, config))
        lesson = _left(records[TEACHER], report)
    processes = distributed.join()
    begin = {} if start is None else native.start(start, distance=STARTED_PROXY)
    left = _left(records[CHECKPOINT], report)
    job = Job(preset, seed, epochs, all_classes, recipe, begin, left, lesson)
    distributed.say(job)
    _train(job, dataset, processes, report, records)
    return records[CHECKPOINT].path


def _lesson(preset: Preset, recipe: Recipe, config: dict) -> dict:
    """What a teacher's training depends on, of what its pupil's does."""
    taken = {name: config[name] for name in ("dataset", "seed", "all_classes") if name in config}
    learned = teachers.recipe_of(recipe)
    return taken | {
        "scenario": config["preset"]["scenario"],
        "image": preset.network.image_shape,
        "recipe": asdict(learned),
        "epochs": learned.epochs,
    }


def follow(load: Callable[[Preset], Dataset]) -> None:
    """Take part in the trainings that the leading process starts, until it has no more.

    load : gives the data set of a preset
    """
    processes = distributed.join()
    while (job := distributed.say()) is not None:
        _train(job, load(job.preset), processes)
    distributed.leave()


def _train(job: Job, dataset, processes: Processes, report=lambda _line: None, records=None):
    """What `run` and `follow` share; only the leading process has records."""
    records = records or {}
    known = trained_classes(job.preset, job.all_classes)
    samples = _samples(job.preset, dataset, known)
    weights = job.recipe.weights(np.bincount(samples.classes, minlength=known))
    network = build(job.preset, dataset, job.recipe, job.seed, job.all_classes)
    if job.start:
        native.adopt(network, job.start)
    objective = Objective(network, ClassLoss(weights), job.recipe, dataset.max_pixel)
    objective.to(processes.device)
    teacher = None
    if job.lesson is not None:
        tests = _tests(job.preset, dataset, known)
        teacher = _taught(job, samples, tests, processes, report, records.get(TEACHER))
    fit = training.Fit(
        objective, training.adam(objective, job.recipe), job.recipe, samples, known, job.seed,
        job.epochs, processes, teacher,
    )  # fmt: skip
    _fit(fit, job.resumed, report, records.get(CHECKPOINT))
    if job.start:
        report(f"bits turned since the start: {_turned(job.start, network)}")


def _turned(start: dict, network: FBNN) -> str:
    """Shares of the bits of the extractor's layers that are no longer what they were, in words."""
    shares = [
        f"{name.removesuffix('.weight')} {((start[name] >= 0) != (w.detach().cpu() >= 0)).double().mean():.1%}"
        for name, w in network.named_parameters()
        if not name.startswith("classifier.")
    ]
    return ", ".join(shares)


def _taught(job: Job, samples: Samples, tests: Samples, processes, report, record) -> Teacher:
    """The trained teacher of a job; says how many samples and test samples it recognises.

    The leading process trains it while the others wait: it takes a small part of the time, and what
    it has learnt then does not depend on how many they are.
    """
    recipe, known = teachers.recipe_of(job.recipe), trained_classes(job.preset, job.all_classes)
    counts = np.bincount(samples.classes, minlength=known)
    teacher = Teacher(samples.images, recipe.classes(known), job.seed, recipe.packed)
    lesson = Lesson(teacher, ClassLoss(recipe.weights(counts))).to(processes.device)
    if record is None:
        teacher.load_state_dict(distributed.say())
        return teacher.eval()
    fit = training.Fit(
        lesson, teachers.sgd(lesson, recipe), recipe, samples, known, job.seed, recipe.epochs,
        replace(processes, count=1),
    )  # fmt: skip
    _fit(fit, job.lesson, lambda line: report(f"teacher | {line}"), record)
    distributed.say({name: t.cpu() for name, t in teacher.state_dict().items()})
    teacher.eval()
    if job.lesson.epochs < recipe.epochs:
        train, test = (teacher.accuracy(s, known) for s in (samples, tests))
        report(f"teacher | recognises {train:.1%} of the training and {test:.1%} of the test images")
    return teacher


def _fit(fit: training.Fit, resumed: Resumed, report, record: Record | None) -> None:
    """Train from where a checkpoint left off, and leave checkpoints."""
    if resumed.tensors:
        checkpoint.restore(resumed.tensors, fit.objective, fit.optimizer)
    first = resumed.epochs * fit.steps + min(resumed.within, fit.steps)
    saved = time.monotonic()

    def save(done: int) -> None:
        nonlocal saved
        epoch, within = divmod(done, fit.steps)
        due = not within and (epoch == fit.epochs or epoch % max(1, fit.epochs // SAVES) == 0)
        if record is None or not (due or time.monotonic() - saved >= SAVE_SECONDS):
            return
        state = {"config": record.config, "epoch": epoch, "within": within, "steps": fit.steps,
                 "hardware": fit.processes.hardware}  # fmt: skip
        checkpoint.save(record.path, fit.objective, fit.optimizer, state)
        saved = time.monotonic()

    training.run(fit, first, report, save)


def _left(record: Record, report: Callable[[str], None]) -> Resumed:
    """What a checkpoint of the same run holds, if there is one."""
    path, config = record
    if not path.exists():
        return Resumed({}, 0, 0)
    tensors, state = checkpoint.load(path)
    if state["config"] != json.loads(json.dumps(config)):
        report(f"{path.name} is of another run: starting afresh")
        return Resumed({}, 0, 0)
    within = f" and {state['within']} of {state['steps']} steps" if state["within"] else ""
    report(
        f"{path.name} has {state['epoch']} of {config['epochs']} epochs{within}: going on from there"
    )
    return Resumed(tensors, state["epoch"], state["within"])
