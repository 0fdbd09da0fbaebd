"""Pipeline latencies in cycles, stage by stage, and the cycles of operations that follow from them.

A stage is a number of cycles from the cycle of an address. The functions are sums of plain integers: the plan calls
them, the simulator compiles them as they stand, and the hardware calls them with signals.
`docs/microarchitecture.md` and `docs/learning_datapath.md` are the prose of this file.
"""

from xnoreplay.spec.learning import BALANCE_BITS, WEIGHT_BITS

READ_LATENCY = 1  # cycles from an address to a memory's word
FILE_LATENCY = 2  # cycles from a write strobe of the lane files to a read of the new word

# The array, from the address of a beat's word.
OPERAND_STAGE = READ_LATENCY + 1  # the word is in the operand register
CELL_STAGE = OPERAND_STAGE + 1  # the cells' bits are there
NODE_STAGE = CELL_STAGE + 1  # their sums, node by node
PIPE_LATENCY = NODE_STAGE + 1  # the accumulator, or a node's gradient, holds the sum
TOP_STAGE = (
    PIPE_LATENCY - 1
)  # an update reads cls.top, whose word comes late: one cycle before the proxies' low bits
ROUND_STAGE = PIPE_LATENCY + 1  # a random draw has rounded what the sum leads to
UPDATE_LATENCY = ROUND_STAGE + 1  # proxies, or deltas, are written

# LGAP: the counters hold the last word, then the depthwise word follows the average.
LGAP_LATENCY = READ_LATENCY + 2

# The error unit, from the address of a class's logits, in either of its two readings.
EXPONENTIAL_STAGE = READ_LATENCY  # the logits are there, and exponentials are looked up
TOTAL_STAGE = EXPONENTIAL_STAGE + 1  # first reading: exponentials are added
PRODUCT_STAGE = EXPONENTIAL_STAGE + 1  # second reading: exponentials are multiplied
PROBABILITY_STAGE = PRODUCT_STAGE + 1  # products are shifted to probabilities
ERROR_STAGE = PROBABILITY_STAGE + 1  # probabilities become errors
DELTA_STAGE = ERROR_STAGE + 1  # errors are rounded to deltas, which are written
RECIPROCAL_BITS = 5  # quotient bits of the softmax's reciprocal, one a cycle
RECIPROCAL_CYCLES = 1 + RECIPROCAL_BITS  # the sum's exponent, and the quotient

# The replay unit, once it has a sample's label.
COUNT_CYCLES = 2  # its class's count is read, and compared with the quota
REFUSE_CYCLES = 1  # the end of a sample that finds no place

# Serial divisions of the loss balance.
INVERSE_CYCLES = READ_LATENCY + BALANCE_BITS + 1  # reading a frequency, and the bits of 2^20 / f
LEAST_DIVIDEND = 32  # bits of a class weight's dividend, where more are not needed

# Cycles of a sample's rounding in back-propagation past those of its hidden units.
ROUND_DRAIN = 2


def stream_cycles(rows: int) -> int:
    """Cycles of a stream of so many rows of weights: from the first address to the last sum.

    >>> stream_cycles(10)
    15
    """
    return rows + PIPE_LATENCY


def weight_cycles(classes: int) -> int:
    """Cycles of a class weight's division, of a chip of so many classes: reading an inverse, and the quotient bits.

    They are as many as the dividend's, whose most is that of C classes with one sample each: their number times the
    inverse, 16 C 2^20, and half of the divisor C 2^20.

    >>> weight_cycles(248), weight_cycles(249), weight_cycles(1024)
    (33, 34, 36)
    """
    most = (classes << BALANCE_BITS + WEIGHT_BITS) + (classes << BALANCE_BITS - 1)
    return READ_LATENCY + max(LEAST_DIVIDEND, most.bit_length())


def balance_cycles(seen: int, staged: int, staging: int, division: int, components: int = 0) -> int:
    """Cycles of the loss balance of the classes seen, with `staged` samples in a staging memory of `staging` slots.

    A cycle a class copies its count; staged labels are counted, if there is such a memory; then two divisions a class.
    With generative replay of so many components a class, its shares are looked at before that cycle, and no staged
    label is counted.

    division: cycles of the second one, `weight_cycles`.

    >>> balance_cycles(10, 3, 4, 33), balance_cycles(10, 0, 0, 33), balance_cycles(10, 3, 4, 33, 5)
    (564, 560, 610)
    """
    scan = staged + READ_LATENCY if staging and not components else 0
    return seen * (components + 1 + INVERSE_CYCLES + division) + scan


def reciprocal_begins(seen):
    """Cycle of a group in the error unit in which its sums of exponentials are whole; cycle 0 reads the first class.

    seen: classes seen, an integer or a signal.

    >>> reciprocal_begins(10)
    12
    """
    return seen + TOTAL_STAGE


def second_reading(seen):
    """Cycle of a group in the error unit that reads the first class's logits again.

    seen: classes seen, an integer or a signal.

    >>> second_reading(10)
    18
    """
    return seen + TOTAL_STAGE + RECIPROCAL_CYCLES


def error_cycles(seen: int, groups: int) -> int:
    """Cycles of so many groups in the error unit, each from its first logits' address to its last class's deltas.

    >>> error_cycles(10, 1)
    33
    """
    return groups * (2 * seen + TOTAL_STAGE + RECIPROCAL_CYCLES + DELTA_STAGE)


def back_cycles(
    fill: int, minibatches: int, samples: int, blocks: int, hidden: int, planes: int, beats: int
) -> int:
    """Cycles of back-propagation through minibatches that have so many samples together.

    fill: words copied to the banks for a minibatch. Each sample has a check a block of classes, and a rounding a
    hidden unit; planes are loaded, and beats multiply by them, of all samples.

    >>> back_cycles(20, 1, 16, 1, 32, 0, 0)
    586
    """
    sample = blocks + hidden + ROUND_DRAIN
    return minibatches * (fill + READ_LATENCY + PIPE_LATENCY) + samples * sample + planes + beats


def update_cycles(rows: int, minibatches: int, planes: int, beats: int) -> int:
    """Cycles of a layer's updates: a check a row, planes loaded, beats that multiply by them, and the pipeline's end.

    rows: of the layer, those without a plane included. planes, beats: of all minibatches.

    >>> update_cycles(10, 1, 0, 0)
    17
    """
    return minibatches * (rows + UPDATE_LATENCY) + planes + beats
