"""What stepping mode records of each cycle, and its text in the format of `spec.trace`."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import part
from xnoreplay.sim.step.array import sum_ready
from xnoreplay.sim.step.registers import Ports, R
from xnoreplay.spec import trace
from xnoreplay.spec.bits import WORD
from xnoreplay.spec.memories import Mem, Storage
from xnoreplay.spec.network import TAPS

CHUNK = 4096  # cycles recorded between two conversions to text


class Trace(NamedTuple):
    """Strobes and operands of some cycles; no rows where nothing is recorded."""

    count: np.ndarray  # (1,) int64, cycles recorded
    read: np.ndarray  # (cycles, memories) int64, address or -1
    writes: np.ndarray  # (cycles,) int64
    write: np.ndarray  # (cycles, most, 4) int64: memory, address, first granule, granules
    data: np.ndarray  # (cycles, most, words) uint64
    stream: np.ndarray  # (cycles, 4) int64: valid, slot, taps, lanes
    x: np.ndarray  # (cycles, 9 units) uint64
    sums: np.ndarray  # (cycles,) int64, accumulators shown
    acc: np.ndarray  # (cycles, lanes) int64


def buffer(cycles: int, geometry, ports: Ports) -> Trace:
    """An empty recording of so many cycles."""
    most, words = ports.data.shape
    return Trace(
        np.zeros(1, np.int64),
        np.zeros((cycles, len(ports.read)), np.int64),
        np.zeros(cycles, np.int64),
        np.zeros((cycles, most, 4), np.int64),
        np.zeros((cycles, most, words), np.uint64),
        np.zeros((cycles, 4), np.int64),
        np.zeros((cycles, TAPS * geometry.units), np.uint64),
        np.zeros(cycles, np.int64),
        np.zeros((cycles, geometry.lanes), np.int64),
    )


@part
def record(t, p, now):
    """Take down one cycle."""
    n = t.count[0]
    t.count[0] = n + 1
    for i in range(p.read.shape[0]):
        t.read[n, i] = p.read[i]
    t.writes[n] = p.count[0]
    for i in range(p.count[0]):
        t.write[n, i, 0], t.write[n, i, 1] = p.mem[i], p.address[i]
        t.write[n, i, 2], t.write[n, i, 3] = p.granule[i], p.granules[i]
        for w in range(p.data.shape[1]):
            t.data[n, i, w] = p.data[i, w]
    t.stream[n, 0], t.stream[n, 1] = now.s[R.X_VALID], now.s[R.X_SLOT]
    t.stream[n, 2], t.stream[n, 3] = now.s[R.X_TAPS], now.s[R.X_LANES]
    for i in range(t.x.shape[1]):
        t.x[n, i] = now.x[i]
    t.sums[n] = now.s[R.A_LANES] if sum_ready(now) else 0
    for i in range(t.acc.shape[1]):
        t.acc[n, i] = now.acc[i]


def lines(t: Trace, geometry, first: int, phase: str) -> list[str]:
    """The text of a recording whose first cycle is number `first`."""
    return [trace.line(*cycle) for cycle in cycles(t, geometry, first, phase)]


def cycles(t: Trace, geometry, first: int, phase: str) -> list[trace.Cycle]:
    """The cycles of a recording whose first one is number `first`, for programs."""
    shown = [(int(m), m.declaration.name) for m in Mem if m.declaration.traced]
    names = dict(shown)
    out = []
    for n in range(int(t.count[0])):
        reads = {name: int(t.read[n, i]) for i, name in shown if t.read[n, i] >= 0}
        writes: dict[str, tuple] = {}
        for i in range(int(t.writes[n])):
            mem, address, granule, granules = t.write[n, i].tolist()
            if mem in names:
                mask = (1 << granules) - 1 << granule
                taps = Mem(mem).declaration.storage is Storage.TAPS
                unit = geometry.channels if taps else WORD * geometry.units
                write = trace.Write(address, _join(t.data[n, i], unit, geometry.units), mask)
                writes[names[mem]] = (*writes.get(names[mem], ()), write)
        valid, slot, taps, lanes = t.stream[n].tolist()
        word = _join(t.x[n], geometry.channels, geometry.units)
        x = trace.Stream(word, slot, taps, (1 << lanes) - 1) if valid else None
        sums = tuple(t.acc[n, : t.sums[n]].tolist()) if t.sums[n] else None
        out.append(trace.Cycle(first + n, phase, reads, writes, x, sums))
    return out


def _join(words: np.ndarray, bits: int, units: int) -> int:
    """The integer of a row whose words of so many bits have `units` uint64s each."""
    value = 0
    for i in np.flatnonzero(words).tolist():
        value |= int(words[i]) << bits * (i // units) + WORD * (i % units)
    return value
