"""Stepping mode: one clock of the replay unit."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import draw, part, walk_next
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.replay import ADMIT, EVICT, HIT, INSERT, holds, label_of, note
from xnoreplay.sim.step.registers import Flop, present, write_row, write_tap, write_value
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS

SEED, WALK, CHECK, SEEK, LOOK, COPY = 0, 1, 2, 3, 4, 5  # states of the unit; 0 begins a walk
WEIGH, REFUSE = 6, 7  # after a check that read a count, and before the end of what comes to nothing
FROM_LATENT, FROM_REPLAY, FROM_STAGING = 0, 1, 2


@part
def quota_clock(op, now, nxt):
    """Subtract the classes seen from what is left of the capacity once more, or end with the quota."""
    rest = now[Flop.REST] if now[Flop.K] else op.capacity
    quota = now[Scalar.QUOTA] if now[Flop.K] else 0
    seen = now[Scalar.SEEN]
    if seen == 0 or rest < seen:
        nxt[Scalar.QUOTA] = quota
        nxt[Flop.DONE] = 1
    else:
        nxt[Scalar.QUOTA] = quota + 1
        nxt[Flop.REST] = rest - seen


@part
def seed_walk(now, nxt):
    """Draw from the register `walk` once; after `SEED_DRAWS` draws the walk begins."""
    nxt[Scalar.WALK] = nxt[Scalar.DRAWN] = draw(now[Scalar.WALK])
    if now[Flop.K] == SEED_DRAWS - 1:
        nxt[Flop.STATE] = WALK


@part
def walk_index(now, bits):
    """The index that the walk visits in this cycle, of a walk of 2^bits indices."""
    low = (1 << bits) - 1
    state = now[Flop.WALK_STATE] if now[Flop.VISITED] else 0
    return state ^ now[Scalar.DRAWN] & low


@part
def advance_walk(now, nxt, bits, taps):
    """Step the short register of a walk to the index that comes next; taps: those of `spec.lfsr.WALK_TAPS` as bits."""
    start = now[Scalar.DRAWN] >> 16 & (1 << bits) - 1
    start = start if start else 1
    nxt[Flop.WALK_STATE] = (
        walk_next(now[Flop.WALK_STATE], bits, taps) if now[Flop.VISITED] else start
    )
    nxt[Flop.VISITED] = now[Flop.VISITED] + 1


@part
def next_index(nxt, bits):
    """Go on to the next index, or end the walk after the last of its 2^bits."""
    nxt[Flop.STATE] = WALK
    nxt[Flop.DONE] = nxt[Flop.VISITED] == 1 << bits


@part
def _count(clock, label):
    """Read how many samples of a class are remembered; replay.count is read without latency."""
    present(clock.ports, Mem.REPLAY_COUNT, label)
    clock.nxt[Flop.COUNT] = clock.memory.replay_count[label]
    return clock.memory.replay_count[label]


@part
def evict_clock(op, clock, log):
    """Advance an eviction by a clock: a slot is read, then freed where its class is above the quota."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    counters = clock.counters
    ports = clock.ports
    if now[Flop.STATE] == SEED:
        seed_walk(now, nxt)
    elif now[Flop.STATE] == WALK:
        slot = walk_index(now, op.replay_bits)
        advance_walk(now, nxt, op.replay_bits, op.replay_taps)
        if slot < op.capacity:
            present(ports, Mem.REPLAY_LABEL, slot)
            nxt[Flop.LABEL] = clock.memory.replay_label[slot]
            nxt[Flop.INDEX] = slot
            nxt[Flop.STATE] = CHECK
        else:
            next_index(nxt, op.replay_bits)
    elif now[Flop.STATE] == CHECK:
        if holds(geometry, now[Flop.LABEL], now[Scalar.SEEN]):
            _count(clock, label_of(geometry, now[Flop.LABEL]))
        nxt[Flop.STATE] = WEIGH
    else:
        label, count = label_of(geometry, now[Flop.LABEL]), now[Flop.COUNT]
        if holds(geometry, now[Flop.LABEL], now[Scalar.SEEN]) and count > now[Scalar.QUOTA]:
            write_value(ports, Mem.REPLAY_LABEL, now[Flop.INDEX], 0)
            write_value(ports, Mem.REPLAY_COUNT, label, count - 1)
            counters.events[Event.EVICTIONS] += 1
            note(log, counters.events[Event.CYCLES], EVICT, now[Flop.INDEX], label)
        next_index(nxt, op.replay_bits)


@part
def _seek(clock):
    """Read the label of the slot that may be free."""
    now, nxt = clock.now, clock.nxt
    present(clock.ports, Mem.REPLAY_LABEL, now[Flop.SEEK])
    nxt[Flop.ARRIVED] = clock.memory.replay_label[now[Flop.SEEK]]
    nxt[Flop.STATE] = LOOK


