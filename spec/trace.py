"""The trace: one line a cycle, in one format for simulator and hardware.

A line is ``cycle phase item item ...``; items appear only where something happens. The first line
that differs between two runs locates a fault; `first_difference` takes it apart.
"""

from dataclasses import dataclass
from typing import NamedTuple

from xnoreplay.spec.memories import DECLARATIONS

TRACED = tuple(d.name for d in DECLARATIONS.values() if d.traced)
"""Memories whose strobes a trace shows, in the order in which a line shows them."""


@dataclass(frozen=True)
class Write:
    """A write strobe: address, data and the mask of granules written."""

    address: int
    data: int
    mask: int = 1


@dataclass(frozen=True)
class Stream:
    """A valid stream operand."""

    x: int
    slot: int
    taps: int
    lanes: int
    """Mask of the lanes that work."""


class Cycle(NamedTuple):
    """What one cycle shows; the parameters of `line`."""

    cycle: int
    phase: str
    reads: dict[str, int]
    writes: dict[str, tuple[Write, ...]]
    stream: Stream | None
    sums: tuple[int, ...] | None


def spans(phases: list[tuple[str, int]], first: int, end: int) -> list[tuple[str, int, int]]:
    """(phase, first cycle, cycle past its last) of a command, counted from its first.

    phases : its boundaries, (phase, value of `cycles` in the phase's first cycle)
    first, end : values of `cycles` at the command's beginning and end

    >>> spans([("input", 10), ("conv0", 14)], 10, 20)
    [('input', 0, 4), ('conv0', 4, 10)]
    """
    stops = [cycle for _, cycle in phases[1:]] + [end]
    return [(n, a - first, b - first) for (n, a), b in zip(phases, stops, strict=True)]


def line(
    cycle: int,
    phase: str,
    reads: dict[str, int],
    writes: dict[str, tuple[Write, ...]],
    stream: Stream | None,
    sums: tuple[int, ...] | None,
) -> str:
    """One cycle as text.

    reads: memory -> address. writes: memory -> its writes (lane.file may have several).
    sums: accumulators of the lanes that work, at the last beat of a sum.
    """
    items = [str(cycle), phase]
    for name in TRACED:
        if name in reads:
            items.append(f"{name}.r@{reads[name]}")
        for w in writes.get(name, ()):
            items.append(f"{name}.w@{w.address}={w.data:x}/{w.mask:x}")
    if stream is not None:
        items.append(f"x={stream.x:x}/{stream.slot}/{stream.taps}/{stream.lanes:x}")
    if sums is not None:
        items.append("acc=" + ",".join(map(str, sums)))
    return " ".join(items)


@dataclass(frozen=True)
class Difference:
    """Where two runs first differ."""

    cycle: int
    phase: str
    signal: str
    address: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f" at address {self.address}" if self.address else ""
        return (
            f"first difference in cycle {self.cycle}, phase {self.phase}: {self.signal}{where} "
            f"must be {self.expected}, not {self.got}"
        )


def first_difference(expected: list[str], got: list[str]) -> Difference | None:
    """The first item of the first line that differs, or None where both traces are the same."""
    for want, have in zip(expected, got, strict=False):
        if want != have:
            return _difference(want, have)
    if len(expected) != len(got):
        longer = max(expected, got, key=len)
        cycle, phase = longer[min(len(expected), len(got))].split()[:2]
        return Difference(
            int(cycle), phase, "end of trace", "", f"{len(expected)} lines", f"{len(got)} lines"
        )
    return None


def _difference(want: str, have: str) -> Difference:
    (cycle, phase, *expected), (other, other_phase, *got) = want.split(), have.split()
    if (cycle, phase) != (other, other_phase):
        want, have = f"{cycle} {phase}", f"{other} {other_phase}"
        return Difference(int(cycle), phase, "phase", "", want, have)
    left, right = _items(expected), _items(got)
    for key in [*left, *(k for k in right if k not in left)]:
        if left.get(key) != right.get(key):
            signal, _, address = key.partition("@")
            return Difference(
                int(cycle), phase, signal, address, left.get(key, "idle"), right.get(key, "idle")
            )
    raise AssertionError(f"lines differ but their items do not: {want!r}, {have!r}")


def _items(items: list[str]) -> dict[str, str]:
    """Item text -> (name, with its address) and value; a read's value is 'read'."""
    table = {}
    for item in items:
        key, _, value = item.partition("=")
        table[key] = value or "read"
    return table
