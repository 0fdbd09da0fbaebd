"""Every counter of the chip: reads and writes of each memory, and the events of `xnoreplay.spec.events`."""

from typing import NamedTuple

import numpy as np

from xnoreplay.spec import registers
from xnoreplay.spec.events import Event
from xnoreplay.spec.memories import Mem

MEMORY_NAMES = tuple(mem.declaration.name for mem in Mem)
EVENT_NAMES = tuple(event.counter for event in Event)


class Counters(NamedTuple):
    """Every counter of the chip."""

    reads: np.ndarray  # (memories,) int64, read strobes by `Mem`
    writes: np.ndarray  # (memories,) int64, write strobes by `Mem`
    events: np.ndarray  # (events,) int64, by `Event`


def zeros() -> Counters:
    """Counters that have counted nothing."""
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
