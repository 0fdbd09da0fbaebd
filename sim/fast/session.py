"""Fast mode, learning: the state and the counters that each phase of a session leaves.

The arithmetic is in `arithmetic`; here its integers become bits of the chip's memories.
"""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.generative import component_row
from xnoreplay.sim.common.jit import ZERO, ceil_div, get_bit, kernel, part, put_bit
from xnoreplay.sim.common.learn_program import put_field
from xnoreplay.sim.common.program import Geometry
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.arithmetic import Work
from xnoreplay.sim.fast.generative import draw_word, drawn_cycles, find_draw
from xnoreplay.sim.fast.images import put_word
from xnoreplay.sim.fast.replay import first_state, holds, label_of, seed, step_walk
from xnoreplay.spec import timeline
from xnoreplay.spec.learning import BALANCE_BITS
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.replay import SEED_DRAWS

balance_cycles = part(timeline.balance_cycles)
stream_cycles = part(timeline.stream_cycles)
error_cycles = part(timeline.error_cycles)
back_cycles = part(timeline.back_cycles)
update_cycles = part(timeline.update_cycles)

BACK, OUTPUT, HIDDEN = 0, 1, 2  # phases that load planes into the lanes


class Minibatch(NamedTuple):
    """A minibatch: how many samples it has, how many classes are seen, and what was computed of it."""

    samples: int
    seen: int
    work: Work


class Planes(NamedTuple):
    """Which plane was loaded last into a lane's slot."""

    source: np.ndarray  # (lanes, slots) int64: -1, or BACK, OUTPUT, HIDDEN
    row: np.ndarray  # (lanes, slots) int64, row of the delta memory
    banks: np.ndarray  # (lanes, slots) int64, bits that are not masked


def new_planes(geometry: Geometry) -> Planes:
    """Planes of which none is loaded."""
    shape = (geometry.lanes, geometry.slots)
    return Planes(np.full(shape, -1), np.zeros(shape, np.int64), np.zeros(shape, np.int64))


