"""Data sets by name: images as they enter the chip, labels, and a fixed split."""

import gzip
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xnoreplay.flow.datasets import user_files
from xnoreplay.flow.datasets.splits import TEST_STRIDE, places, split
from xnoreplay.flow.run.progress import Progress, default
from xnoreplay.spec.errors import ImageError, SpecError, ToolError, unknown
from xnoreplay.spec.features import Binariser
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.rows import Images, Rows, select
from xnoreplay.spec.scenario import BYTE, FeatureSource, ImageSource, ScenarioSpec, max_pixel

if TYPE_CHECKING:
    from xnoreplay.flow.datasets import own, vectors

RANDOM = "random"
RANDOM_IMAGES = 400
MOST_BYTES = 1 << 28  # of images that are in memory at once, where some of a data set are enough


@dataclass(frozen=True)
class Dataset:
    """Every sample of a data set in its library's order, and which of them are test samples.

    Parameters
    ----------
    name : str
        Of the data set.
    images : ndarray or Rows
        (n, height, width, channels) uint8; of a network that is given latents, these, packed: (n, bytes) uint8. A user's
        own images are `xnoreplay.spec.rows.Rows`: read from the disk where they are asked for, so that they may be more
        than the memory holds.
    labels : ndarray
        (n,) int64.
    is_test : ndarray
        (n,) bool.
    greatest : int, optional
        Greatest value of a pixel, where the data set's name does not say it.
    binariser : Binariser, optional
        What made latents of a user's own features.
    """

    name: str
    images: Images
    labels: np.ndarray
    is_test: np.ndarray
    greatest: int | None = None
    binariser: Binariser | None = None

    @property
    def max_pixel(self) -> int:
        """The greatest value a pixel may have."""
        return max_pixel(self.name) if self.greatest is None else self.greatest

    @property
    def train_images(self) -> Images:
        """Images to train on, (n, height, width, channels) uint8; as `images`."""
        return select(self.images, ~self.is_test)

    @property
    def train_labels(self) -> np.ndarray:
        """Their labels in the same order, (n,) int64."""
        return self.labels[~self.is_test]

    @property
    def test_images(self) -> Images:
        """Images to test with, (n, height, width, channels) uint8; as `images`."""
        return select(self.images, self.is_test)

    @property
    def test_labels(self) -> np.ndarray:
        """Labels of the test images in the same order, (n,) int64."""
        return self.labels[self.is_test]

    def some(self, kept: np.ndarray) -> "Dataset":
        """Return the data set with some of its samples: those of the Booleans (n,)."""
        return replace(
            self,
            images=select(self.images, kept),
            labels=self.labels[kept],
            is_test=self.is_test[kept],
        )


def load(dataset: str, image_shape: tuple[int, ...] | None = None, order_seed: int = 0) -> Dataset:
    """A data set by name, its images reduced to what a network takes.

    Parameters
    ----------
    dataset : str
        Name of an entry of `DATASETS`; a scenario's ``dataset``.
    image_shape : tuple of int, optional
        (height, width, channels), a network's ``image_shape``; see `reduce`. Images keep their
        own shape without it.
    order_seed : int
        A scenario's; of importance to data sets whose files fix class orders.

    Raises
    ------
    SpecError
        For an unknown data set.
    ToolError
        Where the library that ships the data set is missing.
    XnoreplayError
        Where files that the user must bring are missing or damaged.
    ImageError
        Where the images do not reduce to `image_shape`.
    """  # noqa: DOC501  `unknown` makes a SpecError
    if dataset not in DATASETS:
        raise unknown("data set", dataset, [*DATASETS, RANDOM])
    loaded = DATASETS[dataset](order_seed)
    if image_shape is None:
        return loaded
    return replace(loaded, images=reduce(np.asarray(loaded.images), image_shape))


