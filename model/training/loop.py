"""The training loop that pre-training and native replay share."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.training.cuda_graph import Replayed
from xnoreplay.model.training.distributed import Processes, parallel
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Epoch, Recipe
from xnoreplay.model.training.samples import Samples
from xnoreplay.model.training.teacher import Lesson, Teacher

REPORT_SECONDS = 2.0  # between two log lines
SHARE = "share"  # of the learning rate, that a group of weights has


@dataclass(frozen=True)
class Fit:
    """A training: its objective, its samples and its length.

    Parameters
    ----------
    objective : Objective or Lesson
        On the device of `processes`.
    optimizer : Optimizer
        Of the objective's parameters.
    recipe : Recipe
        Its epochs are not read.
    samples : Samples
        Of classes 0 to `classes` - 1.
    classes : int
        How many classes.
    seed : int
        Of the order of samples and the augmentation; every epoch draws from it afresh.
    epochs : int
        How many epochs.
    processes : Processes
        Among which each minibatch is divided. A last minibatch of fewer samples than processes is
        left out.
    teacher : Teacher, optional
        Trained; its logits of each minibatch's images go to the objective.
    """

    objective: Objective | Lesson
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    samples: Samples
    classes: int
    seed: int
    epochs: int
    processes: Processes
    teacher: Teacher | None = None

    @property
    def steps(self) -> int:
        """Minibatches of an epoch."""
        samples, batch = self.recipe.size(len(self.samples.classes)), self.recipe.batch
        whole, rest = divmod(samples, batch)
        return whole + (rest >= self.processes.count)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: up from zero where the recipe says so, then a half cosine to zero."""
        total = self.epochs * self.steps
        warm = int(self.recipe.warm * total)
        if step < warm:
            return self.recipe.learning_rate * (step + 1) / warm
        return (
            self.recipe.learning_rate * (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
        )


def adam(objective: Objective, recipe: Recipe, extractor: float = 1.0) -> torch.optim.Optimizer:
    """Make the optimiser of every training but a teacher's.

    On a GPU the rate is a tensor there, which steps that are replayed read.

    Parameters
    ----------
    objective : Objective
        With the parameters.
    recipe : Recipe
        With the learning rate.
    extractor : float
        Share of the learning rate that the feature extractor has.
    """
    parts: dict[float, list] = {}
    for name, weight in objective.named_parameters():
        slow = name.startswith("network.") and not name.startswith("network.classifier.")
        parts.setdefault(extractor if slow else 1.0, []).append(weight)
    device = next(objective.parameters()).device
    replays = device.type != "cpu"

    def rate() -> float | Tensor:
        return (
            torch.tensor(recipe.learning_rate, device=device) if replays else recipe.learning_rate
        )

    groups = [{"params": weights, SHARE: share, "lr": rate()} for share, weights in parts.items()]
    return torch.optim.Adam(groups, fused=True, capturable=replays)


def train(
    fit: Fit,
    first: int = 0,
    report: Callable[[str], None] = lambda _line: None,
    after: Callable[[int], None] = lambda _done: None,
) -> None:
    """Take the steps of a training from `first` on.

    Parameters
    ----------
    fit : Fit
        The training.
    first : int
        Steps that were taken before: those of a resumed training.
    report : callable
        Receives a log line every `REPORT_SECONDS`.
    after : callable
        Receives the number of steps taken, after each.
    """
    recipe, steps, device = fit.recipe, fit.steps, fit.processes.device
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    take = _step(fit)
    log = _Log(fit, first, report)
    for epoch, drawn in _epochs(fit, first // steps):
        for i in range(first - epoch * steps if epoch == first // steps else 0, steps):
            step = epoch * steps + i
            start = i * recipe.batch
            size = min(recipe.batch, len(drawn.classes) - start)
            part = fit.processes.share(size)
            part = slice(start + part.start, start + part.stop)
            views = [v for v in (drawn.images, drawn.second) if v is not None]
            images = _to_device(np.concatenate([v[part] for v in views]), device)
            classes = _to_device(drawn.classes[part], device)
            _set_rate(fit.optimizer, fit.rate(step))
            loss = take(images, classes, fit.processes.count * len(classes) / size)
            log.step(step, loss)
            after(step + 1)


def _step(fit: Fit) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return the function that trains on a minibatch: (images, classes, share) -> loss."""
    module = parallel(fit.objective, fit.processes)

    def step(images: Tensor, classes: Tensor, share: float) -> Tensor:
        if fit.teacher is None:
            loss = module(images, classes, share)
        else:
            with torch.no_grad():
                taught = fit.teacher(images)
            loss = module(images, classes, share, taught)
        fit.optimizer.zero_grad()
        loss.backward()
        fit.optimizer.step()
        fit.objective.clip()
        return loss.detach()

    alone = (
        fit.processes.count == 1
    )  # gradients of several are added outside of what can be recorded
    return Replayed(step) if alone and fit.optimizer.defaults.get("capturable") else step


def _epochs(fit: Fit, first: int) -> Iterator[tuple[int, Epoch]]:
    """Yield the epochs from the first on. While a GPU computes, the next one is drawn: two are held then."""

    def draw(epoch: int) -> Epoch:
        rng = np.random.default_rng([fit.seed, epoch])  # so that a resumed run draws the same
        return fit.recipe.epoch(fit.samples, fit.classes, rng)

    if fit.processes.device.type == "cpu" or first == fit.epochs:
        yield from ((epoch, draw(epoch)) for epoch in range(first, fit.epochs))
        return
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw, first)
        for epoch in range(first, fit.epochs):
            drawn = following.result()
            if epoch + 1 < fit.epochs:
                following = pool.submit(draw, epoch + 1)
            yield epoch, drawn


def _to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array on the device. From pinned memory, a GPU copies it when it comes to it."""
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        mine = rate * group.get(SHARE, 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(mine)
        else:
            group["lr"] = mine


class _Log:
    """A log of one line an interval, always with the same fields."""

    def __init__(self, fit: Fit, first: int, report: Callable[[str], None]) -> None:
        self.fit, self.report, self.first = fit, report, first
        self.total = fit.epochs * fit.steps
        self.start = self.reported = time.monotonic()
        self.losses: list[Tensor] = []

    def step(self, step: int, loss: Tensor) -> None:
        self.losses.append(loss)
        if step + 1 < self.total and time.monotonic() - self.reported < REPORT_SECONDS:
            return
        loss_mean = torch.stack(self.losses).double().mean().item()  # waits for a GPU
        now = time.monotonic()
        pace = (now - self.start) / (step + 1 - self.first)
        self.report(
            f"epoch {step // self.fit.steps + 1}/{self.fit.epochs} "
            f"| step {step + 1:05d}/{self.total:05d} | loss {loss_mean:.4f} "
            f"| lr {self.fit.rate(step):.1e} | {pace * 1e3:.0f} ms/step "
            f"| {self.fit.recipe.batch / pace:.0f} images/s "
            f"| eta {pace * (self.total - step - 1) / 60:.1f} min"
        )
        self.reported = now
        self.losses.clear()
