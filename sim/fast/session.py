"""Fast mode, learning: the state and the counters that each phase of a session leaves.

The arithmetic is in `learn_kernels`; here its integers become bits of the chip's memories.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import ZERO, ceil_div, get_bit, kernel, part, put_bit
from xnoreplay.sim.common.learn_ops import put_field
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.images import put_word
from xnoreplay.sim.fast.replay import label_of, seed, step_walk
from xnoreplay.spec import timeline
from xnoreplay.spec.learning import BALANCE_BITS
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS

balance_cycles = part(timeline.balance_cycles)
stream_cycles = part(timeline.stream_cycles)
error_cycles = part(timeline.error_cycles)
back_cycles = part(timeline.back_cycles)
update_cycles = part(timeline.update_cycles)

BACK, OUTPUT, HIDDEN = 0, 1, 2  # phases that load planes into the lanes


class Planes(NamedTuple):
    """Which plane was loaded last into a lane's slot: nothing, or what to find it by."""

    source: np.ndarray  # (lanes, slots) int64: -1, or BACK, OUTPUT, HIDDEN
    row: np.ndarray  # (lanes, slots) int64, row of the delta memory
    banks: np.ndarray  # (lanes, slots) int64, bits that are not masked


def planes(geometry) -> Planes:
    """Nothing loaded."""
    shape = (geometry.lanes, geometry.slots)
    return Planes(np.full(shape, -1), np.zeros(shape, np.int64), np.zeros(shape, np.int64))


