"""The plan's operations as kernels take them: NamedTuples of integers."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import fixed_tuple, part
from xnoreplay.spec.bits import WORD, ceil_div
from xnoreplay.spec.generative import registers
from xnoreplay.spec.lfsr import WALK_TAPS, WIDE_STEPS
from xnoreplay.spec.memories import label_bits
from xnoreplay.spec.plan import Convolution, Dense, Plan


class Geometry(NamedTuple):
    """Sizes of the machine."""

    lanes: int
    channels: int  # G
    units: int  # uint64s of a word of G bits
    slots: int
    unit_bits: int  # bits used of one unit: G, or 64 where G is larger
    label_bits: int
    batch: int
    batch_slots: int
    mean_bits: int  # 0 with stored replay


class Input(NamedTuple):
    """What takes a sample from the stream, as `spec.plan.Input`."""

    pixels: int
    words: int
    bits: int
    part: int
    channel: (
        np.ndarray
    )  # (bits,) int64, the image channel of each thermometer bit; none where latents are given


class Conv(NamedTuple):
    """A convolution, as `spec.plan.Convolution`: a row of a table of int64."""

    index: int  # type: ignore[assignment]
    height: int
    width: int
    beats: int
    source_words: int
    group_tiles: int
    tiles: int
    weight_base: int
    last_channels: int
    threshold: int
    pool: int
    destination_words: int
    destination_group_tiles: int
    word_tiles: int
    load: int
    row: int
    period: int
    window_delay: int
    cycles: int
    pad_bit: int
    lanes: int
    skip_shift: int


class Lgap(NamedTuple):
    """Learnable global average pooling, as `spec.plan.Lgap`."""

    index: int  # type: ignore[assignment]
    pixels: int
    words: int
    last_channels: int
    cycles: int


class DenseOp(NamedTuple):
    """A dense layer, as `spec.plan.Dense`; the output layer has 0 in the fields that it lacks."""

    from_top: int  # 1: weights in cls.top, 0: in weights.fe
    weight_base: int
    rows: int
    beats: int
    last_taps: int
    source_slot: int
    threshold: int
    destination_word: int
    to_latent: int
    cycles: int


class Replay(NamedTuple):
    """The replay unit, as `spec.plan.ReplayPlan`, and the registers of its walks.

    A walk has so many bits, and taps as `common.jit.walk_next` takes them.
    """

    classes: int
    capacity: int
    staging: int
    words: int
    copy_cycles: int
    replay_bits: int
    replay_taps: int
    staging_bits: int
    staging_taps: int
    epoch_bits: int
    epoch_taps: int
    first_staged: int  # index of an epoch's walk that names staging place 0


class Generative(NamedTuple):
    """Generative replay, as `spec.generative_plan.GenerativePlan`; with stored replay all are 0."""

    components: int
    mean_bits: int
    words: int
    classes: int
    drawn: int  # of a class in an epoch, less its staged samples
    slot_bits: int
    staging: int
    most_staged: int
    registers: int  # wide ones
    steps: int  # of each for a word
    last_bits: int  # of a latent's last word


class Program(NamedTuple):
    """All operations of a plan.

    Where latents are given, LGAP and the latent layer are all 0, and so is the one convolution: no kernel carries them out.
    """

    geometry: Geometry
    input: Input
    convs: np.ndarray  # (convolutions, fields of Conv) int64
    lgap: Lgap
    latent: DenseOp
    hidden: DenseOp
    output: DenseOp
    replay: Replay
    generative: Generative


CONV_FIELDS = len(Conv._fields)


@part
def conv_of(table, i):
    """Row i of the table of convolutions, as `Conv`."""
    return Conv(*fixed_tuple(table[i], CONV_FIELDS))


def compile_program(plan: Plan) -> Program:
    """A plan's operations as kernels take them."""
    net, target = plan.network, plan.target
    out, lgap = plan.output, plan.lgap
    convs = [_conv(op, net.pad_bit) for op in plan.convolutions]
    return Program(
        geometry=Geometry(
            target.lanes,
            target.channels,
            ceil_div(target.channels, WORD),
            plan.slots,
            min(target.channels, WORD),
            label_bits(net),
            target.batch,
            plan.batch_slots,
            target.mean_bits if plan.generative else 0,
        ),
        input=Input(
            plan.input.pixels,
            plan.input.words,
            plan.input.channels,
            plan.input.part,
            np.repeat(np.arange(net.image_channels), np.array(net.levels, np.int64)),
        ),
        convs=np.array(convs or [Conv(*[0] * CONV_FIELDS)], np.int64),
        lgap=Lgap(*(getattr(lgap, f) if lgap else 0 for f in Lgap._fields)),
        latent=_dense(plan.latent) if plan.latent else DenseOp(*[0] * len(DenseOp._fields)),
        hidden=_dense(plan.hidden),
        output=DenseOp(
            1, out.weight_base, net.classes, out.beats, out.last_taps, out.source_slot, 0, 0, 0, 0
        ),
        replay=_replay(plan),
        generative=_generative(plan),
    )


def _conv(op: Convolution, pad_bit: int) -> Conv:
    """A convolution as a row of the table."""
    extra = {"pool": int(op.pool), "pad_bit": pad_bit}
    return Conv(*(extra[f] if f in extra else getattr(op, f) for f in Conv._fields))


def _dense(op: Dense) -> DenseOp:
    """A dense layer as kernels take it."""
    return DenseOp(
        int(op.memory == "cls.top"),
        op.weight_base,
        op.rows,
        op.beats,
        op.last_taps,
        op.source_slot,
        op.threshold,
        op.destination_word,
        int(op.to_latent),
        op.cycles,
    )


def _replay(plan: Plan) -> Replay:
    """The replay unit as kernels take it."""
    r = plan.replay
    walks = []
    for bits in (r.replay_walk, r.staging_walk, r.epoch_walk):
        walks += [bits, sum(1 << tap - 1 for tap in WALK_TAPS[bits])]
    sizes = plan.network.classes, r.capacity, r.staging, r.words, r.copy_cycles
    return Replay._make((*sizes, *walks, r.first_staged))


def _generative(plan: Plan) -> Generative:
    """Generative replay as kernels take it."""
    g, channels = plan.generative, plan.target.channels
    if g is None:
        return Generative(*(0 for _ in Generative._fields))
    return Generative(
        g.components,
        g.mean_bits,
        g.words,
        g.classes,
        g.drawn_per_class,
        g.slot_bits,
        g.staging,
        g.most_staged,
        registers(channels),
        min(channels, WIDE_STEPS),
        plan.network.latent - (g.words - 1) * channels,
    )
