"""Progress: one line an interval in a log, a bar on a terminal."""

import io
import re

from xnoreplay.flow import progress


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
