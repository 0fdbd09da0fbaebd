"""Proofs: properties of the Verilog for all inputs, planted faults that break them, and equality with the netlist."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from xnoreplay.flow.chip import synth
from xnoreplay.flow.run import files, tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.prove import (
    aiger,
    catalogue,
    combinational,
    design,
    engine,
    equivalence,
    run,
    text,
)
from xnoreplay.flow.verify.prove.design import Chip
from xnoreplay.flow.verify.prove.graph import Graph
from xnoreplay.flow.verify.prove.words import remembered
from xnoreplay.hw import verilog
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, SpecError, ToolError

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
CELLS = Path(__file__).parent / "data" / "cells.lib"
SAMPLE = (
    "axi.write-response-has-cause",
    "host.starts-idle-chip",
    "abort.idle",
    "array.own-phase.dense",
)
"""Small properties of four subjects, the last of which assumes one with declarations; `xnoreplay prove --planted` has all."""


@pytest.fixture(scope="module")
def proved(verilog_of_tiny, tmp_path_factory):
    """The sample with its planted faults, and one module's equality with its gates."""
    folder = tmp_path_factory.mktemp("proof")
    choice = run.Choice(SAMPLE, planted=True)
    result = run.prove(PLAN, verilog_of_tiny, choice, folder, folder, Silent())
    return folder, result


def test_properties_hold_in_every_cycle_and_say_something(proved):
    _, result = proved
    assert [row["name"] for row in result["properties"]] == list(SAMPLE)
    assert {row["status"] for row in result["properties"]} == {"proved"}
    assert all(row["reached"] for row in result["properties"])


def test_every_planted_fault_breaks_its_property(proved):
    _, result = proved
    assert {row["name"] for row in result["planted"]} == set(SAMPLE)
    assert all(row["found"] for row in result["planted"])
    assert text.headline(result).startswith("4 of 4 properties hold in every cycle; 4 of 4 planted")


def test_what_was_decided_is_not_decided_again(proved, verilog_of_tiny, tmp_path, monkeypatch):
    folder, result = proved
    monkeypatch.setattr(run, "decided", None)
    monkeypatch.setattr(run, "planted", None)
    choice = run.Choice(SAMPLE, planted=True)
    assert run.prove(PLAN, verilog_of_tiny, choice, tmp_path, folder, Silent()) == result


def test_a_broken_property_leaves_a_waveform(verilog_of_tiny, tmp_path):
    (p,) = catalogue.chosen(PLAN, ("abort.idle",))
    verilog = p.faults[0].planted(verilog_of_tiny)
    choice = run.Choice(("abort.idle",))
    with pytest.raises(CheckFailure, match=r"abort\.idle must hold, but is broken \d+ cycles") as e:
        run.prove(PLAN, verilog, choice, tmp_path, tmp_path, Silent())
    assert e.value.args[1]["properties"][0]["status"] == "broken"
    waves = (tmp_path / "abort.idle.vcd").read_text()
    assert "$var" in waves
    assert "sequencer" in waves


def test_a_precondition_that_is_never_met_fails(verilog_of_tiny, tmp_path, monkeypatch):
    """A property that cannot be broken because it asks nothing is a fault of its own."""
    (p,) = catalogue.chosen(PLAN, ("abort.idle",))
    empty = replace(p, statement=replace(p.statement, when="1'b0", holds="1'b0"))
    monkeypatch.setattr(run.catalogue, "chosen", lambda *_: [empty])
    with pytest.raises(CheckFailure, match="must say something, but its precondition is never met"):
        run.prove(PLAN, verilog_of_tiny, run.Choice(), tmp_path, tmp_path, Silent())


def test_nothing_is_assumed_of_the_first_cycle(verilog_of_tiny, tmp_path):
    """A property that is assumed is proved from the second cycle on; a register without a reset would keep what it says of the first."""
    text_of = remembered(second=(1, "~started"), turned=(1, "~turned"))
    statement = design.Statement("second", "~turned", text_of, "started | turned")
    engine.model(design.problem(Chip(verilog_of_tiny), statement), tmp_path)
    assert engine.decide(tmp_path, engine.Method.PDR).holds is False


def test_declarations_of_two_statements_agree():
    own = "  reg was;\n  always @(posedge clk) was <= rst;"
    assert design.joined(own, own) == own
    with pytest.raises(AssertionError, match="must be set in one way"):
        design.joined(own, own.replace("rst", "~rst"))


