"""Which samples test, where a data set does not say."""

import numpy as np

TEST_STRIDE = 4  # of each class, every fourth sample in order is a test sample


def split(labels: np.ndarray, stride: int = TEST_STRIDE) -> np.ndarray:
    """Choose the test samples: of each class every `stride`-th in order, or the last where there are fewer, but two.

    The choice depends on the order of the labels alone, so it is fixed, and takes the same share of each class.

    Parameters
    ----------
    labels : (n,) integers
    stride : int

    Returns
    -------
    (n,) bool

    >>> split(np.array([0, 0, 0, 0, 1, 1, 0, 1, 1])).astype(int)
    array([0, 0, 0, 1, 0, 0, 0, 0, 1])
    >>> split(np.array([0, 0, 0, 0, 0, 1, 1, 2])).astype(int)
    array([0, 0, 0, 1, 0, 0, 1, 0])
    """
    place, count = places(labels)
    every = (count >= stride) & (place % stride == stride - 1)
    last = (count < stride) & (count > 1) & (place == count - 1)
    return every | last


def places(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each sample among those of its label, in order from 0 on, and how many these are: (n,) int64 each.

    >>> [found.tolist() for found in places(np.array([7, 3, 7, 7]))]
    [[0, 0, 1, 2], [3, 1, 3, 3]]
    """
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    count = np.empty(len(labels), np.int64)
    count[order] = np.repeat(counts, counts)
    return place, count
