"""Samples by chip class: the order of arrival instead of the data set's labels."""

import hashlib
import itertools
from typing import NamedTuple, Protocol

import numpy as np

from xnoreplay.spec.rows import Images, chunks, select
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
    def train_images(self) -> Images:
        """Images to train on, (n, height, width, channels) uint8."""

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training images, (n,) int64."""

    @property
    def test_images(self) -> Images:
        """Images to test with, (n, height, width, channels) uint8."""

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test images, (n,) int64."""


class Samples(NamedTuple):
    """images (n, height, width, channels) uint8; classes (n,) int64 chip classes."""

    images: Images
    classes: np.ndarray


def digest(samples: Samples) -> str:
    """Return the SHA-256 of the images' shape, their pixels and their classes."""
    h = hashlib.sha256(repr(samples.images.shape).encode())
    for chunk in itertools.chain(chunks(samples.images), [samples.classes]):
        h.update(np.ascontiguousarray(chunk).data)
    return h.hexdigest()


def of_classes(
    scenario: ScenarioSpec, classes: range, images: Images, labels: np.ndarray
) -> Samples:
    """Choose the samples of some chip classes, in order."""
    chip = scenario.chip_classes(labels)
    keep = np.isin(chip, list(classes))
    return Samples(select(images, keep), chip[keep])


def halves(scenario: ScenarioSpec, classes: int, dataset: Dataset) -> tuple[Samples, Samples]:
    """Choose training and test samples of the first classes, in order."""
    first = range(classes)
    return (
        of_classes(scenario, first, dataset.train_images, dataset.train_labels),
        of_classes(scenario, first, dataset.test_images, dataset.test_labels),
    )


def channel_counts(images: Images, channel: int) -> np.ndarray:
    """Count the pixels of each value 0 to 255 in one channel of all images: (256,) int64."""
    counts = np.zeros(256, np.int64)
    for chunk in chunks(images):
        counts += np.bincount(chunk[..., channel].ravel(), minlength=256)
    return counts
