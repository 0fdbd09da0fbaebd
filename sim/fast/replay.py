"""Fast mode, replay memory: quotas, eviction, admission and the walk of an epoch, in one go."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import draw, kernel, part, walk_next
from xnoreplay.sim.common.state import Scalar
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS

EVICT, INSERT, ADMIT, HIT = 0, 1, 2, 3
KINDS = ("evict", "insert", "admit", "hit")


class Log(NamedTuple):
    """What happened to samples, in order."""

    rows: np.ndarray  # (most events, 4) int64: cycle, kind, slot or index, label
    count: np.ndarray  # (1,) int64, rows in use


@part
def note(log, cycle, kind, slot, label):
    """Append to a log."""
    row = log.rows[log.count[0]]
    row[0], row[1], row[2], row[3] = cycle, kind, slot, label
    log.count[0] += 1


@part
def seed(scalars):
    """Refresh the walk's 32-bit register."""
    for _ in range(SEED_DRAWS):
        scalars[Scalar.WALK] = draw(scalars[Scalar.WALK])


@part
def first_state(scalars, bits):
    """(mask, start) of a walk."""
    low = (1 << bits) - 1
    start = scalars[Scalar.WALK] >> 16 & low
    return scalars[Scalar.WALK] & low, start if start else 1


@part
def step_walk(i, state, start, bits, taps):
    """State of the short register at the i-th index, from the state before."""
    if i == 0:
        return 0
    return start if i == 1 else walk_next(state, bits, taps)


@part
def copy_latent(words, source, i, target, j):
    """Copy one latent from slot i to slot j."""
    for w in range(words):
        for u in range(source.shape[1]):
            target[j * words + w, u] = source[i * words + w, u]


@part
def label_of(g, entry):
    """Class of an entry of replay.label."""
    return entry & (1 << g.label_bits) - 1


@part
def remember(op, g, m, c, slot, label):
    """The end of a copy into the replay memory."""
    m.replay_label[slot] = label | 1 << g.label_bits
    m.replay_count[label] += 1
    c.writes[Mem.REPLAY_LATENT] += op.words
    c.writes[Mem.REPLAY_LABEL] += 1
    c.writes[Mem.REPLAY_COUNT] += 1
    c.events[Event.INSERTIONS] += 1


@kernel
def stage_phase(op, m, c, scalars, label):
    """Keep the latent aside."""
    scalars[Scalar.SEEN] = max(scalars[Scalar.SEEN], label + 1)
    slot = scalars[Scalar.STAGED]
    if slot == op.staging:
        scalars[Scalar.REFUSED] = 1
        c.events[Event.REFUSALS] += 1
        c.events[Event.CYCLES] += 1
        return
    copy_latent(op.words, m.latent, 0, m.staging_latent, slot)
    m.staging_label[slot] = label
    scalars[Scalar.STAGED] = slot + 1
    c.reads[Mem.LATENT] += op.words
    c.writes[Mem.STAGING_LATENT] += op.words
    c.writes[Mem.STAGING_LABEL] += 1
    c.events[Event.CYCLES] += op.copy_cycles


@part
def free_slot(op, g, m, c, first):
    """The lowest free slot from `first`, or the capacity."""
    for slot in range(first, op.capacity):
        c.reads[Mem.REPLAY_LABEL] += 1
        c.events[Event.CYCLES] += 2
        if not m.replay_label[slot] >> g.label_bits:
            return slot
    return op.capacity


@kernel
def insert_phase(op, g, m, c, scalars, label, log):
    """Remember the latent at once, if its class is below the quota."""
    c.reads[Mem.REPLAY_COUNT] += 1
    c.events[Event.CYCLES] += 1
    slot = op.capacity
    if m.replay_count[label] < scalars[Scalar.QUOTA]:
        slot = free_slot(op, g, m, c, 0)
    if slot == op.capacity:
        scalars[Scalar.REFUSED] = 1
        c.events[Event.REFUSALS] += 1
        return
    copy_latent(op.words, m.latent, 0, m.replay_latent, slot)
    c.reads[Mem.LATENT] += op.words
    c.events[Event.CYCLES] += op.copy_cycles
    remember(op, g, m, c, slot, label)
    note(log, c.events[Event.CYCLES] - 1, INSERT, slot, label)


@kernel
def quota_phase(op, c, scalars):
    """Share the capacity among the classes seen."""
    seen = scalars[Scalar.SEEN]
    scalars[Scalar.QUOTA] = op.capacity // seen if seen else 0
    c.events[Event.CYCLES] += scalars[Scalar.QUOTA] + 1


