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
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= stride:
            is_test[members[stride - 1 :: stride]] = True
        elif len(members) > 1:
            is_test[members[-1]] = True
    return is_test
