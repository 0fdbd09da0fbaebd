"""Stepping mode: one clock of the replay unit of a chip with generative replay.

`docs/microarchitecture.md` says what happens in each cycle; `spec.generative` what comes of it.
"""

from xnoreplay.sim.common.counters import Event, Mem
from xnoreplay.sim.common.generative import (
    component_row,
    count_row,
    joined,
    last_word,
    mean_row,
    next_state,
    opened,
    reaches,
    valid_entry,
)
from xnoreplay.sim.common.jit import FULL, ZERO, part, popcount
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.replay import HIT, note
from xnoreplay.sim.step.registers import Flop, present, queue, write_row, write_tap, write_value
from xnoreplay.sim.step.replay import (
    FROM_LATENT,
    FROM_STAGING,
    advance_walk,
    next_index,
    read_latent,
    seed_walk,
    walk_index,
)
from xnoreplay.spec.generative import MOST_SHARE, SHARE_BITS
from xnoreplay.spec.network import TAPS

SEED, WALK, CHECK, COPY = 0, 1, 2, 5  # as of `step.replay`
TOTAL, SCALE, PICK, DRAW = 6, 7, 8, 9  # of a draw
BEGIN, SHARE, OPEN, SEEK, DISTANCE, FETCH, JUDGE, HALVE_SHARE, HALVE, COUNT = range(10)  # of a take


@part
def _read_share(clock, row):
    """Read a share, which is in the register ARRIVED in the next cycle."""
    present(clock.ports, Mem.SHARE, row)
    clock.nxt[Flop.ARRIVED] = clock.memory.share[row]


@part
def _read_row(clock, mem, rows, row):
    """Read a row of a memory of words, which is in the register `feature` in the next cycle."""
    present(clock.ports, mem, row)
    for u in range(rows.shape[1]):
        clock.nxt_wide.feature[u] = rows[row, u]


@part
def _write_word(clock, mem, row, u, value):
    """Write one unit of a row; the row's other units are written by further calls, which are one strobe together."""
    ports = clock.ports
    i = ports.count[0] - 1
    if u == 0:
        i = queue(ports, mem, row, 0, 1)
    ports.data[i, u] = value
    ports.mask[i, u] = FULL


@part
def _read_latent_word(clock, w):
    """Read a word of act.latent, which is in the register `word` in the next cycle."""
    present(clock.ports, Mem.LATENT, w)
    for u in range(clock.nxt_wide.word.shape[0]):
        clock.nxt_wide.word[u] = clock.memory.latent[w, u]


@part
def _enter(nxt, state):
    """Begin a state of a take, at component, word and step 0."""
    nxt[Flop.STATE] = state
    nxt[Flop.COMPONENT] = nxt[Flop.WORD] = nxt[Flop.PLANE] = 0


@part
def _next_place(op, nxt, word_state, share_state, after):
    """Go on to the next word of a component, to the next component, or to the state after the last."""
    nxt[Flop.PLANE] = 0
    nxt[Flop.WORD] += 1
    nxt[Flop.STATE] = word_state
    if nxt[Flop.WORD] == op.words:
        nxt[Flop.WORD] = 0
        nxt[Flop.COMPONENT] += 1
        nxt[Flop.STATE] = share_state
        if nxt[Flop.COMPONENT] == op.components:
            _enter(nxt, after)


