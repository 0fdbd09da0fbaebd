"""What a listing of vectors is made of: parts, files with vectors that follow each other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.flow.datasets import listed
from xnoreplay.flow.datasets.splits import split
from xnoreplay.spec import features
from xnoreplay.spec.errors import FeatureError, SpecError
from xnoreplay.spec.features import MOST_FEATURES

CHUNK = 1 << 24  # bytes of vectors that are read at once
TEST_COLUMN = "is_test"

Blocks = Iterator[np.ndarray]


def rows_at_once(size: int) -> int:
    """Return how many vectors of so many bytes are read at once."""
    return max(1, CHUNK // max(1, size))


class Part(NamedTuple):
    """Vectors that follow each other in one file.

    size, width : vectors, and features of each
    blocks : reads them in order: arrays (m, width) of the file's type
    """

    size: int
    width: int
    blocks: Callable[[], Blocks]


@dataclass(frozen=True)
class VectorListing:
    """What a data set of vectors holds, before they are read.

    name : of the folder or file
    classes : names, in order of their labels
    labels : (n,) int64
    is_test : (n,) bool
    stamp : SHA-256 that changes with what is there
    features : of each vector
    blocks : reads every vector in order: arrays (m, features), floats or integers
    place : says where sample i lies, for a sentence
    has_split : whether the data set itself says which samples test
    notes : what a user should know
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray
    stamp: str
    features: int
    blocks: Callable[[], Blocks]
    place: Callable[[int], str]
    has_split: bool = False
    notes: tuple[str, ...] = ()


def joined(  # noqa: PLR0913  what the layouts have in common
    path: Path,
    files: list[Path],
    parts: list[Part],
    labels: np.ndarray,
    names: list[str] | None,
    is_test: np.ndarray | None,
    place: Callable[[int], str],
    notes: tuple[str, ...] = (),
) -> VectorListing:
    """Join parts of one width; labels (n,) of any integers."""
    widths = {part.width for part in parts}
    if len(widths) > 1:
        raise SpecError(
            f"vectors of {path} must all have the same number of features, not {min(widths):,} and {max(widths):,}"
        )
    (width,) = widths
    if not 1 <= width <= MOST_FEATURES:
        raise SpecError(
            f"vectors of {path} must have 1 to {MOST_FEATURES:,} features, not {width:,}"
        )
    classes, numbers = listed.numbered(labels, names, str(path), "vectors")

    def blocks() -> Blocks:
        for part in parts:
            yield from part.blocks()

    name = path.resolve().name if path.is_dir() else path.stem
    tests = split(numbers) if is_test is None else is_test
    stamp = listed.stamp(path, files)
    has_split = is_test is not None
    return VectorListing(
        name, classes, numbers, tests, stamp, width, blocks, place, has_split, notes
    )


def read_doubles(raw: np.ndarray, place: Callable[[int], str], start: int = 0) -> np.ndarray:
    """Return vectors, or a column of them, as float64 of the same shape.

    Parameters
    ----------
    raw : ndarray
        (m, d) or (m,), floats or integers.
    place : callable
        Says where a sample lies, for a sentence.
    start : int
        Number of the first.

    Raises
    ------
    FeatureError
        With the place of the first that holds what is no finite number.
    """
    try:
        return features.doubles(raw)
    except FeatureError:
        for i in range(len(raw)):
            try:
                features.doubles(raw[i : i + 1])
            except FeatureError as error:
                raise FeatureError(f"{place(start + i)}: {error}") from None
        raise
