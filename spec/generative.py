"""Generative replay: a class is remembered as components, and latents are drawn from them.

A *component* stands for part of a class's samples: its *share* is how many, its *means* are the
probability of every latent bit among them, quantised. `docs/generative_replay.md` is the prose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import SpecError, require
from xnoreplay.spec.lfsr import WIDE_BITS, WIDE_STEPS, wide_next
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec

SHARE_BITS = 10
"""Bits of a share and of a counter: a component stands for at most 1,023 samples."""
MOST_SHARE = (1 << SHARE_BITS) - 1
WIDE_SEED = 0x9E3779B97F4A7C15
"""2^64 / golden ratio: its power i + 1, mod 2^63, is the power-on state of wide register i.

Multiples would not do: twice a state, or three times, is nearly one that the register comes to by itself.
"""
NONE = -1
"""In place of a class: none is open."""


def registers(channels: int) -> int:
    """Draw registers of a target: one for every 32 channels of a word.

    >>> [registers(g) for g in (1, 16, 32, 64)]
    [1, 1, 1, 2]
    """
    return ceil_div(channels, WIDE_STEPS)


def power_on(channels: int) -> list[int]:
    """States of the wide registers at power-on, none of them 0."""
    return [pow(WIDE_SEED, i + 1, 1 << WIDE_BITS) for i in range(registers(channels))]


def wide_states(states: Sequence[int], channels: int) -> list[int]:
    """States for the wide registers of a target, if they are as many, each from 1 to 2^63 - 1; else SpecError."""
    if len(states) != registers(channels):
        raise SpecError(
            f"states of wide registers must be {registers(channels)} for {channels} channels, not {len(states)}"
        )
    for i, state in enumerate(states):
        require.between(f"wide register {i}", state, 1, (1 << WIDE_BITS) - 1)
    return list(states)


def random_word(states: list[int], channels: int) -> list[int]:
    """Step every wide register and return a word of random bits, that of channel 0 first."""
    steps = min(channels, WIDE_STEPS)
    word = []
    for i, state in enumerate(states):
        states[i] = wide_next(state, steps)
        word += [states[i] >> j & 1 for j in range(steps)]
    return word


def quantised(count: int, share: int, bits: int) -> int:
    """The mean of a bit that is 1 in `count` of `share` samples: min(2^bits - 1, floor(2^bits count / share)).

    Its top bit is the majority, with a tie counting as 1.

    >>> [quantised(count, 8, 2) for count in (0, 1, 2, 4, 7, 8)]
    [0, 0, 1, 2, 3, 3]
    """
    return min((1 << bits) - 1, (count << bits) // share)


def count_from_mean(mean: int, share: int, bits: int) -> int:
    """The count from which an open class goes on: the middle of those with this mean.

    round((mean + 1/2) share / 2^bits), half down. `quantised` of it is the mean again, for every mean of a count.

    >>> count_from_mean(3, 1, 2), count_from_mean(0, 100, 2), count_from_mean(1, 100, 2)
    (1, 12, 37)
    """
    return ((2 * mean + 1) * share + (1 << bits) - 1) >> bits + 1


def draws(shares: Sequence[int], staged: int, per_class: int) -> int:
    """Latents of a class that are drawn in each epoch: what its staged ones leave of `per_class`.

    None where no sample of the class was ever taken in.

    >>> draws([30, 10], 0, 64), draws([30, 10], 50, 64), draws([30, 10], 70, 64), draws([0, 0], 0, 64)
    (64, 14, 0, 0)
    """
    return max(0, per_class - staged) if sum(shares) else 0


def component_of(number: int, count: int, shares: Sequence[int]) -> int:
    """The component of draw `number` of `count` draws of a class, in proportion to the shares.

    The least k with number * (shares[0] + shares[1] + ...) < count * (shares[0] + ... + shares[k]).

    >>> [component_of(i, 8, [30, 0, 10]) for i in range(8)]
    [0, 0, 0, 0, 0, 0, 2, 2]

    Raises
    ------
    SpecError
        Where i is no draw of them, or the class has no samples.
    """
    below = 0
    for k, share in enumerate(shares):
        below += share
        if number * sum(shares) < count * below:
            return k
    raise SpecError(
        f"a draw must be one of {count}, of a class with samples, not {number} of {list(shares)}"
    )


def slot_bits(target: TargetSpec) -> int:
    """Bits that number the draws of a class in a walk's index.

    >>> from xnoreplay.spec.presets import PRESETS
    >>> slot_bits(PRESETS["digits"].target)  # of 96 draws
    7
    """
    return max(1, (target.drawn_per_class - 1).bit_length())


def walk_indices(net: NetworkSpec, target: TargetSpec) -> int:
    """Indices of an epoch's walk: 2^slot_bits for every class of the network, then the staging places."""
    return (net.classes << slot_bits(target)) + target.staging_capacity


