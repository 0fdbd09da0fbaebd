"""Stepping mode: one clock of either input, LGAP, a dense layer, or the output layer."""

import numpy as np

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.jit import ONE, ZERO, part, put_bit
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.step.array import array, operand, sum_ready
from xnoreplay.sim.step.registers import Flop, present, write_row, write_tap
from xnoreplay.spec import timeline
from xnoreplay.spec.network import COPIES, TAPS

stream_cycles = part(timeline.stream_cycles)


@part
def input_clock(op, clock, image, gaps):
    """Take a word of a pixel, or wait for it: pixel i is offered gaps[i] cycles late.

    image (pixels, channels) uint8; gaps (pixels,) int64.
    """
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    counters = clock.counters
    if now[Flop.STEP] < gaps[now[Flop.PIXEL]]:
        nxt[Flop.STEP] = now[Flop.STEP] + 1
        counters.events[Event.STALLS] += 1
        return
    word = clock.nxt_wide.word
    for u in range(geometry.units):
        word[u] = ZERO
    first = now[Flop.WORD] * geometry.channels
    for i in range(min(geometry.channels, op.bits - first)):
        bit = image[now[Flop.PIXEL], op.channel[first + i]] >= clock.memory.threshold[first + i]
        put_bit(word, i, bit)
    write_row(
        clock.ports,
        Mem.PING,
        now[Flop.PIXEL] * op.words + now[Flop.WORD],
        word,
        geometry.channels // geometry.lanes,
    )
    nxt[Flop.WORD] = now[Flop.WORD] + 1
    if now[Flop.WORD] == op.words - 1:
        nxt[Flop.WORD] = nxt[Flop.STEP] = 0
        nxt[Flop.PIXEL] = now[Flop.PIXEL] + 1
        if now[Flop.PIXEL] == op.pixels - 1:
            nxt[Flop.DONE] = 1
            counters.events[Event.IMAGES] += 1