@part
def take_clock(op, clock, label):  # noqa: C901  a branch a state
    """Advance the taking of a sample by a clock."""
    now, nxt = clock.now, clock.nxt
    state = now[Flop.STATE]
    if state == BEGIN:
        entry = valid_entry(clock.geometry, label)
        nxt[Scalar.SEEN] = max(now[Scalar.SEEN], label + 1)
        _enter(nxt, SEEK if clock.memory.fit_open[0] == entry else SHARE)
        write_value(clock.ports, Mem.FIT_OPEN, 0, 0)
    elif state == SHARE:
        _read_share(clock, component_row(op, label, now[Flop.COMPONENT]))
        nxt[Flop.STATE] = OPEN
    elif state == OPEN:
        _open_clock(op, clock, label)
    elif state == SEEK:
        looked = now[Flop.COMPONENT] - 1
        if looked >= 0 and now[Flop.ARRIVED] == 0:
            _enter(nxt, FETCH)
            nxt[Flop.CHOSEN] = looked
        elif looked == op.components - 1:
            _enter(nxt, DISTANCE)
        else:
            _read_share(clock, component_row(op, label, now[Flop.COMPONENT]))
            nxt[Flop.COMPONENT] = now[Flop.COMPONENT] + 1
    elif state == DISTANCE:
        _distance_clock(op, clock, label)
    elif state == FETCH:
        _read_share(clock, component_row(op, label, now[Flop.CHOSEN]))
        nxt[Flop.STATE] = JUDGE
    elif state == JUDGE:
        share = now[Flop.ARRIVED]
        _enter(nxt, COUNT)
        nxt[Flop.SHARE] = share + 1
        if share == MOST_SHARE:
            nxt[Flop.STATE] = HALVE_SHARE
            nxt[Flop.SHARE] = (share >> 1) + 1
    elif state == HALVE_SHARE:
        _read_share(clock, component_row(op, label, now[Flop.COMPONENT]))
        nxt[Flop.STATE] = HALVE
    elif state == HALVE:
        _halve_clock(op, clock, label)
    else:
        _count_clock(op, clock, label)


@part
def _open_clock(op, clock, label):
    """Advance the loading of a word's counters by a clock: its means are read, then its planes are written."""
    now, nxt = clock.now, clock.nxt
    k, w, j = now[Flop.COMPONENT], now[Flop.WORD], now[Flop.PLANE]
    nxt[Flop.PLANE] = j + 1
    if j == 0 and w == 0:
        nxt[Flop.SHARE] = now[Flop.ARRIVED]
    if j < op.mean_bits:
        row = mean_row(op, component_row(op, label, k), w, j)
        _read_row(clock, Mem.MEAN, clock.memory.mean, row)
    if 1 <= j <= op.mean_bits:
        for u in range(clock.wide.feature.shape[0]):
            clock.nxt_wide.reached[j - 1, u] = clock.wide.feature[u]
    plane = j - op.mean_bits - 1
    if plane >= 0:
        for u in range(clock.wide.feature.shape[0]):
            bits = opened(op, clock.geometry, clock.wide.reached, u, now[Flop.SHARE], plane)
            _write_word(clock, Mem.FIT_COUNT, count_row(op, k, w, plane), u, bits)
    if plane == SHARE_BITS - 1:
        _next_place(op, nxt, OPEN, SHARE, SEEK)


@part
def _distance_clock(op, clock, label):
    """Advance the search of the nearest component by a clock: a word of one majority is read, that before is compared."""
    now, nxt = clock.now, clock.nxt
    k, w = now[Flop.COMPONENT], now[Flop.WORD]
    reading = k < op.components
    if now[Flop.PLANE]:  # a word was read in the cycle before
        distance = now[Flop.DISTANCE]
        for u in range(clock.wide.feature.shape[0]):
            distance += popcount(clock.wide.feature[u] ^ clock.wide.word[u])
        nxt[Flop.DISTANCE] = distance
        if w == 0:
            nxt[Flop.DISTANCE] = 0
            if k == 1 or distance < now[Flop.LEAST]:
                nxt[Flop.LEAST] = distance
                nxt[Flop.CHOSEN] = k - 1
    nxt[Flop.PLANE] = 1
    if reading:
        row = mean_row(op, component_row(op, label, k), w, op.mean_bits - 1)
        _read_row(clock, Mem.MEAN, clock.memory.mean, row)
        _read_latent_word(clock, w)
        nxt[Flop.WORD] = w + 1
        if w + 1 == op.words:
            nxt[Flop.WORD] = 0
            nxt[Flop.COMPONENT] = k + 1
    else:
        _enter(nxt, FETCH)


@part
def _halve_clock(op, clock, label):
    """Advance the halving of a word's counters by a clock: each plane takes the place of the one below."""
    now, nxt = clock.now, clock.nxt
    k, w, j = now[Flop.COMPONENT], now[Flop.WORD], now[Flop.PLANE]
    nxt[Flop.PLANE] = j + 1
    if j == 0 and w == 0:
        row = component_row(op, label, k)
        write_value(clock.ports, Mem.SHARE, row, now[Flop.ARRIVED] >> 1)
    if j < SHARE_BITS - 1:
        _read_row(clock, Mem.FIT_COUNT, clock.memory.fit_count, count_row(op, k, w, j + 1))
    if j >= 1:
        for u in range(clock.wide.feature.shape[0]):
            bits = clock.wide.feature[u] if j < SHARE_BITS else ZERO
            _write_word(clock, Mem.FIT_COUNT, count_row(op, k, w, j - 1), u, bits)
    if j == SHARE_BITS:
        _next_place(op, nxt, HALVE, HALVE_SHARE, COUNT)