@kernel
def balance_phase(op, program, memory, learning, counters, scalars, weights):
    """Leave the tables of inverse frequencies and class weights as the loss balance does.

    weights: `spec.learning.class_weights`.
    """
    seen, staged = scalars[Scalar.SEEN], scalars[Scalar.STAGED]
    components, staging = program.generative.components, program.replay.staging
    division = op.weight_cycles
    counters.events[Event.CYCLES] += balance_cycles(seen, staged, staging, division, components)
    if components:
        _count_draws(program.generative, memory, learning, counters, seen)
        staged = 0  # labels that are counted one by one
    else:
        for row in range(seen):
            learning.inverse[row] = memory.replay_count[row]
        for i in range(staged):
            if memory.staging_label[i] < seen:  # it is not below after a fault
                learning.inverse[memory.staging_label[i]] += 1
                counters.reads[Mem.INVERSE] += 1
                counters.writes[Mem.INVERSE] += 1
        counters.reads[Mem.REPLAY_COUNT] += seen
    for row in range(seen):
        learning.inverse[row] = (
            seen * ((1 << BALANCE_BITS) // learning.inverse[row]) if learning.inverse[row] else 0
        )
        learning.weight[row] = weights[row]
    counters.reads[Mem.STAGING_LABEL] += staged
    counters.reads[Mem.INVERSE] += 2 * seen
    counters.writes[Mem.INVERSE] += 2 * seen
    counters.writes[Mem.WEIGHT] += seen


@part
def _count_draws(op, memory, learning, counters, seen):
    """Write how many samples each class seen has in an epoch, drawn and staged."""
    for row in range(seen):
        known = False
        for k in range(op.components):
            known |= memory.share[component_row(op, row, k)] != 0
        staged = memory.staging_count[row] if op.staging else 0
        learning.inverse[row] = max(op.drawn, staged) if known else staged
    counters.reads[Mem.SHARE] += seen * op.components
    if op.staging:
        counters.reads[Mem.STAGING_COUNT] += seen


@kernel
def seed_phase(counters, scalars):
    """Draw for an epoch's walk, which stands at its beginning then."""
    seed(scalars)
    scalars[Scalar.VISITED] = scalars[Scalar.WALK_STATE] = 0
    counters.events[Event.CYCLES] += SEED_DRAWS


@kernel
def load_phase(op, program, memory, learning, counters, scalars, work):
    """Load the next minibatch: the walk goes on until the minibatch is full or the walk ends."""
    geometry, replay = program.geometry, program.replay
    low = (1 << replay.epoch_bits) - 1
    n = 0
    while n < geometry.batch and scalars[Scalar.VISITED] <= low:
        index = _next_index(replay, counters, scalars)
        if index >= replay.capacity + scalars[Scalar.STAGED]:
            continue
        counters.events[Event.CYCLES] += 1
        if index < replay.capacity:
            counters.reads[Mem.REPLAY_LABEL] += 1
            label = label_of(geometry, memory.replay_label[index])
            if not holds(geometry, memory.replay_label[index], scalars[Scalar.SEEN]):
                continue
            rows = memory.replay_latent[index * op.latent_words : (index + 1) * op.latent_words]
            _load(op, geometry, memory, learning, rows, n, work)
            counters.reads[Mem.REPLAY_LATENT] += replay.words
        else:
            counters.reads[Mem.STAGING_LABEL] += 1
            place = index - replay.capacity
            label = memory.staging_label[place]
            if label >= scalars[Scalar.SEEN]:  # after a fault
                continue
            rows = memory.staging_latent[place * op.latent_words : (place + 1) * op.latent_words]
            _load(op, geometry, memory, learning, rows, n, work)
            counters.reads[Mem.STAGING_LATENT] += replay.words
        learning.batch_label[n] = work.label[n] = label
        n += 1
        counters.events[Event.CYCLES] += replay.copy_cycles
    _end_minibatch(replay.words, counters, scalars, n)


@part
def _next_index(replay, counters, scalars):
    """The index that an epoch's walk stands at; the walk goes on to the next, whose state the register then holds."""
    mask, start = first_state(scalars, replay.epoch_bits)
    i = scalars[Scalar.VISITED]
    state = scalars[Scalar.WALK_STATE] if i else 0
    scalars[Scalar.WALK_STATE] = step_walk(
        i + 1, state, start, replay.epoch_bits, replay.epoch_taps
    )
    scalars[Scalar.VISITED] = i + 1
    counters.events[Event.CYCLES] += 1
    return state ^ mask


@part
def _end_minibatch(words, counters, scalars, n):
    """Note that a minibatch of n samples was loaded, and count their words, banks and labels."""
    scalars[Scalar.SAMPLES] = n
    counters.events[Event.LEARN_SAMPLES] += n
    counters.events[Event.TAP_WRITES] += n * words
    counters.writes[Mem.BANK] += n * words
    counters.writes[Mem.BATCH_LABEL] += n
    if n:
        counters.events[Event.MINIBATCHES] += 1


@part
def _load(op, geometry, memory, learning, rows, n, work):
    """Copy a latent, whose words are rows, to sample n's lane, to its bank and to the arithmetic."""
    for w in range(op.latent_words):
        _load_word(op, geometry, memory, learning, rows[w], (n, w), work)


@part
def _load_word(op, geometry, memory, learning, row, place, work):
    """Copy a word of a latent, which is row, to a sample's lane, to its bank and to the arithmetic.

    place: number of the sample, and of the word.
    """
    n, w = place
    first = n // geometry.lanes * geometry.batch_slots * TAPS
    put_word(geometry, memory.lane_file[n % geometry.lanes], first + w, row)
    for u in range(geometry.units):
        learning.bank[n, w, u] = row[u]
    for b in range(min(geometry.channels, op.latent - w * geometry.channels)):
        work.v[n, w * geometry.channels + b] = 2 * get_bit(row, b) - 1


@kernel
def gather_minibatch_phase(op, program, memory, learning, counters, scalars, rooms):
    """Gather the next minibatch, as `load_phase`, of samples that are drawn or staged.

    rooms: registers of `step.registers.Wide` to work in, and the minibatch of the arithmetic.
    """
    room, work = rooms
    geometry, replay, generative = program.geometry, program.replay, program.generative
    low = (1 << replay.epoch_bits) - 1
    n = 0
    while n < geometry.batch and scalars[Scalar.VISITED] <= low:
        index = _next_index(replay, counters, scalars)
        place, label = index - replay.first_staged, index >> generative.slot_bits
        if place >= 0:
            if place >= scalars[Scalar.STAGED]:
                continue
            counters.reads[Mem.STAGING_LABEL] += 1
            label = memory.staging_label[place]
            if label >= scalars[Scalar.SEEN]:  # after a fault
                counters.events[Event.CYCLES] += 1
                continue
            counters.reads[Mem.STAGING_LATENT] += op.latent_words
            rows = memory.staging_latent[place * op.latent_words : (place + 1) * op.latent_words]
            _load(op, geometry, memory, learning, rows, n, work)
            counters.events[Event.CYCLES] += 1 + replay.copy_cycles
        else:
            if label >= scalars[Scalar.SEEN]:
                continue
            number = index & (1 << generative.slot_bits) - 1
            chosen = find_draw(generative, memory, counters, label, number)
            if chosen < 0:
                continue
            row = component_row(generative, label, chosen)
            for w in range(op.latent_words):
                draw_word(generative, memory, counters, room, row, w)
                _load_word(op, geometry, memory, learning, room.given, (n, w), work)
            counters.events[Event.CYCLES] += drawn_cycles(generative, chosen)
        learning.batch_label[n] = work.label[n] = label
        n += 1
    _end_minibatch(replay.words, counters, scalars, n)


@kernel
def hidden_forward_phase(op, geometry, memory, learning, counters, batch):
    """Write the hidden bits of a minibatch to lanes and banks, its masks to batch.mask."""
    samples, work = batch.samples, batch.work
    for n in range(samples):
        first = n // geometry.lanes * geometry.batch_slots * TAPS
        for w in range(op.hidden_words):
            word = learning.bank[n, op.latent_words + w]
            for u in range(geometry.units):
                word[u] = ZERO
            for b in range(min(geometry.channels, op.hidden - w * geometry.channels)):
                put_bit(word, b, work.v[n, op.latent + w * geometry.channels + b] > 0)
            put_word(
                geometry, memory.lane_file[n % geometry.lanes], first + op.latent_words + w, word
            )
    passes = ceil_div(samples, geometry.lanes)
    if op.hidden_learns:
        for row in range(op.hidden):
            for n in range(min(passes * geometry.lanes, geometry.batch)):
                put_bit(
                    learning.mask[row], n, n < samples and abs(work.a[n, row]) <= op.hidden_mask
                )
        counters.writes[Mem.MASK] += passes * op.hidden
    counters.events[Event.TAP_WRITES] += samples * op.hidden_words
    counters.writes[Mem.BANK] += samples * op.hidden_words
    _count_stream(counters, samples, passes, op.hidden, op.hidden_beats, op.hidden_taps)


@part
def _count_stream(counters, samples, passes, rows, beats, last_taps):
    """Count a forward pass: so many rows of so many beats for each pass, each of the samples in its lane."""
    words = passes * rows * beats
    counters.reads[Mem.CLS_TOP] += words
    counters.events[Event.BEATS] += words
    counters.reads[Mem.LANE_FILE] += samples * rows * beats
    counters.events[Event.TAPS] += samples * rows * ((beats - 1) * TAPS + last_taps)
    counters.events[Event.CYCLES] += stream_cycles(words)


@kernel
def output_forward_phase(op, geometry, learning, counters, batch):
    """Write the logit sums of a minibatch, L samples a word."""
    samples, seen, work = batch.samples, batch.seen, batch.work
    passes = ceil_div(samples, geometry.lanes)
    for n in range(passes * geometry.lanes):
        for row in range(seen):
            logit = work.s[n, row] if n < samples else 0
            word = learning.logit[n // geometry.lanes * op.classes + row]
            put_field(word, n % geometry.lanes * op.logit_bits, op.logit_bits, logit)
    counters.writes[Mem.LOGIT] += passes * seen
    _count_stream(counters, samples, passes, COPIES * seen, op.output_beats, op.output_taps)


@kernel
def error_phase(op, geometry, learning, counters, batch):
    """Write the planes of the output deltas, by class and by sample."""
    samples, seen, work = batch.samples, batch.seen, batch.work
    for n in range(samples):
        for row in range(seen):
            block = n * op.blocks + row // geometry.batch
            for plane in range(op.delta_bits):
                bit = work.q[row, n] >> plane & 1
                put_bit(learning.delta[row * op.delta_bits + plane], n, bit)
                if op.hidden_learns:
                    put_bit(
                        learning.class_delta[block * op.delta_bits + plane],
                        row % geometry.batch,
                        bit,
                    )
    groups = ceil_div(samples, op.error_units)
    counters.reads[Mem.LOGIT] += 2 * groups * seen
    counters.reads[Mem.BATCH_LABEL] += samples
    counters.reads[Mem.WEIGHT] += samples
    counters.writes[Mem.DELTA] += groups * seen * op.delta_bits
    if op.hidden_learns:
        counters.writes[Mem.CLASS_DELTA] += samples * seen * op.delta_bits
    counters.events[Event.CYCLES] += error_cycles(seen, groups)


@part
def _load_planes(geometry, planes, phase, first, used, banks):
    """Note which planes of a row are loaded into which lanes, and return how many.

    used: bit k where plane k is not empty; first: the row of plane 0 in its memory; banks: bits that are not masked.
    """
    loaded = plane = 0
    while used >> plane:
        if used >> plane & 1:
            lane, slot = loaded % geometry.lanes, loaded // geometry.lanes
            planes.source[lane, slot] = phase
            planes.row[lane, slot] = first + plane
            planes.banks[lane, slot] = banks
            loaded += 1
        plane += 1
    return loaded


@part
def _count_beats(op, geometry, counters, loaded, segments, banks):
    """Count so many planes loaded, and the beats that multiply so many segments by them; return the beats."""
    beats = ceil_div(loaded, geometry.lanes) * segments
    counters.writes[Mem.LANE_FILE] += loaded
    counters.reads[Mem.LANE_FILE] += loaded * segments
    counters.events[Event.NODES] += loaded * segments * op.segment
    counters.events[Event.BEATS] += beats
    counters.reads[Mem.BANK] += beats * banks
    return beats


@part
def _fill_banks(op, geometry, memory, learning, seen):
    """Copy the hidden part of every class's rows to the banks; return how many words."""
    for row in range(seen):
        for copy in range(COPIES):
            for w in range(op.hidden_words):
                word = op.latent_words + w
                address = op.output_base + (COPIES * row + copy) * op.output_beats + word // TAPS
                block = row // geometry.batch
                column = op.sample_base + (block * COPIES + copy) * op.hidden_words + w
                for u in range(geometry.units):
                    bits = memory.cls_top[address, word % TAPS * geometry.units + u]
                    learning.bank[row % geometry.batch, column, u] = bits
    return seen * COPIES * op.hidden_words


@kernel
def back_phase(op, geometry, memory, learning, counters, batch, planes):
    """Copy class rows to the banks, count what every sample takes, and write the planes of the hidden deltas."""
    samples, seen, work = batch.samples, batch.seen, batch.work
    words = _fill_banks(op, geometry, memory, learning, seen)
    counters.reads[Mem.CLS_TOP] += words
    counters.writes[Mem.BANK] += words
    all_loaded = all_beats = 0
    blocks = ceil_div(seen, geometry.batch)
    for n in range(samples):
        for block in range(blocks):
            used = 0
            rows = min(geometry.batch, seen - block * geometry.batch)
            for row in range(rows):
                used |= work.q[block * geometry.batch + row, n] & (1 << op.delta_bits) - 1
            counters.events[Event.BLOCKS if used else Event.BLOCKS_SKIPPED] += 1
            first = (n * op.blocks + block) * op.delta_bits
            loaded = _load_planes(geometry, planes, BACK, first, used, rows)
            segments = COPIES * op.hidden_segments
            all_beats += _count_beats(op, geometry, counters, loaded, segments, rows)
            all_loaded += loaded
        for row in range(op.hidden):
            for plane in range(op.delta_bits):
                bit = work.d[row, n] >> plane & 1
                put_bit(learning.hidden_delta[row * op.delta_bits + plane], n, bit)
    counters.reads[Mem.CLASS_DELTA] += all_loaded
    counters.events[Event.BACK_PLANES] += all_loaded
    counters.events[Event.BACK_BEATS] += all_beats
    counters.events[Event.CYCLES] += back_cycles(
        words, 1, samples, blocks, op.hidden, all_loaded, all_beats
    )
    counters.reads[Mem.MASK] += samples * op.hidden
    counters.writes[Mem.HIDDEN_DELTA] += samples * op.hidden * op.delta_bits


@kernel
def update_phase(op, geometry, counters, batch, output, planes):
    """Count a layer's update, and note the planes that it leaves in the lanes.

    output: 1 for the output layer, 0 for the hidden layer.
    """
    rows = batch.seen if output else op.hidden
    delta = batch.work.q if output else batch.work.d
    segments = op.latent_segments + (op.hidden_segments if output else 0)
    top_rows = op.output_beats if output else op.hidden_beats
    all_loaded = all_beats = 0
    for row in range(rows):
        used = 0
        for n in range(batch.samples):
            used |= delta[row, n] & (1 << op.delta_bits) - 1
        counters.events[Event.ROWS if used else Event.ROWS_SKIPPED] += 1
        first, phase = row * op.delta_bits, OUTPUT if output else HIDDEN
        loaded = _load_planes(geometry, planes, phase, first, used, batch.samples)
        all_beats += _count_beats(op, geometry, counters, loaded, segments, batch.samples)
        all_loaded += loaded
        if used:
            copies = COPIES if output else 1
            counters.reads[Mem.CLS_TOP] += copies * top_rows
            counters.writes[Mem.CLS_TOP] += copies * segments
        if used and (not output or op.low):
            mem = Mem.CLS_LOW if output else Mem.HIDDEN_LOW
            counters.reads[mem] += segments
            counters.writes[mem] += segments
    counters.reads[Mem.DELTA if output else Mem.HIDDEN_DELTA] += all_loaded
    counters.events[Event.OUTPUT_PLANES if output else Event.HIDDEN_PLANES] += all_loaded
    counters.events[Event.OUTPUT_BEATS if output else Event.HIDDEN_BEATS] += all_beats
    counters.events[Event.CYCLES] += update_cycles(rows, 1, all_loaded, all_beats)


@kernel
def write_planes(op, geometry, memory, learning, planes):
    """Write the planes that were loaded last to the lanes' files."""
    for lane in range(geometry.lanes):
        for slot in range(geometry.slots):
            source = planes.source[lane, slot]
            if source < 0:
                continue
            planes.source[lane, slot] = -1
            row = planes.row[lane, slot]
            file = memory.lane_file[lane, slot]
            for w in range(file.shape[0]):
                file[w] = ZERO
            for n in range(planes.banks[lane, slot]):
                if source == BACK:
                    bit = get_bit(learning.class_delta[row], n)
                else:
                    bit = get_bit(
                        learning.delta[row] if source == OUTPUT else learning.hidden_delta[row], n
                    )
                if bit:
                    for node in range(op.segment):
                        channel = node * op.fold + n % op.fold
                        put_bit(file, n // op.fold * geometry.units * 64 + channel, 1)


@kernel
def store_rows(op, geometry, memory, learning, theta, changed, output):
    """Write the rows of proxies that changed to cls.top and the low memory.

    theta (rows, copies, columns); changed (rows,) bool, false afterwards; output: as in `update_phase`.
    """
    for row in range(changed.shape[0]):
        if changed[row]:
            _store_row(op, geometry, memory, learning, theta[row], row, output)
            changed[row] = False


@part
def _store_row(op, geometry, memory, learning, theta, row, output):
    """Write a row of proxies, theta (copies, columns), to cls.top and the low memory; output: as in `update_phase`."""
    half = 1 << (op.proxy_bits - 1)
    copies = theta.shape[0]
    low = op.low if output else op.proxy_bits - 1
    segments = op.latent_segments + (op.hidden_segments if output else 0)
    for s in range(segments):
        hidden = s >= op.latent_segments
        first_segment = op.latent_segments if hidden else 0
        before = op.latent if hidden else 0
        columns = theta.shape[1] - op.latent if hidden else op.latent
        for node in range(op.segment):
            column = (s - first_segment) * op.segment + node
            word = column // geometry.channels + (op.latent_words if hidden else 0)
            bit = word % TAPS * geometry.units * 64 + column % geometry.channels
            for copy in range(copies):
                # A column that does not exist is written as 0.
                code = theta[copy, before + column] + half if column < columns else 0
                top = code >> (op.proxy_bits - 1)
                if not output:
                    own = op.hidden_base + row * op.hidden_beats + word // TAPS
                    put_bit(memory.cls_top[own], bit, top)
                else:
                    first = op.output_base + (COPIES * row + copy) * op.output_beats + word // TAPS
                    put_bit(memory.cls_top[first], bit, top)
                    if copies == 1:
                        second = code >> (op.proxy_bits - 2) & 1
                        put_bit(memory.cls_top[first + op.output_beats], bit, second)
                if low:
                    place = (node * copies + copy) * low
                    if output:
                        put_field(learning.cls_low[row * segments + s], place, low, code)
                    else:
                        put_field(learning.hidden_low[row * segments + s], place, low, code)
