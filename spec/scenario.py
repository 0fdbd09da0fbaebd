"""ScenarioSpec: which data arrive in which order."""

from dataclasses import dataclass, field

import numpy as np

from xnoreplay.spec import limits
from xnoreplay.spec.class_names import official
from xnoreplay.spec.errors import SpecError, require, shown, unknown
from xnoreplay.spec.features import FeatureSpec
from xnoreplay.spec.interface import Interface
from xnoreplay.spec.pixels import BYTE as BYTE  # the greatest pixel that the chip can take
from xnoreplay.spec.pixels import PixelSpec

OFFICIAL_ORDERS = {"core50": 10}
"""Data sets whose files fix class orders, and how many: labels are numbered by arrival already."""

KNOWN = ("digits", "cifar100", "core50", "random")
"""Data sets that are known by their names; none of a user's own may have such a name."""
MAX_PIXEL = {"digits": 16}
"""Greatest value of a pixel by data set, where it is not `BYTE`."""


def max_pixel(dataset: str) -> int:
    """The greatest value that a pixel of a data set may have; the least is 0.

    >>> max_pixel("digits"), max_pixel("random")
    (16, 255)
    """
    return MAX_PIXEL.get(dataset, BYTE)


@dataclass(frozen=True)
class ImageSource:
    """A user's own images.

    Parameters
    ----------
    path : str
        A folder of class folders or of Parquet files, a ``.npz`` or a ``.parquet`` file. In a spec file it is relative to that file.
    pixels : PixelSpec
        What becomes of an image's samples.
    """

    path: str
    pixels: PixelSpec = field(default_factory=PixelSpec)

    def __post_init__(self) -> None:
        _check_path(self.path)

    @property
    def rule(self) -> PixelSpec:
        """What becomes of a sample before it enters the chip."""
        return self.pixels


@dataclass(frozen=True)
class FeatureSource:
    """A user's own vectors of features, for a network that is given latents.

    Parameters
    ----------
    path : str
        A ``.npz``, ``.npy`` or ``.parquet`` file, or a folder of such files. In a spec file it is relative to that file.
    features : FeatureSpec
        How vectors become latents.
    """

    path: str
    features: FeatureSpec = field(default_factory=FeatureSpec)

    def __post_init__(self) -> None:
        _check_path(self.path)

    @property
    def rule(self) -> FeatureSpec:
        """What becomes of a sample before it enters the chip."""
        return self.features


def _check_path(path: object) -> None:
    if not isinstance(path, str) or not path or "\0" in path:
        raise SpecError(f"path of a data set must be a folder or a file, not {shown(path)}")


