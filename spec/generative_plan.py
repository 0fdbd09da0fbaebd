"""Closed forms of generative replay: words that each operation reads and writes.

Samples and means lie in memory as `spec.memories.remembered` says: a word has one bit of each of its
channels. Counts of accesses follow from the rule alone; where a memory gives and takes a word a cycle, those of the
busiest memory are the operation's cycles, but for filling its pipeline.
"""

from collections import Counter
from dataclasses import dataclass

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec


@dataclass(frozen=True)
class GenerativePlan:
    """Sizes of generative replay on a target, and the accesses of its operations.

    A Counter has the words by memory and way, as event counters are named: ``replay.mean.reads``.

    Parameters
    ----------
    words : int
        Of a latent.
    components, mean_bits : int
        As the target's.
    """

    words: int
    components: int
    mean_bits: int

    @classmethod
    def of(cls, net: NetworkSpec, target: TargetSpec) -> "GenerativePlan":
        """The plan of a network on a target with generative replay."""
        words = ceil_div(net.latent, target.channels)
        return cls(words, target.replay_components, target.mean_bits)

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
