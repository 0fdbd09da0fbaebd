"""Stepping mode, learning: forward passes of a minibatch, and the error unit."""

import numpy as np

from xnoreplay.sim.common.counters import Mem
from xnoreplay.sim.common.jit import ZERO, ceil_div, draw, part, put_bit
from xnoreplay.sim.common.learn_program import get_field, put_field, signed_field
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.arithmetic import rounded_delta
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.learn_registers import LearnFlop, UnitFlop, write_bank, write_bit
from xnoreplay.sim.step.registers import Flop, present, queue, write_tap
from xnoreplay.spec import timeline
from xnoreplay.spec.learning import DRAW_MASK, EXP_ENTRIES, EXP_TABLE, P_BITS, WEIGHT_BITS
from xnoreplay.spec.network import COPIES, TAPS
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
def _lanes_of(geometry, now, index):
    """Lanes that hold a sample of the minibatch in pass `index`."""
    return min(geometry.lanes, now[Scalar.SAMPLES] - index * geometry.lanes)


@part
def _stream(clock, base, rows, beats, last_taps, copies):
    """Advance the stream of a forward pass by a clock: address, weight word, operand.

    All rows, from `base` of cls.top on, pass for each L samples. A row has so many copies of so many beats, the last of
    which has `last_taps` taps.
    """
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    passes = ceil_div(now[Scalar.SAMPLES], geometry.lanes)
    words = rows * copies * beats
    nxt[Flop.WEIGHT_VALID] = now[LearnFlop.PASS] < passes
    if now[LearnFlop.PASS] < passes:
        address = base + now[LearnFlop.STEP]
        present(clock.ports, Mem.CLS_TOP, address)
        for i in range(clock.nxt_wide.weight.shape[0]):
            clock.nxt_wide.weight[i] = clock.memory.cls_top[address, i]
        end = now[LearnFlop.STEP] == words - 1
        nxt[LearnFlop.STEP] = 0 if end else now[LearnFlop.STEP] + 1
        nxt[LearnFlop.PASS] = now[LearnFlop.PASS] + end
    nxt[Flop.X_VALID] = 0
    if now[Flop.WEIGHT_VALID]:
        index = now[LearnFlop.X_PASS]
        last_beat = now[Flop.W_BEAT] == beats - 1
        end = last_beat and now[Flop.W_STEP] == copies - 1
        first = now[Flop.W_BEAT] == 0 and now[Flop.W_STEP] == 0
        taps = last_taps if last_beat else TAPS
        slot = index * geometry.batch_slots + now[Flop.W_BEAT]
        operand(nxt, slot, taps, _lanes_of(geometry, now, index), first, end)
        for i in range(clock.nxt_wide.x.shape[0]):
            clock.nxt_wide.x[i] = clock.wide.weight[i]
        nxt[Flop.W_BEAT] = 0 if last_beat else now[Flop.W_BEAT] + 1
        nxt[Flop.W_STEP] = 0 if end else now[Flop.W_STEP] + last_beat
        row = now[LearnFlop.X_STEP] + end
        nxt[LearnFlop.X_STEP] = 0 if row == rows else row
        nxt[LearnFlop.X_PASS] = index + (row == rows)
    array(clock)


@part
def _next_result(now, nxt, rows, passes):
    """Go on to the next row's sums, the next pass's, or the end, after a row's sums of one pass were taken."""
    end = now[LearnFlop.OUT_ROW] == rows - 1
    nxt[LearnFlop.OUT_ROW] = 0 if end else now[LearnFlop.OUT_ROW] + 1
    nxt[LearnFlop.OUT_PASS] = now[LearnFlop.OUT_PASS] + end
    nxt[Flop.DONE] = end and now[LearnFlop.OUT_PASS] == passes - 1


