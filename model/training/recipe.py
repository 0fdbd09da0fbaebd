"""Recipes of the pre-training for each data set: the dials of the training, and its pseudo-classes.

A feature extractor that only had to tell its base classes apart forgets what it did not need, and
new classes then look alike. So the base classes are joined by pseudo-classes made of the same
training images. Their rows of the output layer serve the training only and are never exported.
"""

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xnoreplay.model.network.float_rule import class_weights
from xnoreplay.model.training.samples import Samples
from xnoreplay.spec.errors import SpecError, require
from xnoreplay.spec.rows import Images, Rows, chunks

OBJECTIVES = ("supervised", "semi", "distilled")
"""Cross-entropy; or with it the Barlow Twins loss of two views and the activation regulariser; or the
distance to what a real-valued teacher says, `xnoreplay.model.training.teacher`, and less of cross-entropy."""


MIRRORED = ((2,), (1,), (1, 2))
"""Axes of the mirror images of pseudo-classes: left-right, top-bottom, both."""


class Draws(NamedTuple):
    """What augments images, drawn for each of n.

    down, right : (n,) int64, pixels that it moves, from 0 on
    mirrored : (n,) bool, whether it is mirrored left-right; None: none is
    top, left : (n, 1) int64, where its hole begins; None: there are no holes
    colour : (channels,) uint8, of the holes
    """

    down: np.ndarray
    right: np.ndarray
    mirrored: np.ndarray | None
    top: np.ndarray | None
    left: np.ndarray | None
    colour: np.ndarray | None

    def of(self, which: np.ndarray) -> "Draws":
        """The draws of some of the images, by their numbers."""
        return Draws(
            self.down[which],
            self.right[which],
            None if self.mirrored is None else self.mirrored[which],
            None if self.top is None else self.top[which],
            None if self.left is None else self.left[which],
            self.colour,
        )


class Augmented:
    """The images of an epoch: a slice of them is made when it is asked for, so that no more are in memory.

    Parameters
    ----------
    recipe : Recipe
    images : ndarray or Rows
        Of the base classes, (n, height, width, channels) uint8.
    draws : Draws
        Of them.
    partner : (n,) int64, optional
        Number of the image whose bottom half each is joined with.
    order : (size,) int64
        Numbers of the images and of those of pseudo-classes, kind after kind.
    """

    def __init__(
        self,
        recipe: "Recipe",
        images: Images,
        draws: Draws,
        partner: np.ndarray | None,
        order: np.ndarray,
    ) -> None:
        self.recipe, self.images, self.draws = recipe, images, draws
        self.partner, self.order = partner, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, part: slice) -> np.ndarray:
        kinds, which = np.divmod(self.order[part], len(self.images))
        seen = self._seen(which)
        for kind, axes in enumerate(MIRRORED if self.recipe.mirrored else (), start=1):
            seen[kinds == kind] = np.flip(seen[kinds == kind], axes)
        if self.partner is not None:
            joined = kinds == (1 + len(MIRRORED) if self.recipe.mirrored else 1)
            half = seen.shape[1] // 2
            seen[joined, half:] = self._seen(self.partner[which[joined]])[:, half:]
        return seen

    def _seen(self, which: np.ndarray) -> np.ndarray:
        return self.recipe.augmented(self.images[which], self.draws.of(which))


class Epoch(NamedTuple):
    """The samples of one epoch.

    images : (n, height, width, channels) uint8
    classes : (n,) int64
    second : second views, as images; or None
    """

    images: np.ndarray | Augmented
    classes: np.ndarray
    second: np.ndarray | Augmented | None


