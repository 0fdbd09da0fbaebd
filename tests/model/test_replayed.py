"""What surrounds steps on a GPU, without one: `tests/on_gpu.py` has the rest."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model import training  # noqa: E402
from xnoreplay.model.distributed import Processes  # noqa: E402
from xnoreplay.model.recipe import Recipe  # noqa: E402
from xnoreplay.model.replayed import WARM, Replayed  # noqa: E402
from xnoreplay.model.samples import Samples  # noqa: E402

pytestmark = pytest.mark.torch


class Stream:
    def wait_stream(self, _other):
        pass


class Graph:
    """Runs the step again on the tensors that it was recorded with, into the loss of that time."""

    def replay(self):
        _, inputs, loss = next(r for r in self.of.recorded.values() if r[0] is self)
        loss.copy_(self.of.step(*inputs, 2.0))


@pytest.fixture
def recorder(monkeypatch):
    """Replayed, on a GPU that is made up, of a step that keeps a sum as weights would."""
    sums, entered = [torch.zeros(())], []

    def step(images, classes, share):
        sums[0] += images.sum() * share
        return sums[0] + classes.sum()

    @contextmanager
    def recording(graph):
        entered.append(graph)
        before = sums[0].clone()
        yield
        sums[0].copy_(before)  # what is recorded is not computed

    found = Replayed(step)
    monkeypatch.setattr(Graph, "of", found, raising=False)
    for name, value in (
        ("Stream", Stream), ("current_stream", Stream), ("stream", lambda _s: nullcontext()),
        ("CUDAGraph", Graph), ("graph", recording),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    return found, entered


def test_steps_of_each_shape_are_recorded_once_and_all_computed(recorder):
    found, recorded = recorder
    total, losses = 0.0, []
    for i in range(20):
        size = 3 if i % 4 == 3 else 5  # the last minibatch of an epoch is smaller
        images, classes = torch.full((size, 2), float(i)), torch.full((size,), i)
        total += 2 * float(images.sum())
        losses.append((found(images, classes, 2.0), total + size * i))
    assert len(recorded) == len(found.recorded) == 2
    assert found.taken == {((5, 2), 5, 2.0): WARM + 1, ((3, 2), 3, 2.0): WARM + 1}
    for loss, expected in losses:  # none of them is overwritten by a later step
        assert loss.item() == expected


@pytest.mark.parametrize("first", [0, 2, 3])
def test_epochs_drawn_ahead_are_those_drawn_in_time(first):
    rng = np.random.default_rng(0)
    samples = Samples(rng.integers(0, 256, (10, 4, 4, 1), np.uint8), np.arange(10))
    here = Processes(0, 1, torch.device("cpu"))
    fit = training.Fit(None, None, Recipe(shift=1), samples, 10, 7, 3, here)
    ahead = replace(fit, processes=replace(here, device=torch.device("cuda")))
    pairs = zip(training._epochs(fit, first), training._epochs(ahead, first), strict=True)
    for count, ((epoch, drawn), (same, again)) in enumerate(pairs, first):
        assert epoch == same == count
        np.testing.assert_array_equal(drawn.images, again.images)
        np.testing.assert_array_equal(drawn.classes, again.classes)