@part
def hidden_forward_clock(clock, learning):
    """Advance the hidden layer of a minibatch by a clock: bits go to lanes and banks, masks to batch.mask."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    ports = clock.ports
    op = learning.op
    nxt_wide = learning.nxt_wide
    _stream(clock, op.hidden_base, op.hidden, op.hidden_beats, op.hidden_taps, 1)
    if not sum_ready(now):
        return
    row, index = now[LearnFlop.OUT_ROW], now[LearnFlop.OUT_PASS]
    lanes = _lanes_of(geometry, now, index)
    i = row % geometry.channels
    full = i == geometry.channels - 1 or row == op.hidden - 1
    w = op.latent_words + row // geometry.channels
    for lane in range(lanes):
        if i == 0:
            for u in range(geometry.units):
                nxt_wide.words[lane, u] = ZERO
        put_bit(nxt_wide.words[lane], i, clock.wide.acc[lane] >= op.hidden_threshold)
        if full:
            slot = index * geometry.batch_slots + w // TAPS
            write_tap(geometry, ports, lane, slot, w % TAPS, nxt_wide.words[lane])
            write_bank(geometry, op, ports, index * geometry.lanes + lane, w, nxt_wide.words[lane])
    if op.hidden_learns:
        _write_mask(clock, learning, row, index, lanes)
    _next_result(now, nxt, op.hidden, ceil_div(now[Scalar.SAMPLES], geometry.lanes))


@part
def _write_mask(clock, learning, row, index, lanes):
    """Write which samples of a pass have a sum small enough for the straight-through estimator."""
    geometry = clock.geometry
    ports = clock.ports
    op = learning.op
    granule = min(geometry.lanes, geometry.batch)
    entry = queue(ports, Mem.MASK, row, index, 1)
    for n in range(granule):
        bit = index * granule + n
        put_bit(ports.mask[entry], bit, 1)
        if n < lanes:
            a = 2 * clock.wide.acc[n] - op.hidden_offset
            put_bit(ports.data[entry], bit, abs(a) <= op.hidden_mask)


@part
def output_forward_clock(clock, learning):
    """Advance the output layer of a minibatch by a clock.

    Logit sums go to batch.logit, the largest of each sample to a register.
    """
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    ports = clock.ports
    files = learning.files
    op = learning.op
    seen = now[Scalar.SEEN]
    _stream(clock, op.output_base, seen, op.output_beats, op.output_taps, COPIES)
    if not sum_ready(now):
        return
    row, index = now[LearnFlop.OUT_ROW], now[LearnFlop.OUT_PASS]
    entry = queue(ports, Mem.LOGIT, index * op.classes + row, 0, 1)
    for bit in range(geometry.lanes * op.logit_bits):
        put_bit(ports.mask[entry], bit, 1)
    for lane in range(_lanes_of(geometry, now, index)):
        logit = 2 * clock.wide.acc[lane] - op.output_offset
        put_field(ports.data[entry], lane * op.logit_bits, op.logit_bits, logit)
        n = index * geometry.lanes + lane
        if row == 0 or logit > files.largest[n]:
            files.largest[n] = logit
    _next_result(now, nxt, seen, ceil_div(now[Scalar.SAMPLES], geometry.lanes))


@part
def error_clock(clock, learning, shift):
    """Advance the error units by a clock, as `spec.timeline` has it.

    The logits of a group are read twice, around a division. shift: of an error to its delta.
    """
    now, nxt = clock.now, clock.nxt
    op = learning.op
    nxt_wide = learning.nxt_wide
    seen, first, t = now[Scalar.SEEN], now[LearnFlop.SAMPLE], now[LearnFlop.STEP]
    whole, again = reciprocal_begins(seen), second_reading(seen)
    count = min(op.error_units, now[Scalar.SAMPLES] - first)
    _read_targets(clock, learning, first, count, t)
    _read_logits(clock, learning, first, count, t if t < seen else t - again, seen)
    row = t - again - DELTA_STAGE
    for i in range(count):
        unit, following = learning.wide.unit[i], nxt_wide.unit[i]
        difference = learning.files.largest[first + i] - unit[UnitFlop.LOGIT]
        following[UnitFlop.EXPONENTIAL] = EXP[
            min(EXP_ENTRIES - 1, max(0, difference) >> op.logit_shift)
        ]
        if t == 0:
            following[UnitFlop.TOTAL] = 0
        if TOTAL_STAGE <= t < whole:
            following[UnitFlop.TOTAL] = unit[UnitFlop.TOTAL] + unit[UnitFlop.EXPONENTIAL]
        if whole <= t < again:
            _reciprocal(unit, following, t - whole)
        following[UnitFlop.PRODUCT] = unit[UnitFlop.EXPONENTIAL] * unit[UnitFlop.QUOTIENT]
        following[UnitFlop.PROBABILITY] = _probability(unit)
        target = 1 if t - again - ERROR_STAGE == unit[UnitFlop.LABEL] else 0
        share = unit[UnitFlop.PROBABILITY] - (target << P_BITS)
        following[UnitFlop.ERROR] = share * unit[UnitFlop.CLASS_WEIGHT] >> WEIGHT_BITS
        if t < seen:  # towards the draws that belong to the unit's sample: i seen after the first's
            state = now[Scalar.ERROR] if t == 0 else unit[UnitFlop.RANDOM]
            for _ in range(i):
                state = draw(state)
            following[UnitFlop.RANDOM] = state
        if row >= 0:
            following[UnitFlop.RANDOM] = draw(unit[UnitFlop.RANDOM])
    if row >= 0:
        _write_deltas(clock, learning, first, count, row, shift)
    nxt[LearnFlop.STEP] = t + 1
    if row == seen - 1:
        nxt[Scalar.ERROR] = nxt_wide.unit[count - 1, UnitFlop.RANDOM]
        nxt[LearnFlop.STEP] = 0
        nxt[LearnFlop.SAMPLE] = first + count
        nxt[Flop.DONE] = first + count == now[Scalar.SAMPLES]


@part
def _read_targets(clock, learning, first, count, t):
    """Read a sample's label in cycle t of the group, and one cycle later its class's weight.

    first, count: the group's first sample, and how many it has.
    """
    now, ports = clock.now, clock.ports
    learn_memory = learning.memory
    nxt_wide = learning.nxt_wide
    if t < count:
        present(ports, Mem.BATCH_LABEL, first + t)
        nxt_wide.unit[t, UnitFlop.LABEL] = learn_memory.batch_label[first + t]
    if READ_LATENCY <= t < count + READ_LATENCY:
        label = learning.wide.unit[t - READ_LATENCY, UnitFlop.LABEL]
        label = label if label < now[Scalar.SEEN] else 0  # it is not after a fault
        present(ports, Mem.WEIGHT, label)
        nxt_wide.unit[t - READ_LATENCY, UnitFlop.CLASS_WEIGHT] = learn_memory.weight[label]


@part
def _read_logits(clock, learning, first, count, row, seen):
    """Read the logits of class `row` of a group of samples, where `row` is a class seen."""
    geometry = clock.geometry
    op = learning.op
    if 0 <= row < seen:
        address = first // geometry.lanes * op.classes + row
        present(clock.ports, Mem.LOGIT, address)
        for i in range(count):
            lane = (first + i) % geometry.lanes
            field = get_field(learning.memory.logit[address], lane * op.logit_bits, op.logit_bits)
            learning.nxt_wide.unit[i, UnitFlop.LOGIT] = signed_field(field, op.logit_bits)


@part
def _reciprocal(unit, following, step):
    """Form R = round(2^(l + 4) / S) of the sum S of exponentials.

    Step 0 finds the exponent l of the sum; each later step forms a quotient bit.
    """
    total = unit[UnitFlop.TOTAL]
    if step == 0:
        exponent = 0
        while total >> (exponent + 1):
            exponent += 1
        following[UnitFlop.EXPONENT] = exponent
        following[UnitFlop.REMAINDER] = (1 << (exponent + RECIPROCAL_BITS)) + total
        following[UnitFlop.QUOTIENT] = 0
        return
    divisor = 2 * total << (RECIPROCAL_BITS - step)
    fits = unit[UnitFlop.REMAINDER] >= divisor
    following[UnitFlop.QUOTIENT] = 2 * unit[UnitFlop.QUOTIENT] + fits
    following[UnitFlop.REMAINDER] = (
        unit[UnitFlop.REMAINDER] - divisor if fits else unit[UnitFlop.REMAINDER]
    )


@part
def _probability(unit):
    """Probability in 1/4096 of a product: `spec.learning.probability` of the unit's registers."""
    product, exponent = unit[UnitFlop.PRODUCT], unit[UnitFlop.EXPONENT]
    p = product >> (exponent - 8) if exponent >= 8 else product << (8 - exponent)
    return min(1 << P_BITS, p)


