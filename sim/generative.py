"""The learner of a chip with generative replay: exact state, no cycles.

`spec.generative` and `spec.generative_chip` are its meaning.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import kernel
from xnoreplay.sim.learner import Learner
from xnoreplay.spec import generative
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.generative import MOST_SHARE, NONE
from xnoreplay.spec.lfsr import WIDE_BITS, WIDE_STEPS
from xnoreplay.spec.reference import Random
from xnoreplay.spec.target import TargetSpec

_WIDE = np.uint64((1 << WIDE_BITS) - 1)
_TAP = WIDE_BITS - 1
_SERVED = WIDE_STEPS


class Components(NamedTuple):
    """What is remembered of every class, and the counters of the one that is open."""

    mean: np.ndarray  # (classes, components, latent) uint8
    share: np.ndarray  # (classes, components) int64
    count: np.ndarray  # type: ignore[assignment]  # (components, latent) int32
    open: np.ndarray  # (1,) int64, a class or -1
    bits: int  # of a mean


@kernel
def take(held, z, label):  # noqa: C901  the rule's steps, one after another
    """Take one sample, (latent,) uint8 bits, into its class: the component that it joined."""
    components, latent = held.count.shape
    mean, share, bits = held.mean[label], held.share[label], held.bits
    if held.open[0] != label:
        held.open[0] = label
        for k in range(components):
            for j in range(latent):
                middle = (2 * np.int64(mean[k, j]) + 1) * share[k]
                held.count[k, j] = (middle + (1 << bits) - 1) >> (bits + 1)
    chosen, least = -1, latent + 1
    for k in range(components):
        if share[k] == 0:
            chosen = k
            break
        distance = 0
        for j in range(latent):
            distance += (mean[k, j] >> (bits - 1)) != z[j]
        if distance < least:
            chosen, least = k, distance
    if share[chosen] == MOST_SHARE:
        for k in range(components):
            share[k] >>= 1
            for j in range(latent):
                held.count[k, j] >>= 1
    share[chosen] += 1
    n, top = np.int32(share[chosen]), np.int32((1 << bits) - 1)
    for j in range(latent):
        count = held.count[chosen, j] + np.int32(z[j])
        held.count[chosen, j] = count
        mean[chosen, j] = min(top, np.int32(count << bits) // n)
    return chosen


@kernel
def draw_latents(planes, rows, states, steps, out):
    """Draw one latent from each of the components that `rows` names, in order.

    planes : (components, words, registers, bits) uint64, the planes of each mean, lowest first
    states : (registers,) uint64, which step on; by so many steps a word
    out : (rows, words * registers * steps) uint8 bits
    """
    _, words, registers, bits = planes.shape
    low = np.uint64((1 << steps) - 1)
    up, first, second = np.uint64(steps), np.uint64(_TAP + 1 - steps), np.uint64(_TAP - steps)
    for i in range(len(rows)):
        position = 0
        for w in range(words):
            for r in range(registers):
                s = states[r]
                new = ((s >> first) ^ (s >> second)) & low
                s = ((s << up) & _WIDE) | new
                t = new
                for b in range(bits):
                    new = ((s >> first) ^ (s >> second)) & low
                    s = ((s << up) & _WIDE) | new
                    t = (t & new) | (planes[rows[i], w, r, b] & (t | new))
                states[r] = s
                for j in range(steps):
                    out[i, position + j] = (t >> np.uint64(j)) & np.uint64(1)
                position += steps


class GenerativeLearner(Learner):
    """One chip's classifier and the components of its classes.

    Commands and refusals are those of `spec.generative_chip.GenerativeChip`, on latents.

    Parameters
    ----------
    bundle, target : Bundle, TargetSpec
    random : Random, optional
        Power-on states of the registers walk, error and update.
    wide : sequence of int, optional
        Of the wide registers, each from 1 to 2^63 - 1.
    """

    WAY: ClassVar = "generative"

    def __init__(
        self,
        bundle: Bundle,
        target: TargetSpec,
        random: Random | None = None,
        wide: Sequence[int] | None = None,
    ) -> None:
        super().__init__(bundle, target, random)
        net, count = self.net, target.replay_components
        self.components = Components(
            np.zeros((net.classes, count, net.latent), np.uint8),
            np.zeros((net.classes, count), np.int64),
            np.zeros((count, net.latent), np.int32),
            np.array([NONE], np.int64),
            target.mean_bits,
        )
        channels = target.channels
        states = generative.power_on(channels) if wide is None else wide
        self.wide = np.array(generative.wide_states(states, channels), np.uint64)

    def arrive(self, seen: int) -> None:
        """Announce how many classes there are now."""
        self.seen = self._accept(Command.ARRIVE, seen)

    def insert(self, latent: np.ndarray, label: int) -> bool:
        """Take one sample into the components of its class; True, because none is refused."""
        label = self._accept(Command.INSERT, label)
        take(self.components, self._latent(latent), label)
        return True

    def stage(self, latent: np.ndarray, label: int) -> bool:
        """Take one new sample, and keep it until the session ends where there is room; True."""
        label = self._accept(Command.STAGE, label)
        latent = self._latent(latent)
        self.seen = max(self.seen, label + 1)
        take(self.components, latent, label)
        full = len(self.staged) == self.target.staging_capacity
        if not full and sum(y == label for _, y in self.staged) < self.target.staged_per_class:
            self.staged.append((latent, label))
        return True

    def rebalance(self) -> None:
        """End a session: staging is emptied."""
        self.staged.clear()

    def _draws(self) -> np.ndarray:
        """(classes seen,) int64: latents of each class that are drawn in an epoch."""
        room = np.maximum(0, self.target.drawn_per_class - self._staged_counts())
        return np.where(self.components.share[: self.seen].any(axis=1), room, 0)

    def counts(self) -> np.ndarray:
        """(classes seen,) int64: samples of each class in one epoch."""
        return self._draws() + self._staged_counts()

    def epoch_order(self) -> list[int]:
        """Walk indices of an epoch: draw d of class c is (c << slot_bits) + d, the staging places follow."""
        bits = generative.slot_bits(self.target)
        staging, draws, order = self.net.classes << bits, self._draws().tolist(), []
        for i in self._walk(generative.walk_indices(self.net, self.target)):
            label, slot = i >> bits, i & (1 << bits) - 1
            if i >= staging:
                if i - staging < len(self.staged):
                    order.append(i)
            elif label < self.seen and slot < draws[label]:
                order.append(i)
        return order

    def _planes(self) -> np.ndarray:
        """Planes of every mean as `draw_latents` takes them, words of a class's components in rows."""
        channels, bits = self.target.channels, self.target.mean_bits
        steps = min(channels, WIDE_STEPS)
        mean = self.components.mean.reshape(-1, self.net.latent)
        words = ceil_div(self.net.latent, channels)
        padded = np.zeros((len(mean), words * channels), np.uint64)
        padded[:, : self.net.latent] = mean
        cells = padded.reshape(len(mean), words, -1, steps, 1) >> np.arange(bits, dtype=np.uint64)
        weight = np.uint64(1) << np.arange(steps, dtype=np.uint64)
        return ((cells & np.uint64(1)) * weight[:, None]).sum(3, dtype=np.uint64)

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, latent) bits and (n,) int64 classes of one epoch's samples, drawn anew; registers step on."""
        planes, rows = self._planes(), self._rows()
        return self._drawn(self.epoch_order(), planes, rows)

    def _drawn(
        self, indices: list[int], planes: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n, latent) bits and (n,) int64 classes of some walk indices, drawn or staged, in order."""
        bits, order = generative.slot_bits(self.target), np.array(indices, np.int64)
        is_drawn = order < self.net.classes << bits
        drawn, places = order[is_drawn], order[~is_drawn] - (self.net.classes << bits)
        steps = min(self.target.channels, WIDE_STEPS)
        room = np.zeros((len(drawn), planes.shape[1] * self.target.channels), np.uint8)
        draw_latents(planes, rows[drawn], self.wide, steps, room)
        latents, labels = np.zeros((len(order), self.net.latent), np.uint8), order >> bits
        latents[is_drawn] = room[:, : self.net.latent]
        if len(places):
            latents[~is_drawn] = np.stack([self.staged[i][0] for i in places])
            labels[~is_drawn] = [self.staged[i][1] for i in places]
        return latents, labels

    def _epochs(self) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray]]]:
        planes, rows = self._planes(), self._rows()

        def minibatches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            order = iter(self.epoch_order())
            while batch := list(islice(order, self.target.batch)):
                latents, labels = self._drawn(batch, planes, rows)
                yield self._inputs(latents), labels

        for _ in range(self.target.epochs):
            yield minibatches()

    def _rows(self) -> np.ndarray:
        """The component, counted over all classes, of every draw's walk index."""
        bits, count = generative.slot_bits(self.target), self.target.replay_components
        rows = np.zeros(self.net.classes << bits, np.int64)
        below = self.components.share.cumsum(axis=1)
        for label, draws in enumerate(self._draws().tolist()):
            at = np.arange(draws) * below[label, -1]
            k = np.searchsorted(below[label] * draws, at, side="right")
            rows[(label << bits) + np.arange(draws)] = label * count + k
        return rows