@part
def latent_clock(op, clock, transfers, gaps):
    """Take a transfer with a part of a latent, or wait for it: transfer i is offered gaps[i] cycles late.

    transfers (transfers, bytes) uint8; gaps (transfers,) int64.
    """
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    counters = clock.counters
    i = now[Flop.PIXEL]
    if now[Flop.STEP] < gaps[i]:
        nxt[Flop.STEP] = now[Flop.STEP] + 1
        counters.events[Event.STALLS] += 1
        return
    word = clock.nxt_wide.word
    place = i * op.part % geometry.channels
    if place == 0:
        for u in range(geometry.units):
            word[u] = ZERO
    for b in range(min(op.part, op.bits - i * op.part)):
        put_bit(word, place + b, transfers[i, b >> 3] >> (b & 7) & 1)
    last = i == op.pixels - 1
    if last or place + op.part == geometry.channels:
        w = i * op.part // geometry.channels
        write_tap(geometry, clock.ports, 0, w // TAPS, w % TAPS, word)
        write_row(clock.ports, Mem.LATENT, w, word, 1)
    nxt[Flop.STEP] = 0
    nxt[Flop.PIXEL] = i + 1
    if last:
        nxt[Flop.DONE] = 1
        counters.events[Event.IMAGES] += 1


@part
def lgap_clock(op, clock):
    """Advance LGAP by a clock: read a pixel, count it, write the average word, write the depthwise word."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    memory = clock.memory
    ports = clock.ports
    wide = clock.wide
    nxt_wide = clock.nxt_wide
    nxt[Flop.FEATURE_VALID] = now[Flop.TILE] < op.words
    if now[Flop.TILE] < op.words:
        address = now[Flop.PIXEL] * op.words + now[Flop.TILE]
        present(ports, Mem.PONG if op.index & 1 else Mem.PING, address)
        present(ports, Mem.WEIGHTS_LGAP, now[Flop.K])
        for u in range(geometry.units):
            nxt_wide.feature[u] = (
                memory.pong[address, u] if op.index & 1 else memory.ping[address, u]
            )
            nxt_wide.kernel[u] = memory.weights_lgap[now[Flop.K], u]
        end = now[Flop.PIXEL] == op.pixels - 1
        nxt[Flop.PIXEL] = 0 if end else now[Flop.PIXEL] + 1
        nxt[Flop.TILE] = now[Flop.TILE] + end
    nxt[Flop.ARRIVED] = 0
    if now[Flop.FEATURE_VALID]:
        for i in range(geometry.channels):
            x = wide.feature[i >> 6] >> np.uint64(i & 63) & ONE
            k = wide.kernel[i >> 6] >> np.uint64(i & 63) & ONE
            nxt_wide.ones[i] = (wide.ones[i] if now[Flop.STEP] else 0) + np.int64(x)
            nxt_wide.agree[i] = (wide.agree[i] if now[Flop.STEP] else 0) + np.int64(x == k)
        end = now[Flop.STEP] == op.pixels - 1
        nxt[Flop.STEP] = 0 if end else now[Flop.STEP] + 1
        nxt[Flop.ARRIVED] = end
    nxt[Flop.HIGH] = now[Flop.ARRIVED]
    if now[Flop.ARRIVED]:
        valid = op.last_channels if now[Flop.ROW] == op.words - 1 else geometry.channels
        for i in range(geometry.channels):
            put_bit(nxt_wide.average, i, i < valid and 2 * wide.ones[i] >= op.pixels)
            put_bit(nxt_wide.word, i, i < valid and 2 * wide.agree[i] >= op.pixels)
        write_tap(geometry, ports, 0, now[Flop.ROW] // TAPS, now[Flop.ROW] % TAPS, nxt_wide.average)
    if now[Flop.HIGH]:
        w = op.words + now[Flop.ROW]
        write_tap(geometry, ports, 0, w // TAPS, w % TAPS, wide.word)
        nxt[Flop.ROW] = now[Flop.ROW] + 1
        nxt[Flop.DONE] = now[Flop.ROW] == op.words - 1


@part
def _stream_rows(op, clock, rows, copies):
    """Advance the stream of a dense layer by a clock: address, weight word, operand.

    There are so many rows; a sum spans a row's copies.
    """
    now, nxt = clock.now, clock.nxt
    memory = clock.memory
    nxt_wide = clock.nxt_wide
    nxt[Flop.WEIGHT_VALID] = now[Flop.TILE] < rows
    if now[Flop.TILE] < rows:
        address = op.weight_base + now[Flop.K]
        present(clock.ports, Mem.CLS_TOP if op.from_top else Mem.WEIGHTS_FE, address)
        for i in range(nxt_wide.weight.shape[0]):
            nxt_wide.weight[i] = (
                memory.cls_top[address, i] if op.from_top else memory.weights_fe[address, i]
            )
        end = now[Flop.STEP] == copies * op.beats - 1
        nxt[Flop.STEP] = 0 if end else now[Flop.STEP] + 1
        nxt[Flop.TILE] = now[Flop.TILE] + end
    nxt[Flop.X_VALID] = 0
    if now[Flop.WEIGHT_VALID]:
        last_beat = now[Flop.W_BEAT] == op.beats - 1
        end = last_beat and now[Flop.W_STEP] == copies - 1
        first = now[Flop.W_BEAT] == 0 and now[Flop.W_STEP] == 0
        taps = op.last_taps if last_beat else TAPS
        operand(nxt, op.source_slot + now[Flop.W_BEAT], taps, 1, first, end)
        for i in range(nxt_wide.x.shape[0]):
            nxt_wide.x[i] = clock.wide.weight[i]
        nxt[Flop.W_BEAT] = 0 if last_beat else now[Flop.W_BEAT] + 1
        nxt[Flop.W_STEP] = 0 if end else now[Flop.W_STEP] + last_beat
    array(clock)


@part
def dense_clock(op, clock):
    """Advance the latent or the hidden layer of one image by a clock."""
    now, nxt = clock.now, clock.nxt
    geometry = clock.geometry
    ports = clock.ports
    nxt_wide = clock.nxt_wide
    _stream_rows(op, clock, op.rows, 1)
    if sum_ready(now):
        row = now[Flop.ROW]
        i = row % geometry.channels
        if i == 0:
            for u in range(geometry.units):
                nxt_wide.word[u] = ZERO
        put_bit(nxt_wide.word, i, clock.wide.acc[0] >= op.threshold)
        if i == geometry.channels - 1 or row == op.rows - 1:
            w = op.destination_word + row // geometry.channels
            write_tap(geometry, ports, 0, w // TAPS, w % TAPS, nxt_wide.word)
            if op.to_latent:
                write_row(ports, Mem.LATENT, row // geometry.channels, nxt_wide.word, 1)
        nxt[Flop.ROW] = row + 1
    nxt[Flop.DONE] = now[Flop.K] == op.cycles - 1


@part
def output_clock(op, clock):
    """Advance the output layer of one image by a clock; the largest sum so far decides the prediction."""
    now, nxt = clock.now, clock.nxt
    wide = clock.wide
    seen = now[Scalar.SEEN]
    _stream_rows(op, clock, seen, COPIES)
    if sum_ready(now):
        if now[Flop.ROW] == 0 or wide.acc[0] > now[Flop.BEST]:
            nxt[Flop.BEST] = wide.acc[0]
            nxt[Scalar.PREDICTION] = now[Flop.ROW]
        nxt[Flop.ROW] = now[Flop.ROW] + 1
    nxt[Flop.DONE] = now[Flop.K] == stream_cycles(COPIES * seen * op.beats) - 1
