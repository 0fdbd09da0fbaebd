"""The meaning of a chip with generative replay, in plain integers: `xnoreplay.spec.reference.Chip`'s commands.

`docs/generative_replay.md` is the prose.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xnoreplay.spec import generative, replay
from xnoreplay.spec.commands import Command
from xnoreplay.spec.generative import Components
from xnoreplay.spec.reference import Chip, latent


@dataclass
class GenerativeChip(Chip):
    """The whole chip's memory, and what its commands do to it.

    latents and labels are of no slot; of `events` there are none, and quota is 0; staged is as of `Chip`.

    components : what is remembered of every class, and the counters of the open one
    wide : states of the wide registers
    """

    WAY: ClassVar = "generative"
    components: Components = field(init=False)
    wide: list[int] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.components = Components.of(self.bundle.network, self.target)
        self.wide = generative.power_on(self.target.channels)

    def reset(self) -> None:
        """Registers begin anew and nothing is remembered; the classifier stays."""
        super().reset()
        self.components.reset()
        self.wide = generative.power_on(self.target.channels)

    def restore(self) -> bool:
        """Take what a host has written, if every class that has samples is of those seen; whether it is.

        The class of the open counters must be one of them, too.
        """
        with_samples = np.flatnonzero(self.components.share.any(axis=1)).tolist()
        labels = [*with_samples, *(label for _, label in self.staged), self.components.open]
        refused = max(labels) >= self.seen
        self.refused += refused
        self.stale = refused
        return not refused

    def arrive(self, seen: int) -> None:
        """Announce how many classes there are now; no class has to make room."""
        self.seen = self._accept(Command.ARRIVE, seen)

    def insert(self, image: np.ndarray, label: int) -> None:
        """Take one sample into the components of its class."""
        label = self._accept(Command.INSERT, label)
        self.components.take(latent(self.bundle, image), label)

    def stage(self, image: np.ndarray, label: int) -> None:
        """Take one new sample into the components of its class, and keep it until the session ends, if there is room.

        There is for the first samples of a class, as many as the target's `staged_per_class`, while staging
        has a free place. Its class is seen in either case, and no sample is refused.
        """
        label = self._accept(Command.STAGE, label)
        z = latent(self.bundle, image)
        self.seen = max(self.seen, label + 1)
        self.components.take(z, label)
        full = len(self.staged) == self.target.staging_capacity
        if not full and self._staged_of(label) < self.target.staged_per_class:
            self.staged.append((z, label))

    def rebalance(self) -> None:
        """End a session: staging is emptied. What the components learned of its samples stays."""
        self._accept(Command.REBALANCE)
        self.staged.clear()

    def _staged_of(self, label: int) -> int:
        return sum(y == label for _, y in self.staged)

    def _draws(self, label: int) -> int:
        """Latents of a class that are drawn in each epoch."""
        shares = self.components.share[label].tolist()
        return generative.draws(shares, self._staged_of(label), self.target.drawn_per_class)

    def counts(self) -> list[int]:
        """Samples of each class seen in one epoch, drawn and staged."""
        return [self._draws(c) + self._staged_of(c) for c in range(self.seen)]

    def epoch_order(self) -> Iterator[tuple[np.ndarray, int]]:
        """(latent, label) of every draw and every staged sample, in one walk; a draw is made when its turn comes."""
        net, bits = self.bundle.network, generative.slot_bits(self.target)
        staging = net.classes << bits
        walk_bits = replay.index_bits(generative.walk_indices(net, self.target))
        self.random.walk, mask, start = replay.seed_walk(self.random.walk, walk_bits)
        for i in replay.walk(mask, start, walk_bits):
            label, slot = i >> bits, i & (1 << bits) - 1
            if i >= staging:
                if i - staging < len(self.staged):
                    yield self.staged[i - staging]
            elif label < self.seen and slot < self._draws(label):
                shares = self.components.share[label].tolist()
                k = generative.component_of(slot, self._draws(label), shares)
                yield self.components.draw(label, k, self.wide, self.target.channels), label