@part
def _count_clock(op, clock, label):
    """Advance the counting of a word by a clock: a plane of its counters, or of their means.

    In the last clock the share is written, and the class becomes the open one.
    """
    now, nxt = clock.now, clock.nxt
    k, w, j = now[Flop.CHOSEN], now[Flop.WORD], now[Flop.PLANE]
    share = now[Flop.SHARE]
    nxt[Flop.PLANE] = j + 1
    if j == 0:
        _read_latent_word(clock, w)
    if j < SHARE_BITS:
        _read_row(clock, Mem.FIT_COUNT, clock.memory.fit_count, count_row(op, k, w, j))
    if 1 <= j <= SHARE_BITS:
        _count_plane(op, clock, count_row(op, k, w, j - 1), j - 1)
    bit = j - 1 - SHARE_BITS
    if bit >= 0:
        row = mean_row(op, component_row(op, label, k), w, bit)
        for u in range(clock.wide.feature.shape[0]):
            mean = ZERO
            for v in range(1 << bit, 1 << op.mean_bits, 1 << bit):
                mean ^= clock.wide.reached[v - 1, u]
            _write_word(clock, Mem.MEAN, row, u, mean)
    if bit == op.mean_bits - 1:
        nxt[Flop.PLANE] = 0
        nxt[Flop.WORD] = w + 1
        if w == op.words - 1:
            write_value(clock.ports, Mem.SHARE, component_row(op, label, k), share)
            write_value(clock.ports, Mem.FIT_OPEN, 0, valid_entry(clock.geometry, label))
            clock.counters.events[Event.INSERTIONS] += 1
            nxt[Flop.DONE] = 1


@part
def _count_plane(op, clock, row, plane):
    """Add the sample's word to a plane of counters, which was read, and compare it with the means' thresholds."""
    wide, nxt_wide = clock.wide, clock.nxt_wide
    for u in range(wide.feature.shape[0]):
        before = wide.feature[u]
        carry = wide.word[u] if plane == 0 else wide.carry[u]
        nxt_wide.carry[u] = before & carry
        after = before ^ carry
        _write_word(clock, Mem.FIT_COUNT, row, u, after)
        for v in range(1, 1 << op.mean_bits):
            so_far, share = wide.reached[v - 1, u], clock.now[Flop.SHARE]
            nxt_wide.reached[v - 1, u] = reaches(op, clock.geometry, so_far, after, v, share, plane)


@part
def keep_clock(replay, op, clock, label):
    """Advance the staging of a sample that was taken by a clock: it is kept where there is room for its class."""
    now, nxt = clock.now, clock.nxt
    ports = clock.ports
    staged, w = now[Scalar.STAGED], now[Flop.WORD]
    if now[Flop.STATE] != COPY:
        present(ports, Mem.STAGING_COUNT, label)
        nxt[Flop.STATE] = COPY
        full = staged == replay.staging or clock.memory.staging_count[label] >= op.most_staged
        nxt[Flop.DONE] = full
        return
    if w < op.words:
        read_latent(replay, clock, FROM_LATENT, 0)
    if w > 0:
        write_row(ports, Mem.STAGING_LATENT, staged * op.words + w - 1, clock.wide.feature, 1)
    nxt[Flop.WORD] = w + 1
    if w == op.words:
        write_value(ports, Mem.STAGING_LABEL, staged, label)
        write_value(ports, Mem.STAGING_COUNT, label, clock.memory.staging_count[label] + 1)
        nxt[Scalar.STAGED] = staged + 1
        nxt[Flop.DONE] = 1


@part
def empty_clock(op, clock):
    """Advance the emptying of staging by a clock: a class's count becomes 0."""
    now, nxt = clock.now, clock.nxt
    write_value(clock.ports, Mem.STAGING_COUNT, now[Flop.K], 0)
    if now[Flop.K] == op.classes - 1:
        nxt[Scalar.STAGED] = 0
        nxt[Flop.DONE] = 1


