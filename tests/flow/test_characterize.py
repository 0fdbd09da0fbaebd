"""Costs of a user's own: Liberty by hand, a mapped unit held to its outputs, and CACTI."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.cost import estimate
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.cells import activity, cacti, characterize, gate_level, liberty
from xnoreplay.flow.cost.tables import measured
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, ToolError, XnoreplayError

CELLS = Path(__file__).parent / "data" / "cells.lib"
PACKED = gzip.compress(CELLS.read_bytes())
LIBRARY = liberty.read(CELLS)
TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
FF = 1e-15  # of a femtofarad and 1 V: the library's energy unit is 1 fF V^2


@pytest.fixture(autouse=True)
def _cited_costs():
    yield
    costs.use_sram(None)
    measured.use_logic(None)


def test_a_library_by_hand():
    assert (LIBRARY.name, LIBRARY.volts, len(LIBRARY.cells)) == ("made_up", 2.0, 8)
    inverter, flip_flop = LIBRARY.cells["INV"], LIBRARY.cells["DFF"]
    # The second slew's row at half the load: (2 + 3) / 2 units of 1 fF and 1 V.
    assert inverter.pins["Y"].joules(5 * FF) == pytest.approx(2.5e-15)
    assert inverter.pins["A"].capacitance == pytest.approx(1e-15)
    assert flip_flop.leakage == pytest.approx(7e-9)
    assert flip_flop.sequential
    assert flip_flop.pins["CK"].clock
    assert flip_flop.pins["CK"].joules(0) == pytest.approx(15e-15)


def test_a_packed_library(tmp_path):
    path = tmp_path / "cells.lib.gz"
    path.write_bytes(PACKED)
    assert liberty.read(path) == LIBRARY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"library(x) { nom_voltage : 1;", "must be a Liberty library"),
        (b"module x; endmodule", "it does not begin with library"),
        (b"library(x) { nom_voltage : 1; capacitive_load_unit(1, pf); }", "it has no cell"),
        (b"library(x) { cell(a) { } }", "nom_voltage is missing"),
        (b"\x1f\x8bgarbage", "must be readable"),
        (PACKED[:-9], "must be readable"),
        (PACKED[:10] + b"\xff" + PACKED[11:], "must be readable"),
        (
            b"library(x) { nom_voltage : 1; capacitive_load_unit(1, pf); leakage_power_unit : foo; }",
            "a unit must begin with a number, not 'foo'",
        ),
        (b"\xff\xfe\x00", "must be readable"),
    ],
)
def test_a_library_that_is_none(tmp_path, content, message):
    path = tmp_path / "bad.lib"
    path.write_bytes(content)
    with pytest.raises(liberty.LibertyError, match=message):
        liberty.read(path)


NETLIST = {
    "cells": {
        "n": {"type": "NAND2", "connections": {"A": [2], "B": [3], "Y": [4]}},
        "i": {"type": "INV", "connections": {"A": [4], "Y": [5]}},
        "f": {"type": "DFF", "connections": {"CK": [6], "D": [5], "Q": [3]}},
    },
    "netnames": {
        "a": {"bits": [2]},
        "q": {"bits": [3]},
        "w": {"bits": [4, 5]},
        "clk": {"bits": [6]},
    },
}


def test_toggles_times_energies_by_hand():
    m = gate_level.price(NETLIST, {"a": 7, "q": 3, "w[0]": 2, "w[1]": 2, "clk": 20}, LIBRARY, 10)
    nand = 2 * (5e-15 + 1 * FF * 2.0**2 / 2)  # drives one pin of 1 fF at 2 V
    inverter = 2 * (1.7e-15 + 1 * FF * 2.0**2 / 2)  # tables between 0 and 10 fF at 1 fF
    flip_flop = 3 * (1 * FF * 2.0**2 / 2)
    assert m.data == pytest.approx(nand + inverter + flip_flop)
    assert m.clock == pytest.approx(20 * 15e-15)
    assert (m.nets, m.annotated) == (5, 5)
    assert m.area == 2 + 1 + 8


def test_nets_without_toggles_are_not_annotated():
    m = gate_level.price(NETLIST, {"a": 7}, LIBRARY, 10)
    assert (m.nets, m.annotated) == (5, 1)


def test_a_cell_of_another_library():
    netlist = {"cells": {"x": {"type": "$_AND_", "connections": {}}}, "netnames": {}}
    with pytest.raises(ToolError, match=r"cell x must be mapped to the library, but is a \$_AND_"):
        gate_level.price(netlist, {}, LIBRARY, 1)


COUNTER = gate_level.Unit(
    "counter",
    "module counter(input clk, input rst, input up, output reg [3:0] n);\n"
    "always @(posedge clk) if (up) n <= n + 1;\nendmodule\n",
    {"up": 1},
    {"n": 4},
)


def play(cycles, fault=None):
    """Counts two of three cycles; n is checked once it is known."""
    played, n = gate_level.Activity(), 0
    for t in range(cycles):
        up = t % 3 != 0
        played.inputs.append({"up": int(up)})
        played.outputs.append({"n": n ^ (t == fault)})
        n = n + up & 15
    return played


def test_a_unit_is_mapped_run_and_held_to_its_outputs(tmp_path):
    text = CELLS.read_text()
    m = gate_level.measure(COUNTER, play(30), LIBRARY, text, tmp_path / "good")
    assert m.cells["DFF"] == 4
    assert m.annotated == m.nets > 0
    assert m.clock == pytest.approx(4 * 59 * 15e-15)  # 59 edges of the clock reach four pins
    with pytest.raises(
        CheckFailure, match="the netlist of counter must do what the unit does.* cycle 20"
    ):
        gate_level.play(COUNTER, play(30, fault=20), tmp_path / "good")


@pytest.mark.parametrize("name", ["plain", "a b", "c$d", "é"])
def test_make_is_given_no_path_that_it_does_not_take(tmp_path, monkeypatch, name):
    """It refuses folders with a space; the program comes back from where it was built."""
    out = tmp_path / name
    out.mkdir()
    for file in (gate_level.NETLIST, "cells.v"):
        (out / file).write_text("")
    given = []

    def execute(arguments, _env, folder):
        given.append(folder)
        assert not [a for a in arguments if Path(a).is_absolute()]
        assert {gate_level.BENCH, gate_level.NETLIST, "cells.v", gate_level.MAIN.name} <= {
            p.name for p in folder.iterdir()
        }
        (folder / "obj").mkdir()
        (folder / "obj" / "Vbench").write_text("program")

    monkeypatch.setattr(gate_level, "execute", execute)
    monkeypatch.setattr(tools, "verilator_env", dict)
    gate_level._build(gate_level.Unit("top", "", {"a": 1}, {"b": 1}), 3, out)
    assert (given[0] == out) == (name == "plain")
    assert tools.PLAIN.fullmatch(str(given[0]))
    assert (out / "obj" / "Vbench").read_text() == "program"


def test_saif_without_the_design():
    with pytest.raises(ToolError, match="must have the instance dut"):
        gate_level.parse_saif("(SAIFILE)")


def test_activity_of_a_lane_is_the_simulators():
    cycles, beats = activity.traced(TINY, None)
    played = activity.lane_activity(PLAN, cycles)
    assert sum(i["valid"] for i in played.inputs) == beats["xnor"] + beats["and"]
    assert beats["and"] > 0
    assert sum("acc" in o for o in played.outputs) > 100


@pytest.fixture(scope="module")
def tree():
    return characterize.characterize(TINY, None, CELLS, Silent())


def test_lane_and_update_unit_are_measured(tree):
    """Mapped netlists give the simulator's sums and proxies, or this would have failed."""
    assert all(j > 0 for j in tree["events"].values())
    for unit in tree["units"].values():
        assert unit["annotated"] == unit["nets"] > 100
    text = characterize.text(tree)
    assert text.count("100.0 % of ") == 8, "beside every figure"


