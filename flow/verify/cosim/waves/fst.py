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
RECORDER = "waves_recorder"  # instance of `cosim.window.MODULE` in the chip's top
CYCLES = f"{TOP}.{RECORDER}.cycles"
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
        """The signal's path as viewers write it, without its bounds."""
        return f"{self.scope}.{self.name}"


@dataclass(frozen=True)
class Enumeration:
    """Texts of the values 0, 1, ... of some signals, by the ends of their paths."""

    name: str
    ends: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def bits(self) -> int:
        """Bits of a signal that has these values."""
        return max(1, (len(self.texts) - 1).bit_length())

    def fits(self, signal: Signal) -> bool:
        """Whether the texts are those of a signal."""
        return signal.path.endswith(self.ends) and signal.bits == self.bits


@dataclass(frozen=True)
class Waveform:
    """Contents of an FST: its signals in order, times (first, past the last) and cycles (first, last).

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
        For a VCD that has no value of the recorder's count of cycles.
    ToolError
        Where the library that writes FST is missing.
    """  # noqa: DOC502  raised by `Writer`
    with vcd.open("rb") as source:
        signals = tuple(_definitions(source))
        writer = Writer(fst, signals, enumerations)
        counter = next((s.key for s in signals if s.path == CYCLES), None)
        try:
            with progress.task("writing FST, bytes", vcd.stat().st_size) as task:
                copier = _Copier(writer, counter, last)
                copier.copy(source, task)
                task.advance(vcd.stat().st_size - source.tell())
        finally:
            writer.close()
    if copier.first is None or copier.now is None:
        raise CheckFailure(f"the waveform must show {CYCLES}, but does not")
    cycles = copier.first, min(last, copier.now)
    return Waveform(signals, enumerations, copier.start, copier.stop, *cycles)


class _Copier:
    """Copies values of a VCD up to the change that begins the cycle after the last one wanted.

    Parameters
    ----------
    writer : Writer
    counter : bytes or None
        The VCD's key of the recorder's count of cycles.
    last : int
        The last cycle that is copied.
    """

    def __init__(self, writer: "Writer", counter: bytes | None, last: int) -> None:
        self.writer, self.counter, self.last = writer, counter, last
        self.start = self.stop = 0  # times
        self.first: int | None = None  # cycles
        self.now: int | None = None
        self.begun = False
        self.held: list[tuple[bytes, bytes]] = []  # values of the time `stop`, not yet written

    def copy(self, source, task) -> None:
        """Read lines of a VCD, whose head has been read, and write what they say."""
        seen, ended = source.tell(), False
        for line in source:
            seen += len(line)
            if seen >= STEP:
                task.advance(seen)
                seen = 0
            if ended := self._line(line):
                break
        if not ended:
            self._release()
        task.advance(seen)
        self.writer.at(self.stop)

    def _line(self, line: bytes) -> bool:
        """Take one line; whether it begins the cycle after the last one, which drops the values of its time."""
        kind = line[:1]
        if kind == b"#":
            self._time(int(line[1:]))
        elif kind in b"bB":
            value, key = line[1:].split()
            self.held.append((key, value))
            if key == self.counter:
                return self._cycle(int(value, 2))
        elif kind in b"01xXzZ":
            self.held.append((line[1:].strip(), kind))
        return False

    def _time(self, time: int) -> None:
        if self.begun:
            self._release()
        self.stop = time
        if not self.begun:
            self.start, self.begun = time, True

    def _cycle(self, cycle: int) -> bool:
        self.now = cycle
        self.first = cycle if self.first is None else self.first
        if cycle > self.last:
            self.held.clear()
        return cycle > self.last

    def _release(self) -> None:
        """Write the values that are held."""
        self.writer.at(self.stop)
        for key, value in self.held:
            self.writer.change(key, value)
        self.held.clear()


def _definitions(source) -> Iterator[Signal]:
    """Yield signals below the top module from the head of a VCD, which is read up to its first value."""
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
    """An FST file that is being written."""

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
        """Set the time of the changes that follow."""
        self.lib.fstWriterEmitTimeChange(self.file, time)

    def change(self, key: bytes, value: bytes) -> None:
        """Write a value in 0, 1, x and z; a short one is extended as Verilog does it."""
        found = self.handles.get(key)
        if found is not None:
            fill = b"0" if value[:1] in b"01" else value[:1]
            self.lib.fstWriterEmitValueChange(self.file, found[0], value.rjust(found[1], fill))

    def close(self) -> None:
        """Write what has not been written, and close the file."""
        self.lib.fstWriterClose(self.file)
