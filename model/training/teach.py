"""The training of a teacher, before that of the binary network."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.training import resuming
from xnoreplay.model.training.distributed import Processes
from xnoreplay.model.training.loop import Fit
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.model.training.resuming import Record
from xnoreplay.model.training.samples import Dataset, digest, halves
from xnoreplay.model.training.teacher import Lesson, Teacher
from xnoreplay.spec import presets
from xnoreplay.spec.presets import Preset

CHECKPOINT = "teacher.safetensors"
EPOCHS, BATCH = 20, 128


def recipe_for(recipe: Recipe) -> Recipe:
    """Return the recipe of a teacher: on the images of the binary network's recipe, moved twice as far and with holes.

    A network of real weights learns fast, and by heart what it sees often.
    """
    return Recipe(
        epochs=EPOCHS,
        batch=BATCH,
        learning_rate=0.1,
        warm=0.2,
        shift=2 * recipe.shift,
        border=recipe.border,
        flipped=recipe.flipped,
        mirrored=recipe.mirrored,
        joined=recipe.joined,
        holes=True,
        packed=recipe.packed,
        threads=recipe.threads,
    )


def train_teacher(  # noqa: PLR0913  each is a choice of the training
    preset: Preset,
    dataset: Dataset,
    classes: int,
    recipe: Recipe,
    seed: int,
    folder: Path,
    processes: Processes,
    report: Callable[[str], None],
) -> dict[str, Tensor]:
    """Train a teacher on the first classes, or take the one that was trained.

    The leading process trains it while the others wait: its batch normalisation sees whole minibatches.

    Parameters
    ----------
    preset : Preset
        With the scenario.
    dataset : Dataset
        The images.
    classes : int
        How many classes it learns.
    recipe : Recipe
        Of the binary network.
    seed : int
        Of the initial weights and the order of samples.
    folder : Path
        Where the checkpoint lies, and goes.
    processes : Processes
        Of which the leading one trains.
    report : callable
        Receives log lines, the last with the accuracies of training and test images.

    Returns
    -------
    dict of Tensor
        Its state, on the CPU.
    """
    learned = recipe_for(recipe)
    train, test = halves(preset.scenario, classes, dataset)
    config = {
        "scenario": presets.to_dict(preset)["scenario"],
        "image": preset.network.image_shape,
        "classes": classes,
        "samples": digest(train),
        "recipe": asdict(learned),
        "seed": seed,
        "epochs": learned.epochs,
    }
    channels, rows = preset.network.image_shape[-1], learned.classes(classes)
    teacher = Teacher(channels, rows, seed, learned.packed)
    teacher.scale_inputs(train.images)
    weights = learned.weights(np.bincount(train.classes, minlength=classes))
    lesson = Lesson(teacher, ClassLoss(weights)).to(processes.device)
    optimizer = torch.optim.SGD(
        lesson.parameters(), learned.learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    alone = replace(processes, count=1)
    fit = Fit(lesson, optimizer, learned, train, classes, seed, learned.epochs, alone)
    record = Record(folder / CHECKPOINT, config)
    resumed = record.load(report)
    resuming.train_on(fit, resumed, lambda line: report(f"teacher | {line}"), record)
    if resumed.epochs < learned.epochs:
        teacher.eval()
        seen, unseen = (teacher.accuracy(samples, classes) for samples in (train, test))
        report(
            f"teacher | recognises {seen:.1%} of the training and {unseen:.1%} of the test images"
        )
    return {name: t.cpu() for name, t in teacher.state_dict().items()}
