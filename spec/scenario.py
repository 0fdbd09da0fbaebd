"""ScenarioSpec: which data arrive in which order."""

from dataclasses import dataclass

import numpy as np

from xnoreplay.spec import limits
from xnoreplay.spec.errors import SpecError, require

OFFICIAL_ORDERS = {"core50": 10}
"""Data sets whose files fix class orders, and how many: labels are numbered by arrival already."""

BYTE = 255  # the greatest pixel that the chip can take
MAX_PIXEL = {"digits": 16}
"""Greatest value of a pixel by data set, where it is not `BYTE`."""


def max_pixel(dataset: str) -> int:
    """The greatest value that a pixel of a data set may have; the least is 0.

    >>> max_pixel("digits"), max_pixel("random")
    (16, 255)
    """
    return MAX_PIXEL.get(dataset, BYTE)


@dataclass(frozen=True)
class ScenarioSpec:
    """A class-incremental scenario: base classes first, then tasks of new classes.

    The most of each number is in `xnoreplay.spec.limits.MOST`.

    Parameters
    ----------
    dataset : str
        Name of a data set that `xnoreplay.flow.datasets.registry` can load.
    classes : int
        Classes of the data set.
    base : int
        Classes of the pre-training.
    step : int
        New classes of each later task; it must divide the rest.
    order_seed : int
        Seed of the class order, apart from any training seed; or, for a data set of
        `OFFICIAL_ORDERS`, the number of one of its orders (CORe50: the run).
    """

    dataset: str
    classes: int
    base: int
    step: int
    order_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("classes", "base", "step"):
            limits.count(name, getattr(self, name))
        require.between("base", self.base, 2, self.classes)
        require.name("dataset", self.dataset)
        orders = OFFICIAL_ORDERS.get(self.dataset, limits.MOST["order_seed"].most + 1)
        require.between("order_seed", self.order_seed, 0, orders - 1)
        if (self.classes - self.base) % self.step:
            raise SpecError(
                f"step must divide the {self.classes - self.base} classes after the base, "
                f"but {self.step} does not"
            )

    @property
    def max_pixel(self) -> int:
        """The greatest value of a pixel of its data set."""
        return max_pixel(self.dataset)

    @property
    def tasks(self) -> int:
        """Tasks after the base: one retraining session each."""
        return (self.classes - self.base) // self.step

    def check_session(self, task: int = 1) -> None:
        """SpecError where the scenario has no such session."""
        if not self.tasks:
            raise SpecError(
                f"base must be less than the scenario's {self.classes} classes for a session to learn "
                f"the others, not {self.base}"
            )
        require.between("task", task, 1, self.tasks)

    @property
    def order(self) -> np.ndarray:
        """(classes,) int64: the data set's label of each chip class, in order of arrival."""
        if self.dataset in OFFICIAL_ORDERS:
            return np.arange(self.classes)
        return np.random.default_rng(self.order_seed).permutation(self.classes)

    def chip_classes(self, labels: np.ndarray) -> np.ndarray:
        """Chip class of each data-set label, -1 for a label outside the scenario; same shape.

        >>> s = ScenarioSpec("digits", classes=3, base=2, step=1)
        >>> s.order, s.chip_classes(np.array([0, 1, 2, 7]))
        (array([2, 0, 1]), array([ 1,  2,  0, -1]))
        """
        table = np.full(max(int(labels.max(initial=0)), self.classes) + 1, -1)
        table[self.order] = np.arange(self.classes)
        return table[labels]

    def task_classes(self, task: int) -> range:
        """Chip classes that arrive with a task; task 0 is the base."""
        if task == 0:
            return range(self.base)
        start = self.base + (task - 1) * self.step
        return range(start, start + self.step)

    def seen(self, task: int) -> int:
        """Classes seen once a task has arrived."""
        return self.task_classes(task).stop

    @property
    def task_of(self) -> np.ndarray:
        """(classes,) int64: the task that brings each chip class."""
        return np.repeat(
            np.arange(self.tasks + 1), [len(self.task_classes(t)) for t in range(self.tasks + 1)]
        )
