"""Generative replay word by word, as the chip's memories hold it, with every access counted.

The operations of `spec.generative` on words of one bit a channel: no channel has an adder or a divider, a counter
is counted and compared plane by plane, the lowest first. `spec.generative_plan` has the closed forms.
"""

from collections import Counter
from collections.abc import Sequence

from xnoreplay.spec import generative
from xnoreplay.spec.generative import MOST_SHARE, NONE, SHARE_BITS
from xnoreplay.spec.generative_plan import GenerativePlan
from xnoreplay.spec.lfsr import WIDE_STEPS, wide_next
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec


class CountedMemory:
    """Rows of integers whose reads and writes are counted under the memory's name."""

    def __init__(self, name: str, rows: int, events: Counter) -> None:
        self.rows, self._name, self._events = [0] * rows, name, events

    def read(self, row: int) -> int:
        """The integer in a row; counts a read."""
        self._events[f"{self._name}.reads"] += 1
        return self.rows[row]

    def write(self, row: int, value: int) -> None:
        """Replace the integer in a row; counts a write."""
        self._events[f"{self._name}.writes"] += 1
        self.rows[row] = value


class Words:
    """What is remembered of every class in words, and the operations on it.

    A latent is given and drawn as its words, integers of which bit j is channel j. `events` counts accesses,
    under the names of `spec.generative_plan`; `open` is the class of the counters.
    """

    def __init__(self, net: NetworkSpec, target: TargetSpec) -> None:
        self.plan = plan = GenerativePlan.of(net, target)
        self.channels, self.open = target.channels, NONE
        self.events: Counter[str] = Counter()
        self.full = (1 << target.channels) - 1
        planes = net.classes * plan.components * plan.words * plan.mean_bits
        self.mean = CountedMemory("replay.mean", planes, self.events)
        self.share = CountedMemory("replay.share", net.classes * plan.components, self.events)
        counters = plan.components * plan.words * SHARE_BITS
        self.count = CountedMemory("fit.count", counters, self.events)
        self.wide = generative.power_on(target.channels)

    def _mean_row(self, label: int, component: int, word: int, plane: int) -> int:
        place = (label * self.plan.components + component) * self.plan.words + word
        return place * self.plan.mean_bits + plane

    def _count_row(self, component: int, word: int, plane: int) -> int:
        return (component * self.plan.words + word) * SHARE_BITS + plane

    def take(self, z: Sequence[int], label: int) -> int:
        """Take one sample into its class; returns the component that it joined."""
        if label != self.open:
            self._open(label)
        component = self._nearest(z, label)
        row = label * self.plan.components + component
        if self.share.rows[row] == MOST_SHARE:
            self._halve(label)
        share = self.share.read(row) + 1
        self.share.write(row, share)
        self._count(z, label, component, share)
        return component

    def _open(self, label: int) -> None:
        self.open = label
        plan = self.plan
        for component in range(plan.components):
            share = self.share.read(label * plan.components + component)
            counts = [
                generative.count_from_mean(v, share, plan.mean_bits)
                for v in range(1 << plan.mean_bits)
            ]
            for word in range(plan.words):
                rows = (self._mean_row(label, component, word, p) for p in range(plan.mean_bits))
                planes = [self.mean.read(row) for row in rows]
                for plane in range(SHARE_BITS):
                    bits = 0
                    for value, count in enumerate(counts):
                        if count >> plane & 1:
                            bits |= self._channels_of(value, planes)
                    self.count.write(self._count_row(component, word, plane), bits)

    def _channels_of(self, value: int, planes: list[int]) -> int:
        """The channels whose mean has a value."""
        found = self.full
        for p, plane in enumerate(planes):
            found &= plane if value >> p & 1 else ~plane
        return found

    def _nearest(self, z: Sequence[int], label: int) -> int:
        plan = self.plan
        for component in range(plan.components):
            if not self.share.read(label * plan.components + component):
                return component
        distances = []
        for component in range(plan.components):
            rows = (
                self._mean_row(label, component, w, plan.mean_bits - 1) for w in range(plan.words)
            )
            majorities = [self.mean.read(row) for row in rows]
            distances.append(sum((a ^ b).bit_count() for a, b in zip(majorities, z, strict=True)))
        return distances.index(min(distances))

    def _halve(self, label: int) -> None:
        for component in range(self.plan.components):
            row = label * self.plan.components + component
            self.share.write(row, self.share.read(row) >> 1)
            for word in range(self.plan.words):
                for plane in range(1, SHARE_BITS):
                    bits = self.count.read(self._count_row(component, word, plane))
                    self.count.write(self._count_row(component, word, plane - 1), bits)
                self.count.write(self._count_row(component, word, SHARE_BITS - 1), 0)

    def _count(self, z: Sequence[int], label: int, component: int, share: int) -> None:
        """One pass over a component's counters: a ripple carry a channel, and its comparisons.

        A mean is at least v where the counter is at least the threshold ceil(v share / 2^bits).
        """
        bits = self.plan.mean_bits
        thresholds = [-(-v * share >> bits) for v in range(1, 1 << bits)]
        for word, carry in enumerate(z):
            reached = [self.full] * len(thresholds)
            for plane in range(SHARE_BITS):
                row = self._count_row(component, word, plane)
                before = self.count.read(row)
                after, carry = before ^ carry, before & carry
                self.count.write(row, after)
                for i, threshold in enumerate(thresholds):
                    reached[i] = (
                        reached[i] & after if threshold >> plane & 1 else reached[i] | after
                    )
            for plane in range(bits):
                mean = 0  # parity of the thresholds reached among each 2^plane-th
                for least in reached[(1 << plane) - 1 :: 1 << plane]:
                    mean ^= least
                self.mean.write(self._mean_row(label, component, word, plane), mean)

    def draw(self, label: int, number: int, count: int) -> list[int]:
        """Words of draw `number` of `count` draws of a class; the wide registers step on."""
        plan, first = self.plan, label * self.plan.components
        total = sum(self.share.read(first + k) for k in range(plan.components))
        below, component = self.share.read(first), 0
        while number * total >= count * below:
            component += 1
            below += self.share.read(first + component)
        z = []
        for word in range(plan.words):
            bits = self._random_word()
            for plane in range(plan.mean_bits):
                p = self.mean.read(self._mean_row(label, component, word, plane))
                r = self._random_word()
                bits = (p & (bits | r)) | (~p & bits & r)
            z.append(bits)
        return z

    def _random_word(self) -> int:
        steps, bits = min(self.channels, WIDE_STEPS), 0
        for i, state in enumerate(self.wide):
            self.wide[i] = wide_next(state, steps)
            bits |= (self.wide[i] & (1 << steps) - 1) << i * steps
        return bits
