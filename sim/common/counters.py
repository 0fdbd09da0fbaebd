"""Every event that is counted: reads and writes of each memory, and the events of `xnoreplay.spec.events`."""

from typing import NamedTuple

import numpy as np

from xnoreplay.spec import registers
from xnoreplay.spec.events import COUNTER_BITS, Event
from xnoreplay.spec.memories import Mem
from xnoreplay.spec.plan import Plan

MEMORY_NAMES = tuple(mem.declaration.name for mem in Mem)
READ_NAMES = tuple(f"{name}.reads" for name in MEMORY_NAMES)
WRITE_NAMES = tuple(f"{name}.writes" for name in MEMORY_NAMES)
EVENT_NAMES = tuple(event.counter for event in Event)
WIDEST = max(COUNTER_BITS)
"""Bits in which the simulator's own counts wrap."""


class Counters(NamedTuple):
    """Counts of every event, whether the chip has a counter of it or not."""

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
    """Counts by name, in the order of the registers of a chip that has all counters; modulo 2^48."""
    values = dict(zip(EVENT_NAMES, counters.events.tolist(), strict=True))
    values |= zip(READ_NAMES, counters.reads.tolist(), strict=True)
    values |= zip(WRITE_NAMES, counters.writes.tolist(), strict=True)
    return {name: wrapped(values[name]) for name in registers.events(memories)}


def of_chip(counters: Counters, plan: Plan) -> dict[str, int]:
    """What the counters that the plan's chip has show, by name, in the order of their registers."""
    counted, bits = named(counters, plan.memories), plan.target.counter_bits
    names = registers.counters(plan.memories, plan.target)
    return {name: wrapped(counted[name], bits) for name in names}


def wrapped(count: int, bits: int = WIDEST) -> int:
    """What a counter of so many bits shows after so many events.

    >>> wrapped((1 << 48) + 2), wrapped((1 << 32) + 3, 32)
    (2, 3)
    """
    return count & (1 << bits) - 1


def put(counters: Counters, values: dict[str, int]) -> None:
    """Replace counters by name: the inverse of `named`."""
    for name, value in values.items():
        if name in EVENT_NAMES:
            counters.events[EVENT_NAMES.index(name)] = value
        else:
            memory, _, way = name.rpartition(".")
            getattr(counters, way)[MEMORY_NAMES.index(memory)] = value
