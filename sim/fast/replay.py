"""Fast mode, replay memory: quotas, eviction, admission and the walk of an epoch, in one go."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import draw, kernel, part, walk_next
from xnoreplay.sim.common.state import Scalar
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS
from xnoreplay.spec.timeline import COUNT_CYCLES, REFUSE_CYCLES

EVICT, INSERT, ADMIT, HIT = 0, 1, 2, 3
KINDS = ("evict", "insert", "admit", "hit")


class Log(NamedTuple):
    """What happened to samples, in the order of cycles."""

    rows: np.ndarray  # (most events, 4) int64: cycle, kind, slot or index, label
    count: np.ndarray  # type: ignore[assignment]  # (1,) int64, rows in use


@part
def note(log, cycle, kind, slot, label):
    """Append an event of a sample to a log.

    kind: a place in `KINDS`; slot: of the replay memory, or the index of a walk.
    """
    row = log.rows[log.count[0]]
    row[0], row[1], row[2], row[3] = cycle, kind, slot, label
    log.count[0] += 1


@part
def seed(scalars):
    """Refresh the walk's 32-bit register with `SEED_DRAWS` draws."""
    for _ in range(SEED_DRAWS):
        scalars[Scalar.WALK] = draw(scalars[Scalar.WALK])
    scalars[Scalar.DRAWN] = scalars[Scalar.WALK]


@part
def first_state(scalars, bits):
    """(mask, start) of a walk of 2^bits indices, from what the 32-bit register held as it began."""
    low = (1 << bits) - 1
    start = scalars[Scalar.DRAWN] >> 16 & low
    return scalars[Scalar.DRAWN] & low, start if start else 1


@part
def step_walk(i, state, start, bits, taps):
    """State of the short register at the i-th index of a walk, from the state at the index before."""
    if i == 0:
        return 0
    return start if i == 1 else walk_next(state, bits, taps)


@part
def copy_latent(words, source, i, target, j):
    """Copy a latent of so many words from slot i of one memory to slot j of another."""
    for w in range(words):
        for u in range(source.shape[1]):
            target[j * words + w, u] = source[i * words + w, u]


@part
def label_of(geometry, entry):
    """Class of an entry of replay.label."""
    return entry & (1 << geometry.label_bits) - 1


@part
def holds(geometry, entry, seen):
    """Whether an entry of replay.label is of a sample of a class seen: its slot is free otherwise, as after a fault."""
    return entry >> geometry.label_bits == 1 and label_of(geometry, entry) < seen


@part
def remember(op, geometry, memory, counters, slot, label):
    """Write label and count of a latent that was copied to a slot of the replay memory."""
    memory.replay_label[slot] = label | 1 << geometry.label_bits
    memory.replay_count[label] += 1
    counters.writes[Mem.REPLAY_LATENT] += op.words
    counters.writes[Mem.REPLAY_LABEL] += 1
    counters.writes[Mem.REPLAY_COUNT] += 1
    counters.events[Event.INSERTIONS] += 1


@kernel
def stage_phase(op, memory, counters, scalars, label):
    """Stage the latent of act.latent, or refuse it where the staging memory is full."""
    scalars[Scalar.SEEN] = max(scalars[Scalar.SEEN], label + 1)
    slot = scalars[Scalar.STAGED]
    if slot == op.staging:
        scalars[Scalar.REFUSED] = 1
        counters.events[Event.REFUSALS] += 1
        counters.events[Event.CYCLES] += 1
        return
    copy_latent(op.words, memory.latent, 0, memory.staging_latent, slot)
    memory.staging_label[slot] = label
    scalars[Scalar.STAGED] = slot + 1
    counters.reads[Mem.LATENT] += op.words
    counters.writes[Mem.STAGING_LATENT] += op.words
    counters.writes[Mem.STAGING_LABEL] += 1
    counters.events[Event.CYCLES] += op.copy_cycles


