"""Every event that is counted, but for the reads and writes of memories, which `spec.memories` declares.

A chip has a counter of each event whose group the target names; the simulator counts them all.

An event is added by one member of `Event`, a row of `flow/cost/tables/events.csv` where it costs something of its
own, and the lines that count it: in the kernels of both modes of the simulator, and in `events` of a unit of the Verilog.
"""

from enum import IntEnum, StrEnum

COUNTER_BITS = (0, 32, 48)
"""Bits that the counters of a chip may have; 0 is a chip without any."""


class Group(StrEnum):
    """Event counters that a chip has together or not at all; `meaning` says of what."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> "Group":
        """A member: its name in a spec file, with what its counters count."""
        member = str.__new__(cls, name)
        member._value_, member.meaning = name, meaning
        return member

    CYCLES = "cycles", "cycles, waits for pixels, images"
    ARRAY = "array", "beats, taps and nodes of the array"
    MEMORIES = "memories", "reads and writes of every memory"
    LEARNING = "learning", "samples, rows and planes of retraining, and the replay memory's samples"


_ELSEWHERE = "its memory accesses and cycles are counted where they happen"
_WORDS = "a plane's words are counted as lane.file.writes"
_PART = "part of array.beats and array.nodes"


class Event(IntEnum):
    """Events by the number of their counter.

    Each member is given the counter's name, its group, what it counts, and why the event costs nothing of its own;
    without a reason, an estimate wants a row of `flow/cost/tables/events.csv`.
    """

    counter: str
    group: Group
    meaning: str
    free: str

    def __new__(cls, counter: str, group: Group, meaning: str, free: str = "") -> "Event":
        """Number the member by its place."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.counter, member.group = counter, group
        member.meaning, member.free = meaning, free
        return member

    CYCLES = (
        "cycles",
        Group.CYCLES,
        "cycles in which the phase is not idle",
    )
    STALLS = (
        "input.stalls",
        Group.CYCLES,
        "cycles of input that wait for a pixel",
        "a waiting cycle is already in cycles",
    )
    IMAGES = (
        "images",
        Group.CYCLES,
        "samples whose input was completed: images, or latents of a chip without convolutions",
    )
    BEATS = (
        "array.beats",
        Group.ARRAY,
        "cycles in which the array's operand x is valid, of XNOR and AND mode",
    )
    TAPS = (
        "array.taps",
        Group.ARRAY,
        "taps enabled times lanes enabled, summed over the beats of XNOR mode; times G: operations of cells",
    )
    TAP_WRITES = (
        "lane.file.tap_writes",
        Group.ARRAY,
        "single taps written to lanes: words of vectors, and of a minibatch's latents",
        "charged with the memory: a ninth of a whole word",
    )
    EVICTIONS = (
        "replay.evictions",
        Group.LEARNING,
        "latents that ARRIVE and REBALANCE remove from the replay memory",
        _ELSEWHERE,
    )
    INSERTIONS = (
        "replay.insertions",
        Group.LEARNING,
        "latents that INSERT and REBALANCE write to the replay memory",
        _ELSEWHERE,
    )
    REFUSALS = (
        "replay.refusals",
        Group.LEARNING,
        "samples that STAGE and INSERT refuse, and labels at which RESTORE ends",
        _ELSEWHERE,
    )
    SAMPLES = (
        "epoch.samples",
        Group.LEARNING,
        "samples that EPOCH finds; those of RETRAIN are learn.samples",
        _ELSEWHERE,
    )
    LEARN_SAMPLES = (
        "learn.samples",
        Group.LEARNING,
        "samples in the minibatches of retraining",
    )
    MINIBATCHES = (
        "learn.minibatches",
        Group.LEARNING,
        "minibatches of retraining",
        _ELSEWHERE,
    )
    ROWS = (
        "learn.rows",
        Group.LEARNING,
        "rows of both updates that have a plane of deltas that is not empty",
        _ELSEWHERE,
    )
    ROWS_SKIPPED = (
        "learn.rows_skipped",
        Group.LEARNING,
        "rows of both updates whose planes are all empty: they change nothing",
        _ELSEWHERE,
    )
    BLOCKS = (
        "learn.blocks",
        Group.LEARNING,
        "blocks of classes of a sample, in back-propagation, that have a plane that is not empty",
        _ELSEWHERE,
    )
    BLOCKS_SKIPPED = (
        "learn.blocks_skipped",
        Group.LEARNING,
        "blocks of classes of a sample, in back-propagation, whose planes are all empty",
        _ELSEWHERE,
    )
    BACK_PLANES = (
        "learn.back.planes",
        Group.LEARNING,
        "bit-planes of deltas that back-propagation loads into the lanes",
        _WORDS,
    )
    OUTPUT_PLANES = (
        "learn.output.planes",
        Group.LEARNING,
        "bit-planes of deltas that the output layer's update loads into the lanes",
        _WORDS,
    )
    HIDDEN_PLANES = (
        "learn.hidden.planes",
        Group.LEARNING,
        "bit-planes of deltas that the hidden layer's update loads into the lanes",
        _WORDS,
    )
    BACK_BEATS = (
        "learn.back.beats",
        Group.LEARNING,
        "beats of AND mode of back-propagation",
        _PART,
    )
    OUTPUT_BEATS = (
        "learn.output.beats",
        Group.LEARNING,
        "beats of AND mode of the output layer's update",
        _PART,
    )
    HIDDEN_BEATS = (
        "learn.hidden.beats",
        Group.LEARNING,
        "beats of AND mode of the hidden layer's update",
        _PART,
    )
    NODES = (
        "array.nodes",
        Group.ARRAY,
        "segment times lanes at work, summed over the beats of AND mode",
    )
