"""Constants and formulas that all float training shares: initial proxies, alpha, losses, weights, and their export."""

import numpy as np

from xnoreplay.spec.bundle import MASTER_BITS
from xnoreplay.spec.network import COPIES, NetworkSpec

INIT = 0.1  # proxies start uniform in [-INIT, INIT]; from [-1, 1] a binary network does not learn
ALPHA_GAIN = 8  # times the spec's alpha; measured better, as sums are small at first
FOCUS = 2  # gamma of the focal loss
PAIR_OFFSET = 1 / 32
"""Half the distance between the two proxies of a pair of the output layer.

The chip imports 16 u and, with one proxy a pair, reads it against plus and minus half its range:
1/2 / 16 = 1/32. Pairs trained with this distance mean the same there with one proxy or two.
"""
LOSSES = ("cce", "fcce", "sh")
"""Cross-entropy; focal cross-entropy (arXiv 1708.02002); squared hinge on targets of -1 and +1."""


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Return weights inverse to the frequency: w_i = C (1 / f_i) / sum_j (1 / f_j).

    (classes,) samples of each class -> (classes,) float64, of mean 1. C counts the classes that
    have samples; the others neither matter nor weigh: 0. Source: arXiv 2503.07107.

    >>> class_weights(np.array([1, 3]))
    array([1.5, 0.5])
    """
    counts = np.asarray(counts, np.float64)
    present = counts > 0
    inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=present)
    return present.sum() * inverse / inverse.sum()


def masters(u: np.ndarray) -> np.ndarray:
    """Return 16-bit master proxies floor(2^15 u), saturated; u in [-1, 1], sign kept. Same shape, int16.

    >>> masters(np.array([-1, 0.5, 1]))
    array([-32768,  16384,  32767], dtype=int16)
    """
    top = 1 << (MASTER_BITS - 1)
    return np.floor(np.asarray(u, np.float64) * top).clip(-top, top - 1).astype(np.int16)


def untrained(net: NetworkSpec, rows: int) -> np.ndarray:
    """Return output rows of classes to come: pairs of mean 0, whose two weights cancel.

    (rows, COPIES, latent + hidden) int16.
    """
    pair = masters(np.array([PAIR_OFFSET, -PAIR_OFFSET]))
    return np.broadcast_to(pair[:, None], (rows, COPIES, net.output_inputs)).copy()
