"""Plays a netlist event by event in whole picoseconds, and counts how often each net moves.

A gate works out its value when inputs of it have moved, all that move in the same picosecond at once, and shows it a
delay later. Its delay is inertial, as Verilog's ``assign #(rise, fall)``: what it was about to show is taken back where its
inputs lead to another value before. The next edge of the clock comes when nothing moves any more, so that every path is
shorter than half the clock's period; the other inputs follow the rising edge a picosecond later.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

LOOPS = -1
"""In place of a time: the netlist goes on moving."""
MOST_PS = 1 << 24
"""After an edge, until a netlist counts as one that goes on moving."""


class Design(NamedTuple):
    """A netlist; nets 0 and 1 are the constants.

    A truth table has its value for inputs whose bits are k, the first lowest, in bit k. Of what cells hold, a row of
    `state_tables` has clock, data, clear and preset.
    """

    nets: np.ndarray  # (nets,) uint8, of no meaning but for its length
    first: np.ndarray  # (nets + 1,) int64, of each net's sinks
    sinks: np.ndarray  # int32, gates, and after them states
    gate_inputs: np.ndarray  # (gates, 6) int32, nets
    gate_table: np.ndarray  # (gates,) uint64
    gate_output: np.ndarray  # (gates,) int32, nets
    rise: np.ndarray  # (gates,) int32, ps
    fall: np.ndarray  # (gates,) int32, ps
    state_inputs: np.ndarray  # (states, 6) int32, nets
    state_tables: np.ndarray  # (states, 4) uint64
    state_latch: np.ndarray  # (states,) uint8, whether it is open while its clock is 1
    state_net: np.ndarray  # (states,) int32, nets


class Played(NamedTuple):
    """What a run counted.

    Parameters
    ----------
    outputs : np.ndarray
        (cycles, outputs) uint8, before each rising edge.
    moves : np.ndarray
        (nets,) int64, transitions of each net, glitches too.
    settled : np.ndarray
        (nets,) int64, transitions without delays: edges of the clock after which a net rests at another value.
    first : np.ndarray
        (nets,) uint8, what each net rests at before the first edge.
    longest : int
        Picoseconds from an edge of the clock until nothing moves, at most; `LOOPS` where it never rests.
    """

    outputs: np.ndarray
    moves: np.ndarray
    settled: np.ndarray
    first: np.ndarray
    longest: int


def play(
    design: Design, clock: int, inputs: np.ndarray, outputs: np.ndarray, stimulus: np.ndarray
) -> Played:
    """Play recorded inputs, a row a cycle.

    Parameters
    ----------
    design : Design
    clock : int
        Net of the clock.
    inputs, outputs : np.ndarray
        int32, nets of the other inputs, and of the outputs.
    stimulus : np.ndarray
        (cycles, inputs) uint8.
    """
    n, gates, states = len(design.nets), len(design.gate_output), len(design.state_net)
    slots = 1 << int(max([0, *design.rise, *design.fall])).bit_length()
    shown = np.zeros((len(stimulus), len(outputs)), np.uint8)
    moves, settled = np.zeros(n, np.int64), np.zeros(n, np.int64)
    value, first = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    value[1] = 1
    longest = _compiled()(
        design,
        clock,
        inputs,
        outputs,
        stimulus,
        shown,
        moves,
        settled,
        value,
        first,
        np.full(slots, -1, np.int32),
        np.full((2, gates), -1, np.int32),
        np.full(gates, -1, np.int64),
        np.zeros(gates + states, np.uint8),
        np.zeros(gates + states, np.int32),
        np.zeros(states, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.int32),
    )
    return Played(shown, moves, settled, first, int(longest))


@cache
def _compiled():
    """Return the loop as a kernel of the simulator's kind, which is compiled once and kept."""
    from xnoreplay.sim.common.jit import kernel

    return kernel(_play)