def test_what_a_proof_says_of_stale_is_what_the_host_has(verilog_of_tiny, tmp_path):
    """STALE is modelled where the host is cut."""
    choice = run.Choice(("host.stale-has-cause",), planted=True)
    result = run.prove(PLAN, verilog_of_tiny, choice, tmp_path, tmp_path, Silent())
    assert [row["status"] for row in result["properties"]] == ["proved"]
    assert all(row["found"] for row in result["planted"])


def test_a_fault_that_breaks_nothing_fails():
    row = {"name": "p", "found": False, "fault": {"unit": "u", "signal": "s", "value": "@"}}
    result = {"properties": [], "planted": [row], "modules": []}
    assert "a planted fault must break property p, but" in run.verdict(result)


@pytest.mark.parametrize("replay", ["latent", "generative"])
def test_every_fault_of_the_catalogue_can_be_planted(replay, verilog_of_tiny):
    """No signal that a property or a fault names has gone from the Verilog."""
    plan, text_of = PLAN, verilog_of_tiny
    if replay != "latent":
        target = replace(TINY.target, replay=replay, replay_components=3, drawn_per_class=6)
        plan = plans.compile(TINY.network, target)
        text_of = verilog.generate(plan)
    known = catalogue.properties(plan)
    assert any(name.startswith("generative.") for name in known) == (replay == "generative")
    assert len(known) >= 20
    for p in known.values():
        design.problem(Chip(text_of), run.given(p, known))
        for fault in p.faults:
            assert fault.planted(text_of) != text_of


def test_every_command_of_a_chip_with_a_watchdog_ends(tmp_path):
    """From any state, too; each planted fault breaks its property."""
    guarded = replace(TINY, target=replace(TINY.target, watchdog_bits=12))
    plan = plans.compile(guarded.network, guarded.target)
    choice = run.Choice(("watchdog",), planted=True)
    result = run.prove(plan, verilog.generate(plan), choice, tmp_path, tmp_path, Silent())
    assert [row["status"] for row in result["properties"]] == ["proved", "proved"]
    assert all(row["reached"] for row in result["properties"])
    assert [row["found"] for row in result["planted"]] == [True] * 5
    assert "watchdog.ends-command" not in catalogue.properties(PLAN)


def test_names_of_properties_are_checked():
    names = [p.name for p in catalogue.chosen(PLAN, ("axi",))]
    assert names
    assert all(name.startswith("axi.") for name in names)
    with pytest.raises(SpecError, match="property must be one of"):
        catalogue.chosen(PLAN, ("axi.rule",))


def test_missing_signals_are_named(verilog_of_tiny):
    chip = Chip(verilog_of_tiny)
    with pytest.raises(SpecError, match="unit host.none must be in the Verilog"):
        chip.module_of("host.none")
    with pytest.raises(SpecError, match="signal host.none must be in the Verilog"):
        chip.signal("host.none")


def test_signals_inside_of_a_cut_unit_are_refused(verilog_of_tiny):
    """They would be missing from the model, or no longer driven as the chip drives them."""
    chip = Chip(verilog_of_tiny)
    for name in ("array.c_last", "learning.plane_unit.done"):
        with pytest.raises(
            SpecError, match=f"a unit that is cut must be a port, but {name} is not"
        ):
            design.problem(chip, design.Statement("1", f"@{name}", keep=("sequencer",)))
    design.problem(chip, design.Statement("1", "@array.done", keep=("sequencer",)))
    design.problem(chip, design.Statement("1", "@array.c_last", keep=("array",)))


def test_a_module_equals_its_gates_and_a_changed_gate_is_found(verilog_of_tiny, tmp_path):
    chip, name = Chip(verilog_of_tiny), "xnoreplay.sequencer"
    assert name in equivalence.names(chip)
    equal = equivalence.compare(chip, name, tmp_path / "gates")
    assert equal.equal
    assert equal.pairs > 20
    changed = equivalence.Fault("$_AND_", "$_OR_")
    assert not equivalence.compare(chip, name, tmp_path / "changed", fault=changed).equal


@pytest.mark.parametrize("name", ["cls_top", "back"])
def test_a_module_with_modules_in_it_is_compared(name, verilog_of_tiny, tmp_path):
    chip, name = Chip(verilog_of_tiny), f"xnoreplay.{name}"
    assert chip.instances(name)
    assert equivalence.compare(chip, name, tmp_path / "gates").equal
    changed = equivalence.Fault("$_AND_", "$_OR_")
    assert not equivalence.compare(chip, name, tmp_path / "changed", fault=changed).equal


