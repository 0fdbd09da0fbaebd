"""The chip's learning at the level of latents: exact state, no cycles.

For experiments over many seeds and dials, where the frozen feature extractor has run once. The
commands are those of `spec.reference.Chip`, on latents instead of images.
"""

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import numpy as np

from xnoreplay.sim.fast import arithmetic as kernels
from xnoreplay.spec import commands, limits, replay
from xnoreplay.spec.bits import sign, signed
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.learning import class_weights
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.reference import Classifier, Random
from xnoreplay.spec.target import TargetSpec


def _bytes(net: NetworkSpec, target: TargetSpec) -> int:
    """Bytes that a learner takes at most.

    They are every latent's inputs as floats, with what these are made of, and of each proxy what the reference and the
    kernels keep.
    """
    samples = target.replay_slots + target.staging_capacity
    proxies = net.hidden * net.latent + net.classes * net.output_fan_in
    needed = samples * (16 * net.latent + 12 * net.hidden) + 40 * proxies
    if target.replay == "generative":
        needed += net.classes * target.replay_components * net.latent * 8 * (3 + target.mean_bits)
    return needed


class Learner:
    """One chip's classifier and replay memory.

    A command that `xnoreplay.spec.commands` refuses raises SpecError and changes nothing.

    Parameters
    ----------
    bundle, target : Bundle, TargetSpec
    random : Random, optional
        Power-on states of the chip's three registers.
    """

    WAY: ClassVar = "stored"
    """Of `xnoreplay.spec.target.REPLAYS`: what the target's `replay` must be."""

    def __init__(self, bundle: Bundle, target: TargetSpec, random: Random | None = None) -> None:
        net = bundle.network
        replay.check_way(type(self).__name__, self.WAY, target)
        replay.check_capacity(net, target)
        limits.check_memory(
            f"learning of network {net.name} on target {target.name}", _bytes(net, target)
        )
        self.net, self.target = net, target
        random = random or Random()
        classifier = Classifier.load(bundle, target)
        self.rule = classifier.rule
        self._c = kernels.new_constants(net, target)
        self.proxies = kernels.Proxies(
            np.ascontiguousarray(classifier.hidden[:, None], np.int32),
            classifier.output.astype(np.int32),
            np.zeros((net.hidden, net.latent), np.int8),
            np.zeros((net.classes, net.output_inputs), np.int8),
            np.array([random.error, random.update], np.int64),
        )
        kernels.binarise(self._c, self.proxies)
        self._work = kernels.new_work(net, target.batch)
        self.walk_state = random.walk
        self.seen = self.quota = 0
        self.latents = np.zeros((target.replay_slots, net.latent), np.uint8)
        self.labels = np.full(target.replay_slots, -1)
        self.staged: list[tuple[np.ndarray, int]] = []

    def predict(self, latents: np.ndarray) -> np.ndarray:
        """(n, latent) bits -> (n,) classes among those seen; ties go to the lowest; 0 before any is seen."""
        latents = commands.bits_of("latents", latents, (None, self.net.latent))
        if not self.seen:
            return np.zeros(len(latents), np.int64)
        return self._sums(self._inputs(latents)).argmax(axis=1)

    def _inputs(self, latents: np.ndarray) -> np.ndarray:
        """(n, latent) bits -> (n, latent + hidden) float32, the output layer's -1 and +1."""
        z = signed(latents, np.float32)
        # Sums of at most 2^24 small integers are exact in float32.
        h = signed(sign(z @ self.proxies.hidden_weight.T.astype(np.float32)), np.float32)
        return np.concatenate([z, h], axis=1)

    def _sums(self, v: np.ndarray) -> np.ndarray:
        """(n, latent + hidden) -> (n, classes seen) float32 logit sums, integers."""
        return v @ self.proxies.output_weight[: self.seen].T.astype(np.float32)

    def arrive(self, seen: int) -> None:
        """Announce how many classes there are now; over-full classes make room."""
        self.seen = self._accept(Command.ARRIVE, seen)
        self._evict()

    def insert(self, latent: np.ndarray, label: int) -> bool:
        """Remember one sample at once, if its class is below its quota and a slot is free."""
        label = self._accept(Command.INSERT, label)
        return self._admit(self._latent(latent), label)

    def _latent(self, latent: np.ndarray) -> np.ndarray:
        """A latent as (latent,) uint8 bits; SpecError where it is none."""
        return commands.bits_of("a latent", latent, (self.net.latent,))

    def _admit(self, latent: np.ndarray, label: int) -> bool:
        """Write a sample to the lowest free slot if its class is below its quota; whether it was written."""
        if (self.labels == label).sum() >= self.quota or (self.labels >= 0).all():
            return False
        slot = int(np.argmin(self.labels >= 0))
        self.latents[slot], self.labels[slot] = latent, label
        return True

    def stage(self, latent: np.ndarray, label: int) -> bool:
        """Keep a new sample aside until the session ends; false where the staging memory is full.

        The class of the sample is seen in either case.
        """
        label = self._accept(Command.STAGE, label)
        latent = self._latent(latent)
        self.seen = max(self.seen, label + 1)
        if len(self.staged) == self.target.staging_capacity:
            return False
        self.staged.append((latent, label))
        return True

    def rebalance(self) -> None:
        """End a session: trim every class to its quota, then admit staged samples at random."""
        self._evict()
        if self.target.staging_capacity:
            for i in self._walk(self.target.staging_capacity):
                if i < len(self.staged):
                    self._admit(*self.staged[i])
        self.staged.clear()

    def _staged_counts(self) -> np.ndarray:
        """(classes seen,) int64: staged samples of each class."""
        return np.bincount([y for _, y in self.staged], minlength=self.seen).astype(np.int64)

    def counts(self) -> np.ndarray:
        """(classes seen,) int64: samples of each class in one epoch, f_c of the loss balance."""
        held = np.bincount(self.labels[self.labels >= 0], minlength=self.seen)
        return held + self._staged_counts()

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, latent) bits and (n,) int64 classes of what a session learns from: replay slots, then staging."""
        held = self.labels >= 0
        z = np.concatenate([self.latents[held], *(z[None] for z, _ in self.staged)])
        y = np.concatenate([self.labels[held], [y for _, y in self.staged]])
        return z, y.astype(np.int64)

    def retrain(self) -> int:
        """Learn in one session, whose epochs each walk replay and staging memory without replacement.

        Returns the number of minibatches.
        """
        self._accept(Command.RETRAIN)
        weights = np.array(class_weights(self.counts().tolist()), np.int64)
        total = 0
        for epoch, minibatches in enumerate(self._epochs()):
            shifts = self.rule.delta_shift(epoch), self.rule.hidden_shift(epoch)
            for v, labels in minibatches:
                count = len(labels)
                self._work.v[:count] = v
                self._work.label[:count] = labels
                if self.target.hidden_learns:
                    kernels.forward(self.proxies, self._work, count, self.seen)
                else:
                    self._work.s[:count, : self.seen] = self._sums(v)
                kernels.learn(self._c, self.proxies, self._work, count, self.seen, weights, shifts)
                total += 1
        return total

    def _epochs(self) -> Iterator[Iterator[tuple[np.ndarray, np.ndarray]]]:
        """Go through the minibatches of each epoch of a session.

        A learning hidden layer's bits are those from before the session, or of no meaning.

        Yields
        ------
        Iterator
            Of an epoch: (n, latent + hidden) inputs as of `_inputs`, (n,) int64 classes.
        """
        pool = np.concatenate([self.latents, *(z[None] for z, _ in self.staged)])
        labels = np.concatenate([self.labels, [y for _, y in self.staged]]).astype(np.int64)
        values = self._inputs(pool)

        def minibatches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            order = iter(self.epoch_order())
            while batch := list(islice(order, self.target.batch)):
                yield values[batch], labels[batch]

        for _ in range(self.target.epochs):
            yield minibatches()

    def epoch_order(self) -> list[int]:
        """Indices of every remembered sample, replay slots first, in one walk's order."""
        capacity = self.target.replay_capacity
        order = []
        for i in self._walk(capacity + self.target.staging_capacity):
            if i < capacity:
                if self.labels[i] >= 0:
                    order.append(i)
            elif i - capacity < len(self.staged):
                order.append(i)
        return order

    def _accept(self, command: Command, argument: object = 0) -> int:
        """The argument of a command that is taken; SpecError for one that is refused."""
        return commands.accept(command, argument, self.seen, self.net.classes)

    def _walk(self, n: int):
        """The order in which a walk visits so many indices; draws from the register `walk`."""
        bits = replay.index_bits(n)
        self.walk_state, mask, start = replay.seed_walk(self.walk_state, bits)
        return replay.walk(mask, start, bits)

    def _evict(self) -> None:
        """Share the capacity among the classes seen, and free slots of over-full classes in the order of a walk."""
        self.quota = replay.quota(self.target.replay_capacity, self.seen)
        counts = np.bincount(self.labels[self.labels >= 0], minlength=self.net.classes)
        for slot in self._walk(self.target.replay_capacity):
            if slot < len(self.labels) and self.labels[slot] >= 0:
                label = self.labels[slot]
                if counts[label] > self.quota:
                    counts[label] -= 1
                    self.labels[slot] = -1
