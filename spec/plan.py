"""Plan: a network on a target, as the operations the sequencer walks.

Every address, beat and cycle is here. The simulator executes the plan, the hardware holds it as its
program, and the `cycles` of each operation is the closed form both are held to.
`docs/microarchitecture.md` is the prose of this file: what happens in each cycle of an operation.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xnoreplay.spec import limits
from xnoreplay.spec.bits import WORD, ceil_div, pack_bytes, threshold, unpack_bytes
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative_plan import GenerativePlan
from xnoreplay.spec.learning import Rule
from xnoreplay.spec.memories import Memory, memory_map
from xnoreplay.spec.network import COPIES, TAPS, NetworkSpec
from xnoreplay.spec.replay import SEED_DRAWS, check_capacity, index_bits
from xnoreplay.spec.target import TargetSpec
from xnoreplay.spec.timeline import (
    COUNT_CYCLES,
    FILE_LATENCY,
    LGAP_LATENCY,
    PIPE_LATENCY,
    READ_LATENCY,
    REFUSE_CYCLES,
    stream_cycles,
)

MANY_CYCLES = 12_000_000  # of a check clock by clock; a larger network gets fewer samples
MOST_PART = 32  # bits of a latent in a transfer of the stream, or G where that is less


@dataclass(frozen=True)
class Input:
    """The operation that takes a sample from the stream: an image's pixels, or the parts of a latent.

    Of a pixel it writes the thermometer bits, one word a cycle. The parts of a latent are its bits in order, `part` in a
    transfer, one transfer a cycle.
    """

    name: str
    pixels: int
    """Transfers of the stream: pixels of an image, or parts of a latent."""
    words: int
    """Words, and cycles, of a transfer: of a pixel's thermometer bits; of a part of a latent 1."""
    channels: int
    """Thermometer bits of a pixel, or bits of a latent."""
    part: int
    """Bits of a latent in a transfer; 0 where a transfer is a pixel."""
    byte_lanes: int
    """Bytes of a transfer: TDATA has eight bits for each."""

    @property
    def cycles(self) -> int:
        """Clock cycles if no transfer is late; each cycle of waiting for one adds one."""
        return self.pixels * self.words

    @property
    def stream(self) -> str:
        """What the names of the stream's pins begin with."""
        return "s_axis_latent" if self.part else "s_axis_pixel"

    def transfers(self, sample: np.ndarray) -> np.ndarray:
        """The (transfers, bytes) uint8 payloads of a sample, the low byte of TDATA first.

        sample : uint8 of `NetworkSpec.image_shape`: an image, or a packed latent

        Bits of a transfer that carry nothing are 0.
        """
        if not self.part:
            return sample.reshape(self.pixels, self.byte_lanes)
        bits = np.zeros(self.pixels * self.part, np.uint8)
        bits[: self.channels] = unpack_bytes(sample, self.channels)
        return pack_bytes(bits.reshape(self.pixels, self.part))

    def payloads(self, sample: np.ndarray, idle: int = 0) -> list[int]:
        """TDATA of each transfer of a sample, with the bit `idle` wherever a transfer carries nothing."""
        found = [int.from_bytes(row.tobytes(), "little") for row in self.transfers(sample)]
        if not self.part:
            return found
        whole = (1 << 8 * self.byte_lanes) - 1
        sizes = [min(self.part, self.channels - i * self.part) for i in range(self.pixels)]
        return [n | idle * (whole ^ ((1 << k) - 1)) for n, k in zip(found, sizes, strict=True)]

    def sample(self, transfers: np.ndarray) -> np.ndarray:
        """The sample of (transfers, bytes) uint8 payloads: an image's bytes in order, or a packed latent."""
        if not self.part:
            return transfers.reshape(-1)
        return pack_bytes(unpack_bytes(transfers, self.part).reshape(-1)[: self.channels])


