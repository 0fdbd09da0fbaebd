"""Stepping mode, learning: forward passes of a minibatch, and the error unit."""

import numpy as np

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import ZERO, ceil_div, draw, part, put_bit
from xnoreplay.sim.common.learn_ops import get_field, put_field, signed_field
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.arithmetic import rounded_delta
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.learn_registers import S, U, write_bank, write_bit
from xnoreplay.sim.step.registers import R, present, queue, write_tap
from xnoreplay.spec import timeline
from xnoreplay.spec.learning import DRAW_MASK, EXP_ENTRIES, EXP_TABLE, P_BITS, WEIGHT_BITS
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.timeline import (
    DELTA_STAGE,
    ERROR_STAGE,
    READ_LATENCY,
    RECIPROCAL_BITS,
    TOTAL_STAGE,
)

EXP = np.array(EXP_TABLE, np.int64)
reciprocal_begins = part(timeline.reciprocal_begins)
second_reading = part(timeline.second_reading)


@part
def _lanes_of(g, now, index):
    """Lanes that hold a sample in a pass."""
    return min(g.lanes, now.s[Scalar.SAMPLES] - index * g.lanes)


@part
def _stream(g, m, c, p, now, nxt, ls, lx, base, rows, beats, last_taps, copies):
    """Address, weight word and operand: all rows for every pass of L samples."""
    passes = ceil_div(now.s[Scalar.SAMPLES], g.lanes)
    words = rows * copies * beats
    nxt.s[R.WEIGHT_VALID] = ls.s[S.PASS] < passes
    if ls.s[S.PASS] < passes:
        address = base + ls.s[S.STEP]
        present(p, c, Mem.CLS_TOP, address)
        for i in range(nxt.weight.shape[0]):
            nxt.weight[i] = m.cls_top[address, i]
        end = ls.s[S.STEP] == words - 1
        lx.s[S.STEP] = 0 if end else ls.s[S.STEP] + 1
        lx.s[S.PASS] = ls.s[S.PASS] + end
    nxt.s[R.X_VALID] = 0
    if now.s[R.WEIGHT_VALID]:
        index = ls.s[S.X_PASS]
        last_beat = now.s[R.W_BEAT] == beats - 1
        end = last_beat and now.s[R.W_STEP] == copies - 1
        first = now.s[R.W_BEAT] == 0 and now.s[R.W_STEP] == 0
        taps = last_taps if last_beat else TAPS
        slot = index * g.batch_slots + now.s[R.W_BEAT]
        operand(nxt, slot, taps, _lanes_of(g, now, index), first, end)
        for i in range(nxt.x.shape[0]):
            nxt.x[i] = now.weight[i]
        nxt.s[R.W_BEAT] = 0 if last_beat else now.s[R.W_BEAT] + 1
        nxt.s[R.W_STEP] = 0 if end else now.s[R.W_STEP] + last_beat
        row = ls.s[S.X_STEP] + end
        lx.s[S.X_STEP] = 0 if row == rows else row
        lx.s[S.X_PASS] = index + (row == rows)
    array(g, m, c, now, nxt)


@part
def _next_result(ls, lx, rows, passes, nxt):
    """A row's sums of one pass were taken: the next row, pass, or the end."""
    end = ls.s[S.OUT_ROW] == rows - 1
    lx.s[S.OUT_ROW] = 0 if end else ls.s[S.OUT_ROW] + 1
    lx.s[S.OUT_PASS] = ls.s[S.OUT_PASS] + end
    nxt.s[R.DONE] = end and ls.s[S.OUT_PASS] == passes - 1


