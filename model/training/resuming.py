"""Trainings that leave checkpoints and go on from them."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch

from xnoreplay.model.training import checkpoint, loop
from xnoreplay.model.training.loop import Fit
from xnoreplay.model.training.recipe import Recipe

SAVES = 10  # checkpoints of one run at ends of epochs, spread evenly
SAVE_SECONDS = 60.0  # between two checkpoints, anywhere in an epoch: what a stop can cost


class Resumed(NamedTuple):
    """The state that a checkpoint of the same training holds; empty where there is none.

    Parameters
    ----------
    tensors : dict of Tensor
        Of `checkpoint.load`.
    epochs, within : int
        Epochs that are done, and steps of the next one.
    """

    tensors: dict
    epochs: int
    within: int


class Record(NamedTuple):
    """The place where a training leaves its checkpoint, and what tells it from every other training."""

    path: Path
    config: dict

    def load(self, report: Callable[[str], None]) -> Resumed:
        """Return what the checkpoint holds, if there is one and it is of this training."""
        path, config = self
        if not path.exists():
            return Resumed({}, 0, 0)
        tensors, state = checkpoint.load(path)
        known = state["config"]
        # What a later version has brought was not there: dials as their defaults are, others as they are.
        known = (
            {"samples": config["samples"]} | known | {"recipe": asdict(Recipe()) | known["recipe"]}
        )
        if "start" in known and "start" in config:
            known["start"] = config["start"] | known["start"]
        if known != json.loads(json.dumps(config)):
            report(f"{path.name} is of another run: starting afresh")
            return Resumed({}, 0, 0)
        done = state.get("within", 0)  # the first versions stopped between epochs alone
        within = f" and {done} of {state['steps']} steps" if done else ""
        report(
            f"{path.name} has {state['epoch']} of {config['epochs']} epochs{within}: going on from there"
        )
        return Resumed(tensors, state["epoch"], done)


def train_on(
    fit: Fit, resumed: Resumed, report: Callable[[str], None], record: Record | None = None
) -> None:
    """Train from where a checkpoint left off; with a record, leave checkpoints."""
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
        state = {
            "config": record.config,
            "epoch": epoch,
            "within": within,
            "steps": fit.steps,
            "hardware": fit.processes.hardware,
            "torch": torch.__version__,
        }
        checkpoint.save(record.path, fit.objective, fit.optimizer, state)
        saved = time.monotonic()

    loop.train(fit, first, report, save)
