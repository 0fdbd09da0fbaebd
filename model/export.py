"""Conversion of a trained network to a Bundle."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.network.float_rule import masters, untrained
from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training import checkpoint
from xnoreplay.model.training.pretrain import build, trained_classes
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.model.training.samples import Dataset, Samples, halves
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle, Golden
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.rows import chunks

GOLDEN = 16  # golden pairs: the first test images, of base classes and later ones


def to_bundle(model: FBNN, base: int, golden: np.ndarray, provenance: dict) -> Bundle:
    """Return the bundle of a network: rows of the first `base` classes, later ones untrained.

    golden (n, height, width, channels) uint8 are the images to evaluate for its golden pairs.
    """
    net = model.net
    evaluation = model.evaluate(golden)
    trained = masters(model.classifier.output.detach().numpy())[:base]
    return Bundle(
        network=net,
        conv=tuple(bits_of(w).transpose(0, 2, 3, 1) for w in model.convs.parameters()),
        lgap=bits_of(model.lgap.weight),
        dense=bits_of(model.dense.weight),
        hidden=masters(model.classifier.hidden.weight.detach().numpy()),
        output=np.concatenate([trained, untrained(net, net.classes - base)]),
        thresholds=model.thermometer.thresholds.numpy(),
        golden=Golden(golden, evaluation.latent, evaluation.logits[:, :base]),
        provenance=provenance,
    )


def bits_of(proxy: Tensor) -> np.ndarray:
    """Return the weight bits of real proxies: 1 where >= 0. Same shape, uint8."""
    return (proxy.detach() >= 0).to(torch.uint8).numpy()


def accuracy(model: FBNN, samples: Samples, classes: int) -> float:
    """Return the fraction of samples of the first classes that are recognised among them."""
    right, first = 0, 0
    for chunk in chunks(samples.images):
        logits = model.evaluate(chunk).logits[:, :classes]
        right += int((logits.argmax(axis=1) == samples.classes[first : first + len(chunk)]).sum())
        first += len(chunk)
    return right / first


def export_bundle(preset: Preset, dataset: Dataset, path: Path) -> Bundle:
    """Return the bundle of a finished pre-training.

    Parameters
    ----------
    preset : Preset
        With network and scenario.
    dataset : Dataset
        The data set that the network was trained on.
    path : Path
        The checkpoint that `xnoreplay.model.training.pretrain.pretrain` returned.

    Raises
    ------
    XnoreplayError
        For a checkpoint that is unreadable, unfinished, or of another network or scenario.
    """
    tensors, state = checkpoint.load(path)
    config = state["config"]
    given = presets.to_dict(preset)
    for part in ("network", "scenario"):
        if config["preset"][part] != given[part]:
            raise XnoreplayError(
                f"checkpoint {path} must be of the {part} of preset {preset.name!r}, "
                f"not of another; pre-train again"
            )
    if state["epoch"] < config["epochs"]:
        raise XnoreplayError(
            f"checkpoint {path} must have all its {config['epochs']} epochs, "
            f"not {state['epoch']}; go on with pre-training"
        )
    full = config.get("all_classes", False)
    model = build(preset, dataset, Recipe(**config["recipe"]), config["seed"], full)
    checkpoint.fill_model(model, tensors, "model.network.")
    scenario = preset.scenario
    train, test = halves(scenario, scenario.base, dataset)
    provenance = {
        "preset": preset.name,
        "dataset": dataset.name,
        "seed": config["seed"],
        "epochs": config["epochs"],
        "recipe": config["recipe"],
        "base_classes": scenario.base,
        "trained_classes": trained_classes(preset, full),
        "class_order": scenario.order.tolist(),
        "order_seed": scenario.order_seed,
        "base_train_accuracy": round(accuracy(model, train, scenario.base), 6),
        "base_test_accuracy": round(accuracy(model, test, scenario.base), 6),
        "base_train_samples": len(train.classes),
        "base_test_samples": len(test.classes),
        "hardware": state.get("hardware", ""),
    }
    if full:
        every = halves(scenario, scenario.classes, dataset)
        for part, samples in zip(("train", "test"), every, strict=True):
            share = accuracy(model, samples, scenario.classes)
            provenance[f"trained_{part}_accuracy"] = round(share, 6)
    provenance |= {part: config[part] for part in ("teacher", "start") if part in config}
    if "torch" in state:  # the first versions did not say
        provenance["torch"] = state["torch"]
    made = to_bundle(model, scenario.base, dataset.test_images[:GOLDEN], provenance)
    return replace(made, interface=scenario.interface if preset.network.takes_images else None)