@part
def check_clock(op, clock):
    """Advance a restore by a clock: counts are cleared, shares are looked at, then staged labels counted."""
    now, nxt = clock.now, clock.nxt
    geometry, memory, ports = clock.geometry, clock.memory, clock.ports
    zeros = op.classes if op.staging else 0
    row, place = now[Flop.K] - zeros, now[Flop.INDEX]
    refused = False
    if now[Flop.STATE] == SEEK:
        present(ports, Mem.STAGING_LABEL, place)
        nxt[Flop.LABEL] = memory.staging_label[place]
        nxt[Flop.STATE] = CHECK
    elif now[Flop.STATE] == CHECK:
        label = now[Flop.LABEL]
        nxt[Flop.INDEX] = place + 1
        nxt[Flop.STATE] = SEEK
        refused = label >= now[Scalar.SEEN]
        if not refused:
            present(ports, Mem.STAGING_COUNT, label)
            write_value(ports, Mem.STAGING_COUNT, label, memory.staging_count[label] + 1)
            nxt[Flop.DONE] = place + 1 == now[Scalar.STAGED]
    elif row < 0:
        write_value(ports, Mem.STAGING_COUNT, now[Flop.K], 0)
    else:
        if row == 0:
            entry = memory.fit_open[0]
            label = entry & (1 << geometry.label_bits) - 1
            refused = entry >> geometry.label_bits == 1 and label >= now[Scalar.SEEN]
        else:
            known = (row - 1) // op.components
            refused = now[Flop.ARRIVED] != 0 and known >= now[Scalar.SEEN]
        if row < op.classes * op.components:
            _read_share(clock, row)
        elif now[Scalar.STAGED]:
            nxt[Flop.STATE] = SEEK
        else:
            nxt[Flop.DONE] = 1
    if refused:
        nxt[Scalar.REFUSED] = 1
        clock.counters.events[Event.REFUSALS] += 1
        nxt[Flop.DONE] = 1


@part
def walk_clock(replay, op, clock):
    """Visit the next index of an epoch's walk: a draw of a class that is seen, a staged sample, or nothing."""
    now, nxt = clock.now, clock.nxt
    memory, ports = clock.memory, clock.ports
    index = walk_index(now, replay.epoch_bits)
    advance_walk(now, nxt, replay.epoch_bits, replay.epoch_taps)
    nxt[Flop.INDEX] = index
    label, number = index >> op.slot_bits, index & (1 << op.slot_bits) - 1
    place = index - replay.first_staged
    found = False
    if place >= 0:
        if place < now[Scalar.STAGED]:
            found = True
            present(ports, Mem.STAGING_LABEL, place)
            nxt[Flop.LABEL] = memory.staging_label[place]
            nxt[Flop.STATE] = CHECK
    elif label < now[Scalar.SEEN]:
        room = op.drawn
        if op.staging:
            present(ports, Mem.STAGING_COUNT, label)
            room -= memory.staging_count[label]
        if number < room:
            found = True
            nxt[Flop.LABEL] = label
            nxt[Flop.ROOM] = room
            nxt[Flop.NUMBER] = number
            nxt[Flop.TOTAL] = 0
            _enter(nxt, TOTAL)
    if not found:
        next_index(nxt, replay.epoch_bits)


@part
def draw_clock(replay, op, clock):
    """Advance a draw by a clock, but for writing its words; true in its last.

    In a clock of the state SCALE the sample is found.
    """
    now, nxt = clock.now, clock.nxt
    first = component_row(op, now[Flop.LABEL], 0)
    k = now[Flop.COMPONENT]
    if now[Flop.STATE] == TOTAL:
        total = now[Flop.TOTAL] + (now[Flop.ARRIVED] if k else 0)
        nxt[Flop.TOTAL] = total
        nxt[Flop.COMPONENT] = k + 1
        if k < op.components:
            _read_share(clock, first + k)
        elif total:
            nxt[Flop.STATE] = SCALE
        else:
            next_index(nxt, replay.epoch_bits)
    elif now[Flop.STATE] == SCALE:
        nxt[Flop.PRODUCT] = now[Flop.NUMBER] * now[Flop.TOTAL]
        nxt[Flop.BELOW] = 0
        nxt[Flop.COMPONENT] = 0
        _read_share(clock, first)
        nxt[Flop.STATE] = PICK
    elif now[Flop.STATE] == PICK:
        below = now[Flop.BELOW] + now[Flop.ROOM] * now[Flop.ARRIVED]
        nxt[Flop.BELOW] = below
        if now[Flop.PRODUCT] < below or k == op.components - 1:
            _enter(nxt, DRAW)
            nxt[Flop.CHOSEN] = k
        else:
            _read_share(clock, first + k + 1)
            nxt[Flop.COMPONENT] = k + 1
    else:
        return _draw_word(op, clock, first + now[Flop.CHOSEN])
    return False


