"""Stepping mode, learning: loss balance, seeding and loading of minibatches."""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.generative import component_row
from xnoreplay.sim.common.jit import part
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.replay import holds
from xnoreplay.sim.step.generative import (
    DRAW,
    SCALE,
    check_staged,
    copy_clock,
    draw_clock,
    give_word,
    walk_clock,
)
from xnoreplay.sim.step.learn_registers import LearnFlop, write_bank
from xnoreplay.sim.step.registers import Flop, present, write_tap, write_value
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
from xnoreplay.spec.timeline import INVERSE_CYCLES

COUNT, SCAN, INVERT, WEIGH = 0, 1, 2, 3  # states of the balance
INVERSE_BITS = INVERSE_CYCLES - 1


@part
def balance_clock(program, clock, learning):
    """Advance the loss balance by a clock: frequencies, their inverses, the class weights."""
    now, nxt = clock.now, clock.nxt
    memory = clock.memory
    ports = clock.ports
    seen = now[Scalar.SEEN]
    row, step = now[LearnFlop.ROW], now[LearnFlop.STEP]
    staging = program.replay.staging
    if now[LearnFlop.STATE] == COUNT and program.generative.components:
        _frequency(program.generative, clock, row)
    elif now[LearnFlop.STATE] == COUNT:
        present(ports, Mem.REPLAY_COUNT, row)
        write_value(ports, Mem.INVERSE, row, memory.replay_count[row])
        nxt[LearnFlop.ROW] = row + 1
        if row == seen - 1:
            nxt[LearnFlop.STATE] = SCAN if staging else INVERT
            nxt[LearnFlop.ROW] = 0
    elif now[LearnFlop.STATE] == SCAN:
        if step < now[Scalar.STAGED]:
            present(ports, Mem.STAGING_LABEL, step)
            nxt[Flop.LABEL] = memory.staging_label[step]
        if step > 0:
            label = now[Flop.LABEL]
            if label < seen:  # it is not after a fault
                present(ports, Mem.INVERSE, label)
                write_value(ports, Mem.INVERSE, label, learning.memory.inverse[label] + 1)
        nxt[LearnFlop.STEP] = step + 1
        if step == now[Scalar.STAGED]:
            nxt[LearnFlop.STATE] = INVERT
            nxt[LearnFlop.STEP] = 0
    else:
        _divide(clock, learning, seen)


@part
def _frequency(op, clock, row):
    """Advance the frequency of a class by a clock: its shares are looked at, then its samples in an epoch written."""
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    step = now[LearnFlop.STEP]
    known = now[Flop.TOTAL] != 0 or (step > 0 and now[Flop.ARRIVED] != 0)
    nxt[Flop.TOTAL] = known
    nxt[LearnFlop.STEP] = step + 1
    if step < op.components:
        present(ports, Mem.SHARE, component_row(op, row, step))
        nxt[Flop.ARRIVED] = clock.memory.share[component_row(op, row, step)]
        return
    staged = 0
    if op.staging:
        present(ports, Mem.STAGING_COUNT, row)
        staged = clock.memory.staging_count[row]
    write_value(ports, Mem.INVERSE, row, max(op.drawn, staged) if known else staged)
    nxt[Flop.TOTAL] = 0
    nxt[LearnFlop.STEP] = 0
    nxt[LearnFlop.ROW] = row + 1
    if row == now[Scalar.SEEN] - 1:
        nxt[LearnFlop.STATE] = INVERT
        nxt[LearnFlop.ROW] = 0


@part
def _divide(clock, learning, seen):
    """Advance a serial division by a clock: read the operand, then form a quotient bit a cycle."""
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    row, step = now[LearnFlop.ROW], now[LearnFlop.STEP]
    invert = now[LearnFlop.STATE] == INVERT
    bits = INVERSE_BITS if invert else learning.op.weight_cycles - 1
    nxt[LearnFlop.STEP] = step + 1
    if step == 0:
        present(ports, Mem.INVERSE, row)
        value, total = learning.memory.inverse[row], now[LearnFlop.TOTAL]
        nxt[LearnFlop.NUMERATOR] = (
            1 << (INVERSE_BITS - 1) if invert else (value << WEIGHT_BITS) + total // 2
        )
        nxt[LearnFlop.DIVISOR] = value if invert else total
        nxt[LearnFlop.REMAINDER] = nxt[LearnFlop.QUOTIENT] = 0
        return
    divisor = now[LearnFlop.DIVISOR]
    rest = 2 * now[LearnFlop.REMAINDER] + (now[LearnFlop.NUMERATOR] >> (bits - step) & 1)
    fits = divisor > 0 and rest >= divisor
    quotient = 2 * now[LearnFlop.QUOTIENT] + fits
    nxt[LearnFlop.REMAINDER] = rest - divisor if fits else rest
    nxt[LearnFlop.QUOTIENT] = quotient
    if step < bits:
        return
    if invert:
        write_value(ports, Mem.INVERSE, row, seen * quotient)
        nxt[LearnFlop.TOTAL] = now[LearnFlop.TOTAL] + quotient
    else:
        write_value(ports, Mem.WEIGHT, row, max(1, quotient))
    nxt[LearnFlop.STEP] = 0
    nxt[LearnFlop.ROW] = row + 1
    if row == seen - 1:
        nxt[LearnFlop.ROW] = 0
        nxt[LearnFlop.STATE] = WEIGH
        nxt[Flop.DONE] = not invert


