"""One minibatch of the integer rule: forward, error, back-propagation, update.

`spec/learning.py` and `spec.reference.learn` are its meaning. Inputs and weights are kept as small
signed integers, so that the compiler turns the sums into vector instructions.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import draw, kernel, part, popcount
from xnoreplay.spec.learning import (
    DRAW_BITS,
    DRAW_MASK,
    EXP_ENTRIES,
    EXP_TABLE,
    P_BITS,
    WEIGHT_BITS,
    Rule,
)
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec

_EXP = np.array(EXP_TABLE, np.int64)


class Constants(NamedTuple):
    """Constants of the integer rule on one target."""

    proxy_bits: int
    delta_bits: int
    proxies: int
    logit_shift: int
    hidden_mask: int
    update_shift: int
    segment: int
    hidden_learns: int


class Proxies(NamedTuple):
    """What a session changes, and the weights that are its top bits."""

    hidden: np.ndarray  # (hidden, 1, latent) int32
    output: np.ndarray  # (classes, proxies, latent + hidden) int32
    hidden_weight: np.ndarray  # (hidden, latent) int8, +-1
    output_weight: np.ndarray  # (classes, latent + hidden) int8, the sum of both copies
    random: np.ndarray  # (2,) int64, registers `error` and `update`


class Work(NamedTuple):
    """A minibatch: its inputs, sums and deltas."""

    v: np.ndarray  # (batch, latent + hidden) int8, +-1: inputs of the output layer
    label: np.ndarray  # (batch,) int64
    a: np.ndarray  # (batch, hidden) int32 sums
    s: np.ndarray  # (batch, classes) int32 logit sums
    q: np.ndarray  # (classes, batch) int32 output deltas
    d: np.ndarray  # (hidden, batch) int32 hidden deltas
    e: np.ndarray  # (classes,) int64 exponentials
    gradient: np.ndarray  # (latent + hidden,) int32
    planes: np.ndarray  # (2, max rows) int64: non-zero planes of each row, output then hidden


def new_constants(net: NetworkSpec, target: TargetSpec) -> Constants:
    """The constants of a network on a target."""
    rule = Rule.of(net, target)
    return Constants(
        rule.proxy_bits,
        rule.delta_bits,
        rule.proxies_per_pair,
        rule.logit_shift,
        rule.hidden_mask,
        rule.update_shift,
        target.segment,
        int(target.hidden_learns),
    )


def new_work(net: NetworkSpec, batch: int) -> Work:
    """Room for minibatches of at most `batch` samples, all zero."""
    rows = max(net.classes, net.hidden)
    return Work(
        np.zeros((batch, net.output_inputs), np.int8),
        np.zeros(batch, np.int64),
        np.zeros((batch, net.hidden), np.int32),
        np.zeros((batch, net.classes), np.int32),
        np.zeros((net.classes, batch), np.int32),
        np.zeros((net.hidden, batch), np.int32),
        np.zeros(net.classes, np.int64),
        np.zeros(net.output_inputs, np.int32),
        np.zeros((2, rows), np.int64),
    )


@part
def offset_of(draw4, t):
    """Rounding offset of a shift by t from four random bits, as `spec.learning.delta_offset`."""
    if t <= 0:
        return 0
    if t <= DRAW_BITS:
        return draw4 & (1 << t) - 1
    return (draw4 << (t - DRAW_BITS)) + (1 << (t - DRAW_BITS - 1))


@part
def rounded_delta(value, t, draw4, bits):
    """A value shifted right by t, rounded with four random bits, clamped to +-(2^(bits - 1) - 1)."""
    value = (value + offset_of(draw4, t)) >> t if t >= 0 else value << -t
    top = (1 << (bits - 1)) - 1
    return min(top, max(-top, value))


@part
def pair_sum(theta, proxies, bits):
    """Sum of both copies' weights, from the top bits of one or two proxies in offset binary."""
    half = 1 << (bits - 1)
    if proxies == 2:
        return 2 * (np.int64(theta[0] >= 0) + np.int64(theta[1] >= 0)) - 2
    code = (theta[0] + half) >> (bits - 2)
    return 2 * ((code >> 1) + (code & 1)) - 2


@kernel
def binarise(constants, proxies):
    """Derive both layers' weights from their proxies."""
    for j in range(proxies.hidden.shape[0]):
        for i in range(proxies.hidden.shape[2]):
            proxies.hidden_weight[j, i] = 1 if proxies.hidden[j, 0, i] >= 0 else -1
    for row in range(proxies.output.shape[0]):
        for i in range(proxies.output.shape[2]):
            proxies.output_weight[row, i] = pair_sum(
                proxies.output[row, :, i], constants.proxies, constants.proxy_bits
            )


@part
def dot(x, w, n):
    """Sum of products of the first n entries of two int8 rows."""
    total = np.int32(0)
    for i in range(n):
        total += np.int32(x[i]) * np.int32(w[i])
    return total


