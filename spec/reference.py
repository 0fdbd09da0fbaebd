"""Reference model in plain integers: what one image, one minibatch and one session compute.

Naive on purpose, to be read beside the paper. The simulator and the hardware must equal it exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from xnoreplay.spec import commands, learning, replay
from xnoreplay.spec.bits import sign, signed, unpack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import ImageError, require
from xnoreplay.spec.learning import Rule
from xnoreplay.spec.lfsr import draw
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import TargetSpec

# --------------------------------------------------------------------------------- one image


def check_image(net: NetworkSpec, image: np.ndarray) -> np.ndarray:
    """The image, or the packed latent, if it is uint8 of the network's shape; ImageError otherwise."""
    what = "an image" if net.takes_images else "a packed latent"
    try:
        image = np.asarray(image)
    except ValueError:  # lists of several lengths
        raise ImageError(
            f"{what} of {net.name} must have shape {net.image_shape}, not rows of several lengths"
        ) from None
    if image.dtype != np.uint8:
        raise ImageError(f"{what} must be of type uint8, not {image.dtype}")
    if image.shape != net.image_shape:
        raise ImageError(
            f"{what} of {net.name} must have shape {net.image_shape}, not {image.shape}"
        )
    return image


def thermometer(net: NetworkSpec, thresholds: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(height, width, sum of levels) bits: pixel >= threshold, channel after channel."""
    channel = np.repeat(np.arange(net.image_channels), net.levels)
    return (image[:, :, channel] >= thresholds).astype(np.uint8)


def sums(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums of products of signs: (..., k) and (n, k) of +1 and -1 -> (..., n) int64.

    In float64 on the way, because NumPy has no fast product of matrices of integers. It is exact: a sum lies in -k to k,
    k is at most 2^16 (`limits.VECTORS`), and float64 has every integer up to 2^53.
    """
    return (x.astype(np.float64) @ weight.astype(np.float64).T).astype(np.int64)


def conv(
    x: np.ndarray, weight: np.ndarray, groups: int, pad_bit: int, pool: bool, more: np.ndarray | int
) -> np.ndarray:
    """Binary 3x3 convolution, sign, and optional 2x2 max-pooling (an OR).

    x (height, width, channels) bits, weight (filters, 3, 3, channels / groups) bits; more is what a
    skip adds to the sums, (height, width, filters) integers, or 0 -> (height, width, filters)
    bits, halved by pooling.
    """
    height, width, _ = x.shape
    filters = len(weight)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=pad_bit)
    total = np.zeros((height, width, filters), np.int64)
    for group in range(groups):
        members = slice(group * filters // groups, (group + 1) * filters // groups)
        inputs = slice(group * weight.shape[3], (group + 1) * weight.shape[3])
        for dy in range(3):
            for dx in range(3):
                tap = signed(padded[dy : dy + height, dx : dx + width, inputs])
                total[:, :, members] += sums(tap, signed(weight[members, dy, dx]))
    out = sign(total + more)
    return out.reshape(height // 2, 2, width // 2, 2, filters).max((1, 3)) if pool else out


def lgap(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Learnable global average pooling: the average's sign, then the depthwise kernel's.

    x (height, width, channels), kernel (channels, height, width) -> (2 channels,) bits.
    """
    average = sign(signed(x).sum((0, 1)))
    depthwise = sign((signed(x) * signed(kernel).transpose(1, 2, 0)).sum((0, 1)))
    return np.concatenate([average, depthwise])


@dataclass(frozen=True)
class Forward:
    """What one image leaves: latent and hidden bits, integer logit sums, the predicted class."""

    latent: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray
    prediction: int


def feature_maps(bundle: Bundle, image: np.ndarray) -> list[np.ndarray]:
    """The thermometer's bits, then each convolution's output: (height, width, channels) bits.

    Of a network that has convolutions.
    """
    net = bundle.network
    maps = [thermometer(net, bundle.thresholds, check_image(net, image))]
    for i, (layer, weight) in enumerate(zip(net.convs, bundle.conv, strict=True)):
        more = net.skip_weight(i) * signed(maps[i - 1]) if layer.skip else 0
        maps.append(conv(maps[i], weight, layer.groups, net.pad_bit, layer.pool, more))
    return maps


def latent(bundle: Bundle, image: np.ndarray) -> np.ndarray:
    """(latent,) bits of one image: the frozen feature extractor. Without convolutions the image is the packed latent."""
    net = bundle.network
    if not net.takes_images:
        return unpack_bytes(check_image(net, image), net.latent)
    pooled = lgap(feature_maps(bundle, image)[-1], bundle.lgap)
    return sign(signed(bundle.dense) @ signed(pooled))


# --------------------------------------------------------------------------- the classifier


@dataclass
class Classifier:
    """Integer proxies of the classifier, and the weights that are their top bits.

    hidden (hidden, latent) int64; output (classes, 1 or 2, latent + hidden) int64.
    """

    rule: Rule
    hidden: np.ndarray
    output: np.ndarray

    @classmethod
    def load(cls, bundle: Bundle, target: TargetSpec) -> "Classifier":
        """Import a bundle's master proxies at the target's width."""
        rule = Rule.of(bundle.network, target)
        n = rule.proxy_bits
        hidden = np.vectorize(lambda u: learning.import_proxy(int(u), None, n))(bundle.hidden)
        masters = bundle.output.astype(int)
        if rule.proxies_per_pair == 1:
            pairs = np.vectorize(lambda u, v: learning.import_proxy(int(u), int(v), n))
            output = pairs(masters[:, :1], masters[:, 1:])
        else:
            output = np.vectorize(lambda u: learning.import_proxy(int(u), None, n))(masters)
        return cls(rule, hidden.astype(np.int64), output.astype(np.int64))

    def output_weights(self) -> np.ndarray:
        """(classes, COPIES, latent + hidden) bits; with one proxy a pair its top two bits."""
        offset = self.output + (1 << self.rule.proxy_bits - 1)
        if self.rule.proxies_per_pair == 2:
            return (offset >> self.rule.proxy_bits - 1).astype(np.uint8)
        code = offset >> self.rule.proxy_bits - 2
        return np.concatenate([code >> 1, code & 1], axis=1).astype(np.uint8)

    def hidden_sum(self, z: np.ndarray) -> np.ndarray:
        """(..., latent) bits -> (..., hidden) integer sums a."""
        return signed(z) @ signed(sign(self.hidden)).T

    def logits(self, v: np.ndarray, seen: int) -> np.ndarray:
        """(..., latent + hidden) bits -> (..., seen) integer sums s."""
        return signed(v) @ signed(self.output_weights()[:seen]).sum(1).T

    def forward(self, z: np.ndarray, seen: int) -> Forward:
        """Classify one latent among the classes seen; ties go to the lowest class, which 0 is without any."""
        h = sign(self.hidden_sum(z))
        logits = self.logits(np.concatenate([z, h]), seen)
        return Forward(z, h, logits, int(np.argmax(logits)) if seen else 0)


@dataclass
class Minibatch:
    """Everything one minibatch computes, for comparison.

    hidden_sum (samples, hidden), logits (samples, seen), delta (samples, seen),
    hidden_delta (samples, hidden): integers.
    """

    hidden_sum: np.ndarray
    logits: np.ndarray
    delta: np.ndarray
    hidden_delta: np.ndarray


@dataclass
class Random:
    """The chip's three 32-bit registers; none is 0, which a register never leaves."""

    walk: int = replay.LFSR_SEEDS["walk"]
    error: int = replay.LFSR_SEEDS["error"]
    update: int = replay.LFSR_SEEDS["update"]

    def __post_init__(self) -> None:
        for name in ("walk", "error", "update"):
            state = require.whole(f"register {name}", getattr(self, name))
            require.between(f"register {name}", state, 1, (1 << 32) - 1)
            setattr(self, name, state)

    def next(self, name: str) -> int:
        """Step a register and return its new state."""
        setattr(self, name, draw(getattr(self, name)))
        return getattr(self, name)


def learn(
    classifier: Classifier,
    z: np.ndarray,
    y: np.ndarray,
    weights: list[int],
    epoch: int,
    random: Random,
    target: TargetSpec,
) -> Minibatch:
    """Learn from one minibatch: forward, error, back-propagation, update. z (samples, latent) bits, y labels.

    Draws are taken in this order: one of `error` for each sample and class, samples outside;
    one of `error` for each sample and hidden unit where the hidden layer learns; one of `update`
    for each row that has a non-zero delta and each segment of S columns, output rows first.
    """
    rule = classifier.rule
    seen = len(weights)
    a = classifier.hidden_sum(z)
    h = sign(a)
    v = np.concatenate([z, h], axis=1)
    s = classifier.logits(v, seen)
    q = np.zeros((len(z), seen), np.int64)
    for b in range(len(z)):
        m = int(s[b].max())
        e = [learning.exponential(m, int(s[b, c]), rule.logit_shift) for c in range(seen)]
        r, l = learning.reciprocal(sum(e))  # noqa: E741
        t = rule.delta_shift(epoch)
        for c in range(seen):
            p = learning.probability(e[c], r, l)
            g = learning.error(p, c == y[b], weights[y[b]])
            offset = learning.delta_offset(random.next("error") & learning.DRAW_MASK, t)
            q[b, c] = learning.clamp_delta(learning.shift_round(g, t, offset), rule.delta_bits)
    d = np.zeros(a.shape, np.int64)
    if target.hidden_learns:
        ternary = signed(classifier.output_weights()[:seen, :, z.shape[1] :]).sum(1)
        back = q @ ternary
        t = rule.hidden_shift(epoch)
        for b in range(len(z)):
            for j in range(a.shape[1]):
                offset = learning.delta_offset(random.next("error") & learning.DRAW_MASK, t)
                value = learning.shift_round(int(back[b, j]), t, offset)
                if abs(a[b, j]) <= rule.hidden_mask:
                    d[b, j] = learning.clamp_delta(value, rule.delta_bits)
    spans = [(0, z.shape[1]), (z.shape[1], v.shape[1])]
    _update(rule, classifier.output, q, v, spans, random, target)
    if target.hidden_learns:
        _update(rule, classifier.hidden[:, None], d, z, spans[:1], random, target)
    return Minibatch(a, s, q, d)


def _update(rule, theta, delta, x, spans, random, target) -> None:
    """Subtract the stochastically rounded, summed gradient from theta (rows, proxies, columns).

    Columns are taken in segments of S that never cross from latent to hidden inputs. Copies of a
    pair share gradient and draw; the second takes the complement of the first's offset.
    """
    t = rule.update_shift
    top = (1 << t) - 1 if t > 0 else 0
    for row in range(delta.shape[1]):
        if not delta[:, row].any():
            continue
        gradient = delta[:, row] @ signed(x)
        for start, stop in spans:
            for first in range(start, stop, target.segment):
                columns = slice(first, min(first + target.segment, stop))
                offset = random.next("update") & top
                for copy in range(theta.shape[1]):
                    r = top - offset if copy else offset
                    for i in range(columns.start, columns.stop):
                        step = learning.shift_round(int(gradient[i]), t, r)
                        theta[row, copy, i] = learning.saturate(
                            int(theta[row, copy, i]) - step, rule.proxy_bits
                        )


# -------------------------------------------------------------------------------- the chip


@dataclass
class Chip:
    """The whole chip's memory, and what its commands do to it.

    A command that `xnoreplay.spec.commands` refuses raises SpecError or ImageError and changes nothing.

    latents (capacity, latent) bits and labels (capacity,) int64, -1 where a slot is free;
    staged is a list of (latent bits, label); events lists (kind, slot, label) of every
    eviction, admission and insertion, in order; quota is what the last eviction computed; stale is
    set where a host has written labels, seen or staged, until `restore` finds every label in order.
    """

    WAY: ClassVar = "stored"
    """Of `xnoreplay.spec.target.REPLAYS`: what the target's `replay` must be."""

    bundle: Bundle
    target: TargetSpec
    classifier: Classifier = field(init=False)
    random: Random = field(default_factory=Random)
    seen: int = 0
    quota: int = 0
    latents: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    staged: list[tuple[np.ndarray, int]] = field(default_factory=list)
    events: list[tuple[str, int, int]] = field(default_factory=list)
    refused: int = 0
    stale: bool = False

    def __post_init__(self) -> None:
        net = self.bundle.network
        replay.check_way(type(self).__name__, self.WAY, self.target)
        replay.check_capacity(net, self.target)
        self.classifier = Classifier.load(self.bundle, self.target)
        self.latents = np.zeros((self.target.replay_slots, net.latent), np.uint8)
        self.labels = np.full(self.target.replay_slots, -1)

    def reset(self) -> None:
        """Registers begin anew and the replay memory is empty; the classifier stays."""
        self.random = Random()
        self.seen = self.quota = self.refused = 0
        self.labels[:] = -1
        self.staged.clear()
        self.stale = False

    def restore(self) -> bool:
        """Take what a host has written, if every label is of a class seen; whether it is."""
        labels = [*self.labels.tolist(), *(label for _, label in self.staged)]
        refused = max(labels) >= self.seen
        self.refused += refused
        self.stale = refused
        return not refused

    def infer(self, image: np.ndarray) -> Forward:
        """Recognise one image among the classes seen."""
        return self.classifier.forward(latent(self.bundle, image), self.seen)

    def arrive(self, seen: int) -> None:
        """Announce how many classes there are now; over-full classes make room."""
        self.seen = self._accept(Command.ARRIVE, seen)
        self._evict()

    def insert(self, image: np.ndarray, label: int) -> None:
        """Remember one sample at once, if its class is below its quota and a slot is free."""
        label = self._accept(Command.INSERT, label)
        self.refused += not self._admit(latent(self.bundle, image), label, "insert")

    def stage(self, image: np.ndarray, label: int) -> None:
        """Keep one new sample aside until the session ends; refused when staging is full.

        Its class is seen in either case.
        """
        label = self._accept(Command.STAGE, label)
        z = latent(self.bundle, image)
        self.seen = max(self.seen, label + 1)
        if len(self.staged) == self.target.staging_capacity:
            self.refused += 1
        else:
            self.staged.append((z, label))

    def rebalance(self) -> None:
        """End a session: trim every class to its quota, then admit staged samples at random."""
        self._accept(Command.REBALANCE)
        self._evict()
        if self.target.staging_capacity:
            for i in self._walk(self.target.staging_capacity):
                if i < len(self.staged):
                    z, label = self.staged[i]
                    self._admit(z, label, "admit")
        self.staged.clear()

    def retrain(self) -> list[Minibatch]:
        """One session: every epoch walks replay and staging without replacement."""
        self._accept(Command.RETRAIN)
        weights = learning.class_weights(self.counts())
        done = []
        for epoch in range(self.target.epochs):
            order = list(self.epoch_order())
            for first in range(0, len(order), self.target.batch):
                z, y = zip(*order[first : first + self.target.batch], strict=True)
                done.append(
                    learn(
                        self.classifier,
                        np.array(z),
                        np.array(y),
                        weights,
                        epoch,
                        self.random,
                        self.target,
                    )
                )
        return done

    def counts(self) -> list[int]:
        """Samples of each class seen in one epoch: f_c of the loss balance."""
        counts = [int((self.labels == c).sum()) for c in range(self.seen)]
        for _, label in self.staged:
            counts[label] += 1
        return counts

    def epoch_order(self) -> Iterator[tuple[np.ndarray, int]]:
        """(latent, label) of every remembered sample, replay slots and staging in one walk."""
        for i in self._walk(self.target.replay_capacity + self.target.staging_capacity):
            if i < self.target.replay_capacity:
                if self.labels[i] >= 0:
                    yield self.latents[i], int(self.labels[i])
            elif i - self.target.replay_capacity < len(self.staged):
                yield self.staged[i - self.target.replay_capacity]

    def _accept(self, command: Command, argument: object = 0) -> int:
        """The argument of a command that is taken; SpecError for one that is refused."""
        classes = self.bundle.network.classes
        return commands.accept(command, argument, self.seen, classes, self.stale)

    def _walk(self, n: int):
        bits = replay.index_bits(n)
        self.random.walk, mask, start = replay.seed_walk(self.random.walk, bits)
        return replay.walk(mask, start, bits)

    def _evict(self) -> None:
        self.quota = replay.quota(self.target.replay_capacity, self.seen)
        for slot in self._walk(self.target.replay_capacity):
            if slot < len(self.labels) and self.labels[slot] >= 0:
                label = int(self.labels[slot])
                if (self.labels == label).sum() > self.quota:
                    self.labels[slot] = -1
                    self.events.append(("evict", slot, label))

    def _admit(self, z: np.ndarray, label: int, kind: str) -> bool:
        """Put a sample into the lowest free slot, if its class is below the quota."""
        if (self.labels == label).sum() >= self.quota or (self.labels >= 0).all():
            return False
        slot = int(np.argmin(self.labels >= 0))
        self.latents[slot], self.labels[slot] = z, label
        self.events.append((kind, slot, label))
        return True


def golden_latents(bundle: Bundle) -> np.ndarray:
    """(n, latent) bits the reference computes from a bundle's golden images."""
    images = bundle.golden.image
    rows = [latent(bundle, image) for image in images]
    return np.array(rows, np.uint8).reshape(len(images), bundle.network.latent)
