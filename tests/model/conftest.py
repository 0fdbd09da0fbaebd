"""Small presets and the packaged bundle, for the model tests."""

import dataclasses
from importlib import resources

import pytest

from xnoreplay.flow import data
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


@pytest.fixture(scope="session")
def packaged():
    """The digits preset, its data set, and the bundle the package carries."""
    preset = presets.load("digits")
    path = resources.files("xnoreplay") / "data" / "digits.safetensors"
    return preset, data.load("digits", preset.network.image_shape), bundle.read(path)