@kernel
def forward(proxies, work, samples, seen):
    """Compute sums, hidden bits and logit sums of a minibatch whose latents lie in `work.v`."""
    latent = proxies.hidden.shape[2]
    for b in range(samples):
        v = work.v[b]
        for j in range(proxies.hidden.shape[0]):
            a = dot(v, proxies.hidden_weight[j], latent)
            work.a[b, j] = a
            v[latent + j] = 1 if a >= 0 else -1
        for row in range(seen):
            work.s[b, row] = dot(v, proxies.output_weight[row], v.shape[0])


@kernel
def errors(constants, proxies, work, samples, seen, weights, shift):
    """Deltas of every sample and class from the softmax of their sums, one draw of the register `error` each."""
    state = proxies.random[0]
    for b in range(samples):
        largest = work.s[b, 0]
        for row in range(1, seen):
            largest = max(largest, work.s[b, row])
        total = 0
        for row in range(seen):
            index = min(EXP_ENTRIES - 1, (largest - work.s[b, row]) >> constants.logit_shift)
            work.e[row] = _EXP[index]
            total += work.e[row]
        log = 0
        while total >> (log + 1):
            log += 1
        reciprocal = ((1 << (log + 5)) + total) // (2 * total)
        y = work.label[b]
        for row in range(seen):
            product = work.e[row] * reciprocal
            p = product >> (log - 8) if log >= 8 else product << (8 - log)
            p = min(1 << P_BITS, p) - ((row == y) << P_BITS)
            g = (p * weights[y]) >> WEIGHT_BITS
            state = draw(state)
            work.q[row, b] = rounded_delta(g, shift, state & DRAW_MASK, constants.delta_bits)
    proxies.random[0] = state


@kernel
def back(constants, proxies, work, samples, seen, shift):
    """Deltas of every sample and hidden unit, one draw of the register `error` each.

    A delta is 0 where the unit's sum is too large for the straight-through estimator.
    """
    latent = proxies.hidden.shape[2]
    state = proxies.random[0]
    for b in range(samples):
        for j in range(proxies.hidden.shape[0]):
            total = 0
            for row in range(seen):
                total += work.q[row, b] * proxies.output_weight[row, latent + j]
            state = draw(state)
            value = rounded_delta(total, shift, state & DRAW_MASK, constants.delta_bits)
            work.d[j, b] = value if abs(work.a[b, j]) <= constants.hidden_mask else 0
    proxies.random[0] = state


@part
def count_planes(delta, samples, bits):
    """How many two's-complement bit-planes of a row of deltas are not empty."""
    planes = 0
    for b in range(samples):
        planes |= delta[b] & ((1 << bits) - 1)
    return popcount(np.uint64(planes))


@part
def update_row(constants, theta, delta, work, samples, spans, state):
    """Subtract the stochastically rounded gradient from a row's proxies, theta.

    Each segment of the spans' columns takes a draw. Returns the state of the register `update` after the last.
    """
    columns = spans[-1]
    for i in range(columns):
        work.gradient[i] = 0
    for b in range(samples):
        step = np.int32(delta[b])
        if step:
            for i in range(columns):
                work.gradient[i] += step * np.int32(work.v[b, i])
    t = constants.update_shift
    top = (1 << t) - 1 if t > 0 else 0
    high = (1 << (constants.proxy_bits - 1)) - 1
    for span in range(len(spans) - 1):
        for first in range(spans[span], spans[span + 1], constants.segment):
            state = draw(state)
            offset = state & top
            for copy in range(theta.shape[0]):
                r = top - offset if copy else offset
                for i in range(first, min(first + constants.segment, spans[span + 1])):
                    g = work.gradient[i]
                    step = (g + r) >> t if t >= 0 else g << -t
                    theta[copy, i] = min(high, max(-high - 1, theta[copy, i] - step))
    return state


@kernel
def update(constants, proxies, work, samples, seen):
    """Update both layers' proxies and weights, and count each row's non-empty planes."""
    latent, skip = proxies.hidden.shape[2], proxies.output.shape[2]
    state = proxies.random[1]
    for row in range(seen):
        work.planes[0, row] = count_planes(work.q[row], samples, constants.delta_bits)
        if work.planes[0, row]:
            state = update_row(
                constants, proxies.output[row], work.q[row], work, samples, (0, latent, skip), state
            )
            for i in range(skip):
                proxies.output_weight[row, i] = pair_sum(
                    proxies.output[row, :, i], constants.proxies, constants.proxy_bits
                )
    if constants.hidden_learns:
        for j in range(proxies.hidden.shape[0]):
            work.planes[1, j] = count_planes(work.d[j], samples, constants.delta_bits)
            if work.planes[1, j]:
                state = update_row(
                    constants, proxies.hidden[j], work.d[j], work, samples, (0, latent), state
                )
                for i in range(latent):
                    proxies.hidden_weight[j, i] = 1 if proxies.hidden[j, 0, i] >= 0 else -1
    proxies.random[1] = state


def learn(constants, proxies, work, samples, seen, weights, shifts) -> None:
    """Learn from a minibatch whose inputs and sums lie in `work`: errors, back-propagation, update.

    shifts: of output errors and of back-propagated errors to their deltas.
    """
    errors(constants, proxies, work, samples, seen, weights, shifts[0])
    if constants.hidden_learns:
        back(constants, proxies, work, samples, seen, shifts[1])
    update(constants, proxies, work, samples, seen)