@kernel
def balance_phase(pr, m, lm, c, scalars, weights):
    """Frequencies, inverses and the given class weights; as `spec.learning.class_weights`."""
    seen, staged = scalars[Scalar.SEEN], scalars[Scalar.STAGED]
    for row in range(seen):
        lm.inverse[row] = m.replay_count[row]
    for i in range(staged):
        lm.inverse[m.staging_label[i]] += 1
    for row in range(seen):
        lm.inverse[row] = seen * ((1 << BALANCE_BITS) // lm.inverse[row]) if lm.inverse[row] else 0
        lm.weight[row] = weights[row]
    c.reads[Mem.REPLAY_COUNT] += seen
    c.reads[Mem.STAGING_LABEL] += staged
    c.reads[Mem.INVERSE] += staged + 2 * seen
    c.writes[Mem.INVERSE] += 2 * seen + staged
    c.writes[Mem.WEIGHT] += seen
    c.events[Event.CYCLES] += balance_cycles(seen, staged, pr.replay.staging)


@kernel
def seed_phase(c, scalars):
    """Begin an epoch's walk."""
    seed(scalars)
    scalars[Scalar.VISITED] = scalars[Scalar.WALK_STATE] = 0
    c.events[Event.CYCLES] += SEED_DRAWS


@kernel
def load_phase(op, pr, m, lm, c, scalars, work):
    """Go on with the walk until the minibatch is full or the walk ends."""
    g, r = pr.geometry, pr.replay
    low = (1 << r.epoch_bits) - 1
    mask = scalars[Scalar.WALK] & low
    start = scalars[Scalar.WALK] >> 16 & low
    start = start if start else 1
    n = 0
    while n < g.batch and scalars[Scalar.VISITED] <= low:
        i = scalars[Scalar.VISITED]
        # The register holds the index to come, as in the clocks.
        state = scalars[Scalar.WALK_STATE] if i else 0
        index = state ^ mask
        scalars[Scalar.WALK_STATE] = step_walk(i + 1, state, start, r.epoch_bits, r.epoch_taps)
        scalars[Scalar.VISITED] = i + 1
        c.events[Event.CYCLES] += 1
        if index >= r.capacity + scalars[Scalar.STAGED]:
            continue
        c.events[Event.CYCLES] += 1
        if index < r.capacity:
            c.reads[Mem.REPLAY_LABEL] += 1
            if not m.replay_label[index] >> g.label_bits:
                continue
            label = label_of(g, m.replay_label[index])
            _load(op, pr, m, lm, m.replay_latent, index, n, work)
            c.reads[Mem.REPLAY_LATENT] += r.words
        else:
            c.reads[Mem.STAGING_LABEL] += 1
            label = m.staging_label[index - r.capacity]
            _load(op, pr, m, lm, m.staging_latent, index - r.capacity, n, work)
            c.reads[Mem.STAGING_LATENT] += r.words
        lm.batch_label[n] = work.label[n] = label
        n += 1
        c.events[Event.CYCLES] += r.copy_cycles
    scalars[Scalar.SAMPLES] = n
    c.events[Event.LEARN_SAMPLES] += n
    c.events[Event.TAP_WRITES] += n * r.words
    c.writes[Mem.BANK] += n * r.words
    c.writes[Mem.BATCH_LABEL] += n
    if n:
        c.events[Event.MINIBATCHES] += 1


@part
def _load(op, pr, m, lm, source, i, n, work):
    """One latent to its lane, its bank and the arithmetic."""
    g, words = pr.geometry, pr.replay.words
    first = n // g.lanes * g.batch_slots * TAPS
    for w in range(words):
        row = source[i * words + w]
        put_word(g, m.lane_file[n % g.lanes], first + w, row)
        for u in range(g.units):
            lm.bank[n, w, u] = row[u]
        for b in range(min(g.channels, op.latent - w * g.channels)):
            work.v[n, w * g.channels + b] = 2 * get_bit(row, b) - 1


@kernel
def hidden_forward_phase(op, g, m, lm, c, samples, work):
    """Hidden bits to lanes and banks, masks to batch.mask."""
    for n in range(samples):
        first = n // g.lanes * g.batch_slots * TAPS
        for w in range(op.hidden_words):
            word = lm.bank[n, op.latent_words + w]
            for u in range(g.units):
                word[u] = ZERO
            for b in range(min(g.channels, op.hidden - w * g.channels)):
                put_bit(word, b, work.v[n, op.latent + w * g.channels + b] > 0)
            put_word(g, m.lane_file[n % g.lanes], first + op.latent_words + w, word)
    passes = ceil_div(samples, g.lanes)
    if op.hidden_learns:
        for row in range(op.hidden):
            for n in range(min(passes * g.lanes, g.batch)):
                put_bit(lm.mask[row], n, n < samples and abs(work.a[n, row]) <= op.hidden_mask)
        c.writes[Mem.MASK] += passes * op.hidden
    c.events[Event.TAP_WRITES] += samples * op.hidden_words
    c.writes[Mem.BANK] += samples * op.hidden_words
    _count_stream(c, samples, passes, op.hidden, op.hidden_beats, op.hidden_taps)


@part
def _count_stream(c, samples, passes, rows, beats, last_taps):
    words = passes * rows * beats
    c.reads[Mem.CLS_TOP] += words
    c.events[Event.BEATS] += words
    c.reads[Mem.LANE_FILE] += samples * rows * beats
    c.events[Event.TAPS] += samples * rows * ((beats - 1) * TAPS + last_taps)
    c.events[Event.CYCLES] += stream_cycles(words)


@kernel
def output_forward_phase(op, g, lm, c, samples, seen, work):
    """Logit sums of L samples a word."""
    passes = ceil_div(samples, g.lanes)
    for n in range(passes * g.lanes):
        for row in range(seen):
            logit = work.s[n, row] if n < samples else 0
            word = lm.logit[n // g.lanes * op.classes + row]
            put_field(word, n % g.lanes * op.logit_bits, op.logit_bits, logit)
    c.writes[Mem.LOGIT] += passes * seen
    _count_stream(c, samples, passes, 2 * seen, op.output_beats, op.output_taps)


@kernel
def error_phase(op, g, lm, c, samples, seen, work):
    """Planes of the deltas, by row and by sample."""
    for n in range(samples):
        for row in range(seen):
            block = n * op.blocks + row // g.batch
            for plane in range(op.delta_bits):
                bit = work.q[row, n] >> plane & 1
                put_bit(lm.delta[row * op.delta_bits + plane], n, bit)
                if op.hidden_learns:
                    put_bit(lm.class_delta[block * op.delta_bits + plane], row % g.batch, bit)
    groups = ceil_div(samples, op.error_units)
    c.reads[Mem.LOGIT] += 2 * groups * seen
    c.reads[Mem.BATCH_LABEL] += samples
    c.reads[Mem.WEIGHT] += samples
    c.writes[Mem.DELTA] += groups * seen * op.delta_bits
    if op.hidden_learns:
        c.writes[Mem.CLASS_DELTA] += samples * seen * op.delta_bits
    c.events[Event.CYCLES] += error_cycles(seen, groups)


@part
def _planes_row(op, g, c, planes, phase, row, used, banks, segments):
    """Load a row's planes and multiply; returns planes and beats."""
    loaded = 0
    for plane in range(op.delta_bits):
        if used >> plane & 1:
            lane, slot = loaded % g.lanes, loaded // g.lanes
            planes.source[lane, slot] = phase
            planes.row[lane, slot] = row * op.delta_bits + plane
            planes.banks[lane, slot] = banks
            loaded += 1
    groups = ceil_div(loaded, g.lanes)
    c.writes[Mem.LANE_FILE] += loaded
    c.reads[Mem.LANE_FILE] += loaded * segments
    c.events[Event.NODES] += loaded * segments * op.segment
    c.events[Event.BEATS] += groups * segments
    c.reads[Mem.BANK] += groups * segments * banks
    return loaded, groups * segments


@kernel
def back_phase(op, g, m, lm, c, samples, seen, work, planes):
    """Class rows to the banks, then every sample; hidden deltas' planes."""
    for row in range(seen):
        for copy in range(2):
            for w in range(op.hidden_words):
                word = op.latent_words + w
                address = op.output_base + (2 * row + copy) * op.output_beats + word // TAPS
                column = op.sample_base + (row // g.batch * 2 + copy) * op.hidden_words + w
                for u in range(g.units):
                    bits = m.cls_top[address, word % TAPS * g.units + u]
                    lm.bank[row % g.batch, column, u] = bits
    words = seen * 2 * op.hidden_words
    c.reads[Mem.CLS_TOP] += words
    c.writes[Mem.BANK] += words
    planes_loaded = beats_done = 0
    blocks = ceil_div(seen, g.batch)
    for n in range(samples):
        for block in range(blocks):
            used = 0
            rows = min(g.batch, seen - block * g.batch)
            for row in range(rows):
                used |= work.q[block * g.batch + row, n] & (1 << op.delta_bits) - 1
            c.events[Event.BLOCKS if used else Event.BLOCKS_SKIPPED] += 1
            index = n * op.blocks + block
            loaded, beats = _planes_row(
                op, g, c, planes, BACK, index, used, rows, 2 * op.hidden_segments
            )
            c.reads[Mem.CLASS_DELTA] += loaded
            planes_loaded += loaded
            beats_done += beats
        for row in range(op.hidden):
            for plane in range(op.delta_bits):
                bit = work.d[row, n] >> plane & 1
                put_bit(lm.hidden_delta[row * op.delta_bits + plane], n, bit)
    c.events[Event.BACK_PLANES] += planes_loaded
    c.events[Event.BACK_BEATS] += beats_done
    c.events[Event.CYCLES] += back_cycles(
        words, 1, samples, blocks, op.hidden, planes_loaded, beats_done
    )
    c.reads[Mem.MASK] += samples * op.hidden
    c.writes[Mem.HIDDEN_DELTA] += samples * op.hidden * op.delta_bits


@kernel
def update_phase(op, g, c, samples, rows, delta, output, planes):
    """Counters of a layer's update, and the planes it left in the lanes."""
    segments = op.latent_segments + (op.hidden_segments if output else 0)
    planes_loaded = beats_done = 0
    for row in range(rows):
        used = 0
        for n in range(samples):
            used |= delta[row, n] & (1 << op.delta_bits) - 1
        c.events[Event.ROWS if used else Event.ROWS_SKIPPED] += 1
        loaded, beats = _planes_row(
            op, g, c, planes, OUTPUT if output else HIDDEN, row, used, samples, segments
        )
        copies = (2 if output else 1) * (segments if used else 0)
        c.reads[Mem.CLS_TOP] += copies
        c.writes[Mem.CLS_TOP] += copies
        if used and (not output or op.low):
            mem = Mem.CLS_LOW if output else Mem.HIDDEN_LOW
            c.reads[mem] += segments
            c.writes[mem] += segments
        c.reads[Mem.DELTA if output else Mem.HIDDEN_DELTA] += loaded
        planes_loaded += loaded
        beats_done += beats
    c.events[Event.OUTPUT_PLANES if output else Event.HIDDEN_PLANES] += planes_loaded
    c.events[Event.OUTPUT_BEATS if output else Event.HIDDEN_BEATS] += beats_done
    c.events[Event.CYCLES] += update_cycles(rows, 1, planes_loaded, beats_done)


@kernel
def settle_planes(g, m, lm, op, planes):
    """Write the planes that were loaded last to the lanes' files."""
    for lane in range(g.lanes):
        for slot in range(g.slots):
            source = planes.source[lane, slot]
            if source < 0:
                continue
            planes.source[lane, slot] = -1
            row = planes.row[lane, slot]
            file = m.lane_file[lane, slot]
            for w in range(file.shape[0]):
                file[w] = ZERO
            for n in range(planes.banks[lane, slot]):
                if source == BACK:
                    bit = get_bit(lm.class_delta[row], n)
                else:
                    bit = get_bit(lm.delta[row] if source == OUTPUT else lm.hidden_delta[row], n)
                if bit:
                    for node in range(op.segment):
                        channel = node * op.fold + n % op.fold
                        put_bit(file, n // op.fold * g.units * 64 + channel, 1)


@kernel
def store_rows(op, g, m, lm, theta, changed, output):
    """Write rows of proxies (rows, copies, columns) that changed to cls.top and the low memory."""
    for row in range(changed.shape[0]):
        if changed[row]:
            _store_row(op, g, m, lm, theta[row], row, output)
            changed[row] = False


@part
def _store_row(op, g, m, lm, theta, row, output):
    half = 1 << (op.proxy_bits - 1)
    copies = theta.shape[0]
    low = op.low if output else op.proxy_bits - 1
    segments = op.latent_segments + (op.hidden_segments if output else 0)
    for i in range(theta.shape[1]):
        hidden = i >= op.latent
        column = i - op.latent if hidden else i
        word = column // g.channels + (op.latent_words if hidden else 0)
        bit = word % TAPS * g.units * 64 + column % g.channels
        s = column // op.segment + (op.latent_segments if hidden else 0)
        for copy in range(copies):
            code = theta[copy, i] + half
            top = code >> (op.proxy_bits - 1)
            if not output:
                put_bit(m.cls_top[op.hidden_base + row * op.hidden_beats + word // TAPS], bit, top)
            else:
                first = op.output_base + (2 * row + copy) * op.output_beats + word // TAPS
                put_bit(m.cls_top[first], bit, top)
                if copies == 1:
                    second = code >> (op.proxy_bits - 2) & 1
                    put_bit(m.cls_top[first + op.output_beats], bit, second)
            if low:
                place = (column % op.segment * copies + copy) * low
                if output:
                    put_field(lm.cls_low[row * segments + s], place, low, code)
                else:
                    put_field(lm.hidden_low[row * segments + s], place, low, code)