def test_a_bit_that_nothing_reads_is_no_pair(verilog_of_tiny, tmp_path):
    """The netlist of dense lacks the highest bit of `offset`."""
    assert equivalence.compare(Chip(verilog_of_tiny), "xnoreplay.dense", tmp_path).equal


def test_a_module_equals_its_cells_and_a_changed_cell_is_found(verilog_of_tiny, tmp_path):
    chip, name = Chip(verilog_of_tiny), "xnoreplay.random_walk"
    assert equivalence.compare(chip, name, tmp_path / "cells", CELLS).equal
    changed = equivalence.Fault("NAND2", "NOR2")
    assert not equivalence.compare(chip, name, tmp_path / "changed", CELLS, changed).equal


def test_a_packed_library_is_read(verilog_of_tiny, tmp_path, monkeypatch):
    packed = tmp_path / "cells.lib.gz"
    packed.write_bytes(gzip.compress(CELLS.read_bytes()))
    monkeypatch.setattr(equivalence, "names", lambda _chip: ["xnoreplay.random_walk"])
    choice = run.Choice(SAMPLE[:1], equivalence=True, library=packed)
    result = run.prove(PLAN, verilog_of_tiny, choice, tmp_path, tmp_path, Silent())
    assert [row["equal"] for row in result["modules"]] == [True]


def test_a_table_is_logic_in_a_model(tmp_path):
    """The table of update thresholds of `digits` is so long that yosys would take it for a memory."""
    digits = presets.load("digits")
    plan = plans.compile(digits.network, digits.target)
    known = catalogue.properties(plan)
    text_of, p = verilog.generate(plan), known["update.saturates"]
    engine.model(design.problem(Chip(text_of), run.given(p, known)), tmp_path)
    assert "bad" in engine.outputs(tmp_path)


def test_the_module_with_a_divider_equals_its_cells_and_a_changed_cell_is_found(
    verilog_of_tiny, tmp_path, monkeypatch
):
    """One comparison of all registers closes what yosys, pair by pair, had not closed after 20 minutes."""
    chip, name = Chip(verilog_of_tiny), "xnoreplay.learning.error_unit.path0"
    monkeypatch.setattr(equivalence, "_decided", lambda *_: equivalence.Compared(False, 1, 1))
    found = equivalence.compare(chip, name, tmp_path / "cells", CELLS)
    assert found.equal
    assert found.pairs > 180
    changed = equivalence.Fault("NAND2", "NOR2")
    assert not equivalence.compare(chip, name, tmp_path / "changed", CELLS, changed).equal


KEPT = """\
module m(input clk, input rst, input a, output y);
  reg [2:0] s = 0;
  always @(posedge clk) {always}
  assign y = {y};
endmodule
"""


@pytest.mark.parametrize(
    ("always", "y", "equal"),
    [
        ("s <= rst ? 0 : {s[1], 1'b0, a};", "s[0] ^ s[2]", True),  # 0 after two cycles of reset
        ("s <= rst ? 2 : {1'b0, s[1], a};", "s[0] ^ ~s[1]", True),  # 1 after one
        ("s <= rst ? 0 : {s[1], s[0], a};", "s[0] ^ s[2]", False),  # 0 in the reset alone
        ("s <= {s[2:1], a};", "s[0] ^ s[2]", False),  # never put to 0
        (
            "s <= {s[2], s[2], a};",
            "s[0] ^ s[2] ^ s[1]",
            False,
        ),  # nor these two, which are equal later
    ],
    ids=["0 at last", "1", "0 in reset", "no reset", "equal registers"],
)
def test_a_register_that_the_netlist_lacks_is_what_its_reset_makes_it(tmp_path, always, y, equal):
    """The netlist has one register."""
    texts = {
        "gold": KEPT.format(always=always, y=y),
        "gate": KEPT.format(
            always="s[0] <= ~rst & a;" if "rst" in always else "s[0] <= a;", y="s[0]"
        ),
    }
    for side, module in texts.items():
        (tmp_path / f"{side}.v").write_text(module, encoding="utf-8")
        read = f"read_verilog {side}.v\nhierarchy -top m\nproc\nsetattr -unset init w:*\n"
        (tmp_path / f"{side}.ys").write_text(read + combinational.written(side), encoding="utf-8")
        synth.yosys(tmp_path, side)
    assert bool(combinational.equal_pairs(tmp_path, "gold", "gate")) == equal


