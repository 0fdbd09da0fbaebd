"""Samples by chip class: the order of arrival instead of the data set's labels."""

import hashlib
from typing import NamedTuple, Protocol

import numpy as np

from xnoreplay.spec.scenario import ScenarioSpec


class Dataset(Protocol):
    """The part of `xnoreplay.flow.datasets.registry.Dataset` that the model packages need."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def max_pixel(self) -> int:
        """The greatest value a pixel may have."""

    @property
    def train_images(self) -> np.ndarray:
        """Images to train on, (n, height, width, channels) uint8."""

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training images, (n,) int64."""

    @property
    def test_images(self) -> np.ndarray:
        """Images to test with, (n, height, width, channels) uint8."""

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test images, (n,) int64."""


class Samples(NamedTuple):
    """images (n, height, width, channels) uint8; classes (n,) int64 chip classes."""

    images: np.ndarray
    classes: np.ndarray


def digest(samples: Samples) -> str:
    """Return the SHA-256 of the images' shape, their pixels and their classes."""
    h = hashlib.sha256(repr(samples.images.shape).encode())
    for array in samples:
        h.update(np.ascontiguousarray(array).data)
    return h.hexdigest()


def of_classes(
    scenario: ScenarioSpec, classes: range, images: np.ndarray, labels: np.ndarray
) -> Samples:
    """Choose the samples of some chip classes, in order."""
    chip = scenario.chip_classes(labels)
    keep = np.isin(chip, list(classes))
    return Samples(images[keep], chip[keep])


def halves(scenario: ScenarioSpec, classes: int, dataset: Dataset) -> tuple[Samples, Samples]:
    """Choose training and test samples of the first classes, in order."""
    first = range(classes)
    return (
        of_classes(scenario, first, dataset.train_images, dataset.train_labels),
        of_classes(scenario, first, dataset.test_images, dataset.test_labels),
    )
