"""Stepping mode, learning: loss balance, seeding and loading of minibatches."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import part
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.step.learn_registers import S, write_bank
from xnoreplay.sim.step.registers import R, present, write_tap, write_value
from xnoreplay.sim.step.replay import (
    CHECK,
    COPY,
    FROM_REPLAY,
    FROM_STAGING,
    WALK,
    advance_walk,
    next_index,
    read_latent,
    seed_walk,
    walk_index,
)
from xnoreplay.spec.learning import WEIGHT_BITS
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.timeline import INVERSE_CYCLES, WEIGHT_CYCLES

COUNT, SCAN, INVERT, WEIGH = 0, 1, 2, 3  # states of the balance
INVERSE_BITS, QUOTIENT_BITS = INVERSE_CYCLES - 1, WEIGHT_CYCLES - 1


@part
def balance_clock(pr, m, lm, c, p, now, nxt, ls, lx):
    """One cycle of the loss balance: frequencies, their inverses, the weights."""
    seen = now.s[Scalar.SEEN]
    row, step = ls.s[S.ROW], ls.s[S.STEP]
    if ls.s[S.STATE] == COUNT:
        present(p, c, Mem.REPLAY_COUNT, row)
        write_value(p, c, Mem.INVERSE, row, m.replay_count[row])
        lx.s[S.ROW] = row + 1
        if row == seen - 1:
            lx.s[S.STATE] = SCAN if pr.replay.staging else INVERT
            lx.s[S.ROW] = 0
    elif ls.s[S.STATE] == SCAN:
        if step < now.s[Scalar.STAGED]:
            present(p, c, Mem.STAGING_LABEL, step)
            nxt.s[R.LABEL] = m.staging_label[step]
        if step > 0:
            label = now.s[R.LABEL]
            present(p, c, Mem.INVERSE, label)
            write_value(p, c, Mem.INVERSE, label, lm.inverse[label] + 1)
        lx.s[S.STEP] = step + 1
        if step == now.s[Scalar.STAGED]:
            lx.s[S.STATE] = INVERT
            lx.s[S.STEP] = 0
    else:
        _divide(lm, c, p, nxt, ls, lx, seen)


@part
def _divide(lm, c, p, nxt, ls, lx, seen):
    """A cycle of a serial division: read, then one quotient bit a cycle."""
    row, step = ls.s[S.ROW], ls.s[S.STEP]
    invert = ls.s[S.STATE] == INVERT
    bits = INVERSE_BITS if invert else QUOTIENT_BITS
    lx.s[S.STEP] = step + 1
    if step == 0:
        present(p, c, Mem.INVERSE, row)
        value, total = lm.inverse[row], ls.s[S.TOTAL]
        lx.s[S.NUMERATOR] = (
            1 << (INVERSE_BITS - 1) if invert else (value << WEIGHT_BITS) + total // 2
        )
        lx.s[S.DIVISOR] = value if invert else total
        lx.s[S.REMAINDER] = lx.s[S.QUOTIENT] = 0
        return
    divisor = ls.s[S.DIVISOR]
    rest = 2 * ls.s[S.REMAINDER] + (ls.s[S.NUMERATOR] >> (bits - step) & 1)
    fits = divisor > 0 and rest >= divisor
    quotient = 2 * ls.s[S.QUOTIENT] + fits
    lx.s[S.REMAINDER] = rest - divisor if fits else rest
    lx.s[S.QUOTIENT] = quotient
    if step < bits:
        return
    if invert:
        write_value(p, c, Mem.INVERSE, row, seen * quotient)
        lx.s[S.TOTAL] = ls.s[S.TOTAL] + quotient
    else:
        write_value(p, c, Mem.WEIGHT, row, max(1, quotient))
    lx.s[S.STEP] = 0
    lx.s[S.ROW] = row + 1
    if row == seen - 1:
        lx.s[S.ROW] = 0
        lx.s[S.STATE] = WEIGH
        nxt.s[R.DONE] = not invert


@part
def seed_clock(now, nxt):
    """One draw; the walk begins anew."""
    seed_walk(now, nxt)
    if nxt.s[R.STATE] == WALK:
        nxt.s[Scalar.VISITED] = nxt.s[Scalar.WALK_STATE] = 0
        nxt.s[R.DONE] = 1


@part
def load_clock(op, pr, m, c, p, now, nxt):
    """One cycle of loading: the walk goes on until the minibatch is full or the walk ends."""
    s, r, g = now.s, pr.replay, pr.geometry
    if s[R.STATE] == WALK:
        index = walk_index(now, r.epoch_bits)
        advance_walk(now, nxt, r.epoch_bits, r.epoch_taps)
        nxt.s[R.INDEX] = index
        nxt.s[R.STATE] = CHECK
        if index < r.capacity:
            present(p, c, Mem.REPLAY_LABEL, index)
            nxt.s[R.LABEL] = m.replay_label[index]
        elif index - r.capacity < s[Scalar.STAGED]:
            present(p, c, Mem.STAGING_LABEL, index - r.capacity)
            nxt.s[R.LABEL] = m.staging_label[index - r.capacity] | 1 << g.label_bits
        else:
            next_index(nxt, r.epoch_bits)
    elif s[R.STATE] == CHECK:
        if s[R.LABEL] >> g.label_bits:
            c.events[Event.LEARN_SAMPLES] += 1
            nxt.s[R.STATE] = COPY
        else:
            next_index(nxt, r.epoch_bits)
    elif _load_word(op, r, g, m, c, p, now, nxt):
        nxt.s[R.HITS] = s[R.HITS] + 1
        next_index(nxt, r.epoch_bits)
        if nxt.s[R.HITS] == g.batch:
            nxt.s[R.DONE] = 1
    nxt.s[Scalar.VISITED] = nxt.s[R.VISITED]
    nxt.s[Scalar.WALK_STATE] = nxt.s[R.WALK_STATE]
    nxt.s[Scalar.SAMPLES] = nxt.s[R.HITS]
    if nxt.s[R.DONE] and nxt.s[R.HITS]:
        c.events[Event.MINIBATCHES] += 1


@part
def _load_word(op, r, g, m, c, p, now, nxt):
    """One cycle of a copy into a lane and a bank; true in its last."""
    s = now.s
    w, n = s[R.WORD], s[R.HITS]
    if w < r.words:
        staged = s[R.INDEX] >= r.capacity
        index = s[R.INDEX] - r.capacity if staged else s[R.INDEX]
        read_latent(r, m, c, p, now, nxt, FROM_STAGING if staged else FROM_REPLAY, index)
    if w > 0:
        slot = n // g.lanes * g.batch_slots + (w - 1) // TAPS
        write_tap(g, p, c, n % g.lanes, slot, (w - 1) % TAPS, now.feature)
        write_bank(g, op, p, c, n, w - 1, now.feature)
    if w == r.words:
        write_value(p, c, Mem.BATCH_LABEL, n, s[R.LABEL] & (1 << g.label_bits) - 1)
    nxt.s[R.WORD] = 0 if w == r.words else w + 1
    return w == r.words
