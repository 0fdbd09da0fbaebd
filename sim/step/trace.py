"""What stepping mode records of each cycle, and its text in the format of `spec.trace`."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import part
from xnoreplay.sim.step.array import sum_ready
from xnoreplay.sim.step.registers import Flop, Ports
from xnoreplay.spec import trace
from xnoreplay.spec.bits import WORD
from xnoreplay.spec.memories import Mem, Storage
from xnoreplay.spec.network import TAPS

CHUNK = 4096  # cycles recorded between two conversions to text


class Trace(NamedTuple):
    """Strobes and operands of some cycles; no rows where nothing is recorded."""

    count: np.ndarray  # type: ignore[assignment]  # (1,) int64, cycles recorded
    read: np.ndarray  # (cycles, memories) int64, address or -1
    writes: np.ndarray  # (cycles,) int64
    write: np.ndarray  # (cycles, most, 4) int64: memory, address, first granule, granules
    data: np.ndarray  # (cycles, most, words) uint64
    stream: np.ndarray  # (cycles, 4) int64: valid, slot, taps, lanes
    x: np.ndarray  # (cycles, 9 units) uint64
    sums: np.ndarray  # (cycles,) int64, accumulators shown
    acc: np.ndarray  # (cycles, lanes) int64


def buffer(cycles: int, geometry, ports: Ports) -> Trace:
    """An empty recording with room for so many cycles."""
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
def record(trace, clock):
    """Record what the ports, the operand and the sums show in this cycle."""
    now = clock.now
    ports = clock.ports
    wide = clock.wide
    n = trace.count[0]
    trace.count[0] = n + 1
    for i in range(ports.read.shape[0]):
        trace.read[n, i] = ports.read[i]
    trace.writes[n] = ports.count[0]
    for i in range(ports.count[0]):
        trace.write[n, i, 0], trace.write[n, i, 1] = ports.mem[i], ports.address[i]
        trace.write[n, i, 2], trace.write[n, i, 3] = ports.granule[i], ports.granules[i]
        for w in range(ports.data.shape[1]):
            trace.data[n, i, w] = ports.data[i, w]
    trace.stream[n, 0], trace.stream[n, 1] = now[Flop.X_VALID], now[Flop.X_SLOT]
    trace.stream[n, 2], trace.stream[n, 3] = now[Flop.X_TAPS], now[Flop.X_LANES]
    for i in range(trace.x.shape[1]):
        trace.x[n, i] = wide.x[i]
    trace.sums[n] = now[Flop.A_LANES] if sum_ready(now) else 0
    for i in range(trace.acc.shape[1]):
        trace.acc[n, i] = wide.acc[i]


def lines(recording: Trace, geometry, first: int, phase: str) -> list[str]:
    """The text of a recording, a line a cycle; its first cycle is number `first`, of a phase."""
    return [trace.line(*cycle) for cycle in cycles(recording, geometry, first, phase)]


def cycles(recording: Trace, geometry, first: int, phase: str) -> list[trace.Cycle]:
    """The cycles of a recording for programs; its first cycle is number `first`, of a phase."""
    shown = [(int(m), m.declaration.name) for m in Mem if m.declaration.traced]
    names = dict(shown)
    out = []
    read = recording.read[: int(recording.count[0])].tolist()
    for n, rows in enumerate(read):
        reads = {name: rows[i] for i, name in shown if rows[i] >= 0}
        writes: dict[str, tuple] = {}
        for i in range(int(recording.writes[n])):
            mem, address, granule, granules = recording.write[n, i].tolist()
            if mem in names:
                mask = (1 << granules) - 1 << granule
                taps = Mem(mem).declaration.storage is Storage.TAPS
                unit = geometry.channels if taps else WORD * geometry.units
                write = trace.Write(
                    address, _join(recording.data[n, i], unit, geometry.units), mask
                )
                writes[names[mem]] = (*writes.get(names[mem], ()), write)
        valid, slot, taps, lanes = recording.stream[n].tolist()
        word = _join(recording.x[n], geometry.channels, geometry.units)
        x = trace.Stream(word, slot, taps, (1 << lanes) - 1) if valid else None
        sums = tuple(recording.acc[n, : recording.sums[n]].tolist()) if recording.sums[n] else None
        out.append(trace.Cycle(first + n, phase, reads, writes, x, sums))
    return out


def _join(words: np.ndarray, bits: int, units: int) -> int:
    """A row as one integer: words of so many bits, each in its own `units` uint64s, without gaps between them."""
    value = 0
    for i in np.flatnonzero(words).tolist():
        value |= int(words[i]) << bits * (i // units) + WORD * (i % units)
    return value
