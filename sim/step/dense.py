"""Stepping mode: one clock of input, LGAP, a dense layer, or the output layer."""

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import ONE, ZERO, part, put_bit
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.registers import R, present, write_row, write_tap
from xnoreplay.spec import timeline
from xnoreplay.spec.network import COPIES, TAPS

stream_cycles = part(timeline.stream_cycles)


@part
def input_clock(op, g, m, c, p, now, nxt, image, gaps):
    """One cycle of the pixel stream; pixel i is offered gaps[i] cycles late."""
    s = now.s
    if s[R.STEP] < gaps[s[R.PIXEL]]:
        nxt.s[R.STEP] = s[R.STEP] + 1
        c.events[Event.STALLS] += 1
        return
    word = nxt.word
    for u in range(g.units):
        word[u] = ZERO
    first = s[R.WORD] * g.channels
    for i in range(min(g.channels, op.bits - first)):
        bit = image[s[R.PIXEL], op.channel[first + i]] >= m.threshold[first + i]
        put_bit(word, i, bit)
    write_row(p, c, Mem.PING, s[R.PIXEL] * op.words + s[R.WORD], word, g.channels // g.lanes)
    nxt.s[R.WORD] = s[R.WORD] + 1
    if s[R.WORD] == op.words - 1:
        nxt.s[R.WORD] = nxt.s[R.STEP] = 0
        nxt.s[R.PIXEL] = s[R.PIXEL] + 1
        if s[R.PIXEL] == op.pixels - 1:
            nxt.s[R.DONE] = 1
            c.events[Event.IMAGES] += 1


@part
def lgap_clock(op, g, m, c, p, now, nxt):
    """One cycle of LGAP: address, count, write average, write depthwise."""
    s = now.s
    nxt.s[R.FEATURE_VALID] = s[R.TILE] < op.words
    if s[R.TILE] < op.words:
        address = s[R.PIXEL] * op.words + s[R.TILE]
        present(p, c, Mem.PONG if op.index & 1 else Mem.PING, address)
        present(p, c, Mem.WEIGHTS_LGAP, s[R.K])
        for u in range(g.units):
            nxt.feature[u] = m.pong[address, u] if op.index & 1 else m.ping[address, u]
            nxt.kernel[u] = m.weights_lgap[s[R.K], u]
        end = s[R.PIXEL] == op.pixels - 1
        nxt.s[R.PIXEL] = 0 if end else s[R.PIXEL] + 1
        nxt.s[R.TILE] = s[R.TILE] + end
    nxt.s[R.ARRIVED] = 0
    if s[R.FEATURE_VALID]:
        for i in range(g.channels):
            x = now.feature[i >> 6] >> np.uint64(i & 63) & ONE
            k = now.kernel[i >> 6] >> np.uint64(i & 63) & ONE
            nxt.ones[i] = (now.ones[i] if s[R.STEP] else 0) + np.int64(x)
            nxt.agree[i] = (now.agree[i] if s[R.STEP] else 0) + np.int64(x == k)
        end = s[R.STEP] == op.pixels - 1
        nxt.s[R.STEP] = 0 if end else s[R.STEP] + 1
        nxt.s[R.ARRIVED] = end
    nxt.s[R.HIGH] = s[R.ARRIVED]
    if s[R.ARRIVED]:
        valid = op.last_channels if s[R.ROW] == op.words - 1 else g.channels
        for i in range(g.channels):
            put_bit(nxt.average, i, i < valid and 2 * now.ones[i] >= op.pixels)
            put_bit(nxt.word, i, i < valid and 2 * now.agree[i] >= op.pixels)
        write_tap(g, p, c, 0, s[R.ROW] // TAPS, s[R.ROW] % TAPS, nxt.average)
    if s[R.HIGH]:
        w = op.words + s[R.ROW]
        write_tap(g, p, c, 0, w // TAPS, w % TAPS, now.word)
        nxt.s[R.ROW] = s[R.ROW] + 1
        nxt.s[R.DONE] = s[R.ROW] == op.words - 1


@part
def _stream_rows(op, g, m, c, p, now, nxt, rows, copies):
    """Address, weight word and operand of a dense layer; a row's sum spans its copies."""
    s = now.s
    nxt.s[R.WEIGHT_VALID] = s[R.TILE] < rows
    if s[R.TILE] < rows:
        address = op.weight_base + s[R.K]
        present(p, c, Mem.CLS_TOP if op.from_top else Mem.WEIGHTS_FE, address)
        for i in range(nxt.weight.shape[0]):
            nxt.weight[i] = m.cls_top[address, i] if op.from_top else m.weights_fe[address, i]
        end = s[R.STEP] == copies * op.beats - 1
        nxt.s[R.STEP] = 0 if end else s[R.STEP] + 1
        nxt.s[R.TILE] = s[R.TILE] + end
    nxt.s[R.X_VALID] = 0
    if s[R.WEIGHT_VALID]:
        last_beat = s[R.W_BEAT] == op.beats - 1
        end = last_beat and s[R.W_STEP] == copies - 1
        first = s[R.W_BEAT] == 0 and s[R.W_STEP] == 0
        taps = op.last_taps if last_beat else TAPS
        operand(nxt, op.source_slot + s[R.W_BEAT], taps, 1, first, end)
        for i in range(nxt.x.shape[0]):
            nxt.x[i] = now.weight[i]
        nxt.s[R.W_BEAT] = 0 if last_beat else s[R.W_BEAT] + 1
        nxt.s[R.W_STEP] = 0 if end else s[R.W_STEP] + last_beat
    array(g, m, c, now, nxt)


@part
def dense_clock(op, g, m, c, p, now, nxt):
    """One cycle of the latent or the hidden layer."""
    s = now.s
    _stream_rows(op, g, m, c, p, now, nxt, op.rows, 1)
    if sum_ready(now):
        row = s[R.ROW]
        i = row % g.channels
        if i == 0:
            for u in range(g.units):
                nxt.word[u] = ZERO
        put_bit(nxt.word, i, now.acc[0] >= op.threshold)
        if i == g.channels - 1 or row == op.rows - 1:
            w = op.destination_word + row // g.channels
            write_tap(g, p, c, 0, w // TAPS, w % TAPS, nxt.word)
            if op.to_latent:
                write_row(p, c, Mem.LATENT, row // g.channels, nxt.word, 1)
        nxt.s[R.ROW] = row + 1
    nxt.s[R.DONE] = s[R.K] == op.cycles - 1


@part
def output_clock(op, g, m, c, p, now, nxt):
    """One cycle of the output layer."""
    s = now.s
    seen = s[Scalar.SEEN]
    _stream_rows(op, g, m, c, p, now, nxt, seen, 2)
    if sum_ready(now):
        if s[R.ROW] == 0 or now.acc[0] > s[R.BEST]:
            nxt.s[R.BEST] = now.acc[0]
            nxt.s[Scalar.PREDICTION] = s[R.ROW]
        nxt.s[R.ROW] = s[R.ROW] + 1
    nxt.s[R.DONE] = s[R.K] == stream_cycles(COPIES * seen * op.beats) - 1