@pytest.mark.parametrize("edge", ["negedge clk", "posedge a"])
def test_registers_of_another_clock_are_no_graph(tmp_path, edge):
    """A graph has no clock: both would look alike."""
    text_of = KEPT.format(always="s <= rst ? 0 : {s[1:0], a};", y="s[2]")
    read = "read_verilog m.v\nhierarchy -top m\nproc\nsetattr -unset init w:*\n"
    (tmp_path / "m.ys").write_text(read + combinational.written("m"), encoding="utf-8")
    (tmp_path / "m.v").write_text(text_of, encoding="utf-8")
    synth.yosys(tmp_path, "m")
    (tmp_path / "m.v").write_text(text_of.replace("posedge clk", edge), encoding="utf-8")
    with pytest.raises(CheckFailure, match="selection is not empty"):
        synth.yosys(tmp_path, "m")


def test_what_abc_leaves_out_is_not_equal(tmp_path, monkeypatch):
    """A graph with fewer outputs than it was given says nothing of those that lack."""
    graph = Graph()
    differ = [graph.both(graph.input(), graph.input()) for _ in range(3)]

    def short(folder, *_, **__):
        other = Graph()
        other.write(folder / combinational.SWEPT, [0, 0])

    monkeypatch.setattr(engine, "abc", short)
    with pytest.raises(ToolError, match="must give back 3 outputs, not 2"):
        combinational._swept(graph, differ, tmp_path)

    def late(folder, *_, **__):
        short(folder)
        raise tools.TooLong("yosys must end")

    monkeypatch.setattr(engine, "abc", late)
    assert combinational._swept(graph, differ, tmp_path) == differ


def test_a_comparison_that_takes_too_long_leaves_pairs_unproved(
    verilog_of_tiny, tmp_path, monkeypatch
):
    def ended(folder, script, *_):
        log = "Found 9 unproven $equiv cells (9 groups) in equiv:\n" + 3 * " for \\a: success!\n"
        (folder / f"{script}.log").write_text(log, encoding="utf-8")
        if script == "equal":
            raise tools.TooLong("yosys must end")
        return log

    monkeypatch.setattr(equivalence.synth, "yosys", ended)
    monkeypatch.setattr(equivalence.combinational, "equal_pairs", lambda *_: 0)
    found = equivalence.compare(Chip(verilog_of_tiny), "xnoreplay.sequencer", tmp_path)
    assert found == equivalence.Compared(False, 9, 6)


def test_a_model_is_read_and_simulated(tmp_path):
    """A toggling latch, and an output that is its AND with the input: by hand from the format's page."""
    # variables: 1 input, 2 latch (next state: not itself), 3 = 1 AND 2
    (tmp_path / "m.aig").write_bytes(b"aig 3 1 1 1 1\n5\n6\n\x02\x02")
    model = aiger.read(tmp_path / "m.aig")
    assert (model.inputs, model.latches, model.outputs, model.gates) == (1, [5], [6], [(4, 2)])
    frames = model.frames(["1", "1", "0", "1"])
    assert [aiger.value(frame, 6) for frame in frames] == [False, True, False, True]


def test_the_first_name_of_a_model_is_read(tmp_path):
    """No line's end stands before it: it follows the gates."""
    gates = b"aig 3 2 0 2 1\n6\n2\n\x02\x02"
    (tmp_path / "m.aig").write_bytes(gates + b"i0 clk\ni1 a[3]\no0 y[0]\no1 z\nc\n")
    model, inputs, outputs = aiger.named(tmp_path / "m.aig")
    assert model.gates == [(4, 2)]
    assert inputs == {0: ("clk", 0), 1: ("a", 3)}
    assert outputs == {0: ("y", 0), 1: ("z", 0)}


def test_damaged_jobs_are_done_again(proved, verilog_of_tiny, tmp_path, monkeypatch):
    folder, result = proved
    file = folder / run.JOBS / f"properties-{SAMPLE[0]}.json"
    whole = files.read_json(file)
    file.write_text("{")
    monkeypatch.setattr(run, "decided", lambda *_: whole["row"])
    choice = run.Choice(SAMPLE[:1])
    again = run.prove(PLAN, verilog_of_tiny, choice, tmp_path, folder, Silent())
    assert again["properties"] == result["properties"][:1]
    assert files.read_json(file) == whole