@part
def _look(op, geometry, now, nxt):
    """Take the slot that was read if it is free; else go on to the next, or after the last give up."""
    nxt[Flop.SEEK] = now[Flop.SEEK] + 1
    nxt[Flop.STATE] = SEEK if nxt[Flop.SEEK] < op.capacity else REFUSE
    if not holds(geometry, now[Flop.ARRIVED], now[Scalar.SEEN]):
        nxt[Flop.SLOT] = now[Flop.SEEK]
        nxt[Flop.STATE] = COPY


@part
def read_latent(op, clock, source, index):
    """Read the next word of a latent that is copied, from act.latent or from a slot of a memory.

    source: FROM_LATENT, FROM_REPLAY or FROM_STAGING; index: the slot.
    """
    now = clock.now
    memory = clock.memory
    ports = clock.ports
    nxt_wide = clock.nxt_wide
    w = now[Flop.WORD]
    address = index * op.words + w
    if source == FROM_LATENT:
        present(ports, Mem.LATENT, w)
    elif source == FROM_REPLAY:
        present(ports, Mem.REPLAY_LATENT, address)
    else:
        present(ports, Mem.STAGING_LATENT, address)
    for u in range(nxt_wide.feature.shape[0]):
        if source == FROM_LATENT:
            nxt_wide.feature[u] = memory.latent[w, u]
        elif source == FROM_REPLAY:
            nxt_wide.feature[u] = memory.replay_latent[address, u]
        else:
            nxt_wide.feature[u] = memory.staging_latent[address, u]


@part
def _copy(op, clock, source, index):
    """Advance a copy into the replay memory by a clock; true in its last, which writes label and count."""
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    w = now[Flop.WORD]
    if w < op.words:
        read_latent(op, clock, source, index)
    if w > 0:
        write_row(
            ports, Mem.REPLAY_LATENT, now[Flop.SLOT] * op.words + w - 1, clock.wide.feature, 1
        )
    nxt[Flop.WORD] = 0 if w == op.words else w + 1
    if w == op.words:
        label = now[Flop.LABEL]
        write_value(ports, Mem.REPLAY_LABEL, now[Flop.SLOT], label | 1 << clock.geometry.label_bits)
        write_value(ports, Mem.REPLAY_COUNT, label, now[Flop.COUNT] + 1)
        clock.counters.events[Event.INSERTIONS] += 1
    return w == op.words


@part
def stage_clock(op, clock, label):
    """Advance the staging of a sample by a clock; it is refused where the memory is full."""
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    staged, w = now[Scalar.STAGED], now[Flop.WORD]
    full = staged == op.staging
    if full:
        nxt[Scalar.REFUSED] = 1
        clock.counters.events[Event.REFUSALS] += 1
    elif w < op.words:
        read_latent(op, clock, FROM_LATENT, 0)
    if w > 0:
        write_row(ports, Mem.STAGING_LATENT, staged * op.words + w - 1, clock.wide.feature, 1)
    nxt[Flop.WORD] = w + 1
    if w == op.words:
        write_value(ports, Mem.STAGING_LABEL, staged, label)
        nxt[Scalar.STAGED] = staged + 1
    if full or w == op.words:
        nxt[Scalar.SEEN] = max(now[Scalar.SEEN], label + 1)
        nxt[Flop.DONE] = 1


@part
def insert_clock(op, clock, label, log):
    """Advance the insertion of a sample by a clock; it is refused where its class is full or no slot is free."""
    now, nxt = clock.now, clock.nxt
    counters = clock.counters
    if now[Flop.K] == 0:
        nxt[Flop.LABEL] = label
        _count(clock, label)
        nxt[Flop.STATE] = WEIGH
    elif now[Flop.STATE] == WEIGH:
        nxt[Flop.STATE] = SEEK if now[Flop.COUNT] < now[Scalar.QUOTA] else REFUSE
    elif now[Flop.STATE] == REFUSE:
        nxt[Scalar.REFUSED] = 1
        counters.events[Event.REFUSALS] += 1
        nxt[Flop.DONE] = 1
    elif now[Flop.STATE] == SEEK:
        _seek(clock)
    elif now[Flop.STATE] == LOOK:
        _look(op, clock.geometry, now, nxt)
    elif _copy(op, clock, FROM_LATENT, 0):
        note(log, counters.events[Event.CYCLES], INSERT, now[Flop.SLOT], label)
        nxt[Flop.DONE] = 1