@dataclass(frozen=True)
class ScenarioSpec:
    """A class-incremental scenario: base classes first, then tasks of new classes.

    The most of each number is in `xnoreplay.spec.limits.MOST`.

    Parameters
    ----------
    dataset : str
        "digits", "cifar100", "core50" or "random"; of a user's own data set, which a spec file gives as a table,
        what reports call it.
    classes : int
        Classes of the data set that the scenario has.
    base : int
        Classes of the pre-training, at least 2; all of them for a chip that never learns.
    step : int or tuple of int
        New classes of each later task; it must divide the rest. Or those of every task in turn, which add up to it.
    order_seed : int
        Seed of the class order, apart from any training seed, from 0. The files of "core50" fix ten orders: there it is
        the number of one, 0 to 9.
    source : ImageSource or FeatureSource, optional
        Where a user's own data set lies.
    class_names : tuple of str
        Names of the data set's labels 0, 1, ..., all different; empty where they have none.
    class_order : tuple
        Labels, or names of `class_names` or of the known data set, in order of arrival, in place of the order that `order_seed` draws.
    shots : int
        Training samples of each new class that a session sees, the first ones; 0 for all. The base has all.
    """

    dataset: str
    classes: int
    base: int
    step: int | tuple[int, ...]
    order_seed: int = 0
    source: ImageSource | FeatureSource | None = None
    class_names: tuple[str, ...] = ()
    class_order: tuple[int | str, ...] = ()
    shots: int = 0

    def __post_init__(self) -> None:
        for name in ("classes", "base"):
            limits.count(name, getattr(self, name))
        require.between("base", self.base, 2, self.classes)
        require.name("dataset", self.dataset)
        if self.source is not None and self.dataset in KNOWN:
            raise SpecError(
                f"name of a data set of your own must be none of {', '.join(KNOWN)}, not {self.dataset!r}"
            )
        require.between("shots", self.shots, 0, limits.MOST["images"].most)
        orders = OFFICIAL_ORDERS.get(self.dataset, limits.MOST["order_seed"].most + 1)
        require.between("order_seed", self.order_seed, 0, orders - 1)
        self._check_step()
        self._check_names()
        self._check_order()

    def _check_step(self) -> None:
        rest = self.classes - self.base
        if isinstance(self.step, tuple):
            for size in self.step:
                limits.count("step", size)
            if sum(self.step) != rest:
                raise SpecError(
                    f"step must add up to the {rest} classes after the base, not to {sum(self.step)}"
                )
            return
        limits.count("step", self.step)
        if rest % self.step:
            raise SpecError(
                f"step must divide the {rest} classes after the base, but {self.step} does not"
            )

    def _check_names(self) -> None:
        names = self.class_names
        if not isinstance(names, tuple) or not all(isinstance(n, str) and n for n in names):
            raise SpecError(f"class_names must be a list of names, not {shown(names)}")
        if names and len(names) < self.classes:
            raise SpecError(
                f"class_names must name the scenario's {self.classes} classes, not {len(names)}"
            )
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise SpecError(f"class_names must differ, but {shown(twice)} stands there twice")

    def _check_order(self) -> None:
        order = self.class_order
        if not isinstance(order, tuple):
            raise SpecError(f"class_order must be a list of labels or names, not {shown(order)}")
        if not order:
            return
        if self.dataset in OFFICIAL_ORDERS:
            raise SpecError(
                f"class_order must be empty for {self.dataset!r}, whose files fix its orders"
            )
        labels = self._labels()
        if len(order) != self.classes or len(set(labels)) != len(labels):
            raise SpecError(
                f"class_order must name the scenario's {self.classes} classes, each once, not "
                f"{len(order)} ({len(set(labels))} different ones)"
            )

    def _labels(self) -> list[int]:
        """Labels of `class_order`."""
        labels = []
        for entry in self.class_order:
            if isinstance(entry, str):
                if entry not in self.label_names:
                    raise (
                        unknown("class of class_order", entry, self.label_names)
                        if self.label_names
                        else SpecError(
                            f"class_order must have labels where there are no class_names, not {shown(entry)}"
                        )
                    )
                labels.append(self.label_names.index(entry))
            else:
                most = len(self.label_names) or limits.MOST["classes"].most
                require.between("a label of class_order", entry, 0, most - 1)
                labels.append(entry)
        return labels

    @property
    def rule(self) -> PixelSpec | FeatureSpec:
        """What becomes of a sample before it enters the chip."""
        return self.source.rule if self.source else PixelSpec(greatest=max_pixel(self.dataset))

    @property
    def pixels(self) -> PixelSpec:
        """What becomes of an image before it enters the chip; bytes as they are where that is given latents."""
        return self.rule if isinstance(self.rule, PixelSpec) else PixelSpec()

    @property
    def max_pixel(self) -> int:
        """The greatest value of a pixel of its data set."""
        return self.pixels.greatest

    @property
    def tasks(self) -> int:
        """Tasks after the base: one retraining session each."""
        if isinstance(self.step, tuple):
            return len(self.step)
        return (self.classes - self.base) // self.step

    def new_classes(self, task: int) -> int:
        """New classes of a task, 1 for the first after the base."""
        return self.step[task - 1] if isinstance(self.step, tuple) else self.step

    @property
    def most_new_classes(self) -> int:
        """New classes of the largest session; 0 where there is none."""
        return max((self.new_classes(t) for t in range(1, self.tasks + 1)), default=0)

    @property
    def step_text(self) -> str:
        """The new classes of sessions as reports say them: "10", or "3, 2 and 5"."""
        if isinstance(self.step, int):
            return f"{self.step}"
        *first, last = map(str, self.step or (0,))
        return f"{', '.join(first)} and {last}" if first else last

    def name_of(self, chip_class: int) -> str:
        """What reports call a chip class: its name, or its label in the data set."""
        return self.names[chip_class]

    @property
    def names(self) -> list[str]:
        """What reports call each chip class, in order of arrival."""
        table = self.label_names
        return [table[label] if table else f"{label}" for label in self.order.tolist()]

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the data set's labels 0, 1, ...: `class_names`, or those of a known data set; empty where it has none."""
        return self.class_names or official(self.dataset)

    @property
    def interface(self) -> Interface:
        """What a bundle trained for the scenario says of its inputs and classes."""
        return Interface(self.rule, tuple(self.names))

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
        if self.class_order:
            return np.array(self._labels())
        return np.random.default_rng(self.order_seed).permutation(self.classes)

    @property
    def base_labels(self) -> tuple[int, ...]:
        """The data set's labels of the base classes, in order."""
        return tuple(self.order[: self.base].tolist())

    def chip_classes(self, labels: np.ndarray) -> np.ndarray:
        """Chip class of each data-set label, -1 for a label outside the scenario; same shape.

        >>> s = ScenarioSpec("digits", classes=3, base=2, step=1)
        >>> s.order, s.chip_classes(np.array([0, 1, 2, 7]))
        (array([2, 0, 1]), array([ 1,  2,  0, -1]))
        """
        table = np.full(max(int(labels.max(initial=0)), int(self.order.max())) + 1, -1)
        table[self.order] = np.arange(self.classes)
        return table[labels]

    def task_classes(self, task: int) -> range:
        """Chip classes that arrive with a task; task 0 is the base."""
        if task == 0:
            return range(self.base)
        if isinstance(self.step, tuple):
            start = self.base + sum(self.step[: task - 1])
        else:
            start = self.base + (task - 1) * self.step
        return range(start, start + self.new_classes(task))

    def seen(self, task: int) -> int:
        """Classes seen once a task has arrived."""
        return self.task_classes(task).stop

    @property
    def seen_first(self) -> int:
        """Classes seen once the first session has brought its own; where there is none, those of the base."""
        return self.seen(min(1, self.tasks))

    def seen_in_training(self, classes: np.ndarray) -> np.ndarray:
        """Which training samples the sessions see: all, or the first `shots` of each new class.

        Parameters
        ----------
        classes : (n,) int64
            Chip class of each training sample, in order; -1 outside the scenario.

        Returns
        -------
        (n,) bool
            False outside the scenario.
        """
        kept = classes >= 0
        if self.shots:
            for new in range(self.base, self.classes):
                kept[np.flatnonzero(classes == new)[self.shots :]] = False
        return kept

    @property
    def task_of(self) -> np.ndarray:
        """(classes,) int64: the task that brings each chip class."""
        return np.repeat(
            np.arange(self.tasks + 1), [len(self.task_classes(t)) for t in range(self.tasks + 1)]
        )