@kernel
def evict_phase(op, g, m, c, scalars, log):
    """Trim every class to its quota, in one walk."""
    seed(scalars)
    c.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.replay_bits)
    state = 0
    for i in range(1 << op.replay_bits):
        state = step_walk(i, state, start, op.replay_bits, op.replay_taps)
        slot = state ^ mask
        c.events[Event.CYCLES] += 1
        if slot >= op.capacity:
            continue
        c.reads[Mem.REPLAY_LABEL] += 1
        entry = m.replay_label[slot]
        label = label_of(g, entry)
        if entry >> g.label_bits:
            c.reads[Mem.REPLAY_COUNT] += 1
            if m.replay_count[label] > scalars[Scalar.QUOTA]:
                note(log, c.events[Event.CYCLES], EVICT, slot, label)
                m.replay_label[slot] = 0
                m.replay_count[label] -= 1
                c.writes[Mem.REPLAY_LABEL] += 1
                c.writes[Mem.REPLAY_COUNT] += 1
                c.events[Event.EVICTIONS] += 1
        c.events[Event.CYCLES] += 1


@kernel
def admit_phase(op, g, m, c, scalars, log):
    """Admit staged samples in a random order, while their classes are below the quota."""
    seed(scalars)
    c.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.staging_bits)
    state = free = 0
    for i in range(1 << op.staging_bits):
        state = step_walk(i, state, start, op.staging_bits, op.staging_taps)
        index = state ^ mask
        c.events[Event.CYCLES] += 1
        if index >= scalars[Scalar.STAGED]:
            continue
        label = m.staging_label[index]
        c.reads[Mem.STAGING_LABEL] += 1
        c.reads[Mem.REPLAY_COUNT] += 1
        c.events[Event.CYCLES] += 1
        if m.replay_count[label] < scalars[Scalar.QUOTA]:
            slot = free_slot(op, g, m, c, free)
            free = min(slot + 1, op.capacity)
            if slot == op.capacity:  # only where a fault made labels and counts disagree
                continue
            copy_latent(op.words, m.staging_latent, index, m.replay_latent, slot)
            c.reads[Mem.STAGING_LATENT] += op.words
            c.events[Event.CYCLES] += op.copy_cycles
            remember(op, g, m, c, slot, label)
            note(log, c.events[Event.CYCLES] - 1, ADMIT, slot, label)
    scalars[Scalar.STAGED] = 0


@kernel
def epoch_phase(op, g, m, c, scalars, log):
    """Visit every remembered and staged sample once, loading minibatches into the lanes."""
    seed(scalars)
    c.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.epoch_bits)
    state = hits = 0
    for i in range(1 << op.epoch_bits):
        state = step_walk(i, state, start, op.epoch_bits, op.epoch_taps)
        index = state ^ mask
        c.events[Event.CYCLES] += 1
        if index >= op.capacity + scalars[Scalar.STAGED]:
            continue
        c.events[Event.CYCLES] += 1
        if index < op.capacity:
            c.reads[Mem.REPLAY_LABEL] += 1
            if not m.replay_label[index] >> g.label_bits:
                continue
            label = label_of(g, m.replay_label[index])
            load_sample(op, g, m, c, m.replay_latent, index, hits)
            c.reads[Mem.REPLAY_LATENT] += op.words
        else:
            c.reads[Mem.STAGING_LABEL] += 1
            label = m.staging_label[index - op.capacity]
            load_sample(op, g, m, c, m.staging_latent, index - op.capacity, hits)
            c.reads[Mem.STAGING_LATENT] += op.words
        note(log, c.events[Event.CYCLES] - 1, HIT, index, label)
        c.events[Event.CYCLES] += op.copy_cycles
        c.events[Event.SAMPLES] += 1
        hits += 1


@kernel
def restore_phase(op, g, m, c, scalars):
    """Count the labels anew, in slot order; refuse one that is of no class seen."""
    m.replay_count[: op.classes] = 0
    c.writes[Mem.REPLAY_COUNT] += op.classes
    c.events[Event.CYCLES] += op.classes
    for place in range(op.capacity + scalars[Scalar.STAGED]):
        c.events[Event.CYCLES] += 2
        remembered = place < op.capacity
        if remembered:
            c.reads[Mem.REPLAY_LABEL] += 1
            label = label_of(g, m.replay_label[place])
            held = m.replay_label[place] >> g.label_bits
        else:
            c.reads[Mem.STAGING_LABEL] += 1
            label = m.staging_label[place - op.capacity]
            held = 1
        if held and label >= scalars[Scalar.SEEN]:
            scalars[Scalar.REFUSED] = 1
            c.events[Event.REFUSALS] += 1
            return
        if held and remembered:
            m.replay_count[label] += 1
            c.reads[Mem.REPLAY_COUNT] += 1
            c.writes[Mem.REPLAY_COUNT] += 1


@part
def load_sample(op, g, m, c, source, i, hits):
    """Copy one latent to the lane and slot of its place in the minibatch."""
    n = hits % g.batch
    first = n // g.lanes * g.batch_slots
    for w in range(op.words):
        for u in range(g.units):
            word = source[i * op.words + w, u]
            m.lane_file[n % g.lanes, first + w // TAPS, w % TAPS * g.units + u] = word
    c.events[Event.TAP_WRITES] += op.words