@part
def free_slot(op, geometry, memory, counters, first, seen):
    """The lowest free slot from `first` on, or the capacity where none is free."""
    for slot in range(first, op.capacity):
        counters.reads[Mem.REPLAY_LABEL] += 1
        counters.events[Event.CYCLES] += 2
        if not holds(geometry, memory.replay_label[slot], seen):
            return slot
    return op.capacity


@kernel
def insert_phase(op, geometry, memory, counters, scalars, label, log):
    """Remember the latent of act.latent, or refuse it where its class is at its quota or no slot is free."""
    counters.reads[Mem.REPLAY_COUNT] += 1
    counters.events[Event.CYCLES] += COUNT_CYCLES
    slot = op.capacity
    if memory.replay_count[label] < scalars[Scalar.QUOTA]:
        slot = free_slot(op, geometry, memory, counters, 0, scalars[Scalar.SEEN])
    if slot == op.capacity:
        scalars[Scalar.REFUSED] = 1
        counters.events[Event.REFUSALS] += 1
        counters.events[Event.CYCLES] += REFUSE_CYCLES
        return
    copy_latent(op.words, memory.latent, 0, memory.replay_latent, slot)
    counters.reads[Mem.LATENT] += op.words
    counters.events[Event.CYCLES] += op.copy_cycles
    remember(op, geometry, memory, counters, slot, label)
    note(log, counters.events[Event.CYCLES] - 1, INSERT, slot, label)


@kernel
def quota_phase(op, counters, scalars):
    """Share the capacity equally among the classes seen."""
    seen = scalars[Scalar.SEEN]
    scalars[Scalar.QUOTA] = op.capacity // seen if seen else 0
    counters.events[Event.CYCLES] += scalars[Scalar.QUOTA] + 1


@kernel
def evict_phase(op, geometry, memory, counters, scalars, log):
    """Trim every class to its quota, in one walk."""
    seed(scalars)
    counters.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.replay_bits)
    state = 0
    for i in range(1 << op.replay_bits):
        state = step_walk(i, state, start, op.replay_bits, op.replay_taps)
        slot = state ^ mask
        counters.events[Event.CYCLES] += 1
        if slot >= op.capacity:
            continue
        counters.reads[Mem.REPLAY_LABEL] += 1
        counters.events[Event.CYCLES] += COUNT_CYCLES
        entry = memory.replay_label[slot]
        label = label_of(geometry, entry)
        if holds(geometry, entry, scalars[Scalar.SEEN]):
            counters.reads[Mem.REPLAY_COUNT] += 1
            if memory.replay_count[label] > scalars[Scalar.QUOTA]:
                note(log, counters.events[Event.CYCLES] - 1, EVICT, slot, label)
                memory.replay_label[slot] = 0
                memory.replay_count[label] -= 1
                counters.writes[Mem.REPLAY_LABEL] += 1
                counters.writes[Mem.REPLAY_COUNT] += 1
                counters.events[Event.EVICTIONS] += 1


@kernel
def admit_phase(op, geometry, memory, counters, scalars, log):
    """Admit staged samples in a random order, while their classes are below the quota."""
    seed(scalars)
    counters.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.staging_bits)
    state = free = 0
    for i in range(1 << op.staging_bits):
        state = step_walk(i, state, start, op.staging_bits, op.staging_taps)
        index = state ^ mask
        counters.events[Event.CYCLES] += 1
        if index >= scalars[Scalar.STAGED]:
            continue
        label = memory.staging_label[index]
        counters.reads[Mem.STAGING_LABEL] += 1
        counters.events[Event.CYCLES] += COUNT_CYCLES
        slot = op.capacity
        if label < scalars[Scalar.SEEN]:  # it is not after a fault
            counters.reads[Mem.REPLAY_COUNT] += 1
            if memory.replay_count[label] < scalars[Scalar.QUOTA]:
                slot = free_slot(op, geometry, memory, counters, free, scalars[Scalar.SEEN])
                free = min(slot + 1, op.capacity)
        if slot == op.capacity:
            counters.events[Event.CYCLES] += REFUSE_CYCLES
        else:
            copy_latent(op.words, memory.staging_latent, index, memory.replay_latent, slot)
            counters.reads[Mem.STAGING_LATENT] += op.words
            counters.events[Event.CYCLES] += op.copy_cycles
            remember(op, geometry, memory, counters, slot, label)
            note(log, counters.events[Event.CYCLES] - 1, ADMIT, slot, label)
    scalars[Scalar.STAGED] = 0


