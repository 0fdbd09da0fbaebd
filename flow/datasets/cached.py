"""What a data set of a user's own becomes, made once and kept in the cache of data sets; samples that are there twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import caches, reading

KIND = "datasets"  # of `caches`


class Noted(Protocol):
    """What is kept, with notes that a user should see when it is made."""

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102


Kept = TypeVar("Kept", bound=Noted)


def brought(
    words: Sequence, kept: Callable[[Path], Kept], make: Callable[[Path], None], progress: Progress
) -> Kept:
    """Take what is in the cache, or make it and show its notes.

    Parameters
    ----------
    words : sequence
        Plain values that decide what it is; it is made anew for others.
    kept : callable
        Maps the files of a stem, a path without an ending; raises one of `reading.DAMAGED_ARRAYS` where they are not
        whole, or not there.
    make : callable
        Writes the files of a stem, of which one is an array with the ending ``.npy``.
    progress : Progress
        Shows the notes, and one where damaged files are made anew.
    """
    key = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:32]
    readable = caches.folder(KIND)  # a cache that cannot be written can be read
    if readable is not None:
        with suppress(*reading.DAMAGED_ARRAYS):
            return kept(readable / key)
    folder = caches.writable(KIND)
    if folder != readable:
        with suppress(*reading.DAMAGED_ARRAYS):
            return kept(folder / key)
    stem = folder / key
    if stem.with_suffix(".npy").exists():
        progress.note(f"{stem}.npy is damaged, and is made anew")
    make(stem)
    made = kept(stem)
    for note in made.notes:
        progress.note(note)
    return made


def digest(sample: np.ndarray) -> np.ndarray:
    """(2,) uint64 of a sample's shape, type and values: equal for equal samples alone, but for chance."""
    h = hashlib.blake2b(f"{sample.shape} {sample.dtype}".encode(), digest_size=16)
    h.update(np.ascontiguousarray(sample).data)
    return np.frombuffer(h.digest(), np.uint64)


def twins(digests: np.ndarray, is_test: np.ndarray) -> tuple[int, int, int]:
    """Look for test samples that are also training samples.

    Parameters
    ----------
    digests : (n, 2) uint64
        Of the samples.
    is_test : (n,) bool

    Returns
    -------
    number : int
        How many there are.
    train, test : int
        Places of the first of them and of a training sample that is equal; 0 where there is none.

    Examples
    --------
    >>> same = np.array([[1, 1], [2, 2], [1, 1], [1, 1]], np.uint64)
    >>> twins(same, np.array([False, False, True, False]))
    (1, 0, 2)
    """
    order = np.lexsort(
        (is_test, digests[:, 1], digests[:, 0])
    )  # equal ones: training samples first
    found = digests[order]
    begins = np.concatenate([[True], (found[1:] != found[:-1]).any(axis=1)])
    first = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]  # of its equals, for each
    pairs = is_test[order] & ~is_test[first]
    if not pairs.any():
        return 0, 0, 0
    test = int(order[pairs].min())
    return int(pairs.sum()), int(first[order == test][0]), test


def twin_notes(
    digests: np.ndarray, is_test: np.ndarray, place: Callable[[int], str], what: str
) -> list[str]:
    """Say how many test samples are also training samples, and where one is; no note where none is.

    Parameters
    ----------
    digests, is_test
        As `twins` takes them.
    place : callable
        Says where sample i lies.
    what : str
        A sample: "image".
    """
    number, train, test = twins(digests, is_test)
    if not number:
        return []
    note = f"{number:,} test {what}s are also training {what}s, so their accuracy says little"
    return [f"{note}: {place(test)} is {place(train)}"]