@part
def hidden_forward_clock(op, g, m, c, p, now, nxt, ls, lx):
    """One cycle of the hidden layer: bits to lanes and banks, masks to batch.mask."""
    _stream(
        g, m, c, p, now, nxt, ls, lx, op.hidden_base, op.hidden, op.hidden_beats, op.hidden_taps, 1
    )
    if not sum_ready(now):
        return
    row, index = ls.s[S.OUT_ROW], ls.s[S.OUT_PASS]
    lanes = _lanes_of(g, now, index)
    i = row % g.channels
    full = i == g.channels - 1 or row == op.hidden - 1
    w = op.latent_words + row // g.channels
    for lane in range(lanes):
        if i == 0:
            for u in range(g.units):
                lx.words[lane, u] = ZERO
        put_bit(lx.words[lane], i, now.acc[lane] >= op.hidden_threshold)
        if full:
            slot = index * g.batch_slots + w // TAPS
            write_tap(g, p, c, lane, slot, w % TAPS, lx.words[lane])
            write_bank(g, op, p, c, index * g.lanes + lane, w, lx.words[lane])
    if op.hidden_learns:
        _write_mask(op, g, p, c, now, row, index, lanes)
    _next_result(ls, lx, op.hidden, ceil_div(now.s[Scalar.SAMPLES], g.lanes), nxt)


@part
def _write_mask(op, g, p, c, now, row, index, lanes):
    """The samples of a pass whose sum is small enough for the straight-through estimator."""
    granule = min(g.lanes, g.batch)
    entry = queue(p, c, Mem.MASK, row, index, 1)
    for n in range(granule):
        bit = index * granule + n
        put_bit(p.mask[entry], bit, 1)
        if n < lanes:
            a = 2 * now.acc[n] - op.hidden_offset
            put_bit(p.data[entry], bit, abs(a) <= op.hidden_mask)


@part
def output_forward_clock(op, g, m, c, p, now, nxt, ls, lx, f):
    """One cycle of the output layer: logit sums to batch.logit, their largest to a register."""
    seen = now.s[Scalar.SEEN]
    _stream(g, m, c, p, now, nxt, ls, lx, op.output_base, seen, op.output_beats, op.output_taps, 2)
    if not sum_ready(now):
        return
    row, index = ls.s[S.OUT_ROW], ls.s[S.OUT_PASS]
    entry = queue(p, c, Mem.LOGIT, index * op.classes + row, 0, 1)
    for bit in range(g.lanes * op.logit_bits):
        put_bit(p.mask[entry], bit, 1)
    for lane in range(_lanes_of(g, now, index)):
        logit = 2 * now.acc[lane] - op.output_offset
        put_field(p.data[entry], lane * op.logit_bits, op.logit_bits, logit)
        n = index * g.lanes + lane
        if row == 0 or logit > f.largest[n]:
            f.largest[n] = logit
    _next_result(ls, lx, seen, ceil_div(now.s[Scalar.SAMPLES], g.lanes), nxt)


@part
def error_clock(op, g, lm, c, p, now, nxt, ls, lx, f, shift):
    """One cycle of the error units: two readings of a group's logits around a division."""
    seen, first, t = now.s[Scalar.SEEN], ls.s[S.SAMPLE], ls.s[S.STEP]
    whole, again = reciprocal_begins(seen), second_reading(seen)
    count = min(op.error_units, now.s[Scalar.SAMPLES] - first)
    _read_targets(lm, c, p, ls, lx, first, count, t)
    _read_logits(op, g, lm, c, p, lx, first, count, t if t < seen else t - again, seen)
    row = t - again - DELTA_STAGE
    for i in range(count):
        unit, following = ls.unit[i], lx.unit[i]
        difference = f.largest[first + i] - unit[U.LOGIT]
        following[U.EXPONENTIAL] = EXP[min(EXP_ENTRIES - 1, max(0, difference) >> op.logit_shift)]
        if t == 0:
            following[U.TOTAL] = 0
        if TOTAL_STAGE <= t < whole:
            following[U.TOTAL] = unit[U.TOTAL] + unit[U.EXPONENTIAL]
        if whole <= t < again:
            _reciprocal(unit, following, t - whole)
        following[U.PROBABILITY] = _probability(unit)
        target = 1 if t - again - ERROR_STAGE == unit[U.LABEL] else 0
        share = unit[U.PROBABILITY] - (target << P_BITS)
        following[U.ERROR] = share * unit[U.CLASS_WEIGHT] >> WEIGHT_BITS
        if t < seen:  # towards the draws that belong to the unit's sample: i seen after the first's
            state = now.s[Scalar.ERROR] if t == 0 else unit[U.RANDOM]
            for _ in range(i):
                state = draw(state)
            following[U.RANDOM] = state
        if row >= 0:
            following[U.RANDOM] = draw(unit[U.RANDOM])
    if row >= 0:
        _write_deltas(op, g, p, c, f, ls, lx, first, count, row, shift)
    lx.s[S.STEP] = t + 1
    if row == seen - 1:
        nxt.s[Scalar.ERROR] = lx.unit[count - 1, U.RANDOM]
        lx.s[S.STEP] = 0
        lx.s[S.SAMPLE] = first + count
        nxt.s[R.DONE] = first + count == now.s[Scalar.SAMPLES]


