"""Samples by chip class: the order of arrival instead of the data set's labels."""

from typing import NamedTuple, Protocol

import numpy as np

from xnoreplay.spec.scenario import ScenarioSpec


class Dataset(Protocol):
    """What the model packages need of `xnoreplay.flow.data.Dataset`."""

    @property
    def name(self) -> str: ...
    @property
    def max_pixel(self) -> int: ...
    @property
    def train_images(self) -> np.ndarray: ...
    @property
    def train_labels(self) -> np.ndarray: ...
    @property
    def test_images(self) -> np.ndarray: ...
    @property
    def test_labels(self) -> np.ndarray: ...


class Samples(NamedTuple):
    """images (n, height, width, channels) uint8; classes (n,) int64 chip classes."""

    images: np.ndarray
    classes: np.ndarray


def chip_classes(scenario: ScenarioSpec, labels: np.ndarray) -> np.ndarray:
    """(n,) chip class of each data-set label; -1 for a label outside the scenario.

    >>> s = ScenarioSpec("digits", classes=3, base=2, step=1)
    >>> s.order, chip_classes(s, np.array([0, 1, 2, 7]))
    (array([2, 0, 1]), array([ 1,  2,  0, -1]))
    """
    table = np.full(max(int(np.max(labels, initial=0)), scenario.classes - 1) + 1, -1)
    table[scenario.order] = np.arange(scenario.classes)
    return table[labels]


def of_classes(
    scenario: ScenarioSpec, classes: range, images: np.ndarray, labels: np.ndarray
) -> Samples:
    """The samples of some chip classes, in order."""
    chip = chip_classes(scenario, labels)
    keep = np.isin(chip, list(classes))
    return Samples(images[keep], chip[keep])