@dataclass(frozen=True)
class Convolution:
    """One 3x3 convolution: tiles of L filters sit still, windows stream past.

    index counts convolutions; source and destination maps alternate between act.ping and act.pong.
    """

    name: str
    index: int
    height: int
    width: int
    beats: int
    """Words of one tap: windows of one pixel, one a cycle."""
    source_words: int
    """Words of one pixel in the source map, all groups."""
    group_tiles: int
    """Tiles of one group."""
    tiles: int
    lanes: int
    weight_base: int
    last_channels: int
    """Valid bits of a window word in the last beat."""
    threshold: int
    """Least raw popcount, idle cells included, whose sign is +1; without the skip's part."""
    skip_shift: int
    """k / 2: a skip's bit of 1 lowers the threshold by it, a bit of 0 raises it; 0: no skip."""
    pool: bool
    destination_words: int
    destination_group_tiles: int
    """Tiles that fill one group of the consumer."""
    word_tiles: int
    """Tiles that fill one word, G / L."""

    @property
    def pixels(self) -> int:
        """Pixels of the source map, and of the sums."""
        return self.height * self.width

    @property
    def source_bank(self) -> str:
        """Name of the memory that holds the source map."""
        return ("act.ping", "act.pong")[self.index % 2]

    @property
    def load(self) -> int:
        """Cycles that load one tile's weights."""
        return self.lanes * self.beats

    @property
    def row(self) -> int:
        """R: cycles between a pixel and the one below it."""
        return self.width * self.beats

    @property
    def period(self) -> int:
        """Cycles from one tile's first window to the next tile's: the next one's weights have come into the lane files."""
        loaded = self.load - self.beats + FILE_LATENCY
        return max(self.beats * max(self.pixels, self.lanes), loaded)

    @property
    def window_delay(self) -> int:
        """Cycles from a word's entry in the line buffer to the window it is the centre of."""
        return self.row + self.beats

    @property
    def cycles(self) -> int:
        """Cycles: the first tile's weights, every tile's windows, the line buffer, the pipeline's end."""
        return self.load + self.tiles * self.period + self.window_delay + PIPE_LATENCY

    def destination(self, tile: int) -> tuple[int, int]:
        """(word of a pixel, slice of that word) that a tile writes, and reads for a skip."""
        group, member = divmod(tile, self.destination_group_tiles)
        words = ceil_div(self.destination_group_tiles, self.word_tiles)
        return group * words + member // self.word_tiles, member % self.word_tiles


@dataclass(frozen=True)
class Lgap:
    """Learnable global average pooling: one word of the map a cycle, two counters a channel."""

    name: str
    index: int
    pixels: int
    words: int
    last_channels: int

    @property
    def source_bank(self) -> str:
        """Name of the memory that holds the source map."""
        return ("act.ping", "act.pong")[self.index % 2]

    @property
    def cycles(self) -> int:
        """Cycles: a word of a pixel each, and the pipeline's end."""
        return self.words * self.pixels + LGAP_LATENCY


@dataclass(frozen=True)
class Dense:
    """A dense layer of one image: the vector sits in lane 0, rows of weights stream past."""

    name: str
    memory: str
    weight_base: int
    rows: int
    beats: int
    last_taps: int
    """Enabled taps in the last beat."""
    source_slot: int
    offset: int
    """An integer sum is 2 P - offset, P the raw popcount over beats."""
    threshold: int
    """Least raw popcount whose sign is +1."""
    destination_word: int
    """First vector word it writes, counted from slot 0: slot w // 9, tap w % 9."""
    to_latent: bool
    """Whether its words also go to act.latent."""

    @property
    def cycles(self) -> int:
        """Cycles of an image: its words of weights, and the pipeline's end."""
        return stream_cycles(self.rows * self.beats)


@dataclass(frozen=True)
class Output:
    """The output layer of one image: for each class seen, both weight copies, all beats."""

    name: str
    memory: str
    weight_base: int
    beats: int
    last_taps: int
    source_slot: int
    offset: int
    """An integer logit sum is 2 P - offset, P the raw popcount over copies and beats."""

    def cycles_for(self, seen: int) -> int:
        """Cycles among so many classes."""
        return stream_cycles(seen * COPIES * self.beats)