def of_preset(preset: Preset, progress: Progress | None = None) -> Dataset:
    """Load the data set of a preset's scenario, as its network takes it.

    The data set `random` is made for any network: random bytes with labels in turn, to check a
    spec before there are images for it. A user's own is converted at its first use, and its notes are shown then.
    Of each new class only the first `shots` training samples are in it, where the scenario has `shots`.

    Parameters
    ----------
    preset : Preset
    progress : Progress, optional
        Shows the conversion; the terminal does without it.

    Raises
    ------
    SpecError
        Also where the scenario has more classes than the data set, or other names for them.
    XnoreplayError
        As `load`.
    """
    scenario = preset.scenario
    if scenario.dataset == RANDOM:
        images = max(RANDOM_IMAGES, TEST_STRIDE * scenario.classes)  # one to test of each class
        return _random(preset.network.image_shape, scenario.classes, images)
    if scenario.source is not None:
        dataset = _own(preset, progress or default())
    else:
        if scenario.dataset == "core50" and scenario.class_names:
            from xnoreplay.flow.datasets import core50

            _check_names(scenario, core50.names(scenario.order_seed), "core50")
        dataset = load(scenario.dataset, preset.network.image_shape, scenario.order_seed)
    classes = int(dataset.labels.max()) + 1
    if scenario.classes > classes or int(scenario.order.max()) >= classes:
        raise SpecError(
            f"classes of the scenario must be at most the {classes} of data set "
            f"{dataset.name!r}, not {max(scenario.classes, int(scenario.order.max()) + 1)}"
        )
    return _few_shots(scenario, dataset)


def _few_shots(scenario: ScenarioSpec, dataset: Dataset) -> Dataset:
    if not scenario.shots:
        return dataset
    kept = dataset.is_test.copy()
    train = np.flatnonzero(~dataset.is_test)
    classes = scenario.chip_classes(dataset.labels[train])
    kept[train[scenario.seen_in_training(classes)]] = True
    return dataset.some(kept)


def _check_names(scenario: ScenarioSpec, classes: tuple[str, ...], where: str) -> None:
    """SpecError where a scenario names classes otherwise than its data set."""
    names = scenario.class_names
    if names and names != classes[: len(names)]:
        first = next(i for i, n in enumerate(names) if n != (*classes, *names)[i])
        raise SpecError(
            f"class_names must be the classes of {where} in their order, but number {first} is "
            f"{names[first]!r} where the data set has {dict(enumerate(classes)).get(first)!r}"
        )


def _own(preset: Preset, progress: Progress) -> Dataset:
    """A user's own data set, converted once."""
    from xnoreplay.flow.datasets import own, vectors

    scenario, source = preset.scenario, preset.scenario.source
    assert source is not None
    found = listing(source)
    _check_names(scenario, found.classes, source.path)
    if isinstance(source, FeatureSource):
        assert isinstance(found, vectors.VectorListing)
        latents = vectors.prepare(
            found, source.features, preset.network.latent, scenario.base_labels, progress
        )
        return Dataset(
            scenario.dataset,
            latents.packed,
            found.labels,
            found.is_test,
            BYTE,
            latents.binariser,
        )
    assert isinstance(found, own.Listing)
    made = own.prepare(found, source.pixels, preset.network.image_shape, progress)
    images, greatest = Rows(made.images), source.pixels.greatest
    return Dataset(scenario.dataset, images, found.labels, found.is_test, greatest)


def listing(
    source: ImageSource | FeatureSource, to_train: bool = True
) -> "own.Listing | vectors.VectorListing":
    """Find the samples of a user's own data set; see `own.listing` and `vectors.listing`, whose arguments these are."""
    from xnoreplay.flow.datasets import own, vectors

    if isinstance(source, FeatureSource):
        return vectors.listing(Path(source.path), to_train)
    try:
        return own.listing(Path(source.path), to_train)
    except SpecError:
        if not vectors.are_at(Path(source.path)):
            raise
        raise SpecError(
            f"{source.path} must hold images, but holds vectors of features; a network for these says convs = []"
        ) from None


def train_labels(preset: Preset) -> np.ndarray:
    """Labels of the training samples, (n,) int64: of a user's own data set without converting its images."""
    source = preset.scenario.source
    if source is None:
        return of_preset(preset).train_labels
    found = listing(source)
    return found.labels[~found.is_test]


def stamp(preset: Preset) -> str | None:
    """What changes with the files of a user's own data set; None for one that is known by its name."""
    source = preset.scenario.source
    return listing(source).stamp if source else None


