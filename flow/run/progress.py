"""Progress as an object: a bar with the time left on a terminal, one line an interval in a log.

Every long function takes a `Progress` and opens a task on it::

    with progress.task("seeds", total=3) as task:
        for seed in seeds:
            ...
            task.advance(note=f"a_final {a:.3f}")

Where nothing is said for `QUIET` seconds, `heartbeat` says that the work goes on. It speaks from a thread of its own, so a
line is written in one piece, by one thread at a time.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

LOG_INTERVAL = 5.0  # seconds between two lines of a log
QUIET = 7.0  # seconds without a line, after which there is one in any case
FIRST = (
    1.5  # the same at the start of a command, so that something is on the screen within two seconds
)
LEAST_SHARE = 0.02  # of a task, below which its pace says nothing about its end
_turn = threading.RLock()  # of the thread that writes a line


class Task(Protocol):
    """Work of a known or unknown amount."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more as done; `note` says how it goes."""


class Progress(Protocol):
    """An object that shows how far a command is."""

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator[Task]:
        """Open a task of `total` units; the end of the block ends it."""
        ...

    def note(self, text: str) -> None:
        """Print one line that stays."""


def clock(seconds: float) -> str:
    """Return a duration in seconds in the unit that people use.

    >>> clock(3.2), clock(75), clock(7300)
    ('3.2 s', '1.2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class _LogTask:
    def __init__(self, label: str, total: int | None, write: Callable[[str], None]) -> None:
        self.label, self.total, self.write = label, total, write
        self.done, self.said = 0, ""
        self.start = self.last = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        self.done += n
        self.said = note or self.said
        now = time.monotonic()
        if now - self.last >= LOG_INTERVAL and self.done != self.total:
            self.last = now
            self.write(self.line(now, note))

    def line(self, now: float, note: str = "", closing: bool = False) -> str:
        spent = now - self.start
        parts = [self.label]
        if self.total:
            parts.append(f"{self.done}/{self.total} | {100 * self.done // self.total:3d} %")
        elif self.done:
            parts.append(str(self.done))
        if note:
            parts.append(note)
        if closing or not self.total or self.done < LEAST_SHARE * self.total:
            parts.append(f"{clock(spent)}")
        else:
            parts.append(f"eta {clock(spent / self.done * (self.total - self.done))}")
        return " | ".join(parts)


class Log:
    """Progress as lines of a log: one line an interval, always with the same fields."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.tasks: list[_LogTask] = []
        self.lines, self.last = 0, ""

    def note(self, text: str) -> None:
        """Print one line."""
        with _turn:
            self.lines, self.last = self.lines + 1, text
            self._write(text)

    def _write(self, line: str) -> None:
        self.stream.write(f"{line}\n")  # in one piece, which `print` does not do
        self.stream.flush()

    def remind(self, seconds: float) -> None:
        """Print that work goes on, so many seconds after the last line: how far the task is, if one is open."""
        if self.tasks:
            task = self.tasks[-1]
            self._write(task.line(time.monotonic(), task.said))
        else:
            self._write(reminder(seconds, self.last))

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator[_LogTask]:
        """Open a task whose lines name its label; the end of the block ends it."""
        task = _LogTask(label, total, self.note)
        self.tasks.append(task)
        try:
            yield task
            self.note(task.line(time.monotonic(), closing=True))
        finally:
            self.tasks.remove(task)


def reminder(seconds: float, last: str) -> str:
    """Return the line that says that work goes on where no task is open.

    Parameters
    ----------
    seconds : float
        Time since the last line.
    last : str
        The last line, or ''.

    >>> reminder(12, "[estimate] started"), reminder(12, "")
    ('[estimate] started | 12.0 s ago, at work', 'at work for 12.0 s')
    """
    return f"{last} | {clock(seconds)} ago, at work" if last else f"at work for {clock(seconds)}"


class _BarTask:
    def __init__(self, bars, key) -> None:
        self.bars, self.key = bars, key

    def advance(self, n: int = 1, note: str = "") -> None:
        fields = {"note": note} if note else {}
        self.bars.update(self.key, advance=n, **fields)


class Bar:
    """Progress as bars on a terminal; a task inside a task is a second bar."""

    def __init__(self, console=None) -> None:
        from rich import progress
        from rich.console import Console

        self.console = console or Console(stderr=True)
        self.open = self.lines = 0
        self.last = ""
        self.bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=28),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("eta"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}", style="dim"),
            console=self.console,
            transient=True,
        )

    def note(self, text: str) -> None:
        """Print one line above the bars."""
        with _turn:
            self.lines, self.last = self.lines + 1, text
            self.console.print(text, highlight=False, markup=False)

    def remind(self, seconds: float) -> None:
        """Print that work goes on, where no bar shows the time that it takes."""
        if not self.open:
            self.console.print(reminder(seconds, self.last), highlight=False, markup=False)

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator[_BarTask]:
        """Open a task with a bar; the end of the block removes it."""
        if not self.open:
            self.bars.start()
        self.open += 1
        key = self.bars.add_task(label, total=total, note="")
        begin = time.monotonic()
        try:
            yield _BarTask(self.bars, key)
            self.note(f"{label} | {clock(time.monotonic() - begin)}")
        finally:
            self.bars.remove_task(key)
            self.open -= 1
            if not self.open:
                self.bars.stop()


class Silent:
    """Progress that shows nothing: for tests and for callers that do not care."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count nothing."""

    def note(self, text: str) -> None:
        """Print nothing."""

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator["Silent"]:  # noqa: ARG002
        """Open a task that counts nothing."""
        yield self


_speaker: Bar | Log | None = None  # the latest `default`


def default() -> Progress:
    """Return bars where standard error is a terminal, else a log."""
    global _speaker
    _speaker = Bar() if sys.stderr.isatty() else Log()
    return _speaker


@contextmanager
def heartbeat(every: float = 0.25) -> Iterator[None]:
    """Print a line during the block where the latest progress of `default` was silent for long.

    Long is `QUIET` seconds, and `FIRST` before the first line.

    Parameters
    ----------
    every : float
        Seconds between two looks.
    """
    global _speaker
    _speaker, ended = None, threading.Event()
    thread = threading.Thread(target=_beat, args=(ended, every), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(ended: threading.Event, every: float) -> None:
    word = said = time.monotonic()  # of the last line, and of the last one that was no reminder
    seen: tuple | None = None
    patience = FIRST
    while not ended.wait(every):
        with _turn:  # from the look to the reminder, so that no other line comes between
            now, speaker = time.monotonic(), _speaker
            if speaker is not None and speaker.lines and (id(speaker), speaker.lines) != seen:
                seen, word, said = (id(speaker), speaker.lines), now, now
                patience = QUIET
            elif now - word >= patience:
                word, patience = now, QUIET
                (speaker or Log()).remind(now - said)
