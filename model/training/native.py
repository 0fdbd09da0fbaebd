"""Native replay: remembered images, and sessions that train the whole network on them.

A session trains as pre-training does, on the images that it has: the feature extractor goes on learning, which
latents in memory would forbid. Every session has the augmentation of the data set's recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.network.float_rule import class_weights
from xnoreplay.model.network.network import FBNN, of_bundle
from xnoreplay.model.training import checkpoint, loop
from xnoreplay.model.training.distributed import join
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Recipe, recipe_of
from xnoreplay.model.training.samples import Samples
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import XnoreplayError

LEARNING_RATE = 1e-3  # at the start of a session; at 1e-4 new rows need some hundred epochs
EXTRACTOR_SHARES = {"cifar100": 0.1, "core50": 0.1}
"""Of that, for the extractor, by data set; all of it for others. The extractor of `3mb` knows more than a
session's few images say: at 1e-3 it lost old classes and new ones. That of the digits has to learn more
of a new class. CORe50's is CIFAR-100's, not measured."""
STARTED_PROXY = 0.01
"""Distance from 0 at which the proxies of a trained extractor start. The learning rate is what a proxy
moves by in a step: at 0.05, the middle of the range that proxies are drawn from, hardly a bit changes."""
OUTPUT = "classifier.output"
MAX_PIXEL = 255  # required by Objective; native replay has no decoder


def start(bundle: Bundle, path: Path | None = None) -> dict[str, Tensor]:
    """Return the network that a bundle was exported from, as the state of an FBNN of its base classes.

    Parameters
    ----------
    bundle : Bundle
        With the bits of the network.
    path : Path, optional
        The checkpoint, for the real proxies that the bundle does not have; without it the extractor's proxies start at
        plus or minus `STARTED_PROXY`.

    Raises
    ------
    XnoreplayError
        For a checkpoint of another network.
    """
    base = bundle.golden.logit.shape[1]
    state = of_bundle(bundle).state_dict()
    state[OUTPUT] = state[OUTPUT][:base]
    if path is None:
        for name, tensor in state.items():
            if tensor.is_floating_point() and not name.startswith("classifier."):
                state[name] = tensor * STARTED_PROXY
        return state
    real = checkpoint.with_prefix(checkpoint.load(path)[0], "model.network.")
    mine = real.get(OUTPUT, torch.zeros(()))
    real |= {OUTPUT: mine[:base]} if mine.dim() else {}  # without rows of pseudo-classes
    try:
        checkpoint.require_alike(real, state, "model.network.")
        same = all(torch.equal(*_kept(real[name], known)) for name, known in state.items())
    except XnoreplayError:
        same = False
    if not same:
        raise XnoreplayError(f"checkpoint {path} must be the one that the bundle was exported from")
    return real


def _kept(real: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the part of real proxies that a bundle keeps, too: signs, or whole numbers as they are."""
    return (real >= 0, known >= 0) if known.is_floating_point() else (real, known)


def copy_state(network: FBNN, state: dict[str, Tensor]) -> None:
    """Copy the tensors of a network into one with other output rows; rows that the first has not stay as they are."""
    rows = network.state_dict()[OUTPUT].clone()
    known = state[OUTPUT][: len(rows)]
    rows[: len(known)] = known
    network.load_state_dict(state | {OUTPUT: rows})


@dataclass
class Native:
    """A network that learns from images, session after session.

    Parameters
    ----------
    bundle : Bundle
    state : dict of Tensor
        From `start`.
    dataset : str
        Name of the data set, for its recipe.
    seed, epochs : int
        Of every session.
    loss, balanced : str, bool
        As in `xnoreplay.model.float_classifier.train`.
    """

    bundle: Bundle
    state: dict[str, Tensor]
    dataset: str
    seed: int
    epochs: int
    loss: str = "cce"
    balanced: bool = True
    report: Callable[[str], None] = lambda _line: None

    @property
    def recipe(self) -> Recipe:
        """The data set's augmentation and minibatches, without what serves pre-training alone."""
        return replace(
            recipe_of(self.dataset),
            learning_rate=LEARNING_RATE,
            mirrored=False,
            joined=False,
            activation=0.0,
            reconstruction=0.0,
            twins=0.0,
        )

    def network(self, classes: int, session: int = 0) -> FBNN:
        """Make the network with rows for so many classes; new rows are drawn from seed and session."""
        thresholds = self.state["thermometer.thresholds"].numpy()
        network = FBNN(self.bundle.network, thresholds, classes, self.seed + session)
        copy_state(network, self.state)
        return network

    def session(self, images: np.ndarray, labels: np.ndarray, classes: int, session: int) -> None:
        """Train on (n, h, w, channels) uint8 images and (n,) labels below `classes`."""
        counts = np.bincount(labels, minlength=classes)
        weights = class_weights(counts) if self.balanced else np.ones(classes)
        network, recipe = self.network(classes, session), self.recipe
        objective = Objective(network, ClassLoss(weights, self.loss), recipe, MAX_PIXEL)
        here, share = join(), EXTRACTOR_SHARES.get(self.dataset, 1.0)
        objective.to(here.device)
        fit = loop.Fit(
            objective,
            loop.adam(objective, recipe, share),
            recipe,
            Samples(images, labels),
            classes,
            self.seed + session,
            self.epochs,
            here,
        )
        loop.train(fit, report=self.report)
        self.state = {n: t.detach().cpu() for n, t in network.state_dict().items()}

    def predict(self, images: np.ndarray, classes: int) -> np.ndarray:
        """(n, h, w, channels) uint8 -> (n,) classes; ties go to the lowest."""
        return self.network(classes).evaluate(images).logits.argmax(axis=1)
