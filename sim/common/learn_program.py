"""The learning operations' sizes and constants as kernels take them."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import FULL, part
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.plan import Plan


class LearnProgram(NamedTuple):
    """What plan and rule fix of the learning operations: sizes, addresses and constants."""

    hidden: int
    latent: int
    latent_words: int
    hidden_words: int
    hidden_base: int  # cls.top row of the first hidden row
    hidden_beats: int
    hidden_taps: int  # enabled in the last beat
    hidden_threshold: int
    hidden_offset: int  # a hidden sum is 2 P - hidden_offset
    hidden_mask: int
    hidden_learns: int
    output_base: int
    output_beats: int
    output_taps: int
    output_offset: int
    logit_bits: int
    logit_shift: int
    proxy_bits: int
    proxies: int  # of a pair: 1 or 2
    low: int  # bits of an output proxy in cls.low
    delta_bits: int
    update_shift: int
    segment: int
    fold: int  # channels whose nine cells join in one node
    latent_segments: int
    hidden_segments: int
    blocks: int  # of B classes, for all classes of the network
    columns: int  # of batch.bank
    sample_base: int
    classes: int
    walk_bits: int
    error_units: int
    weight_cycles: int  # of the division that gives a class weight


def compile_learning(plan: Plan) -> LearnProgram:
    """A plan's learning operations as kernels take them."""
    net, target, rule = plan.network, plan.target, plan.rule
    extra = LearningPlan(plan)
    return LearnProgram(
        hidden=net.hidden,
        latent=net.latent,
        latent_words=plan.replay.words,
        hidden_words=extra.hidden_words,
        hidden_base=plan.hidden.weight_base,
        hidden_beats=plan.hidden.beats,
        hidden_taps=plan.hidden.last_taps,
        hidden_threshold=plan.hidden.threshold,
        hidden_offset=plan.hidden.offset,
        hidden_mask=rule.hidden_mask,
        hidden_learns=int(target.hidden_learns),
        output_base=plan.output.weight_base,
        output_beats=plan.output.beats,
        output_taps=plan.output.last_taps,
        output_offset=plan.output.offset,
        logit_bits=plan.memory("batch.logit").width // target.lanes,
        logit_shift=rule.logit_shift,
        proxy_bits=rule.proxy_bits,
        proxies=rule.proxies_per_pair,
        low=rule.low_bits,
        delta_bits=rule.delta_bits,
        update_shift=rule.update_shift,
        segment=target.segment,
        fold=target.node_fold,
        latent_segments=extra.latent_segments,
        hidden_segments=extra.hidden_segments,
        blocks=extra.blocks(net.classes),
        columns=plan.memory("batch.bank").depth,
        sample_base=extra.sample_base,
        classes=net.classes,
        walk_bits=plan.replay.epoch_walk,
        error_units=target.error_units,
        weight_cycles=extra.weight_cycles,
    )


@part
def get_field(row, first, n):
    """Field of n bits of a packed row from bit `first` on, as int64."""
    w, o = first >> 6, first & 63
    value = row[w] >> np.uint64(o)
    if o + n > 64:
        value |= row[w + 1] << np.uint64(64 - o)
    return np.int64(value & (FULL >> np.uint64(64 - n)))


@part
def put_field(row, first, n, value):
    """Write n bits of a packed row from bit `first`."""
    w, o = first >> 6, first & 63
    mask = FULL >> np.uint64(64 - n)
    bits = np.uint64(value & ((1 << n) - 1))
    row[w] = row[w] & ~(mask << np.uint64(o)) | bits << np.uint64(o)
    if o + n > 64:
        shift = np.uint64(64 - o)
        row[w + 1] = row[w + 1] & ~(mask >> shift) | bits >> shift


@part
def signed_field(value, bits):
    """A field of so many bits as a two's-complement number: int64."""
    return value - (1 << bits) if value >> (bits - 1) else value


@part
def segment_place(op, geometry, s):
    """(word of the vector, first bit in it) of segment s of the output layer's input."""
    if s < op.latent_segments:
        column = s * op.segment
        return column // geometry.channels, column % geometry.channels
    column = (s - op.latent_segments) * op.segment
    return op.latent_words + column // geometry.channels, column % geometry.channels


@part
def segment_columns(op, s):
    """How many columns segment s of the output layer's input has; a part's last may have fewer."""
    if s < op.latent_segments:
        return min(op.segment, op.latent - s * op.segment)
    return min(op.segment, op.hidden - (s - op.latent_segments) * op.segment)


@part
def plane_scale(op, plane):
    """Worth of a bit of a plane of two's complement: 2^plane, negative for the sign plane."""
    return -(1 << plane) if plane == op.delta_bits - 1 else 1 << plane