@part
def _draw_word(op, clock, row):
    """Advance the drawing of words by a clock: the wide registers step, and a plane joins; true in the last.

    row: of replay.share, the component's.
    """
    now, nxt = clock.now, clock.nxt
    w, j = now[Flop.WORD], now[Flop.PLANE]
    if w == op.words:
        return True
    for u in range(clock.wide.draw.shape[0]):
        clock.nxt_wide.draw[u] = ZERO
    for i in range(op.registers):
        state = next_state(clock.memory.draw_state[i], op.steps)
        write_value(clock.ports, Mem.DRAW_STATE, i, state)
        joined(op, clock.wide, clock.nxt_wide.draw, i, state, j)
    if j < op.mean_bits:
        _read_row(clock, Mem.MEAN, clock.memory.mean, mean_row(op, row, w, j))
    nxt[Flop.PLANE] = j + 1
    if j == op.mean_bits:
        nxt[Flop.PLANE] = 0
        nxt[Flop.WORD] = w + 1
    return False


@part
def give_word(op, clock):
    """Put the word that a draw, or a copy of a staged sample, has into its lane; which word, or -1 for none.

    The register `given` takes the word: a drawn one without the bits past a latent's end.
    """
    now, wide, given = clock.now, clock.wide, clock.nxt_wide.given
    w = now[Flop.WORD] - 1
    if now[Flop.STATE] == DRAW:
        if now[Flop.PLANE]:
            return -1
        for u in range(wide.draw.shape[0]):
            given[u] = wide.draw[u]
        if w == op.words - 1:
            last_word(op, given)
    else:
        for u in range(wide.feature.shape[0]):
            given[u] = wide.feature[u]
    if w >= 0:
        geometry = clock.geometry
        n = now[Flop.HITS] % geometry.batch
        slot = n // geometry.lanes * geometry.batch_slots + w // TAPS
        write_tap(geometry, clock.ports, n % geometry.lanes, slot, w % TAPS, given)
    return w


@part
def copy_clock(replay, op, clock):
    """Advance the copy of a staged sample by a clock, but for writing its words; true in its last."""
    now, nxt = clock.now, clock.nxt
    w = now[Flop.WORD]
    if w < op.words:
        read_latent(replay, clock, FROM_STAGING, now[Flop.INDEX] - replay.first_staged)
    nxt[Flop.WORD] = w + 1
    return w == op.words


@part
def check_staged(replay, clock):
    """Copy the staged sample that was found, or pass it over where a fault made it one of no class seen."""
    clock.nxt[Flop.STATE] = COPY
    if clock.now[Flop.LABEL] >= clock.now[Scalar.SEEN]:
        next_index(clock.nxt, replay.epoch_bits)


@part
def gather_clock(replay, op, clock, log):
    """Advance the walk of an epoch by a clock: every sample that it finds, drawn or staged, goes into the lanes."""
    now, nxt = clock.now, clock.nxt
    state = now[Flop.STATE]
    last = False
    if state == SEED:
        seed_walk(now, nxt)
    elif state == WALK:
        walk_clock(replay, op, clock)
        nxt[Flop.WORD] = 0
    elif state == CHECK:
        check_staged(replay, clock)
    elif state == COPY:
        give_word(op, clock)
        last = copy_clock(replay, op, clock)
    else:
        if state == DRAW:
            give_word(op, clock)
        last = draw_clock(replay, op, clock)
    if state in (CHECK, SCALE) and now[Flop.LABEL] < now[Scalar.SEEN]:
        cycle = clock.counters.events[Event.CYCLES]
        note(log, cycle, HIT, now[Flop.INDEX], now[Flop.LABEL])
        clock.counters.events[Event.SAMPLES] += 1
    if last:
        nxt[Flop.WORD] = 0
        nxt[Flop.HITS] = now[Flop.HITS] + 1
        next_index(nxt, replay.epoch_bits)
