"""Small presets and the packaged bundle, for the model tests."""

import dataclasses
from importlib import resources

import pytest

from xnoreplay.flow.datasets import registry as data
from xnoreplay.spec import bundle, presets


@pytest.fixture(scope="session")
def tiny():
    """The tiny preset and the digits at its size."""
    preset = presets.load("tiny")
    return preset, data.load("digits", preset.network.image_shape)


@pytest.fixture(scope="session")
def small(tiny):
    """The same with a fiftieth of the samples: for training loops that need not learn."""
    preset, dataset = tiny
    every = slice(None, None, 50)
    return preset, dataclasses.replace(
        dataset,
        images=dataset.images[every],
        labels=dataset.labels[every],
        is_test=data.split(dataset.labels[every], 2),
    )


@pytest.fixture
def two_threads():
    """PyTorch shares its work, and what asks for its threads finds two: all other tests have one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Interrupt(Exception):
    pass


@pytest.fixture
def stopped(monkeypatch):
    """Train until one checkpoint has been written, as a stop right after it would end it.

    at : the checkpoint's file name, and the epochs and steps of the next one that it holds
    """
    from xnoreplay.model.training import checkpoint

    def stop(train, at):
        save = checkpoint.save

        def save_then_stop(path, model, optimizer, state):
            save(path, model, optimizer, state)
            if (path.name, state["epoch"], state["within"]) == at:
                raise Interrupt

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", save_then_stop)
            with pytest.raises(Interrupt):
                train()

    return stop


@pytest.fixture
def same_tensors():
    """Whether two checkpoints hold the same bits is asserted, tensor by tensor."""
    import torch

    from xnoreplay.model.training import checkpoint

    def check(one, other):
        expected, actual = (checkpoint.load(path)[0] for path in (one, other))
        assert expected.keys() == actual.keys()
        for name in expected:
            assert torch.equal(expected[name], actual[name]), name

    return check


@pytest.fixture(scope="session")
def packaged():
    """The digits preset, its data set, and the bundle the package carries."""
    preset = presets.load("digits")
    path = resources.files("xnoreplay") / "data" / "digits.safetensors"
    return preset, data.load("digits", preset.network.image_shape), bundle.read(path)
