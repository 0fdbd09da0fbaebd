"""Training of a network that is given latents: the classifier alone, on the base classes' latents. NumPy only.

The steps are those of `xnoreplay.model.float_classifier`; `pretrain` leaves a checkpoint, of which `export_bundle` makes the
bundle, as `xnoreplay.model.training.pretrain` and `xnoreplay.model.export` do of a network with convolutions.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.model import float_classifier
from xnoreplay.model.float_classifier import Weights
from xnoreplay.model.network.float_rule import masters, untrained
from xnoreplay.model.training.samples import Dataset, Samples, halves
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets, reading
from xnoreplay.spec.bits import ceil_div, unpack_bytes
from xnoreplay.spec.bundle import Bundle, Golden
from xnoreplay.spec.errors import SpecError, XnoreplayError
from xnoreplay.spec.features import Binariser
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset

CHECKPOINT = "pretrain.safetensors"
FORMAT = "xnoreplay-classifier-1"
GOLDEN = 16  # golden pairs: the first test samples, of base classes and later ones
MOST_SAMPLES = 200_000
"""Samples that are trained on at most, evenly spaced: 800 MB of latents of 4,096 bits."""
STARTED_RATE = 0.5  # of the recipe's learning rate, for a classifier that is trained already


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Parameters
    ----------
    batch : int
        Samples of a minibatch.
    learning_rate : float
        At the start; it falls as a half cosine to zero.
    """

    batch: int = 32
    learning_rate: float = 3e-3


STEPS, EPOCHS = 3000, (10, 200)
"""Minibatches of a training, and the least and the most epochs that they may be."""


class Latents(NamedTuple):
    """bits (n, latent) uint8; classes (n,) int64 chip classes."""

    bits: np.ndarray
    classes: np.ndarray


def epochs_for(samples: int, batch: int) -> int:
    """Return the epochs of so many samples that come nearest to `STEPS` minibatches, within `EPOCHS`.

    >>> epochs_for(1000, 32), epochs_for(10**6, 32)
    (94, 10)
    """
    least, most = EPOCHS
    return min(most, max(least, ceil_div(STEPS, ceil_div(samples, batch))))