@kernel
def epoch_phase(op, geometry, memory, counters, scalars, log):
    """Visit every remembered and staged sample once, loading minibatches into the lanes."""
    seed(scalars)
    counters.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, op.epoch_bits)
    state = hits = 0
    for i in range(1 << op.epoch_bits):
        state = step_walk(i, state, start, op.epoch_bits, op.epoch_taps)
        index = state ^ mask
        counters.events[Event.CYCLES] += 1
        if index >= op.capacity + scalars[Scalar.STAGED]:
            continue
        counters.events[Event.CYCLES] += 1
        if index < op.capacity:
            counters.reads[Mem.REPLAY_LABEL] += 1
            label = label_of(geometry, memory.replay_label[index])
            if not holds(geometry, memory.replay_label[index], scalars[Scalar.SEEN]):
                continue
            load_sample(op, geometry, memory, counters, memory.replay_latent, index, hits)
            counters.reads[Mem.REPLAY_LATENT] += op.words
        else:
            counters.reads[Mem.STAGING_LABEL] += 1
            label = memory.staging_label[index - op.capacity]
            if label >= scalars[Scalar.SEEN]:  # after a fault
                continue
            load_sample(
                op, geometry, memory, counters, memory.staging_latent, index - op.capacity, hits
            )
            counters.reads[Mem.STAGING_LATENT] += op.words
        note(log, counters.events[Event.CYCLES] - 1, HIT, index, label)
        counters.events[Event.CYCLES] += op.copy_cycles
        counters.events[Event.SAMPLES] += 1
        hits += 1


@kernel
def restore_phase(op, geometry, memory, counters, scalars):
    """Count the labels in slot order; refuse where one is of no class seen."""
    memory.replay_count[: op.classes] = 0
    counters.writes[Mem.REPLAY_COUNT] += op.classes
    counters.events[Event.CYCLES] += op.classes
    for place in range(op.capacity + scalars[Scalar.STAGED]):
        counters.events[Event.CYCLES] += 2
        remembered = place < op.capacity
        if remembered:
            counters.reads[Mem.REPLAY_LABEL] += 1
            label = label_of(geometry, memory.replay_label[place])
            held = memory.replay_label[place] >> geometry.label_bits
        else:
            counters.reads[Mem.STAGING_LABEL] += 1
            label = memory.staging_label[place - op.capacity]
            held = 1
        if held and label >= scalars[Scalar.SEEN]:
            scalars[Scalar.REFUSED] = 1
            counters.events[Event.REFUSALS] += 1
            return
        if held and remembered:
            memory.replay_count[label] += 1
            counters.reads[Mem.REPLAY_COUNT] += 1
            counters.writes[Mem.REPLAY_COUNT] += 1


@part
def load_sample(op, geometry, memory, counters, source, i, hits):
    """Copy latent i to the lane and slot of its place in the minibatch, after so many hits."""
    n = hits % geometry.batch
    first = n // geometry.lanes * geometry.batch_slots
    for w in range(op.words):
        for u in range(geometry.units):
            word = source[i * op.words + w, u]
            memory.lane_file[
                n % geometry.lanes, first + w // TAPS, w % TAPS * geometry.units + u
            ] = word
    counters.events[Event.TAP_WRITES] += op.words
