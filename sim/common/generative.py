"""Generative replay in words, as both modes of the simulator have it: rows of its memories, and what becomes of planes."""

import numpy as np

from xnoreplay.sim.common.jit import ZERO, low_bits, part
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.lfsr import WIDE_BITS, WIDE_STEPS

_WIDE = np.uint64((1 << WIDE_BITS) - 1)
_BITS, _BEHIND, _SERVED = WIDE_BITS, WIDE_BITS - 1, WIDE_STEPS


@part
def component_row(op, label, component):
    """Row of replay.share of a class's component."""
    return label * op.components + component


@part
def mean_row(op, row, word, plane):
    """Row of replay.mean of a plane of a word; row: of replay.share, the component's."""
    return (row * op.words + word) * op.mean_bits + plane


@part
def count_row(op, component, word, plane):
    """Row of fit.count of a plane of a word of a component."""
    return (component * op.words + word) * SHARE_BITS + plane


@part
def valid_entry(geometry, label):
    """Entry of fit.open of a class that is open."""
    return label | 1 << geometry.label_bits


@part
def opened(op, geometry, planes, u, share, plane):
    """Unit u of a plane of the counters that means stand for, as `spec.generative.count_from_mean`.

    planes: (mean_bits or more, units) uint64, of the means, lowest first.
    """
    bits = ZERO
    for value in range(1 << op.mean_bits):
        count = ((2 * value + 1) * share + (1 << op.mean_bits) - 1) >> (op.mean_bits + 1)
        if count >> plane & 1:
            found = low_bits(geometry.unit_bits)
            for p in range(op.mean_bits):
                found &= planes[p, u] if value >> p & 1 else ~planes[p, u]
            bits |= found
    return bits


@part
def reaches(op, geometry, so_far, counted, value, share, plane):
    """Channels whose counters, as far as this plane, are at least ceil(value share / 2^mean_bits).

    so_far: of the planes below; counted: this plane of the counters.
    """
    threshold = (value * share + (1 << op.mean_bits) - 1) >> op.mean_bits
    before = low_bits(geometry.unit_bits) if plane == 0 else so_far
    return before & counted if threshold >> plane & 1 else before | counted


@part
def next_state(state, steps):
    """The next state of a wide register, as `spec.lfsr.wide_next`: an int64."""
    s = np.uint64(state)
    low = low_bits(steps)
    new = (s >> np.uint64(_BITS - steps) ^ s >> np.uint64(_BEHIND - steps)) & low
    return np.int64((s << np.uint64(steps)) & _WIDE | new)


@part
def joined(op, wide, target, register, state, j):
    """Join the random bits of one wide register to their channels of the word that is drawn, into `target`.

    j: 0 for a word's first random bits, else the plane above, that is in `feature`, joins.
    """
    first = register * _SERVED
    u = first // 64
    shift = np.uint64(first % 64)
    mask = low_bits(op.steps) << shift
    random = (np.uint64(state) & low_bits(op.steps)) << shift
    if j:
        word, plane = wide.draw[u] & mask, wide.feature[u]
        random = word & random | plane & (word | random)
    target[u] |= random & mask


@part
def last_word(op, word):
    """Clear the bits of a latent's last word that are past its end."""
    for u in range(word.shape[0]):
        word[u] &= low_bits(op.last_bits - 64 * u)
