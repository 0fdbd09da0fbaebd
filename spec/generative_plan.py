"""Closed forms of generative replay: rows of its memories, accesses and cycles of its operations.

Samples and means lie in memory as `spec.memories` says: a word has one bit of each of its channels.
`docs/microarchitecture.md` says what happens in each cycle.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.generative import SHARE_BITS, slot_bits
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec
from xnoreplay.spec.timeline import READ_LATENCY


@dataclass(frozen=True)
class GenerativePlan:
    """Sizes of generative replay on a target, and the accesses of its operations.

    A Counter has the words by memory and way, as event counters are named: ``replay.mean.reads``.

    Parameters
    ----------
    words : int
        Of a latent.
    components, mean_bits, drawn_per_class : int
        As the target's.
    classes : int
        Of the network.
    slot_bits : int
        Bits that number the draws of a class in a walk's index.
    staging : int
        Places of the staging memory.
    most_staged : int
        The most samples of one class that staging takes.
    """

    words: int
    components: int
    mean_bits: int
    classes: int
    drawn_per_class: int
    slot_bits: int
    staging: int
    most_staged: int

    @classmethod
    def of(cls, net: NetworkSpec, target: TargetSpec) -> "GenerativePlan":
        """The plan of a network on a target with generative replay."""
        return cls(
            ceil_div(net.latent, target.channels),
            target.replay_components,
            target.mean_bits,
            net.classes,
            target.drawn_per_class,
            slot_bits(target),
            target.staging_capacity,
            min(target.staging_capacity, target.staged_per_class),
        )

    @property
    def share_rows(self) -> int:
        """Rows of replay.share: that of component q of class c is c `components` + q."""
        return self.classes * self.components

    @property
    def mean_rows(self) -> int:
        """Rows of replay.mean: plane p of word w is ((share's row) `words` + w) `mean_bits` + p."""
        return self.share_rows * self.words * self.mean_bits

    @property
    def count_rows(self) -> int:
        """Rows of fit.count: plane p of word w of component q is (q `words` + w) `SHARE_BITS` + p."""
        return self.components * self.words * SHARE_BITS

    @property
    def indices(self) -> int:
        """Indices of an epoch's walk that name draws; staging places follow."""
        return self.classes << self.slot_bits

    def open(self) -> Counter:
        """Counters of another class are loaded from its means: each plane once, the shares once."""
        return Counter(
            {
                "replay.share.reads": self.components,
                "replay.mean.reads": self.components * self.words * self.mean_bits,
                "fit.count.writes": self.components * self.words * SHARE_BITS,
            }
        )

    def nearest(self, empty: int | None) -> Counter:
        """A component is chosen: shares up to the first empty one; only without one, every majority.

        empty : the lowest empty component, or None
        """
        if empty is not None:
            return Counter({"replay.share.reads": empty + 1})
        reads = self.components * self.words
        return Counter({"replay.share.reads": self.components, "replay.mean.reads": reads})

    def halve(self) -> Counter:
        """Every counter and share of a class is halved: planes move down by one, zeros come in."""
        planes = self.components * self.words
        return Counter(
            {
                "replay.share.reads": self.components,
                "replay.share.writes": self.components,
                "fit.count.reads": planes * (SHARE_BITS - 1),
                "fit.count.writes": planes * SHARE_BITS,
            }
        )

    def count(self) -> Counter:
        """A sample is added to the counters of a component, whose means are quantised in the same pass."""
        return Counter(
            {
                "replay.share.reads": 1,
                "replay.share.writes": 1,
                "fit.count.reads": self.words * SHARE_BITS,
                "fit.count.writes": self.words * SHARE_BITS,
                "replay.mean.writes": self.words * self.mean_bits,
            }
        )

    def draw(self, component: int) -> Counter:
        """A latent is drawn: shares are added up, then compared up to the component that is chosen."""
        return Counter(
            {
                "replay.share.reads": self.components + component + 1,
                "replay.mean.reads": self.words * self.mean_bits,
            }
        )

    @property
    def draw_steps(self) -> int:
        """Steps of the wide registers, one a cycle, that a draw takes."""
        return self.words * (self.mean_bits + 1)

    # ------------------------------------------------------------------------------ cycles

    @property
    def open_cycles(self) -> int:
        """Cycles that load the counters of another class: of each component a share, then its words one by one."""
        return self.components * (1 + self.words * (READ_LATENCY + self.mean_bits + SHARE_BITS))

    def nearest_cycles(self, empty: int | None) -> int:
        """Cycles that choose a component; empty: the lowest empty one, or None."""
        if empty is not None:
            return READ_LATENCY + empty + 1
        return READ_LATENCY + self.components + self.components * self.words + READ_LATENCY

    @property
    def halve_cycles(self) -> int:
        """Cycles that halve every share and counter of a class: a share, then each word's planes and a plane of 0."""
        return self.components * (1 + self.words * (SHARE_BITS + READ_LATENCY))

    @property
    def count_cycles(self) -> int:
        """Cycles that count a sample, plane by plane, and write the means after each word's planes."""
        word = SHARE_BITS + READ_LATENCY + self.mean_bits
        return 1 + READ_LATENCY + self.words * word

    def take_cycles(self, opens: bool, empty: int | None, halves: bool) -> int:
        """Cycles that take a sample.

        opens : its class is not the open one
        empty : the lowest empty component of its class, or None
        halves : its component's share is at the most
        """
        cycles = 1 + self.nearest_cycles(empty) + self.count_cycles
        return cycles + (self.open_cycles if opens else 0) + (self.halve_cycles if halves else 0)

    @property
    def most_take_cycles(self) -> int:
        """The most cycles of `take_cycles`."""
        return self.take_cycles(opens=True, empty=None, halves=True)

    @property
    def total_cycles(self) -> int:
        """Cycles that add up the shares of a class."""
        return self.components + READ_LATENCY

    def draw_cycles(self, component: int) -> int:
        """Cycles of a draw past the walk's: shares added up, scaled, compared up to the component, and its words."""
        return self.total_cycles + 1 + component + 1 + self.draw_steps + READ_LATENCY

    def load_cycles(
        self, walk_bits: int, staged: int, components: Iterable[int], unknown: int
    ) -> int:
        """Cycles of all loads of an epoch.

        walk_bits : of the walk
        staged : samples staged
        components : of each draw
        unknown : draws of classes seen of which no sample was taken
        """
        copies = staged * (1 + self.words + READ_LATENCY)
        draws = sum(map(self.draw_cycles, components)) + unknown * self.total_cycles
        return (1 << walk_bits) + copies + draws

    def most_load_cycles(self, walk_bits: int, samples: int) -> int:
        """The most cycles of loads that find so many samples: every index of a draw is one of a class without any."""
        slowest = max(self.draw_cycles(self.components - 1), 1 + self.words + READ_LATENCY)
        unknown = self.classes * self.drawn_per_class
        return self.load_cycles(walk_bits, 0, (), unknown) + samples * slowest

    def restore_cycles(self, staged: int) -> int:
        """Cycles of a restore that refuses nothing, with so many samples staged."""
        zeros = self.classes if self.staging else 0
        return zeros + self.share_rows + READ_LATENCY + 2 * staged
