"""Stepping mode: one clock of the replay unit."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import draw, part, walk_next
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.replay import ADMIT, EVICT, HIT, INSERT, label_of, note
from xnoreplay.sim.step.registers import R, present, write_row, write_tap, write_value
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS

SEED, WALK, CHECK, SEEK, LOOK, COPY = 0, 1, 2, 3, 4, 5  # states of the unit; 0 begins a walk
FROM_LATENT, FROM_REPLAY, FROM_STAGING = 0, 1, 2


@part
def quota_clock(op, now, nxt):
    """One subtraction."""
    s = now.s
    rest = s[R.REST] if s[R.K] else op.capacity
    quota = s[Scalar.QUOTA] if s[R.K] else 0
    seen = s[Scalar.SEEN]
    if seen == 0 or rest < seen:
        nxt.s[Scalar.QUOTA] = quota
        nxt.s[R.DONE] = 1
    else:
        nxt.s[Scalar.QUOTA] = quota + 1
        nxt.s[R.REST] = rest - seen


@part
def seed_walk(now, nxt):
    nxt.s[Scalar.WALK] = draw(now.s[Scalar.WALK])
    if now.s[R.K] == SEED_DRAWS - 1:
        nxt.s[R.STATE] = WALK


@part
def walk_index(now, bits):
    """The index of a walk cycle."""
    low = (1 << bits) - 1
    state = now.s[R.WALK_STATE] if now.s[R.VISITED] else 0
    return state ^ now.s[Scalar.WALK] & low


@part
def advance_walk(now, nxt, bits, taps):
    """Step the short register at the end of a walk cycle."""
    s = now.s
    start = s[Scalar.WALK] >> 16 & (1 << bits) - 1
    start = start if start else 1
    nxt.s[R.WALK_STATE] = walk_next(s[R.WALK_STATE], bits, taps) if s[R.VISITED] else start
    nxt.s[R.VISITED] = s[R.VISITED] + 1


@part
def next_index(nxt, bits):
    """After an index's last cycle: the next one, or the end of the walk."""
    nxt.s[R.STATE] = WALK
    nxt.s[R.DONE] = nxt.s[R.VISITED] == 1 << bits


@part
def _count(c, p, m, label):
    """Read replay.count, without latency."""
    present(p, c, Mem.REPLAY_COUNT, label)
    return m.replay_count[label]


@part
def evict_clock(op, g, m, c, p, now, nxt, log):
    """One cycle of an eviction walk."""
    s = now.s
    if s[R.STATE] == SEED:
        seed_walk(now, nxt)
    elif s[R.STATE] == WALK:
        slot = walk_index(now, op.replay_bits)
        advance_walk(now, nxt, op.replay_bits, op.replay_taps)
        if slot < op.capacity:
            present(p, c, Mem.REPLAY_LABEL, slot)
            nxt.s[R.LABEL] = m.replay_label[slot]
            nxt.s[R.INDEX] = slot
            nxt.s[R.STATE] = CHECK
        else:
            next_index(nxt, op.replay_bits)
    else:
        label = label_of(g, s[R.LABEL])
        if s[R.LABEL] >> g.label_bits:
            count = _count(c, p, m, label)
            if count > s[Scalar.QUOTA]:
                write_value(p, c, Mem.REPLAY_LABEL, s[R.INDEX], 0)
                write_value(p, c, Mem.REPLAY_COUNT, label, count - 1)
                c.events[Event.EVICTIONS] += 1
                note(log, c.events[Event.CYCLES], EVICT, s[R.INDEX], label)
        next_index(nxt, op.replay_bits)


@part
def _seek(m, c, p, now, nxt):
    """Read the label of the slot sought."""
    present(p, c, Mem.REPLAY_LABEL, now.s[R.SEEK])
    nxt.s[R.ARRIVED] = m.replay_label[now.s[R.SEEK]]
    nxt.s[R.STATE] = LOOK


@part
def _look(g, now, nxt):
    """Take the slot if it is free; else go on, if there is another."""
    s = now.s
    nxt.s[R.SEEK] = s[R.SEEK] + 1
    nxt.s[R.STATE] = SEEK
    if not s[R.ARRIVED] >> g.label_bits:
        nxt.s[R.SLOT] = s[R.SEEK]
        nxt.s[R.STATE] = COPY


