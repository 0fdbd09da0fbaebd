"""Every event that the chip counts, but for the reads and writes of memories, which `spec.memories` declares.

An event is added by one member of `Event`, a row of `flow/cost/tables/events.csv` where it costs something of its
own, and the lines that count it: in a kernel of the simulator, and in `events` of a unit of the Verilog.
"""

from enum import IntEnum

_ELSEWHERE = "its memory accesses and cycles are counted where they happen"
_WORDS = "a plane's words are counted as lane.file.writes"
_PART = "part of array.beats and array.nodes"


class Event(IntEnum):
    """Events by the number of their counter.

    Each member is given the counter's name, and why the event costs nothing of its own; without a reason, an
    estimate wants a row of `flow/cost/tables/events.csv`.
    """

    counter: str
    free: str

    def __new__(cls, counter: str, free: str = "") -> "Event":
        """Number the member by its place."""
        member = int.__new__(cls, len(cls.__members__))
        member._value_ = len(cls.__members__)
        member.counter, member.free = counter, free
        return member

    CYCLES = "cycles"
    STALLS = "input.stalls", "a waiting cycle is already in cycles"
    IMAGES = "images"
    BEATS = "array.beats"
    TAPS = "array.taps"
    TAP_WRITES = "lane.file.tap_writes", "charged with the memory: a ninth of a whole word"
    EVICTIONS = "replay.evictions", _ELSEWHERE
    INSERTIONS = "replay.insertions", _ELSEWHERE
    REFUSALS = "replay.refusals", _ELSEWHERE
    SAMPLES = "epoch.samples", _ELSEWHERE
    LEARN_SAMPLES = "learn.samples"
    MINIBATCHES = "learn.minibatches", _ELSEWHERE
    ROWS = "learn.rows", _ELSEWHERE
    ROWS_SKIPPED = "learn.rows_skipped", _ELSEWHERE
    BLOCKS = "learn.blocks", _ELSEWHERE
    BLOCKS_SKIPPED = (
        "learn.blocks_skipped",
        _ELSEWHERE,
    )
    BACK_PLANES = "learn.back.planes", _WORDS
    OUTPUT_PLANES = "learn.output.planes", _WORDS
    HIDDEN_PLANES = "learn.hidden.planes", _WORDS
    BACK_BEATS = "learn.back.beats", _PART
    OUTPUT_BEATS = "learn.output.beats", _PART
    HIDDEN_BEATS = "learn.hidden.beats", _PART
    NODES = "array.nodes"
