"""Progress: one line an interval in a log, a bar on a terminal."""

import io
import re
import time
from types import SimpleNamespace

import pytest

from xnoreplay.flow.run import progress


def test_a_log_has_one_line_an_interval(monkeypatch):
    now = iter(float(t) for t in (0, 1, 5, 6, 12, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    with progress.Log(stream).task("images", total=4) as task:
        for i in range(4):
            task.advance(note=f"image {i}")
    assert stream.getvalue().splitlines() == [
        "images | 2/4 |  50 % | image 1 | eta 5.0 s",
        "images | 4/4 | 100 % | 20.0 s",
    ]


def test_a_log_of_unknown_length():
    stream = io.StringIO()
    with progress.Log(stream).task("yosys"):
        pass
    assert re.fullmatch(r"yosys \| 0\.0 s\n", stream.getvalue())


def test_a_bar_says_what_it_finished():
    from rich.console import Console

    stream = io.StringIO()
    bar = progress.Bar(Console(file=stream, force_terminal=True, width=100))
    with bar.task("outer", total=2) as outer:
        outer.advance(note="half")
        with bar.task("inner", total=1) as inner:
            inner.advance()
        outer.advance()
    assert "inner" in stream.getvalue()
    assert re.search(r"outer \| 0\.\d s", stream.getvalue())


def test_the_default_is_a_log_where_nobody_watches(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    assert isinstance(progress.default(), progress.Log)


def test_silence():
    with progress.Silent().task("x") as task:
        task.advance(3, note="nothing")


def waited(stream, text):
    """The stream's lines once a text is among them."""
    for _ in range(3000):
        if text in stream.getvalue():
            return stream.getvalue().splitlines()
        time.sleep(0.01)
    raise AssertionError(f"{text!r} must be written, but is not: {stream.getvalue()!r}")


@pytest.fixture
def impatient(monkeypatch):
    """Standard error, and a heartbeat that does not wait long."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(progress, "QUIET", 0.05)
    monkeypatch.setattr(progress, "FIRST", 0.05)
    with progress.heartbeat(every=0.01):
        yield stream


@pytest.mark.parametrize("created", [False, True])
def test_the_first_word_does_not_wait_as_long_as_the_others(monkeypatch, created):
    """Also where a progress is there that has said nothing."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(progress, "QUIET", 1000.0)
    monkeypatch.setattr(progress, "FIRST", 0.05)
    with progress.heartbeat(every=0.01):
        if created:
            progress.default()
        assert len(waited(stream, "at work for")) == 1
        progress.default().note("[cil] started")
    assert stream.getvalue().endswith("s\n[cil] started\n")


def test_a_command_that_says_nothing_is_reported_at_work(impatient):
    assert re.fullmatch(r"at work for \d+\.\d s", waited(impatient, "at work")[0])


def test_a_silence_after_a_line_names_the_line(impatient):
    progress.default().note("[cil] started")
    lines = waited(impatient, "ago, at work")
    assert re.fullmatch(r"\[cil\] started \| \d+\.\d s ago, at work", lines[-1])


def test_a_task_that_says_nothing_is_reported_with_what_it_said_last(impatient):
    with progress.default().task("images", total=4) as outer:
        outer.advance(1, "image 0")
        waited(impatient, "images | 1/4 |  25 % | image 0 | eta")
        with progress.default().task("inner"):
            waited(impatient, "inner | 0.")


class Slow(io.StringIO):
    """A stream that takes long to write, and knows whether two threads wrote at once."""

    writers, pieces, met = 0, (), False

    def write(self, text):
        self.writers += 1
        self.met |= self.writers > 1
        time.sleep(0.1)
        self.pieces += (text,)
        self.writers -= 1
        return super().write(text)


def test_a_reminder_and_a_line_are_written_one_after_the_other(monkeypatch):
    """Each in one piece: where two threads wrote pieces of lines, those of one would come into the other's."""
    stream = Slow()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(progress, "QUIET", 0.05)
    with progress.heartbeat(every=0.01):
        log = progress.default()
        log.note("[cil] started")
        waited(stream, "ago, at work")
        with log.task("images", total=4) as task:
            task.advance(1, "image 0")
            waited(stream, "images | 1/4 |  25 % | image 0")
    assert not stream.met
    assert len(stream.pieces) >= 4
    assert all(re.fullmatch(r".+\n", piece) for piece in stream.pieces)


def test_nothing_is_added_to_what_speaks_often():
    stream = io.StringIO()
    log = progress.Log(stream)
    log.note("a")
    log.remind(3)
    assert log.lines == 1, "a reminder is no word of its own"
    assert stream.getvalue() == "a\na | 3.0 s ago, at work\n"


def test_on_a_terminal_an_open_bar_is_enough():
    from rich.console import Console

    stream = io.StringIO()
    bar = progress.Bar(Console(file=stream, width=100))
    with bar.task("yosys"):
        bar.remind(9.0)
    assert "at work" not in stream.getvalue()
    bar.remind(9.0)
    assert stream.getvalue().endswith(" | 9.0 s ago, at work\n")