@part
def seed_clock(now, nxt):
    """Draw once for an epoch's walk, which stands at its beginning after the last draw."""
    seed_walk(now, nxt)
    if nxt[Flop.STATE] == WALK:
        nxt[Scalar.VISITED] = nxt[Scalar.WALK_STATE] = 0
        nxt[Flop.DONE] = 1


@part
def load_clock(replay, clock, learning):
    """Advance the loading of a minibatch by a clock: the walk goes on until the minibatch is full or the walk ends."""
    now, nxt = clock.now, clock.nxt
    memory = clock.memory
    counters = clock.counters
    ports = clock.ports
    geometry = clock.geometry
    if now[Flop.STATE] == WALK:
        index = walk_index(now, replay.epoch_bits)
        advance_walk(now, nxt, replay.epoch_bits, replay.epoch_taps)
        nxt[Flop.INDEX] = index
        nxt[Flop.STATE] = CHECK
        if index < replay.capacity:
            present(ports, Mem.REPLAY_LABEL, index)
            nxt[Flop.LABEL] = memory.replay_label[index]
        elif index - replay.capacity < now[Scalar.STAGED]:
            present(ports, Mem.STAGING_LABEL, index - replay.capacity)
            nxt[Flop.LABEL] = (
                memory.staging_label[index - replay.capacity] | 1 << geometry.label_bits
            )
        else:
            next_index(nxt, replay.epoch_bits)
    elif now[Flop.STATE] == CHECK:
        if holds(geometry, now[Flop.LABEL], now[Scalar.SEEN]):
            counters.events[Event.LEARN_SAMPLES] += 1
            nxt[Flop.STATE] = COPY
        else:
            next_index(nxt, replay.epoch_bits)
    elif _load_word(replay, clock, learning):
        nxt[Flop.HITS] = now[Flop.HITS] + 1
        next_index(nxt, replay.epoch_bits)
        if nxt[Flop.HITS] == geometry.batch:
            nxt[Flop.DONE] = 1
    nxt[Scalar.VISITED] = nxt[Flop.VISITED]
    nxt[Scalar.WALK_STATE] = nxt[Flop.WALK_STATE]
    nxt[Scalar.SAMPLES] = nxt[Flop.HITS]
    if nxt[Flop.DONE] and nxt[Flop.HITS]:
        counters.events[Event.MINIBATCHES] += 1


@part
def gather_minibatch_clock(replay, op, clock, learning):
    """Advance the gathering of a minibatch by a clock, as `load_clock`, of samples that are drawn or staged."""
    now, nxt = clock.now, clock.nxt
    state, geometry = now[Flop.STATE], clock.geometry
    last, given = False, -1
    if state == WALK:
        walk_clock(replay, op, clock)
        nxt[Flop.WORD] = 0
    elif state == CHECK:
        check_staged(replay, clock)
    elif state == COPY:
        given = give_word(op, clock)
        last = copy_clock(replay, op, clock)
    else:
        if state == DRAW:
            given = give_word(op, clock)
        last = draw_clock(replay, op, clock)
    if state in (CHECK, SCALE) and now[Flop.LABEL] < now[Scalar.SEEN]:
        clock.counters.events[Event.LEARN_SAMPLES] += 1
    if given >= 0:
        n = now[Flop.HITS]
        write_bank(geometry, learning.op, clock.ports, n, given, clock.nxt_wide.given)
    if last:
        write_value(clock.ports, Mem.BATCH_LABEL, now[Flop.HITS], now[Flop.LABEL])
        nxt[Flop.WORD] = 0
        nxt[Flop.HITS] = now[Flop.HITS] + 1
        next_index(nxt, replay.epoch_bits)
        if nxt[Flop.HITS] == geometry.batch:
            nxt[Flop.DONE] = 1
    nxt[Scalar.VISITED] = nxt[Flop.VISITED]
    nxt[Scalar.WALK_STATE] = nxt[Flop.WALK_STATE]
    nxt[Scalar.SAMPLES] = nxt[Flop.HITS]
    if nxt[Flop.DONE] and nxt[Flop.HITS]:
        clock.counters.events[Event.MINIBATCHES] += 1


@part
def _load_word(replay, clock, learning):
    """Advance a copy into a sample's lane and bank by a clock; true in its last, which writes the label."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    ports = clock.ports
    w, n = now[Flop.WORD], now[Flop.HITS]
    if w < replay.words:
        staged = now[Flop.INDEX] >= replay.capacity
        index = now[Flop.INDEX] - replay.capacity if staged else now[Flop.INDEX]
        read_latent(replay, clock, FROM_STAGING if staged else FROM_REPLAY, index)
    if w > 0:
        slot = n // geometry.lanes * geometry.batch_slots + (w - 1) // TAPS
        write_tap(geometry, ports, n % geometry.lanes, slot, (w - 1) % TAPS, clock.wide.feature)
        write_bank(geometry, learning.op, ports, n, w - 1, clock.wide.feature)
    if w == replay.words:
        write_value(ports, Mem.BATCH_LABEL, n, now[Flop.LABEL] & (1 << geometry.label_bits) - 1)
    nxt[Flop.WORD] = 0 if w == replay.words else w + 1
    return w == replay.words