def pretrain(  # noqa: PLR0913  each is a choice of the training
    preset: Preset,
    dataset: Dataset,
    folder: Path,
    seed: int = 0,
    epochs: int | None = None,
    all_classes: bool = False,
    objective: str = "supervised",
    start: Bundle | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Train the classifier on the base classes; an interrupted training begins again.

    Parameters
    ----------
    preset : Preset
        With a network that is given latents.
    dataset : Dataset
        Its images are packed latents.
    folder : Path
        Where the checkpoint goes.
    seed : int
        Of the initial proxies and the order of samples.
    epochs : int, optional
        In place of those of `epochs_for`.
    all_classes : bool
        Train on every class of the scenario, not on the base alone.
    objective : str
        Must be "supervised".
    start : Bundle, optional
        A trained classifier to go on from, at half the learning rate.
    report : callable
        Receives a line that says what is trained, and one that says how well.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    SpecError
        For another objective.
    """
    if objective != "supervised":
        raise SpecError(
            f"objective must be 'supervised' for a network that is given latents, not {objective!r}"
        )
    known = preset.scenario.classes if all_classes else preset.scenario.base
    train, test = (_bits(preset.network, s) for s in halves(preset.scenario, known, dataset))
    recipe = (
        Recipe() if start is None else Recipe(learning_rate=STARTED_RATE * Recipe.learning_rate)
    )
    epochs = epochs_for(len(train.classes), recipe.batch) if epochs is None else epochs
    limits.count("training epochs", epochs, "epochs")
    report(f"classifier of {known} classes: {len(train.classes):,} latents, {epochs:,} epochs")
    if start is None:
        weights = float_classifier.random_weights(preset.network, seed)
    else:
        weights = float_classifier.weights_of_bundle(start)
    weights = float_classifier.train(
        weights, train.bits, train.classes, known, seed=seed, epochs=epochs, **asdict(recipe)
    )
    report(
        f"recognised among {known} classes: {accuracy(weights, train, known):.1%} of the latents trained on, "
        f"{accuracy(weights, test, known):.1%} of those to test"
    )
    config = {
        "preset": presets.to_dict(preset),
        "seed": seed,
        "epochs": epochs,
        "recipe": asdict(recipe),
        "trained_classes": known,
    }
    if start is not None:
        config["start"] = {"digest": bundles.digest(start)}
    path = Path(folder) / CHECKPOINT
    tensors = {"hidden": weights.hidden, "output": weights.output}
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True)}
    bundles.write_tensors(path, tensors, metadata)
    return path


def export_bundle(
    preset: Preset, dataset: Dataset, path: Path, binariser: Binariser | None = None
) -> Bundle:
    """Return the bundle of a finished training.

    Parameters
    ----------
    preset : Preset
    dataset : Dataset
        The data set that the classifier was trained on.
    path : Path
        The checkpoint that `pretrain` returned.
    binariser : Binariser, optional
        What made the data set's latents of features.

    Raises
    ------
    XnoreplayError
        For a checkpoint that is unreadable, or of another network or scenario.
    """
    weights, config = _read(preset, path)
    scenario, net = preset.scenario, preset.network
    base = scenario.base
    train, test = (_bits(net, s) for s in halves(scenario, base, dataset))
    provenance = {
        "preset": preset.name,
        "dataset": dataset.name,
        "base_classes": base,
        "class_order": scenario.order.tolist(),
        "order_seed": scenario.order_seed,
        "base_train_accuracy": round(accuracy(weights, train, base), 6),
        "base_test_accuracy": round(accuracy(weights, test, base), 6),
        "base_train_samples": len(train.classes),
        "base_test_samples": len(test.classes),
        "numpy": np.__version__,
    }
    told = ("seed", "epochs", "recipe", "trained_classes", "start")
    provenance |= {name: config[name] for name in told if name in config}
    golden = np.ascontiguousarray(dataset.test_images[:GOLDEN])
    latents = unpack_bytes(golden, net.latent)
    logits = float_classifier.sums(weights, latents, base).astype(np.int32)
    return Bundle(
        network=net,
        conv=(),
        lgap=np.empty((0, 0, 0), np.uint8),
        dense=np.empty((net.latent, 0), np.uint8),
        hidden=masters(weights.hidden),
        output=np.concatenate([masters(weights.output[:base]), untrained(net, net.classes - base)]),
        thresholds=np.empty(0, np.uint8),
        golden=Golden(golden, latents, logits),
        provenance=provenance,
        interface=scenario.interface,
        binariser=binariser,
    )


def accuracy(weights: Weights, samples: Latents, classes: int) -> float:
    """Return the fraction of samples of the first classes that are recognised among them."""
    right = 0
    for start in range(0, len(samples.classes), 4096):
        part = slice(start, start + 4096)
        guessed = float_classifier.predict(weights, samples.bits[part], classes)
        right += int((guessed == samples.classes[part]).sum())
    return right / len(samples.classes)


def _bits(net: NetworkSpec, samples: Samples) -> Latents:
    """At most `MOST_SAMPLES` samples, their packed latents as bits."""
    every = ceil_div(len(samples.classes), MOST_SAMPLES)
    chosen = np.ascontiguousarray(samples.images[::every])
    return Latents(unpack_bytes(chosen, net.latent), samples.classes[::every])


def _read(preset: Preset, path: Path) -> tuple[Weights, dict]:
    """The proxies of a checkpoint, and how they were trained; raises as `export_bundle`."""
    tensors, metadata = bundles.read_tensors(path, "checkpoint", FORMAT)
    net = preset.network
    given, config = presets.to_dict(preset), reading.json_of(metadata.get("config", ""), str(path))
    for part in ("network", "scenario"):
        if not isinstance(config, dict) or config.get("preset", {}).get(part) != given[part]:
            raise XnoreplayError(
                f"checkpoint {path} must be of the {part} of preset {preset.name!r}, not of another; pre-train again"
            )
    empty = float_classifier.random_weights(net, 0)
    wanted = {
        "hidden": (empty.hidden.shape, "float32"),
        "output": (empty.output.shape, "float32"),
    }
    if wrong := bundles.mismatch(tensors, wanted):
        raise XnoreplayError(f"checkpoint {path}: {wrong}")
    return Weights(net, tensors["hidden"], tensors["output"]), config