@dataclass(frozen=True)
class ReplayPlan:
    """Addresses and closed forms of the replay unit."""

    capacity: int
    staging: int
    words: int
    """Words of one latent."""
    drawn_indices: int = 0
    """Indices of an epoch's walk that name draws: none with stored replay."""

    @property
    def first_staged(self) -> int:
        """Index of an epoch's walk that names staging place 0."""
        return self.capacity + self.drawn_indices

    @property
    def replay_walk(self) -> int:
        """Bits of a walk over the replay memory."""
        return index_bits(self.capacity)

    @property
    def staging_walk(self) -> int:
        """Bits of a walk over the staging memory."""
        return index_bits(max(1, self.staging))

    @property
    def epoch_walk(self) -> int:
        """Bits of a walk over all samples of an epoch."""
        return index_bits(self.first_staged + self.staging)

    @property
    def copy_cycles(self) -> int:
        """Cycles of a copy of one latent between memories."""
        return self.words + READ_LATENCY

    def quota_cycles(self, seen: int) -> int:
        """Cycles of the quota, a repeated subtraction: one a unit of the quota, one to see the end."""
        return self.capacity // seen + 1 if seen else 1

    @property
    def evict_cycles(self) -> int:
        """Cycles of an eviction: the seed, an index a cycle, and for each slot the look at its class's count."""
        return SEED_DRAWS + (1 << self.replay_walk) + COUNT_CYCLES * self.capacity

    def insert_cycles(self, slot: int | None) -> int:
        """Cycles of an insertion; slot: where the sample went, or None where its class was full."""
        found = REFUSE_CYCLES if slot is None else 2 * (slot + 1) + self.copy_cycles
        return COUNT_CYCLES + found

    def admit_cycles(self, staged: int, admitted: int, seeks: int) -> int:
        """Cycles of an admission; seeks: slots looked at in search of free ones, those found included."""
        walk = SEED_DRAWS + (1 << self.staging_walk) + COUNT_CYCLES * staged
        refused = (staged - admitted) * REFUSE_CYCLES
        return walk + refused + 2 * seeks + admitted * self.copy_cycles

    def epoch_cycles(self, staged: int, hits: int) -> int:
        """Cycles of an epoch's walk; hits: samples found, every occupied replay slot and every staged latent."""
        walk = SEED_DRAWS + (1 << self.epoch_walk) + self.capacity + staged
        return walk + hits * self.copy_cycles

    def restore_cycles(self, classes: int, staged: int) -> int:
        """Cycles of a restore that refuses no label; classes: of the network."""
        return classes + 2 * (self.capacity + staged)