@part
def admit_clock(op, clock, log):  # noqa: C901  a branch a state
    """Advance the admission of staged samples by a clock.

    A walk visits them; each is copied while its class is below the quota.
    """
    now, nxt = clock.now, clock.nxt
    if now[Flop.STATE] == SEED:
        seed_walk(now, nxt)
    elif now[Flop.STATE] == WALK:
        index = walk_index(now, op.staging_bits)
        advance_walk(now, nxt, op.staging_bits, op.staging_taps)
        if index < now[Scalar.STAGED]:
            present(clock.ports, Mem.STAGING_LABEL, index)
            nxt[Flop.LABEL] = clock.memory.staging_label[index]
            nxt[Flop.INDEX] = index
            nxt[Flop.STATE] = CHECK
        else:
            next_index(nxt, op.staging_bits)
    elif now[Flop.STATE] == CHECK:
        if now[Flop.LABEL] < now[Scalar.SEEN]:  # it is not after a fault
            _count(clock, now[Flop.LABEL])
        nxt[Flop.STATE] = WEIGH
    elif now[Flop.STATE] == WEIGH:
        known = now[Flop.LABEL] < now[Scalar.SEEN]
        below = now[Flop.COUNT] < now[Scalar.QUOTA]
        nxt[Flop.STATE] = SEEK if known and below and now[Flop.SEEK] < op.capacity else REFUSE
    elif now[Flop.STATE] == REFUSE:
        next_index(nxt, op.staging_bits)
    elif now[Flop.STATE] == SEEK:
        _seek(clock)
    elif now[Flop.STATE] == LOOK:
        _look(op, clock.geometry, now, nxt)
    elif _copy(op, clock, FROM_STAGING, now[Flop.INDEX]):
        note(log, clock.counters.events[Event.CYCLES], ADMIT, now[Flop.SLOT], now[Flop.LABEL])
        next_index(nxt, op.staging_bits)
    if nxt[Flop.DONE]:
        nxt[Scalar.STAGED] = 0


@part
def epoch_clock(op, clock, log):
    """Advance the walk of an epoch by a clock: every sample that it finds is loaded into the lanes."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    memory = clock.memory
    counters = clock.counters
    ports = clock.ports
    if now[Flop.STATE] == SEED:
        seed_walk(now, nxt)
    elif now[Flop.STATE] == WALK:
        index = walk_index(now, op.epoch_bits)
        advance_walk(now, nxt, op.epoch_bits, op.epoch_taps)
        nxt[Flop.INDEX] = index
        nxt[Flop.STATE] = CHECK
        if index < op.capacity:
            present(ports, Mem.REPLAY_LABEL, index)
            nxt[Flop.LABEL] = memory.replay_label[index]
        elif index - op.capacity < now[Scalar.STAGED]:
            present(ports, Mem.STAGING_LABEL, index - op.capacity)
            nxt[Flop.LABEL] = memory.staging_label[index - op.capacity] | 1 << geometry.label_bits
        else:
            next_index(nxt, op.epoch_bits)
    elif now[Flop.STATE] == CHECK:
        if holds(geometry, now[Flop.LABEL], now[Scalar.SEEN]):
            note(
                log,
                counters.events[Event.CYCLES],
                HIT,
                now[Flop.INDEX],
                label_of(geometry, now[Flop.LABEL]),
            )
            counters.events[Event.SAMPLES] += 1
            nxt[Flop.STATE] = COPY
        else:
            next_index(nxt, op.epoch_bits)
    elif _load(op, clock):
        nxt[Flop.HITS] = now[Flop.HITS] + 1
        next_index(nxt, op.epoch_bits)


@part
def _load(op, clock):
    """Advance a copy into the lanes by a clock; true in its last."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    w = now[Flop.WORD]
    if w < op.words:
        staged = now[Flop.INDEX] >= op.capacity
        index = now[Flop.INDEX] - op.capacity if staged else now[Flop.INDEX]
        read_latent(op, clock, FROM_STAGING if staged else FROM_REPLAY, index)
    if w > 0:
        n = now[Flop.HITS] % geometry.batch
        slot = n // geometry.lanes * geometry.batch_slots + (w - 1) // TAPS
        write_tap(
            geometry, clock.ports, n % geometry.lanes, slot, (w - 1) % TAPS, clock.wide.feature
        )
    nxt[Flop.WORD] = 0 if w == op.words else w + 1
    return w == op.words


@part
def restore_clock(op, clock):
    """Advance the count of the labels by a clock: counts are cleared, then each slot is read and counted."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    memory = clock.memory
    ports = clock.ports
    place = now[Flop.INDEX]
    if now[Flop.K] < op.classes:
        write_value(ports, Mem.REPLAY_COUNT, now[Flop.K], 0)
        nxt[Flop.STATE] = SEEK
    elif now[Flop.STATE] == SEEK:
        if place < op.capacity:
            present(ports, Mem.REPLAY_LABEL, place)
            nxt[Flop.LABEL] = memory.replay_label[place]
        else:
            present(ports, Mem.STAGING_LABEL, place - op.capacity)
            nxt[Flop.LABEL] = memory.staging_label[place - op.capacity] | 1 << geometry.label_bits
        nxt[Flop.STATE] = LOOK
    else:
        label, held = label_of(geometry, now[Flop.LABEL]), now[Flop.LABEL] >> geometry.label_bits
        nxt[Flop.INDEX] = place + 1
        nxt[Flop.STATE] = SEEK
        if held and label >= now[Scalar.SEEN]:
            nxt[Scalar.REFUSED] = 1
            clock.counters.events[Event.REFUSALS] += 1
            nxt[Flop.DONE] = 1
        else:
            if held and place < op.capacity:
                count = _count(clock, label)
                write_value(ports, Mem.REPLAY_COUNT, label, count + 1)
            nxt[Flop.DONE] = place + 1 == op.capacity + now[Scalar.STAGED]