@dataclass
class Components:
    """What is remembered of every class, and the counters of the one that is open.

    Parameters
    ----------
    classes, components, latent, bits : int
        Of the network and the target; `bits` of a mean.

    mean : (classes, components, latent) int64, from 0 to 2^bits - 1
    share : (classes, components) int64, from 0 to `MOST_SHARE`; 0: the component is empty
    count : (components, latent) int64, how many of a component's samples have the bit
    open : the class whose counts these are, or `NONE`
    """

    classes: int
    components: int
    latent: int
    bits: int
    mean: np.ndarray = field(init=False)
    share: np.ndarray = field(init=False)
    count: np.ndarray = field(init=False)
    open: int = NONE

    def __post_init__(self) -> None:
        self.mean = np.zeros((self.classes, self.components, self.latent), np.int64)
        self.share = np.zeros((self.classes, self.components), np.int64)
        self.count = np.zeros((self.components, self.latent), np.int64)

    @classmethod
    def of(cls, net: NetworkSpec, target: TargetSpec) -> "Components":
        """Empty ones of a chip at power-on."""
        return cls(net.classes, target.replay_components, net.latent, target.mean_bits)

    def reset(self) -> None:
        """Forget every class; means and counts of empty components stay and are not read."""
        self.share[:] = 0
        self.open = NONE

    def take(self, z: np.ndarray, label: int) -> int:
        """Take one sample into its class; returns the component that it joined.

        z : (latent,) bits
        """
        if label != self.open:
            self._open(label)
        k = self._nearest(z, label)
        if self.share[label, k] == MOST_SHARE:
            self.share[label] >>= 1
            self.count >>= 1
        self.share[label, k] += 1
        share = int(self.share[label, k])
        for j in range(self.latent):
            self.count[k, j] += z[j]
            self.mean[label, k, j] = quantised(int(self.count[k, j]), share, self.bits)
        return k

    def _open(self, label: int) -> None:
        """Load the counters of a class from what is remembered of it."""
        self.open = label
        for k in range(self.components):
            share = int(self.share[label, k])
            for j in range(self.latent):
                self.count[k, j] = count_from_mean(int(self.mean[label, k, j]), share, self.bits)

    def _nearest(self, z: np.ndarray, label: int) -> int:
        """The first empty component, else the one whose majority differs in fewest bits, the lowest of equal ones."""
        for k in range(self.components):
            if not self.share[label, k]:
                return k
        distance = []
        for k in range(self.components):
            majority = self.mean[label, k] >> self.bits - 1
            distance.append(int((majority != z).sum()))
        return distance.index(min(distance))

    def draw(self, label: int, k: int, states: list[int], channels: int) -> np.ndarray:
        """(latent,) uint8 bits drawn from a component; the wide registers step on.

        A bit is 1 with probability (2 mean + 1) / 2^(bits + 1), joined from bits + 1 random bits: it is the first,
        then, for each bit of the mean, the lowest first, itself or the next where that is 1, itself and the
        next where it is 0.

        states : of the wide registers, which are changed
        """
        z = np.zeros(self.latent, np.uint8)
        for first in range(0, self.latent, channels):
            means = self.mean[label, k, first : first + channels].tolist()
            word = random_word(states, channels)
            for plane in range(self.bits):
                r = random_word(states, channels)
                for j, mean in enumerate(means):
                    word[j] = word[j] | r[j] if mean >> plane & 1 else word[j] & r[j]
            z[first : first + channels] = word[: len(means)]
        return z
