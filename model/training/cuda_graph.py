"""Training steps that a GPU records once and then replays by itself."""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

WARM = 3  # steps of a shape before it is recorded: libraries choose algorithms, moments get memory


class Replayed:
    """A training step that a GPU replays as one launch instead of some hundred kernels, which would leave it waiting.

    Each shape of minibatch has memory of its own for what a step needs between its kernels.

    Parameters
    ----------
    step : callable
        (images, classes, share) -> loss; what it does depends on its arguments and on tensors of the
        GPU alone. It is called `WARM` times for every shape of minibatch, then once more to record.

    Notes
    -----
    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html, "Whole-network capture".
    """

    def __init__(self, step: Callable[[Tensor, Tensor, float], Tensor]) -> None:
        self.step = step
        self.taken: Counter = Counter()
        self.recorded: dict = {}

    def __call__(self, images: Tensor, classes: Tensor, share: float) -> Tensor:
        """Take a step, and return its scalar loss."""
        shape = tuple(images.shape), len(classes), share
        if shape not in self.recorded:
            self.taken[shape] += 1
            if self.taken[shape] <= WARM:
                return self._aside(images, classes, share)
            self.recorded[shape] = self._record(images, classes, share)
        graph, inputs, loss = self.recorded[shape]
        for mine, given in zip(inputs, (images, classes), strict=True):
            mine.copy_(given)
        graph.replay()
        return loss.clone()

    def _aside(self, images: Tensor, classes: Tensor, share: float) -> Tensor:
        """Take a step on another stream, as recording asks of all that comes before it."""
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            loss = self.step(images, classes, share)
        here.wait_stream(aside)
        return loss

    def _record(self, images: Tensor, classes: Tensor, share: float):
        inputs, graph = (images.clone(), classes.clone()), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self.step(*inputs, share)
        return graph, inputs, loss