def test_the_estimate_takes_them(tree, tmp_path):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    counters = {"cycles": 100, "lane.file.reads": 10, "cls.low.writes": 5, "array.taps": 90}
    cited = estimate.energy(PLAN, counters, 100)
    measured.use_logic(path)
    own = estimate.energy(PLAN, counters, 100)
    (array,) = (r for r in own if r.part == "array")
    assert array.joules[1] == pytest.approx(10 * tree["events"]["lane_beat"])
    assert "100.0 % of" in array.source
    assert {r.part for r in own} >= {"clock", "lanes, logic", "control"}
    assert not {r.part for r in own} & {"array pipeline", "accumulators", "lane.file"}
    (update,) = (r for r in own if r.event == "cls.low.writes" and "gate level" in r.source)
    assert update.joules[1] == pytest.approx(5 * tree["events"]["update_segment"])
    assert estimate.total(own) != estimate.total(cited)


def test_costs_of_another_lane_are_refused(tree, tmp_path):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree | {"window": 144}))
    measured.use_logic(path)
    with pytest.raises(costs.CostError, match="the target's window of 36, not 144"):
        estimate.energy(PLAN, {"cycles": 1}, 1)


@pytest.mark.parametrize(
    "tree",
    [
        {"format": "other"},
        {"format": measured.FORMAT, "liberty": "x", "volts": 1, "events": [], "units": {}},
        {
            "format": measured.FORMAT,
            "liberty": "x",
            "volts": 1,
            "window": 1e999,
            "events": dict.fromkeys(
                ("lane_beat", "lane_clock", "update_segment", "update_clock"), 1
            ),
            "units": dict.fromkeys(("lane", "update"), {"annotated": 1, "nets": 1, "leakage": 1}),
        },
    ],
)
def test_logic_costs_that_are_none(tmp_path, tree):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(costs.CostError, match="must be a file of characterize, but"):
        measured.use_logic(path)