def of_preset_or_random(preset: Preset, progress: Progress, images: int = RANDOM_IMAGES) -> Dataset:
    """Load the data set of a preset, or make random images where the user has not said where it is.

    For work that does not learn from the images: any image shows whether two chips are equal.

    Parameters
    ----------
    preset : Preset
        Whose scenario names the data set.
    progress : Progress
        Told where random images are taken.
    images : int
        How many random images are made.
    """
    try:
        return of_preset(preset)
    except user_files.DataMissing:
        progress.note(
            f"data set {preset.scenario.dataset!r} is not here ({user_files.VARIABLE} is not set): "
            "random images stand in for it"
        )
        return _random(preset.network.image_shape, preset.scenario.classes, images)


def first_of_each(dataset: Dataset, most: int = MOST_BYTES) -> Dataset:
    """Return a data set that is in memory or small as it is, and of another the first samples of each class and half.

    Parameters
    ----------
    dataset : Dataset
    most : int
        Bytes of images, at most; but each class has one to train and one to test.
    """
    if not isinstance(dataset.images, Rows) or dataset.images.nbytes <= most:
        return dataset
    groups = 2 * dataset.labels + dataset.is_test
    place, _ = places(groups)
    a_group = most * len(groups) // (dataset.images.nbytes * len(np.unique(groups)))
    return dataset.some(place < max(1, a_group))


def is_missing(preset: Preset) -> bool:
    """Tell whether `of_preset_or_random` would take random images in place of a preset's data set."""
    known = preset.scenario.source is None and preset.scenario.dataset in FROM_USERS
    return known and not os.environ.get(user_files.VARIABLE)


def reduce(images: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return images of a given shape: as they are, or the floor of the mean of k x k blocks.

    Parameters
    ----------
    images : ndarray
        (n, k h, k w, c) uint8, k = 1, 2, ...
    image_shape : tuple of int
        (h, w, c).

    Returns
    -------
    ndarray
        (n, h, w, c) uint8; the range of values stays.

    Raises
    ------
    ImageError
        Where no whole k fits.
    """
    n, height, width, channels = images.shape
    h, w, c = image_shape
    k = height // h
    if k < 1 or (k * h, k * w, c) != (height, width, channels):
        raise ImageError(
            f"a network of this data set must take images of {(height, width, channels)} or of that "
            f"divided by whole blocks, not {tuple(image_shape)}; data set 'random' fits any network"
        )
    if k == 1:
        return images
    blocks = images.reshape(n, h, k, w, k, c)
    return (blocks.sum(axis=(2, 4), dtype=np.int64) // (k * k)).astype(np.uint8)


def _digits(_order_seed: int) -> Dataset:
    """1,797 handwritten digits, 8x8 grey, values 0 to 16, as scikit-learn ships them.

    Its file is read without the library, whose import takes ten times as long.

    Raises
    ------
    ToolError
        Where scikit-learn is not installed, or has no such file.
    """
    library = importlib.util.find_spec("sklearn")
    if library is None or library.origin is None:
        raise ToolError("data set 'digits' must have scikit-learn installed, but it is not")
    path = Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as rows:
            table = np.loadtxt(rows, delimiter=",")  # 64 pixels and the digit, a sample a row
    except (OSError, EOFError, ValueError) as error:
        raise ToolError(f"data set 'digits' must be scikit-learn's {path}, but: {error}") from None
    images = table[:, :-1].astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    return Dataset("digits", images, labels, split(labels))


def _cifar100(_order_seed: int) -> Dataset:
    """60,000 colour images of 100 classes, 32x32, as YCbCr; `xnoreplay.flow.datasets.cifar100` finds them."""
    from xnoreplay.flow.datasets import cifar100

    rgb, labels, is_test = cifar100.read()
    return Dataset("cifar100", cifar100.to_ycbcr(rgb), labels, is_test)


def _core50(order_seed: int) -> Dataset:
    """Colour images of 50 objects, 128x128, as YCbCr; `xnoreplay.flow.datasets.core50` finds them."""
    from xnoreplay.flow.datasets import core50

    return Dataset("core50", *core50.read(order_seed))


DATASETS: dict[str, Callable[[int], Dataset]] = {
    "digits": _digits,
    "cifar100": _cifar100,
    "core50": _core50,
}

FROM_USERS = ("cifar100", "core50")
"""Those that the user brings."""


def _random(shape: tuple[int, ...], classes: int, count: int = RANDOM_IMAGES) -> Dataset:
    """Make random images, the same at each call; see `of_preset`."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = np.arange(count) % classes
    return Dataset(RANDOM, images, labels, split(labels))