@dataclass(frozen=True)
class Plan:
    """The compiled program and its memories."""

    network: NetworkSpec
    target: TargetSpec
    rule: Rule
    input: Input
    convolutions: tuple[Convolution, ...]
    lgap: Lgap | None
    """None without convolutions, as `latent`."""
    latent: Dense | None
    hidden: Dense
    output: Output
    replay: ReplayPlan
    generative: GenerativePlan | None
    """With generative replay its sizes and closed forms."""
    slots: int
    """Depth of a lane's file."""
    batch_slots: int
    """Slots of one sample of a minibatch: beats of the output layer's input."""

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        """Every memory instance of the chip, learning included."""
        return memory_map(self)

    def memory(self, name: str) -> Memory:
        """The memory of that name."""
        return next(m for m in self.memories if m.name == name)

    @property
    def classifier_rows(self) -> int:
        """Rows of cls.top's larger bank: hidden rows, and the first copy of every class."""
        return self.output.weight_base + self.network.classes * self.output.beats

    @property
    def accumulator_bits(self) -> int:
        """Bits of a lane's accumulator: the longest raw sum is one of the output layer."""
        longest = max(self.hidden.beats, COPIES * self.output.beats)
        if self.latent is not None:
            longest = max(longest, self.latent.beats, *(op.beats for op in self.convolutions))
        return (longest * self.target.window).bit_length()

    @property
    def forgotten(self) -> Memory:
        """The memory that a reset empties, a row a cycle: of labels, or with generative replay of shares."""
        return self.memory("replay.share" if self.generative else "replay.label")

    @property
    def frequency_bits(self) -> int:
        """Bits of how often a class comes in an epoch, staged samples not counted with stored replay."""
        if self.generative is None:
            return self.memory("replay.count").width
        return max(self.generative.drawn_per_class, self.generative.most_staged).bit_length()

    @property
    def has_skips(self) -> bool:
        """Whether a convolution reads the map it writes."""
        return any(op.skip_shift for op in self.convolutions)

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """Names of the sequencer's states in the order of their numbers; 0 is idle."""
        features = tuple(op.name for op in self.feature_ops)
        learning = [
            name
            for name in LEARNING_PHASES
            if self.target.hidden_learns or name not in HIDDEN_PHASES
        ]
        absent = STORED_PHASES if self.generative else GENERATIVE_PHASES
        if self.generative and not self.replay.staging:
            absent = (*absent, "stage", "empty")
        tail = [name for name in TAIL_PHASES if name not in absent]
        return ("idle", *features, *tail, *learning, "restore")

    @property
    def feature_ops(self) -> tuple:
        """Operations from the stream to the latent, in order; without convolutions the input alone."""
        tail = (op for op in (self.lgap, self.latent) if op is not None)
        return (self.input, *self.convolutions, *tail)

    @property
    def feature_cycles(self) -> int:
        """Cycles from the stream to the latent, with no wait for a transfer."""
        return sum(op.cycles for op in self.feature_ops)

    def first_samples(self, base: int) -> int:
        """Samples that so many base classes show before the first session, in equal parts.

        As many as the replay memory holds, or with generative replay as an epoch draws.
        """
        drawn = base * self.generative.drawn_per_class if self.generative else 0
        return max(drawn, self.replay.capacity // base * base)

    def is_large(self, base: int) -> bool:
        """Whether base classes fill the replay memory in more than `MANY_CYCLES`, image by image.

        Checks clock by clock then start from latents and take few images.
        """
        inserts = self.first_samples(base) + base
        return inserts * self.feature_cycles > MANY_CYCLES

    def infer_cycles(self, seen: int) -> int:
        """Cycles of one inference among the classes seen, with no wait for a transfer."""
        return self.feature_cycles + self.hidden.cycles + self.output.cycles_for(seen)


TAIL_PHASES = (
    "hidden",
    "output",
    "take",
    "stage",
    "insert",
    "quota",
    "evict",
    "admit",
    "empty",
    "epoch",
)
STORED_PHASES = ("insert", "evict", "admit")
"""Those that exist with stored replay alone."""
GENERATIVE_PHASES = ("take", "empty")
"""Those that exist with generative replay alone."""
LEARNING_PHASES = (
    "balance",
    "seed",
    "load",
    "hidden.forward",
    "output.forward",
    "error",
    "back",
    "output.update",
    "hidden.update",
)
"""Phases of a session, in order; from `load` on they repeat for each minibatch."""
HIDDEN_PHASES = ("back", "hidden.update")
"""Those that exist where the hidden layer learns."""
PLANE_PHASES = ("back", "output.update", "hidden.update")
"""Those in which the lanes hold bit-planes of errors, and cells are AND."""


def words_of(channels: int, target: TargetSpec) -> int:
    """Words of G bits that hold so many bits."""
    return ceil_div(channels, target.channels)


def compile(net: NetworkSpec, target: TargetSpec) -> Plan:
    """Compile a network for a target.

    Raises
    ------
    SpecError
        Where the network does not fit the target, or the design does not fit this machine's memory as
        `xnoreplay.spec.limits` allows it; the message states the rule and the value.
    """
    check_capacity(net, target)
    _check_groups(net, target)
    _check_skips(net, target)
    convolutions = _convolutions(net, target)
    lgap_words = words_of(net.lgap_map.channels, target)
    latent_words = words_of(net.latent, target)
    skip_words = latent_words + words_of(net.hidden, target)
    lgap_slots = ceil_div(2 * lgap_words, TAPS)
    batch_slots = ceil_div(skip_words, TAPS)
    lgap = latent = None
    if net.takes_images:
        lgap = Lgap(
            "lgap",
            len(net.convs),
            net.lgap_map.pixels,
            lgap_words,
            net.lgap_map.channels - (lgap_words - 1) * target.channels,
        )
        latent = _dense(
            target,
            2 * lgap_words,
            net.lgap_bits,
            name="latent",
            memory="weights.fe",
            weight_base=sum(c.tiles * c.load for c in convolutions),
            rows=net.latent,
            source_slot=0,
            destination_word=lgap_slots * TAPS,
            to_latent=True,
        )
    hidden = _dense(
        target,
        latent_words,
        net.latent,
        name="hidden",
        memory="cls.top",
        weight_base=0,
        rows=net.hidden,
        source_slot=lgap_slots,
        destination_word=lgap_slots * TAPS + latent_words,
        to_latent=False,
    )
    pads = skip_words * target.channels - net.output_inputs
    output = Output(
        "output",
        "cls.top",
        net.hidden * hidden.beats,
        batch_slots,
        skip_words - (batch_slots - 1) * TAPS,
        lgap_slots,
        COPIES * (net.output_inputs + 2 * pads),
    )
    passes = ceil_div(target.batch, target.lanes)
    planes = ceil_div(target.delta_bits, target.lanes)
    slots = max(
        *(2 * c.beats for c in convolutions),
        lgap_slots + batch_slots,
        passes * batch_slots,
        planes,
    )
    generative = GenerativePlan.of(net, target) if target.replay == "generative" else None
    plan = Plan(
        network=net,
        target=target,
        rule=Rule.of(net, target),
        input=_input(net, target),
        convolutions=convolutions,
        lgap=lgap,
        latent=latent,
        hidden=hidden,
        output=output,
        replay=ReplayPlan(
            target.replay_slots,
            target.staging_capacity,
            latent_words,
            generative.indices if generative else 0,
        ),
        generative=generative,
        slots=1 << (slots - 1).bit_length(),
        batch_slots=batch_slots,
    )
    limits.check_memory(
        f"a simulation of network {net.name} on target {target.name}", working_bytes(plan)
    )
    return plan


def _input(net: NetworkSpec, target: TargetSpec) -> Input:
    """The operation that takes a sample from the stream."""
    if net.takes_images:
        words = words_of(net.thermometer_bits, target)
        return Input(
            "input", net.maps[0].pixels, words, net.thermometer_bits, 0, net.image_channels
        )
    part = min(MOST_PART, target.channels)
    return Input("input", ceil_div(net.latent, part), 1, net.latent, part, ceil_div(part, 8))


IMAGES_AT_ONCE = 8  # that the simulator's functional mode computes in one word of a processor


def working_bytes(plan: Plan) -> int:
    """Bytes that a simulation takes of this machine's memory at most, but for images: a closed form.

    The bundle, a byte a bit, with its copies on the way into memories; the classifier's proxies as 64-bit integers,
    once more bit by bit; the memories' rows in words of 64 bits, and the largest of them a byte a bit, with and
    without those words' idle bits; room for feature maps of several images, and for what a cycle writes.
    """
    net, target = plan.network, plan.target
    unit = ceil_div(target.channels, WORD)  # words that hold G bits
    rows = [
        m.depth
        * m.count
        * 8
        * max(ceil_div(m.width, WORD), ceil_div(m.width, target.channels) * unit)
        for m in plan.memories
    ]
    proxies = net.hidden * net.latent + net.classes * net.output_fan_in
    classifier = proxies * (16 + 8 * target.proxy_bits)
    maps = max([(m.height + 2) * (m.width + 2) for m in net.maps], default=0)
    words = max([plan.input.words, *(op.destination_words for op in plan.convolutions)])
    room = 4 * 2 * maps * words * unit * 8 * IMAGES_AT_ONCE
    widest = max(ceil_div(m.width, WORD) + 1 for m in plan.memories)
    written = (
        2 * 2 * (2 * target.lanes + 24 + 8 * target.error_units) * max(TAPS * unit, widest) * 8
    )
    planes = 3 * target.lanes * plan.slots * 8
    batch = target.batch * (net.output_inputs + 8 * (net.hidden + net.classes))
    registers = 2 * target.lanes * (TAPS * unit + target.segment + 4) * 8
    return (
        4 * sum(m.bits for m in plan.memories if m.name == "weights.fe")
        + 2 * sum(rows)
        + 8 * max(rows)
        + 3 * max(m.bits for m in plan.memories)
        + classifier
        + room
        + written
        + planes
        + batch
        + registers
    )


def _check_groups(net: NetworkSpec, target: TargetSpec) -> None:
    """Check that slices of L bits do not straddle groups, neither where written nor where read.

    Raises
    ------
    SpecError
        Where they do, or thermometer words would be split by group.
    """
    for i, layer in enumerate(net.convs):
        if layer.groups == 1:
            continue
        for what, channels in (("in", net.maps[i].channels), ("out", layer.filters)):
            if (channels // layer.groups) % target.lanes:
                raise SpecError(
                    f"convs[{i}]: a group's {what}put channels must be a multiple of the target's "
                    f"{target.lanes} lanes, not {channels // layer.groups}"
                )
    if net.convs and net.convs[0].groups != 1:
        raise SpecError(
            "convs[0].groups must be 1, because thermometer words are not split by group, not "
            f"{net.convs[0].groups}"
        )


def _check_skips(net: NetworkSpec, target: TargetSpec) -> None:
    """Check that a skip's map and the sums it joins have the same channels in the same slices.

    Sums overwrite the map that the skip reads, so a tile must write only slices that it has read.

    Raises
    ------
    SpecError
        Where they have not.
    """
    groups = [*(layer.groups for layer in net.convs), 1]  # of whoever reads a map
    for i, layer in enumerate(net.convs):
        added, made = groups[i - 1], groups[i + 1]
        if layer.skip and added != made:
            for n in (added, made):
                if (layer.filters // n) % target.channels:
                    raise SpecError(
                        f"convs[{i}].skip joins a map read in {added} groups and one read in "
                        f"{made}: a group's channels must be a multiple of the target's "
                        f"{target.channels}, not {layer.filters // n}"
                    )


def _convolutions(net: NetworkSpec, target: TargetSpec) -> tuple[Convolution, ...]:
    """Every convolution of a network, one behind the other in weights.fe."""
    ops = []
    base = 0
    lanes, channels = target.lanes, target.channels
    for i, layer in enumerate(net.convs):
        source = net.maps[i]
        fan_in = source.channels // layer.groups
        beats = words_of(fan_in, target)
        group_tiles = ceil_div(layer.filters // layer.groups, lanes)
        consumer_groups = net.convs[i + 1].groups if i + 1 < len(net.convs) else 1
        consumer = layer.filters // consumer_groups
        pads = TAPS * (beats * channels - fan_in)
        op = Convolution(
            name=f"conv{i}",
            index=i,
            height=source.height,
            width=source.width,
            beats=beats,
            source_words=layer.groups * beats,
            group_tiles=group_tiles,
            tiles=layer.groups * group_tiles,
            lanes=lanes,
            weight_base=base,
            last_channels=fan_in - (beats - 1) * channels,
            threshold=threshold(net.conv_fan_in(i)) + pads,
            skip_shift=net.skip_weight(i) // 2,
            pool=layer.pool,
            destination_words=consumer_groups * words_of(consumer, target),
            destination_group_tiles=ceil_div(consumer, lanes),
            word_tiles=channels // lanes,
        )
        base += op.tiles * op.load
        ops.append(op)
    return tuple(ops)


def _dense(target: TargetSpec, words: int, fan_in: int, **place: Any) -> Dense:
    """A dense layer of so many inputs, which lie in so many words; place: the fields that do not follow from these."""
    beats = ceil_div(words, TAPS)
    pads = words * target.channels - fan_in
    return Dense(
        beats=beats,
        last_taps=words - (beats - 1) * TAPS,
        offset=fan_in + 2 * pads,
        threshold=threshold(fan_in) + pads,
        **place,
    )
