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

OBJECTIVES = ("supervised", "semi", "distilled")
"""Cross-entropy; or with it the Barlow Twins loss of two views and the activation regulariser; or the
distance to what a real-valued teacher says, `xnoreplay.model.training.teacher`, and less of cross-entropy."""


class Epoch(NamedTuple):
    """The samples of one epoch: images (n, height, width, channels) uint8; classes (n,) int64; second views or None."""

    images: np.ndarray
    classes: np.ndarray
    second: np.ndarray | None


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

        With twins, second views show the same images, moved and flipped by other draws.
        """
        first = self._view(base.images, rng)
        partner = rng.permutation(len(first)) if self.joined else None
        order = rng.permutation(self.size(len(first)))
        whole = self._kinds(first, base.classes, classes, partner)
        second = None
        if self.twins:
            other = self._kinds(self._view(base.images, rng), base.classes, classes, partner)
            second = other.images[order]
        return Epoch(whole.images[order], whole.classes[order], second)

    def _view(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        colour = images.mean(axis=(0, 1, 2)).astype(np.uint8) if self.holes else None
        images = shifted(images, self.shift, rng, self.border)
        if self.flipped:
            mirrored = rng.random(len(images)) >= 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return images if colour is None else holed(images, colour, rng)

    def _kinds(self, images, labels, classes: int, partner: np.ndarray | None) -> Samples:
        """Return images of the classes, then those of the pseudo-classes."""
        parts = [Samples(images, labels)]
        if self.mirrored:
            for i, axes in enumerate(((2,), (1,), (1, 2)), start=1):
                parts.append(Samples(np.flip(images, axes), labels + i * classes))
        if partner is not None:
            parts.append(_joined(images, labels, classes, self.classes(classes), partner))
        if len(parts) == 1:
            return parts[0]
        return Samples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def shifted(
    images: np.ndarray, most: int, rng: np.random.Generator, border: str = "zeros"
) -> np.ndarray:
    """Move each image by up to `most` pixels in each direction. Same shape and dtype."""
    n, height, width, _ = images.shape
    around = ((0, 0), (most, most), (most, most), (0, 0))
    padded = np.pad(images, around, "reflect") if border == "reflected" else np.pad(images, around)
    down, right = (rng.integers(0, 2 * most + 1, n) for _ in range(2))
    moved = np.empty_like(images)
    for y, x in itertools.product(range(2 * most + 1), repeat=2):  # whole rows at a time
        same = np.flatnonzero((down == y) & (right == x))
        moved[same] = padded[same, y : y + height, x : x + width]
    return moved


def holed(images: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a square of a quarter of the height over each image. Same shape and dtype.

    images (n, height, width, channels); colour (channels,)
    """
    n, height, width, _ = images.shape
    side = max(1, height // 4)
    top = rng.integers(0, height - side + 1, (n, 1))
    left = rng.integers(0, max(1, width - side + 1), (n, 1))
    rows = (np.arange(height) >= top) & (np.arange(height) < top + side)
    columns = (np.arange(width) >= left) & (np.arange(width) < left + side)
    return np.where((rows[:, :, None] & columns[:, None, :])[..., None], colour, images)


def _joined(images, classes, base, total, partner) -> Samples:
    half = images.shape[1] // 2
    joined = np.concatenate([images[:, :half], images[partner, half:]], axis=1)
    return Samples(joined, total - base * base + classes * base + classes[partner])


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
