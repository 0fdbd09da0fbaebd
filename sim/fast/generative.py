"""Fast mode, generative replay: taking, staging, drawing and restoring, in one go.

The words, planes and counters are those that the clocks of `step.generative` leave.
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
from xnoreplay.sim.common.jit import ZERO, kernel, part, popcount
from xnoreplay.sim.common.state import Scalar
from xnoreplay.sim.fast.images import put_word
from xnoreplay.sim.fast.replay import HIT, first_state, load_sample, note, seed, step_walk
from xnoreplay.spec.generative import MOST_SHARE, SHARE_BITS
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.replay import SEED_DRAWS
from xnoreplay.spec.timeline import READ_LATENCY


@kernel
def take_phase(op, geometry, memory, counters, scalars, room, label):
    """Take the latent of act.latent into the components of its class.

    room: registers of `step.registers.Wide` to work in.
    """
    scalars[Scalar.SEEN] = max(scalars[Scalar.SEEN], label + 1)
    cycles = 1
    if memory.fit_open[0] != valid_entry(geometry, label):
        cycles += _open(op, geometry, memory, counters, room, label)
    k, spent = _nearest(op, memory, counters, label)
    cycles += spent
    row = component_row(op, label, k)
    counters.reads[Mem.SHARE] += 1
    share = memory.share[row]
    if share == MOST_SHARE:
        cycles += _halve(op, memory, counters, label)
        share >>= 1
    _count(op, geometry, memory, counters, room, row, share + 1)
    cycles += 1 + READ_LATENCY + op.words * (SHARE_BITS + READ_LATENCY + op.mean_bits)
    memory.share[row] = share + 1
    memory.fit_open[0] = valid_entry(geometry, label)
    counters.writes[Mem.SHARE] += 1
    counters.events[Event.INSERTIONS] += 1
    counters.events[Event.CYCLES] += cycles


@part
def _open(op, geometry, memory, counters, room, label):
    """Load the counters of a class from its means; return the cycles."""
    for k in range(op.components):
        row = component_row(op, label, k)
        for w in range(op.words):
            for u in range(memory.mean.shape[1]):
                for p in range(op.mean_bits):
                    room.reached[p, u] = memory.mean[mean_row(op, row, w, p), u]
                for plane in range(SHARE_BITS):
                    bits = opened(op, geometry, room.reached, u, memory.share[row], plane)
                    memory.fit_count[count_row(op, k, w, plane), u] = bits
    places = op.components * op.words
    counters.reads[Mem.SHARE] += op.components
    counters.reads[Mem.MEAN] += places * op.mean_bits
    counters.writes[Mem.FIT_COUNT] += places * SHARE_BITS
    return op.components + places * (READ_LATENCY + op.mean_bits + SHARE_BITS)


@part
def _nearest(op, memory, counters, label):
    """The first empty component, else the one whose majority differs least from act.latent; and the cycles."""
    for k in range(op.components):
        counters.reads[Mem.SHARE] += 1
        if memory.share[component_row(op, label, k)] == 0:
            return k, READ_LATENCY + k + 1
    chosen = least = 0
    for k in range(op.components):
        distance = 0
        for w in range(op.words):
            row = mean_row(op, component_row(op, label, k), w, op.mean_bits - 1)
            for u in range(memory.mean.shape[1]):
                distance += popcount(memory.mean[row, u] ^ memory.latent[w, u])
        if k == 0 or distance < least:
            chosen, least = k, distance
    reads = op.components * op.words
    counters.reads[Mem.MEAN] += reads
    counters.reads[Mem.LATENT] += reads
    return chosen, READ_LATENCY + op.components + reads + READ_LATENCY


@part
def _halve(op, memory, counters, label):
    """Halve every share and counter of a class; return the cycles."""
    for k in range(op.components):
        memory.share[component_row(op, label, k)] >>= 1
        for w in range(op.words):
            for u in range(memory.fit_count.shape[1]):
                for plane in range(SHARE_BITS - 1):
                    above = memory.fit_count[count_row(op, k, w, plane + 1), u]
                    memory.fit_count[count_row(op, k, w, plane), u] = above
                memory.fit_count[count_row(op, k, w, SHARE_BITS - 1), u] = ZERO
    places = op.components * op.words
    counters.reads[Mem.SHARE] += op.components
    counters.writes[Mem.SHARE] += op.components
    counters.reads[Mem.FIT_COUNT] += places * (SHARE_BITS - 1)
    counters.writes[Mem.FIT_COUNT] += places * SHARE_BITS
    return op.components + places * (SHARE_BITS + READ_LATENCY)


@part
def _count(op, geometry, memory, counters, room, row, share):
    """Add act.latent to the counters of a component, and quantise its means; row: of its share."""
    k = row % op.components
    for w in range(op.words):
        for u in range(memory.mean.shape[1]):
            carry = memory.latent[w, u]
            for plane in range(SHARE_BITS):
                at = count_row(op, k, w, plane)
                before = memory.fit_count[at, u]
                after = before ^ carry
                carry &= before
                memory.fit_count[at, u] = after
                for v in range(1, 1 << op.mean_bits):
                    room.reached[v - 1, u] = reaches(
                        op, geometry, room.reached[v - 1, u], after, v, share, plane
                    )
            for bit in range(op.mean_bits):
                mean = ZERO
                for v in range(1 << bit, 1 << op.mean_bits, 1 << bit):
                    mean ^= room.reached[v - 1, u]
                memory.mean[mean_row(op, row, w, bit), u] = mean
    counters.reads[Mem.LATENT] += op.words
    counters.reads[Mem.FIT_COUNT] += op.words * SHARE_BITS
    counters.writes[Mem.FIT_COUNT] += op.words * SHARE_BITS
    counters.writes[Mem.MEAN] += op.words * op.mean_bits


@kernel
def keep_phase(replay, op, memory, counters, scalars, label):
    """Stage the latent of act.latent where there is room for its class."""
    slot = scalars[Scalar.STAGED]
    counters.reads[Mem.STAGING_COUNT] += 1
    counters.events[Event.CYCLES] += 1
    if slot == replay.staging or memory.staging_count[label] >= op.most_staged:
        return
    for w in range(op.words):
        for u in range(memory.latent.shape[1]):
            memory.staging_latent[slot * op.words + w, u] = memory.latent[w, u]
    memory.staging_label[slot] = label
    memory.staging_count[label] += 1
    scalars[Scalar.STAGED] = slot + 1
    counters.reads[Mem.LATENT] += op.words
    counters.writes[Mem.STAGING_LATENT] += op.words
    counters.writes[Mem.STAGING_LABEL] += 1
    counters.writes[Mem.STAGING_COUNT] += 1
    counters.events[Event.CYCLES] += replay.copy_cycles


@kernel
def empty_phase(op, memory, counters, scalars):
    """Empty the staging memory."""
    memory.staging_count[: op.classes] = 0
    scalars[Scalar.STAGED] = 0
    counters.writes[Mem.STAGING_COUNT] += op.classes
    counters.events[Event.CYCLES] += op.classes


@kernel
def check_phase(op, geometry, memory, counters, scalars):
    """Count staged labels; refuse where a share, the open class or a staged label is of no class seen."""
    seen, rows = scalars[Scalar.SEEN], op.classes * op.components
    if op.staging:
        memory.staging_count[: op.classes] = 0
        counters.writes[Mem.STAGING_COUNT] += op.classes
        counters.events[Event.CYCLES] += op.classes
    entry = memory.fit_open[0]
    refused = entry >> geometry.label_bits == 1 and entry & (1 << geometry.label_bits) - 1 >= seen
    row = 0
    while not refused and row < rows:
        counters.reads[Mem.SHARE] += 1
        counters.events[Event.CYCLES] += 1
        refused = memory.share[row] != 0 and row // op.components >= seen
        row += 1
    # The look at a row comes a cycle after its read, beside the read of the next.
    counters.events[Event.CYCLES] += 1
    counters.reads[Mem.SHARE] += refused and row < rows
    for place in range(scalars[Scalar.STAGED] if not refused else 0):
        counters.events[Event.CYCLES] += 2
        counters.reads[Mem.STAGING_LABEL] += 1
        label = memory.staging_label[place]
        refused = label >= seen
        if refused:
            break
        memory.staging_count[label] += 1
        counters.reads[Mem.STAGING_COUNT] += 1
        counters.writes[Mem.STAGING_COUNT] += 1
    if refused:
        scalars[Scalar.REFUSED] = 1
        counters.events[Event.REFUSALS] += 1


@part
def find_draw(op, memory, counters, label, number):
    """Component of a draw, or -1 where the index names none; accesses and cycles past the walk's are counted.

    The cycles of the draw's words are not among them, those up to the one in which the sample is found are.
    """
    room = op.drawn
    if op.staging:
        counters.reads[Mem.STAGING_COUNT] += 1
        room -= memory.staging_count[label]
    if number >= room:
        return -1
    total = 0
    for k in range(op.components):
        total += memory.share[component_row(op, label, k)]
    counters.reads[Mem.SHARE] += op.components
    counters.events[Event.CYCLES] += op.components + READ_LATENCY
    if total == 0:
        return -1
    below = chosen = 0
    for k in range(op.components):
        below += room * memory.share[component_row(op, label, k)]
        chosen = k
        if number * total < below:
            break
    counters.reads[Mem.SHARE] += chosen + 1
    return chosen


@part
def drawn_cycles(op, chosen):
    """Cycles of a draw from the one in which the sample is found."""
    return 1 + chosen + 1 + op.words * (op.mean_bits + 1) + READ_LATENCY


@part
def draw_word(op, memory, counters, room, row, w):
    """Draw word w of a component into the register `given`; row: of its share."""
    for j in range(op.mean_bits + 1):
        for u in range(room.draw.shape[0]):
            room.given[u] = ZERO
            if j:
                room.feature[u] = memory.mean[mean_row(op, row, w, j - 1), u]
        for i in range(op.registers):
            state = next_state(memory.draw_state[i], op.steps)
            memory.draw_state[i] = state
            joined(op, room, room.given, i, state, j)
        for u in range(room.draw.shape[0]):
            room.draw[u] = room.given[u]
    counters.reads[Mem.MEAN] += op.mean_bits
    if w == op.words - 1:
        last_word(op, room.given)


@kernel
def gather_phase(program, memory, counters, scalars, room, log):  # noqa: C901  a branch a kind
    """Visit every sample of an epoch once, drawn or staged, and load minibatches into the lanes."""
    replay, op, geometry = program.replay, program.generative, program.geometry
    seed(scalars)
    counters.events[Event.CYCLES] += SEED_DRAWS
    mask, start = first_state(scalars, replay.epoch_bits)
    state = hits = 0
    for i in range(1 << replay.epoch_bits):
        state = step_walk(i, state, start, replay.epoch_bits, replay.epoch_taps)
        index = state ^ mask
        counters.events[Event.CYCLES] += 1
        place, label = index - replay.first_staged, index >> op.slot_bits
        if place >= 0:
            if place >= scalars[Scalar.STAGED]:
                continue
            counters.reads[Mem.STAGING_LABEL] += 1
            label = memory.staging_label[place]
            if label >= scalars[Scalar.SEEN]:  # after a fault
                counters.events[Event.CYCLES] += 1
                continue
            counters.reads[Mem.STAGING_LATENT] += op.words
            note(log, counters.events[Event.CYCLES], HIT, index, label)
            load_sample(replay, geometry, memory, counters, memory.staging_latent, place, hits)
            counters.events[Event.CYCLES] += 1 + replay.copy_cycles
        else:
            if label >= scalars[Scalar.SEEN]:
                continue
            number = index & (1 << op.slot_bits) - 1
            chosen = find_draw(op, memory, counters, label, number)
            if chosen < 0:
                continue
            note(log, counters.events[Event.CYCLES], HIT, index, label)
            n = hits % geometry.batch
            lane, first = n % geometry.lanes, n // geometry.lanes * geometry.batch_slots * TAPS
            for w in range(op.words):
                row = component_row(op, label, chosen)
                draw_word(op, memory, counters, room, row, w)
                put_word(geometry, memory.lane_file[lane], first + w, room.given)
            counters.events[Event.TAP_WRITES] += op.words
            counters.events[Event.CYCLES] += drawn_cycles(op, chosen)
        counters.events[Event.SAMPLES] += 1
        hits += 1