@part
def read_latent(op, m, c, p, now, nxt, source, index):
    """Read the next word of the latent that is copied."""
    w = now.s[R.WORD]
    address = index * op.words + w
    if source == FROM_LATENT:
        present(p, c, Mem.LATENT, w)
    elif source == FROM_REPLAY:
        present(p, c, Mem.REPLAY_LATENT, address)
    else:
        present(p, c, Mem.STAGING_LATENT, address)
    for u in range(nxt.feature.shape[0]):
        if source == FROM_LATENT:
            nxt.feature[u] = m.latent[w, u]
        elif source == FROM_REPLAY:
            nxt.feature[u] = m.replay_latent[address, u]
        else:
            nxt.feature[u] = m.staging_latent[address, u]


@part
def _copy(op, g, m, c, p, now, nxt, source, index):
    """One cycle of a copy into the replay memory; true in its last."""
    s = now.s
    w = s[R.WORD]
    if w < op.words:
        read_latent(op, m, c, p, now, nxt, source, index)
    if w > 0:
        write_row(p, c, Mem.REPLAY_LATENT, s[R.SLOT] * op.words + w - 1, now.feature, 1)
    nxt.s[R.WORD] = 0 if w == op.words else w + 1
    if w == op.words:
        label = s[R.LABEL]
        write_value(p, c, Mem.REPLAY_LABEL, s[R.SLOT], label | 1 << g.label_bits)
        write_value(p, c, Mem.REPLAY_COUNT, label, m.replay_count[label] + 1)
        c.events[Event.INSERTIONS] += 1
    return w == op.words


@part
def stage_clock(op, m, c, p, now, nxt, label):
    """One cycle of staging."""
    s = now.s
    staged, w = s[Scalar.STAGED], s[R.WORD]
    full = staged == op.staging
    if full:
        nxt.s[Scalar.REFUSED] = 1
        c.events[Event.REFUSALS] += 1
    elif w < op.words:
        read_latent(op, m, c, p, now, nxt, FROM_LATENT, 0)
    if w > 0:
        write_row(p, c, Mem.STAGING_LATENT, staged * op.words + w - 1, now.feature, 1)
    nxt.s[R.WORD] = w + 1
    if w == op.words:
        write_value(p, c, Mem.STAGING_LABEL, staged, label)
        nxt.s[Scalar.STAGED] = staged + 1
    if full or w == op.words:
        nxt.s[Scalar.SEEN] = max(s[Scalar.SEEN], label + 1)
        nxt.s[R.DONE] = 1


@part
def insert_clock(op, g, m, c, p, now, nxt, label, log):
    """One cycle of an insertion."""
    s = now.s
    refused = False
    if s[R.K] == 0:
        nxt.s[R.LABEL] = label
        refused = _count(c, p, m, label) >= s[Scalar.QUOTA]
        nxt.s[R.STATE] = SEEK
    elif s[R.STATE] == SEEK:
        _seek(m, c, p, now, nxt)
    elif s[R.STATE] == LOOK:
        _look(g, now, nxt)
        refused = nxt.s[R.STATE] == SEEK and nxt.s[R.SEEK] == op.capacity
    elif _copy(op, g, m, c, p, now, nxt, FROM_LATENT, 0):
        note(log, c.events[Event.CYCLES], INSERT, s[R.SLOT], label)
        nxt.s[R.DONE] = 1
    if refused:
        nxt.s[Scalar.REFUSED] = 1
        c.events[Event.REFUSALS] += 1
        nxt.s[R.DONE] = 1


@part
def admit_clock(op, g, m, c, p, now, nxt, log):
    """One cycle of the admission of staged samples."""
    s = now.s
    if s[R.STATE] == SEED:
        seed_walk(now, nxt)
    elif s[R.STATE] == WALK:
        index = walk_index(now, op.staging_bits)
        advance_walk(now, nxt, op.staging_bits, op.staging_taps)
        if index < s[Scalar.STAGED]:
            present(p, c, Mem.STAGING_LABEL, index)
            nxt.s[R.LABEL] = m.staging_label[index]
            nxt.s[R.INDEX] = index
            nxt.s[R.STATE] = CHECK
        else:
            next_index(nxt, op.staging_bits)
    elif s[R.STATE] == CHECK:
        if _count(c, p, m, s[R.LABEL]) < s[Scalar.QUOTA] and s[R.SEEK] < op.capacity:
            nxt.s[R.STATE] = SEEK
        else:
            next_index(nxt, op.staging_bits)
    elif s[R.STATE] == SEEK:
        _seek(m, c, p, now, nxt)
    elif s[R.STATE] == LOOK:
        _look(g, now, nxt)
        if nxt.s[R.STATE] == SEEK and nxt.s[R.SEEK] == op.capacity:  # after a fault only
            next_index(nxt, op.staging_bits)
    elif _copy(op, g, m, c, p, now, nxt, FROM_STAGING, s[R.INDEX]):
        note(log, c.events[Event.CYCLES], ADMIT, s[R.SLOT], s[R.LABEL])
        next_index(nxt, op.staging_bits)
    if nxt.s[R.DONE]:
        nxt.s[Scalar.STAGED] = 0