FAKE = f"""#!{sys.executable}
import re, sys
text = open(sys.argv[2]).read()
size = int(re.search(r"-size \\(bytes\\) (\\d+)", text)[1])
width = int(re.search(r"bus width (\\d+)", text)[1])
node = float(re.search(r"-technology \\(u\\) (\\S+)", text)[1])
assert "itrs-lstp" in text and '-cache type "ram"' in text
if size > 1 << 20:
    print("ERROR: no valid organizations found")
    sys.exit(1)
print(f'''
    Access time (ns): {{node}}
    Cycle time (ns):  2
    Total dynamic read energy per access (nJ): {{size * width / 1e9}}
    Total dynamic write energy per access (nJ): 0.002
    Total leakage power of a bank (mW): 3
    Total gate leakage power of a bank (mW): 4
    Cache height x width (mm): 0.5 x 0.25
''')
"""


def fake_cacti(tmp_path, text=FAKE):
    """A program; started by a shell, as the first line of a file cannot name an interpreter with a space in its path."""
    path = tmp_path / "cacti"
    (tmp_path / "cacti.py").write_text(text)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/cacti.py" "$@"\n')
    path.chmod(0o755)
    return path


def test_a_table_of_cacti(tmp_path):
    table = cacti.tabulate(fake_cacti(tmp_path), 45, ["lstp"], Silent())
    (tmp_path / "own.csv").write_text(table)
    costs.use_sram(tmp_path / "own.csv")
    rows = costs.table("sram.csv")
    assert len(rows) == sum(k <= 8192 for k, _ in cacti.sizes())
    cost = costs.memory(1024, 64, TINY.target)  # 64 kbit
    assert cost.read.nominal == pytest.approx(8192 * 64 / 1e9 * 1e-9)
    assert cost.write.nominal == pytest.approx(2e-12)
    assert cost.leakage.nominal == pytest.approx(3e-3)
    assert cost.area == pytest.approx(0.125)
    assert costs.limits(45, "lstp") == (16 * 1024, 8192 * 1024, 32, 1024)


def test_cacti_that_fails(tmp_path):
    with pytest.raises(ToolError, match="cacti must be a program that can be run"):
        cacti.tabulate(tmp_path / "cacti", 45, ["lstp"], Silent())
    broken = fake_cacti(tmp_path, f"#!{sys.executable}\nprint('hello')\n")
    with pytest.raises(
        ToolError, match="computed none; the first: CACTI's report must have access_ns"
    ):
        cacti.tabulate(broken, 45, ["lstp"], Silent())
    lost = tmp_path / "lost"
    lost.write_text("#!/none/python\n")
    lost.chmod(0o755)
    with pytest.raises(
        ToolError, match="lost must be a program that can be run, but: No such file"
    ):
        cacti.tabulate(lost, 45, ["lstp"], Silent())
    with pytest.raises(XnoreplayError, match="device type must be one of hp, lop, lstp, not 'x'"):
        cacti.tabulate(broken, 45, ["x"], Silent())


def test_the_command(capsys, tmp_path):
    out = tmp_path / "sram.csv"
    arguments = ["characterize", "--cacti", fake_cacti(tmp_path), "--device", "lstp", "--out", out]
    assert cli.main([str(a) for a in arguments]) == 0
    assert "SRAMs:" in capsys.readouterr().out
    assert cli.main(["estimate", "--preset", "tiny", "--sram", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "characterize must be given --liberty or --cacti, and not both"),
        (["--liberty", "none.lib"], "Liberty file none.lib must be readable"),
        (["--cacti", "none"], "must be a program that can be run"),
        (["--cacti", "x", "--node", "-5"], "node must be 90 or 65 or 45 or 32 or 22, not -5"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert cli.main(["characterize", "--preset", "tiny", *arguments]) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