@dataclass(frozen=True)
class Recipe:
    """Dials of the pre-training.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    batch : int
        Images of a minibatch.
    learning_rate : float
        The highest, of Adam, or of a teacher's stochastic gradient descent; it falls as a half cosine to zero.
    warm : float
        Share of the training in which it rises to that from zero.
    shift : int
        Images move by up to this many pixels, up, down and sideways.
    border : str
        What comes in: "zeros", or "reflected" for what lies at the image's edge.
    flipped : bool
        Half of the images, drawn anew every epoch, are mirrored left-right; their class stays.
    equalised : bool
        Thermometer levels hold equally many pixels of the training images, instead of equal parts
        of the range: colour differences are mostly small.
    mirrored : bool
        Add the classes' mirror images, left-right, top-bottom and both: 3 C pseudo-classes.
    joined : bool
        Add images whose top half is of one class, the bottom half of another: C^2 pseudo-classes.
    activation : float
        Weight of the activation regulariser, the squared batch mean of each latent bit: it keeps
        bits from being the same for every image.
    reconstruction : float
        Weight of the error of a linear decoder that paints the image from the latent: it makes
        latents say what an image looks like, not only which class it is.
    twins : float
        Weight of the Barlow Twins loss of each image's two views, which makes latents indifferent
        to the augmentation and their bits to each other.
    redundancy : float
        Lambda of that loss: weight of its correlations between different bits.
    distilled : float
        Share of the distance to a teacher; cross-entropy has the rest. 0: there is no teacher.
    temperature : float
        Of the softmax in that distance: above 1 it tells unlikely classes apart.
    holes : bool
        Paint a square over each image, of a quarter of its height, in a drawn place and the images'
        mean colour (arXiv 1708.04552).
    packed : bool
        Convolve in less than single precision: on packed bits with gradients in bfloat16, or all in
        bfloat16; see `xnoreplay.model.training.objective`.
    threads : int, optional
        PyTorch's threads, all cores if not given. One where operations are too small to share:
        what is trained then depends on the number of cores no more.
    """

    epochs: int = 40
    batch: int = 32
    learning_rate: float = 1e-3
    warm: float = 0.0
    shift: int = 1
    border: str = "zeros"
    flipped: bool = False
    equalised: bool = False
    mirrored: bool = False
    joined: bool = False
    activation: float = 0.0
    reconstruction: float = 0.0
    twins: float = 0.0
    redundancy: float = 5e-3
    distilled: float = 0.0
    temperature: float = 4.0
    holes: bool = False
    packed: bool = False
    threads: int | None = None

    def classes(self, base: int) -> int:
        """Count classes and pseudo-classes for so many base classes; the base classes come first."""
        return base * (4 if self.mirrored else 1) + (base * base if self.joined else 0)

    def size(self, samples: int) -> int:
        """Return how many samples an epoch has, for so many of the base classes."""
        return samples * ((4 if self.mirrored else 1) + (1 if self.joined else 0))

    def weights(self, counts: np.ndarray) -> np.ndarray:
        """Return the loss weights of classes and pseudo-classes, balanced within each kind.

        counts (base,) samples of the base classes -> (classes,) float64.
        """
        parts = [class_weights(counts)] * (4 if self.mirrored else 1)
        if self.joined:
            parts.append(class_weights(np.outer(counts, counts).ravel()))
        return np.concatenate(parts)

    def epoch(self, base: Samples, classes: int, rng: np.random.Generator) -> Epoch:
        """Draw the samples of one epoch, augmented and in random order.

        With twins, second views show the same images, moved and flipped by other draws. The images are made at once
        where those of the base are in memory, else when a minibatch asks for them; they are the same.
        """
        count = len(base.classes)
        first = self._draws(base.images, rng)
        partner = rng.permutation(count) if self.joined else None
        order = rng.permutation(self.size(count))
        views = [first, *([self._draws(base.images, rng)] if self.twins else [])]
        made = [Augmented(self, base.images, draws, partner, order) for draws in views]
        shown = made if isinstance(base.images, Rows) else [view[:] for view in made]
        labels = self._labels(base.classes, classes, partner)[order]
        return Epoch(shown[0], labels, shown[1] if self.twins else None)

    def _draws(self, images: Images, rng: np.random.Generator) -> Draws:
        count, height, width, _ = images.shape
        down, right = (rng.integers(0, 2 * self.shift + 1, count) for _ in range(2))
        mirrored = rng.random(count) >= 0.5 if self.flipped else None
        if not self.holes:
            return Draws(down, right, mirrored, None, None, None)
        return Draws(down, right, mirrored, *hole_places(count, height, width, rng), mean(images))

    def augmented(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Move, mirror and paint images (n, height, width, channels) uint8, as drawn for each. Same shape."""
        images = moved(images, self.shift, draws.down, draws.right, self.border)
        if draws.mirrored is not None:
            images[draws.mirrored] = images[draws.mirrored, :, ::-1]
        if draws.colour is None:
            return images
        assert draws.top is not None
        assert draws.left is not None
        return painted(images, draws.colour, draws.top, draws.left)

    def _view(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.augmented(images, self._draws(images, rng))

    def _labels(self, labels: np.ndarray, classes: int, partner: np.ndarray | None) -> np.ndarray:
        """Return the classes of the images, then those of the pseudo-classes' images, kind after kind."""
        parts = [labels]
        if self.mirrored:
            parts += [labels + i * classes for i in range(1, 1 + len(MIRRORED))]
        if partner is not None:
            first = self.classes(classes) - classes * classes
            parts.append(first + labels * classes + labels[partner])
        return np.concatenate(parts)


def shifted(
    images: np.ndarray, most: int, rng: np.random.Generator, border: str = "zeros"
) -> np.ndarray:
    """Move each image by up to `most` pixels in each direction. Same shape and dtype."""
    down, right = (rng.integers(0, 2 * most + 1, len(images)) for _ in range(2))
    return moved(images, most, down, right, border)


def moved(
    images: np.ndarray, most: int, down: np.ndarray, right: np.ndarray, border: str
) -> np.ndarray:
    """Move each image by down - `most` and right - `most` pixels. Same shape and dtype, and a copy.

    images (n, height, width, channels); down, right (n,), 0 to 2 `most`
    """
    _, height, width, _ = images.shape
    around = ((0, 0), (most, most), (most, most), (0, 0))
    padded = np.pad(images, around, "reflect") if border == "reflected" else np.pad(images, around)
    found = np.empty_like(images)
    for y, x in itertools.product(range(2 * most + 1), repeat=2):  # whole rows at a time
        same = np.flatnonzero((down == y) & (right == x))
        found[same] = padded[same, y : y + height, x : x + width]
    return found


def holed(images: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a square of a quarter of the height over each image. Same shape and dtype.

    images (n, height, width, channels); colour (channels,)
    """
    count, height, width, _ = images.shape
    return painted(images, colour, *hole_places(count, height, width, rng))


def hole_places(
    count: int, height: int, width: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw where the squares of so many images of a size begin: rows and columns, each (count, 1) int64."""
    side = max(1, height // 4)
    top = rng.integers(0, height - side + 1, (count, 1))
    return top, rng.integers(0, max(1, width - side + 1), (count, 1))


def painted(
    images: np.ndarray, colour: np.ndarray, top: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Paint a square of a quarter of the height over each image, as `holed`, in given places."""
    _, height, width, _ = images.shape
    side = max(1, height // 4)
    rows = (np.arange(height) >= top) & (np.arange(height) < top + side)
    columns = (np.arange(width) >= left) & (np.arange(width) < left + side)
    return np.where((rows[:, :, None] & columns[:, None, :])[..., None], colour, images)


def mean(images: Images) -> np.ndarray:
    """Return the mean colour of all pixels, its fraction cut off: (channels,) uint8."""
    total = sum(chunk.sum(axis=(0, 1, 2), dtype=np.int64) for chunk in chunks(images))
    return (total / np.prod(images.shape[:3])).astype(np.uint8)


RECIPES = {
    "digits": Recipe(
        epochs=80, mirrored=True, joined=True, activation=1.0, reconstruction=5.0, threads=1
    ),
    "cifar100": Recipe(
        epochs=50, batch=64, shift=2, border="reflected", flipped=True, equalised=True, packed=True
    ),
    "core50": Recipe(
        epochs=20, batch=64, shift=4, border="reflected", flipped=True, equalised=True, packed=True
    ),
}


DISTILLED = 0.7


def recipe_of(dataset: str, objective: str = "supervised", augment: bool = True) -> Recipe:
    """The recipe of a data set and one of `OBJECTIVES`; plain training where none was measured.

    Without `augment` images are neither moved nor mirrored; pseudo-classes stay.

    Weights of the semi-supervised terms are set, not measured: each starts near the size of the
    others. Lambda is the library default of arXiv 2103.03230.
    """  # noqa: DOC501  `unknown` makes a SpecError
    require.choice("objective", objective, OBJECTIVES)
    recipe = RECIPES.get(dataset, Recipe())
    if not augment:
        if objective == "semi":
            raise SpecError(
                "objective 'semi' must augment images: else both views of one are the same"
            )
        recipe = replace(recipe, shift=0, flipped=False)
    if objective == "supervised":
        return recipe
    if objective == "distilled":
        return replace(recipe, distilled=DISTILLED)
    return replace(recipe, twins=1.0, activation=max(1.0, recipe.activation))