@part
def _write_deltas(clock, learning, first, count, row, shift):
    """Round a class's errors of the group, and write their planes.

    They are written by row for the update, by sample for the hidden layer.
    """
    geometry = clock.geometry
    ports = clock.ports
    files = learning.files
    op = learning.op
    block, place = row // geometry.batch, row % geometry.batch
    entry = ports.count[0]
    for plane in range(op.delta_bits):
        queue(ports, Mem.DELTA, row * op.delta_bits + plane, first, count)
    for i in range(count):
        random = learning.nxt_wide.unit[i, UnitFlop.RANDOM] & DRAW_MASK
        delta = rounded_delta(learning.wide.unit[i, UnitFlop.ERROR], shift, random, op.delta_bits)
        planes = delta & (1 << op.delta_bits) - 1
        n = first + i
        index = n * op.blocks + block
        for plane in range(op.delta_bits):
            bit = planes >> plane & 1
            put_bit(ports.mask[entry + plane], n, 1)
            put_bit(ports.data[entry + plane], n, bit)
            if op.hidden_learns:
                address = index * op.delta_bits + plane
                write_bit(ports, Mem.CLASS_DELTA, address, place, bit)
        files.row_planes[row] = planes if n == 0 else files.row_planes[row] | planes
        files.block_planes[index] = planes if place == 0 else files.block_planes[index] | planes
