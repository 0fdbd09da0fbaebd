"""A waveform as an FST file, out of the VCD that a simulator wrote.

Verilator writes FST itself only where the C headers of lz4 and zlib are installed; VCD it always
writes, and a window of cycles is short enough to be turned into the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.spec.errors import CheckFailure, ToolError

TIMESCALE = "1ns"  # of the FST: a cycle of the test bench's ten units is 10 ns
CYCLES = f"{TOP}.counters.cycles"
STEP = 1 << 16  # bytes of VCD between two reports of progress
HIDDEN = ("$", "_")  # first letters of names that the generator made up


@dataclass(frozen=True)
class Signal:
    """One name of a waveform.

    scope : instances from the top, joined by dots
    bounds : as "[4:0]"; "" of a single bit
    key : of its values; signals of one key are one
    """

    scope: str
    name: str
    bounds: str
    bits: int
    key: bytes

    @property
    def path(self) -> str:
        """As viewers write it, without the bounds."""
        return f"{self.scope}.{self.name}"


@dataclass(frozen=True)
class Enumeration:
    """Texts of the values 0, 1, ... of some signals, by the ends of their paths."""

    name: str
    ends: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def bits(self) -> int:
        return max(1, (len(self.texts) - 1).bit_length())

    def fits(self, signal: Signal) -> bool:
        return signal.path.endswith(self.ends) and signal.bits == self.bits


@dataclass(frozen=True)
class Waveform:
    """What an FST holds: signals in its order, times (first, past the last) and cycles (first, last).

    A cycle's values are those right before the next one begins.
    """

    signals: tuple[Signal, ...]
    enumerations: tuple[Enumeration, ...]
    start: int
    stop: int
    first: int
    last: int


def convert(
    vcd: Path, fst: Path, last: int, enumerations: tuple[Enumeration, ...], progress: Progress
) -> Waveform:
    """Turn a VCD into an FST that ends with cycle `last` of the chip.

    Raises
    ------
    CheckFailure
        For a VCD that has no value of the chip's counter of cycles.
    ToolError
        Where the library that writes FST is missing.
    """
    with vcd.open("rb") as source:
        signals = tuple(_definitions(source))
        writer = Writer(fst, signals, enumerations)
        counter = next((s.key for s in signals if s.path == CYCLES), None)
        try:
            with progress.task("writing FST, bytes", vcd.stat().st_size) as task:
                start, stop, first, now = _copy(source, writer, counter, last, task)
                task.advance(vcd.stat().st_size - source.tell())
        finally:
            writer.close()
    if first is None or now is None:
        raise CheckFailure(f"the waveform must show {CYCLES}, but does not")
    return Waveform(signals, enumerations, start, stop, first, min(last, now))


def _copy(source, writer, counter, last, task):
    """Values up to the change that begins the cycle after `last`; times and cycles of what there is."""
    start = stop = 0
    first = now = None
    begun, seen = False, source.tell()
    held: list[
        tuple[bytes, bytes]
    ] = []  # of the current time, which may turn out to be past the end

    def release():
        writer.at(stop)
        for key, value in held:
            writer.change(key, value)
        held.clear()

    for line in source:
        seen += len(line)
        if seen >= STEP:
            task.advance(seen)
            seen = 0
        kind = line[:1]
        if kind == b"#":
            if begun:
                release()
            stop = int(line[1:])
            if not begun:
                start, begun = stop, True
        elif kind in b"bB":
            value, key = line[1:].split()
            held.append((key, value))
            if key == counter:
                now = int(value, 2)
                first = now if first is None else first
                if now > last:
                    held.clear()
                    break
        elif kind in b"01xXzZ":
            held.append((line[1:].strip(), kind))
    else:
        release()
    task.advance(seen)
    writer.at(stop)
    return start, stop, first, now


def _definitions(source) -> Iterator[Signal]:
    """Signals below the top module, from the head of a VCD; it stands at the first value then."""
    scopes: list[str] = []
    for line in source:
        words = line.decode("ascii", "replace").split()
        if not words:
            continue
        if words[0] == "$scope":
            scopes.append(words[2])
        elif words[0] == "$upscope":
            scopes.pop()
        elif words[0] == "$enddefinitions":
            return
        elif words[0] == "$var" and TOP in scopes:
            scope = ".".join(scopes[scopes.index(TOP) :])
            name, bounds = words[4].removeprefix("\\"), "".join(words[5:-1])
            if not name.startswith(HIDDEN):
                yield Signal(scope, name, bounds, int(words[2]), words[3].encode())


class Writer:
    """An FST being written."""

    def __init__(
        self, path: Path, signals: tuple[Signal, ...], enumerations: tuple[Enumeration, ...]
    ) -> None:
        try:
            from pylibfst import ffi, lib
        except ImportError as error:
            raise ToolError(
                f"pylibfst must be installed for waveforms; xnoreplay doctor says how ({error})"
            ) from None
        self.ffi, self.lib = ffi, lib
        self.file = lib.fstWriterCreate(str(path).encode(), 1)
        if self.file == ffi.NULL:
            raise ToolError(f"{path} must be a writable file")
        lib.fstWriterSetTimescaleFromString(self.file, TIMESCALE.encode())
        lib.fstWriterSetPackType(self.file, lib.FST_WR_PT_LZ4)
        self.handles: dict[bytes, tuple[int, int]] = {}
        self.tables = [(enumeration, self._table(enumeration)) for enumeration in enumerations]
        self._declare(signals)

    def _table(self, enumeration: Enumeration) -> int:
        ffi, count = self.ffi, len(enumeration.texts)
        texts = [ffi.new("char[]", text.encode()) for text in enumeration.texts]
        values = [ffi.new("char[]", f"{n:0{enumeration.bits}b}".encode()) for n in range(count)]
        return self.lib.fstWriterCreateEnumTable(
            self.file,
            enumeration.name.encode(),
            count,
            enumeration.bits,
            ffi.new("char *[]", texts),
            ffi.new("char *[]", values),
        )

    def _declare(self, signals: tuple[Signal, ...]) -> None:
        lib = self.lib
        inside: list[str] = []
        for signal in signals:
            scopes = signal.scope.split(".")
            common = 0
            while common < min(len(scopes), len(inside)) and scopes[common] == inside[common]:
                common += 1
            for _ in inside[common:]:
                lib.fstWriterSetUpscope(self.file)
            for name in scopes[common:]:
                lib.fstWriterSetScope(
                    self.file, lib.FST_ST_VCD_MODULE, name.encode(), self.ffi.NULL
                )
            inside = scopes
            for enumeration, table in self.tables:
                if enumeration.fits(signal):
                    lib.fstWriterEmitEnumTableRef(self.file, table)
            same, _ = self.handles.get(signal.key, (0, 0))
            name = f"{signal.name} {signal.bounds}".strip()
            handle = lib.fstWriterCreateVar(
                self.file,
                lib.FST_VT_VCD_WIRE,
                lib.FST_VD_IMPLICIT,
                signal.bits,
                name.encode(),
                same,
            )
            self.handles.setdefault(signal.key, (handle, signal.bits))
        for _ in inside:
            lib.fstWriterSetUpscope(self.file)

    def at(self, time: int) -> None:
        """The changes that follow are of this time."""
        self.lib.fstWriterEmitTimeChange(self.file, time)

    def change(self, key: bytes, value: bytes) -> None:
        """A value in 0, 1, x and z; what is left of a short one is as Verilog extends it."""
        found = self.handles.get(key)
        if found is not None:
            fill = b"0" if value[:1] in b"01" else value[:1]
            self.lib.fstWriterEmitValueChange(self.file, found[0], value.rjust(found[1], fill))

    def close(self) -> None:
        self.lib.fstWriterClose(self.file)
