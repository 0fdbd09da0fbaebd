"""What surrounds steps on a GPU, without one: `tests/on_gpu.py` has the rest."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.training import checkpoint
from xnoreplay.model.training import loop as training
from xnoreplay.model.training.cuda_graph import WARM, Replayed
from xnoreplay.model.training.distributed import Processes
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.model.training.samples import Samples

pytestmark = pytest.mark.torch


class Stream:
    """Notes what waits for it, as `waits` of the class."""

    def wait_stream(self, other):
        self.waits.append((self, other))


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

    here = Stream()
    for name, value in (
        ("Stream", Stream),
        ("current_stream", lambda: here),
        ("stream", lambda _s: nullcontext()),
        ("CUDAGraph", Graph),
        ("graph", recording),
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(Stream, "waits", [], raising=False)
    monkeypatch.setattr(Graph, "of", found := Replayed(step), raising=False)
    return found, entered, here


def test_steps_of_each_shape_are_recorded_once_and_all_computed(recorder):
    found, recorded, here = recorder
    total, losses = 0.0, []
    given = {size: (torch.zeros(size, 2), torch.zeros(size, dtype=torch.int64)) for size in (3, 5)}
    for i in range(20):
        size = 3 if i % 4 == 3 else 5  # the last minibatch of an epoch is smaller
        images, classes = (t.fill_(i) for t in given[size])  # the caller's memory, used again
        total += 2 * float(images.sum())
        losses.append((found(images, classes, 2.0), total + size * i))
    assert len(recorded) == len(found.recorded) == 2
    assert found.taken == {((5, 2), 5, 2.0): WARM + 1, ((3, 2), 3, 2.0): WARM + 1}
    for loss, expected in losses:  # none of them is overwritten by a later step
        assert loss.item() == expected
    before, after = Stream.waits[::2], Stream.waits[1::2]
    assert len(before) == len(after) == 2 * WARM  # both streams wait for each other
    assert all(
        pair == (other[1], here) and other[0] is here
        for pair, other in zip(before, after, strict=True)
    )
    for _, inputs, _ in found.recorded.values():
        assert all(
            mine is not theirs for mine in inputs for pair in given.values() for theirs in pair
        )


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


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_rate_on_the_gpu_stays_one_tensor_and_survives_a_checkpoint(share):
    """What is recorded reads the rate where it lay then."""
    weight = torch.nn.Parameter(torch.ones(3))
    group = {"params": [weight], training.SHARE: share, "lr": torch.tensor(1.0)}
    optimizer = torch.optim.Adam([group], fused=True, capturable=False)
    weight.grad = torch.ones(3)
    optimizer.step()
    checkpoint.restore(
        {"model.weight": torch.ones(3)}
        | {f"optimizer.0.{n}": t for n, t in optimizer.state_dict()["state"][0].items()},
        torch.nn.ParameterDict({"weight": weight}),
        optimizer,
    )
    rate = optimizer.param_groups[0]["lr"]
    for wanted in (0.5, 0.25):
        training._set_rate(optimizer, wanted)
        assert optimizer.param_groups[0]["lr"] is rate
        assert rate.item() == pytest.approx(share * wanted)


def test_only_one_process_with_an_optimiser_made_for_it_replays(monkeypatch):
    monkeypatch.setattr(training, "Replayed", lambda step: ("replayed", step))
    monkeypatch.setattr(training, "parallel", lambda objective, _processes: objective)
    weight = [torch.nn.Parameter(torch.ones(3))]
    graphable = torch.optim.Adam(weight, capturable=True)
    for optimizer, count, replays in (
        (graphable, 1, True),
        (graphable, 2, False),
        (torch.optim.Adam(weight), 1, False),
        (torch.optim.SGD(weight), 1, False),
    ):
        here = Processes(0, count, torch.device("cpu"))
        step = training._step(training.Fit(None, optimizer, Recipe(), None, 10, 0, 1, here))
        assert isinstance(step, tuple) == replays
