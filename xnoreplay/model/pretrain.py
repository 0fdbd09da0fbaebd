"""Pre-training of the feature extractor and the classifier on the base classes."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from xnoreplay.model import checkpoint
from xnoreplay.model.losses import WeightedCCE
from xnoreplay.model.network import FBNN
from xnoreplay.model.objective import Objective
from xnoreplay.model.recipe import Recipe, recipe_of
from xnoreplay.model.samples import Dataset, Samples, of_classes
from xnoreplay.spec import presets
from xnoreplay.spec.errors import require
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset

CHECKPOINT = "pretrain.safetensors"
REPORT_SECONDS = 2.0  # between two log lines
SAVES = 10  # checkpoints of one run, spread evenly
SAVE_SECONDS = 60.0  # after which an epoch is worth a checkpoint of its own


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


def run(
    preset: Preset,
    dataset: Dataset,
    out_dir: Path,
    seed: int = 0,
    epochs: int | None = None,
    all_classes: bool = False,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Train, or go on training where a checkpoint of the same run was left.

    Parameters
    ----------
    preset : Preset
    dataset : Dataset
        As `xnoreplay.flow.data.load` gives it for the preset's network.
    out_dir : Path
        Where the checkpoint lies, and goes.
    seed : int
        Of the initial proxies, the order of samples and the augmentation.
    epochs : int, optional
        Instead of the data set's recipe.
    all_classes : bool
        Train on every class of the scenario, not on the base alone.
    report : callable
        Receives a log line every `REPORT_SECONDS`.

    Returns
    -------
    Path
        The finished checkpoint, for `xnoreplay.model.export.run`.
    """
    recipe = recipe_of(dataset.name)
    epochs = recipe.epochs if epochs is None else epochs
    require.positive("epochs", epochs)
    known = trained_classes(preset, all_classes)
    samples = _samples(preset, dataset, known)
    weights = recipe.weights(np.bincount(samples.classes, minlength=known))
    steps = math.ceil(recipe.size(len(samples.classes)) / recipe.batch)
    network = build(preset, dataset, recipe, seed, all_classes)
    objective = Objective(network, WeightedCCE(weights), recipe, dataset.max_pixel)
    optimizer = torch.optim.Adam(objective.parameters(), recipe.learning_rate, fused=True)
    config = {
        "preset": presets.to_dict(preset),
        "dataset": dataset.name,
        "recipe": asdict(recipe),
        "seed": seed,
        "epochs": epochs,
    }
    if all_classes:
        config["all_classes"] = True
    path = Path(out_dir) / CHECKPOINT
    first = _resume(path, config, objective, optimizer, report)
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    clock = time.monotonic()
    reported, saved, loss_sum, loss_steps, done = clock, clock, 0.0, 0, 0
    for epoch in range(first, epochs):
        rng = np.random.default_rng([seed, epoch])  # so that a resumed run draws the same
        images, classes = recipe.epoch(samples, known, rng)
        for i in range(steps):
            batch = slice(i * recipe.batch, (i + 1) * recipe.batch)
            step = epoch * steps + i
            rate = recipe.learning_rate * (1 + math.cos(math.pi * step / (epochs * steps))) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = objective(torch.from_numpy(images[batch]), torch.from_numpy(classes[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            objective.clip()
            loss_sum, loss_steps, done = loss_sum + float(loss.detach()), loss_steps + 1, done + 1
            now, last = time.monotonic(), step + 1 == epochs * steps
            if last or now - reported >= REPORT_SECONDS:
                pace = (now - clock) / done
                report(
                    f"epoch {epoch + 1}/{epochs} | step {step + 1:05d}/{epochs * steps:05d} | "
                    f"loss {loss_sum / loss_steps:.4f} | lr {rate:.1e} | {pace * 1e3:.0f} ms/step "
                    f"| {recipe.batch / pace:.0f} images/s | eta {pace * (epochs * steps - step - 1) / 60:.1f} min"
                )
                reported, loss_sum, loss_steps = now, 0.0, 0
        even = (epoch + 1) % max(1, epochs // SAVES) == 0
        if even or epoch + 1 == epochs or time.monotonic() - saved >= SAVE_SECONDS:
            checkpoint.save(path, objective, optimizer, {"config": config, "epoch": epoch + 1})
            saved = time.monotonic()
    return path


def _resume(path, config, objective, optimizer, report) -> int:
    """Restore a checkpoint of the same run, if there is one; returns the epochs it has done."""
    if not path.exists():
        return 0
    tensors, state = checkpoint.load(path)
    if state["config"] != json.loads(json.dumps(config)):
        report(f"{path.name} is of another run: starting afresh")
        return 0
    checkpoint.restore(tensors, objective, optimizer)
    report(f"{path.name} has {state['epoch']} of {config['epochs']} epochs: going on from there")
    return state["epoch"]