@part
def epoch_clock(op, g, m, c, p, now, nxt, log):
    """One cycle of the walk of an epoch."""
    s = now.s
    if s[R.STATE] == SEED:
        seed_walk(now, nxt)
    elif s[R.STATE] == WALK:
        index = walk_index(now, op.epoch_bits)
        advance_walk(now, nxt, op.epoch_bits, op.epoch_taps)
        nxt.s[R.INDEX] = index
        nxt.s[R.STATE] = CHECK
        if index < op.capacity:
            present(p, c, Mem.REPLAY_LABEL, index)
            nxt.s[R.LABEL] = m.replay_label[index]
        elif index - op.capacity < s[Scalar.STAGED]:
            present(p, c, Mem.STAGING_LABEL, index - op.capacity)
            nxt.s[R.LABEL] = m.staging_label[index - op.capacity] | 1 << g.label_bits
        else:
            next_index(nxt, op.epoch_bits)
    elif s[R.STATE] == CHECK:
        if s[R.LABEL] >> g.label_bits:
            note(log, c.events[Event.CYCLES], HIT, s[R.INDEX], label_of(g, s[R.LABEL]))
            c.events[Event.SAMPLES] += 1
            nxt.s[R.STATE] = COPY
        else:
            next_index(nxt, op.epoch_bits)
    elif _load(op, g, m, c, p, now, nxt):
        nxt.s[R.HITS] = s[R.HITS] + 1
        next_index(nxt, op.epoch_bits)


@part
def _load(op, g, m, c, p, now, nxt):
    """One cycle of a copy into the lanes; true in its last."""
    s = now.s
    w = s[R.WORD]
    if w < op.words:
        staged = s[R.INDEX] >= op.capacity
        index = s[R.INDEX] - op.capacity if staged else s[R.INDEX]
        read_latent(op, m, c, p, now, nxt, FROM_STAGING if staged else FROM_REPLAY, index)
    if w > 0:
        n = s[R.HITS] % g.batch
        slot = n // g.lanes * g.batch_slots + (w - 1) // TAPS
        write_tap(g, p, c, n % g.lanes, slot, (w - 1) % TAPS, now.feature)
    nxt.s[R.WORD] = 0 if w == op.words else w + 1
    return w == op.words


@part
def restore_clock(op, g, m, c, p, now, nxt):
    """One cycle of counting the labels anew."""
    s = now.s
    place = s[R.INDEX]
    if s[R.K] < op.classes:
        write_value(p, c, Mem.REPLAY_COUNT, s[R.K], 0)
        nxt.s[R.STATE] = SEEK
    elif s[R.STATE] == SEEK:
        if place < op.capacity:
            present(p, c, Mem.REPLAY_LABEL, place)
            nxt.s[R.LABEL] = m.replay_label[place]
        else:
            present(p, c, Mem.STAGING_LABEL, place - op.capacity)
            nxt.s[R.LABEL] = m.staging_label[place - op.capacity] | 1 << g.label_bits
        nxt.s[R.STATE] = LOOK
    else:
        label, held = label_of(g, s[R.LABEL]), s[R.LABEL] >> g.label_bits
        nxt.s[R.INDEX] = place + 1
        nxt.s[R.STATE] = SEEK
        if held and label >= s[Scalar.SEEN]:
            nxt.s[Scalar.REFUSED] = 1
            c.events[Event.REFUSALS] += 1
            nxt.s[R.DONE] = 1
        else:
            if held and place < op.capacity:
                count = _count(c, p, m, label)
                write_value(p, c, Mem.REPLAY_COUNT, label, count + 1)
            nxt.s[R.DONE] = place + 1 == op.capacity + s[Scalar.STAGED]