def _play(  # noqa: PLR0913, PLR0912, PLR0915, PLR0917, C901  one loop over plain arrays, whose allocation a kernel leaves to its caller
    design,
    clock,
    inputs,
    outputs,
    stimulus,
    shown,
    moves,
    settled,
    value,
    began_with,
    slot,  # the first gate that waits for each time, in a circle of slots; -1 for none
    link,  # of a gate that waits, the next and the one before
    due,  # when a gate that waits shows its other value; -1 where it does not wait
    asked,  # whether a gate or state is to be worked out
    queue,
    before,  # the clock of each state as it was
    moved,  # whether a net has moved since the last edge, and what it was then, in the second bit
    touched,
):
    gates, states = len(design.gate_output), len(design.state_net)
    circle = len(slot) - 1
    longest = 0
    waiting = 0
    time = 0
    asking = 0
    touching = 0
    for node in range(gates + states):
        asked[node] = 1
        queue[asking] = node
        asking += 1
    for i in range(len(inputs)):
        value[inputs[i]] = stimulus[0, i]
    for half in range(2 * len(stimulus)):
        # The first half is the settling of what was there at power-on; odd ones begin with a rising edge.
        cycle = half // 2
        began = time
        steps = 0
        if half > 0:
            value[clock] = half & 1
            moves[clock] += 1
            settled[clock] += 1
            for at in range(design.first[clock], design.first[clock + 1]):
                node = design.sinks[at]
                if not asked[node]:
                    asked[node] = 1
                    queue[asking] = node
                    asking += 1
            if half & 1:
                for i in range(len(outputs)):
                    shown[cycle, i] = value[outputs[i]]
        fed = not (half & 1 and cycle + 1 < len(stimulus))
        while True:
            # All that is due moves, and then all that reads it is worked out.
            again = True
            while again:
                index = slot[time & circle]
                slot[time & circle] = -1
                while index >= 0:
                    following = link[0, index]
                    due[index] = -1
                    waiting -= 1
                    net = design.gate_output[index]
                    if half > 0:
                        moves[net] += 1
                        if not moved[net]:
                            moved[net] = 1 | value[net] << 1
                            touched[touching] = net
                            touching += 1
                    value[net] ^= 1
                    for at in range(design.first[net], design.first[net + 1]):
                        node = design.sinks[at]
                        if not asked[node]:
                            asked[node] = 1
                            queue[asking] = node
                            asking += 1
                    index = following
                # States first: a latch that closes does so before its gate opens.
                done = 0
                while done < asking:
                    node = queue[done]
                    done += 1
                    if node < gates:
                        continue
                    asked[node] = 0
                    s = node - gates
                    bits = 0
                    for j in range(6):
                        bits |= np.int64(value[design.state_inputs[s, j]]) << j
                    shift = np.uint64(bits)
                    one = np.uint64(1)
                    now = design.state_tables[s, 0] >> shift & one
                    net = design.state_net[s]
                    new = np.uint64(value[net])
                    if design.state_tables[s, 2] >> shift & one:
                        new = np.uint64(0)
                    elif design.state_tables[s, 3] >> shift & one:
                        new = one
                    elif now and (design.state_latch[s] or not before[s]):
                        new = design.state_tables[s, 1] >> shift & one
                    before[s] = now
                    if new != value[net]:
                        value[net] = new
                        for at in range(design.first[net], design.first[net + 1]):
                            other = design.sinks[at]
                            if not asked[other]:
                                asked[other] = 1
                                queue[asking] = other
                                asking += 1
                again = False
                for place in range(asking):
                    node = queue[place]
                    if node >= gates:
                        continue
                    asked[node] = 0
                    bits = 0
                    for j in range(6):
                        bits |= np.int64(value[design.gate_inputs[node, j]]) << j
                    new = design.gate_table[node] >> np.uint64(bits) & np.uint64(1)
                    if (new != value[design.gate_output[node]]) == (due[node] >= 0):
                        continue  # what it waits for, or what it shows
                    if due[node] >= 0:
                        last, following = link[1, node], link[0, node]
                        if last >= 0:
                            link[0, last] = following
                        else:
                            slot[due[node] & circle] = following
                        if following >= 0:
                            link[1, following] = last
                        due[node] = -1
                        waiting -= 1
                        continue
                    delay = design.rise[node] if new else design.fall[node]
                    due[node] = time + delay
                    again = again or delay == 0
                    head = slot[due[node] & circle]
                    link[0, node], link[1, node] = head, -1
                    if head >= 0:
                        link[1, head] = node
                    slot[due[node] & circle] = node
                    waiting += 1
                asking = 0
            if not fed:
                fed = True
                time += 1
                for i in range(len(inputs)):
                    net = inputs[i]
                    if value[net] != stimulus[cycle + 1, i]:
                        value[net] ^= 1
                        moves[net] += 1
                        settled[net] += 1
                        for at in range(design.first[net], design.first[net + 1]):
                            node = design.sinks[at]
                            if not asked[node]:
                                asked[node] = 1
                                queue[asking] = node
                                asking += 1
                continue
            if not waiting:
                break
            time += 1
            steps += 1
            if steps > MOST_PS:
                return LOOPS
        if half > 0:
            longest = max(longest, time - began)
        else:
            for net in range(len(value)):
                began_with[net] = value[net]
        for i in range(touching):
            net = touched[i]
            settled[net] += moved[net] >> 1 != value[net]
            moved[net] = 0
        touching = 0
        time += 1
    return longest