@part
def _read_targets(lm, c, p, ls, lx, first, count, t):
    """A label a cycle, and one cycle later its class's weight."""
    if t < count:
        present(p, c, Mem.BATCH_LABEL, first + t)
        lx.unit[t, U.LABEL] = lm.batch_label[first + t]
    if READ_LATENCY <= t < count + READ_LATENCY:
        label = ls.unit[t - READ_LATENCY, U.LABEL]
        present(p, c, Mem.WEIGHT, label)
        lx.unit[t - READ_LATENCY, U.CLASS_WEIGHT] = lm.weight[label]


@part
def _read_logits(op, g, lm, c, p, lx, first, count, row, seen):
    if 0 <= row < seen:
        address = first // g.lanes * op.classes + row
        present(p, c, Mem.LOGIT, address)
        for i in range(count):
            lane = (first + i) % g.lanes
            field = get_field(lm.logit[address], lane * op.logit_bits, op.logit_bits)
            lx.unit[i, U.LOGIT] = signed_field(field, op.logit_bits)


@part
def _reciprocal(unit, following, step):
    """The exponent l of the sum S, then a quotient bit a cycle: R = round(2^(l + 4) / S)."""
    total = unit[U.TOTAL]
    if step == 0:
        exponent = 0
        while total >> (exponent + 1):
            exponent += 1
        following[U.EXPONENT] = exponent
        following[U.REMAINDER] = (1 << (exponent + RECIPROCAL_BITS)) + total
        following[U.QUOTIENT] = 0
        return
    divisor = 2 * total << (RECIPROCAL_BITS - step)
    fits = unit[U.REMAINDER] >= divisor
    following[U.QUOTIENT] = 2 * unit[U.QUOTIENT] + fits
    following[U.REMAINDER] = unit[U.REMAINDER] - divisor if fits else unit[U.REMAINDER]


@part
def _probability(unit):
    product, exponent = unit[U.EXPONENTIAL] * unit[U.QUOTIENT], unit[U.EXPONENT]
    p = product >> (exponent - 8) if exponent >= 8 else product << (8 - exponent)
    return min(1 << P_BITS, p)


@part
def _write_deltas(op, g, p, c, f, ls, lx, first, count, row, shift):
    """A class's deltas of the group: by row for the update, by sample for the hidden layer."""
    block, place = row // g.batch, row % g.batch
    entry = p.count[0]
    for plane in range(op.delta_bits):
        queue(p, c, Mem.DELTA, row * op.delta_bits + plane, first, count)
    for i in range(count):
        random = lx.unit[i, U.RANDOM] & DRAW_MASK
        delta = rounded_delta(ls.unit[i, U.ERROR], shift, random, op.delta_bits)
        planes = delta & (1 << op.delta_bits) - 1
        n = first + i
        index = n * op.blocks + block
        for plane in range(op.delta_bits):
            bit = planes >> plane & 1
            put_bit(p.mask[entry + plane], n, 1)
            put_bit(p.data[entry + plane], n, bit)
            if op.hidden_learns:
                address = index * op.delta_bits + plane
                write_bit(p, c, Mem.CLASS_DELTA, address, place, bit)
        f.row_planes[row] = planes if n == 0 else f.row_planes[row] | planes
        f.block_planes[index] = planes if place == 0 else f.block_planes[index] | planes
