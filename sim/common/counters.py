"""Events that cost something: strobes of every memory, and what the array and the replay unit did."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.spec import registers


class Mem(IntEnum):
    """Numbers of the memories, in the order of `MEMORY_NAMES`."""

    WEIGHTS_FE = 0
    WEIGHTS_LGAP = 1
    CLS_TOP = 2
    PING = 3
    PONG = 4
    LATENT = 5
    ROW0 = 6
    ROW1 = 7
    LANE_FILE = 8
    POOL_ROW = 9
    REPLAY_LATENT = 10
    REPLAY_LABEL = 11
    REPLAY_COUNT = 12
    STAGING_LATENT = 13
    STAGING_LABEL = 14
    THRESHOLD = 15
    CLS_LOW = 16
    HIDDEN_LOW = 17
    BANK = 18
    BATCH_LABEL = 19
    MASK = 20
    LOGIT = 21
    DELTA = 22
    CLASS_DELTA = 23
    HIDDEN_DELTA = 24
    INVERSE = 25
    WEIGHT = 26


MEMORY_NAMES = (
    "weights.fe",
    "weights.lgap",
    "cls.top",
    "act.ping",
    "act.pong",
    "act.latent",
    "line.row0",
    "line.row1",
    "lane.file",
    "pool.row",
    "replay.latent",
    "replay.label",
    "replay.count",
    "staging.latent",
    "staging.label",
    "thermometer.threshold",
    "cls.low",
    "cls.hidden_low",
    "batch.bank",
    "batch.label",
    "batch.mask",
    "batch.logit",
    "batch.delta",
    "batch.class_delta",
    "batch.hidden_delta",
    "table.inverse",
    "table.weight",
)


class Event(IntEnum):
    """Numbers of the other counters, in the order of `EVENT_NAMES`."""

    CYCLES = 0
    STALLS = 1
    IMAGES = 2
    BEATS = 3
    TAPS = 4
    TAP_WRITES = 5
    EVICTIONS = 6
    INSERTIONS = 7
    REFUSALS = 8
    SAMPLES = 9
    LEARN_SAMPLES = 10
    MINIBATCHES = 11
    ROWS = 12
    ROWS_SKIPPED = 13
    BLOCKS = 14
    BLOCKS_SKIPPED = 15
    BACK_PLANES = 16
    OUTPUT_PLANES = 17
    HIDDEN_PLANES = 18
    BACK_BEATS = 19
    OUTPUT_BEATS = 20
    HIDDEN_BEATS = 21
    NODES = 22


EVENT_NAMES = (
    "cycles",
    "input.stalls",
    "images",
    "array.beats",
    "array.taps",
    "lane.file.tap_writes",
    "replay.evictions",
    "replay.insertions",
    "replay.refusals",
    "epoch.samples",
    "learn.samples",
    "learn.minibatches",
    "learn.rows",
    "learn.rows_skipped",
    "learn.blocks",
    "learn.blocks_skipped",
    "learn.back.planes",
    "learn.output.planes",
    "learn.hidden.planes",
    "learn.back.beats",
    "learn.output.beats",
    "learn.hidden.beats",
    "array.nodes",
)


class Counters(NamedTuple):
    """Every counter of the chip."""

    reads: np.ndarray  # (memories,) int64, read strobes by `Mem`
    writes: np.ndarray  # (memories,) int64, write strobes by `Mem`
    events: np.ndarray  # (events,) int64, by `Event`


def zeros() -> Counters:
    memories = len(MEMORY_NAMES)
    return Counters(
        np.zeros(memories, np.int64),
        np.zeros(memories, np.int64),
        np.zeros(len(EVENT_NAMES), np.int64),
    )


def named(counters: Counters, memories) -> dict[str, int]:
    """Counter values by name, in the order of the chip's registers, whose bits they have."""
    values = dict(zip(EVENT_NAMES, counters.events.tolist(), strict=True))
    for i, name in enumerate(MEMORY_NAMES):
        values[f"{name}.reads"] = int(counters.reads[i])
        values[f"{name}.writes"] = int(counters.writes[i])
    return {name: wrapped(values[name]) for name in registers.counters(memories)}


def wrapped(count: int) -> int:
    """What a counter of the chip shows after so many events.

    >>> wrapped((1 << 48) + 2)
    2
    """
    return count & (1 << registers.COUNTER_BITS) - 1


def put(counters: Counters, values: dict[str, int]) -> None:
    """Replace counters by name: the inverse of `named`."""
    for name, value in values.items():
        if name in EVENT_NAMES:
            counters.events[EVENT_NAMES.index(name)] = value
        else:
            memory, _, way = name.rpartition(".")
            getattr(counters, way)[MEMORY_NAMES.index(memory)] = value
