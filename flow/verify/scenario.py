"""Which samples a scenario shows to a chip, and in which order: those of power-on, then those of each session."""

from dataclasses import dataclass

import numpy as np

from xnoreplay.flow.datasets.latent_files import LatentSet
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.spec.scenario import ScenarioSpec


@dataclass(frozen=True)
class Sample:
    """A training sample of a scenario.

    Parameters
    ----------
    index : int
        Its place in the data set.
    label : int
        Its class as the chip numbers classes, in the order of their arrival.
    """

    index: int
    label: int


def by_class(scenario: ScenarioSpec, data: Dataset | LatentSet) -> list[np.ndarray]:
    """Indices of the training samples of each class of the chip, in the data set's order: (n,) int64 each."""
    order = scenario.order[: scenario.classes]
    return [np.flatnonzero((data.labels == label) & ~data.is_test) for label in order]


def power_on(
    scenario: ScenarioSpec, data: Dataset | LatentSet, capacity: int, more: int = 1
) -> list[Sample]:
    """Samples that a chip inserts before its first session: of each base class its share, and `more`.

    Parameters
    ----------
    scenario : ScenarioSpec
    data : Dataset or LatentSet
    capacity : int
        Slots of the replay memory, of which each base class has the same share.
    more : int
        Samples of each class beyond its share, which the chip refuses.
    """
    members = by_class(scenario, data)
    most = capacity // scenario.base + more
    return [Sample(int(i), k) for k in range(scenario.base) for i in members[k][:most]]


def session(scenario: ScenarioSpec, data: Dataset | LatentSet, task: int) -> list[Sample]:
    """Samples that a chip stages, or inserts, in the session of a task, from 1 on: all of the task's classes."""
    members = by_class(scenario, data)
    return [Sample(int(i), k) for k in scenario.task_classes(task) for i in members[k]]
