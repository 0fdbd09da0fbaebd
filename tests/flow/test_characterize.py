"""Costs of a user's own: Liberty by hand, a mapped unit held to its outputs, and CACTI."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from tests.flow import second_simulator
from xnoreplay.flow import cli
from xnoreplay.flow.cost import estimate
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.cells import (
    activity,
    cacti,
    characterize,
    drawn_activity,
    gate_level,
    liberty,
)
from xnoreplay.flow.cost.tables import laws, measured
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, ToolError, XnoreplayError

CELLS = Path(__file__).parent / "data" / "cells.lib"
PACKED = gzip.compress(CELLS.read_bytes())
LIBRARY = liberty.read(CELLS)
TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
DRAWING = presets.vary(TINY, "target", replay="generative", drawn_per_class=3, replay_components=2)
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
            "a unit must be a number and W, with a prefix of a, f, p, n, u, m or none, not 'foo'",
        ),
        (CELLS.read_bytes().replace(b"(1, ff)", b"(1, xf)"), "must be a number and F, .*not '1xf'"),
        (
            CELLS.read_bytes().replace(b'"1ns"', b'"1furlong"'),
            "must be a number and s, .*'1furlong'",
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
    counted = {"a": 7, "q": 3, "w[0]": 2, "w[1]": 2, "clk": 20}
    m = gate_level.price(NETLIST, second_simulator.by_bit(NETLIST, counted), LIBRARY)
    nand = 2 * (5e-15 + 1 * FF * 2.0**2 / 2)  # drives one pin of 1 fF at 2 V
    inverter = 2 * (1.7e-15 + 1 * FF * 2.0**2 / 2)  # tables between 0 and 10 fF at 1 fF
    flip_flop = 3 * (1 * FF * 2.0**2 / 2)
    assert m.data == pytest.approx(nand + inverter + flip_flop)
    assert m.clock == pytest.approx(20 * 15e-15)
    found = gate_level.census(NETLIST, LIBRARY)
    assert (len(found.nets), found.area) == (5, 2 + 1 + 8)


def test_nets_without_toggles_are_not_annotated():
    found = gate_level.census(NETLIST, LIBRARY)
    assert found.nets & second_simulator.by_bit(NETLIST, {"a": 7}).keys() == {2}


def test_wires_by_hand():
    """A net with one pin and a wire of 4 fF costs half C V^2 more for each toggle of its driver."""
    bare = gate_level.price(NETLIST, {4: 2}, LIBRARY)
    wired = gate_level.price(NETLIST, {4: 2}, LIBRARY, lambda pins: 4 * pins * FF)
    nand = 2 * (4 * FF * 2.0**2 / 2)  # its table is of one energy at any load
    assert wired.data - bare.data == pytest.approx(nand)


def test_a_cell_of_another_library():
    netlist = {"cells": {"x": {"type": "$_AND_", "connections": {}}}, "netnames": {}}
    with pytest.raises(ToolError, match=r"cell x must be mapped to the library, but is a \$_AND_"):
        gate_level.price(netlist, {}, LIBRARY)


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


GATE = """
  cell(CG) { area : 5; clock_gating_integrated_cell : "latch_posedge";
    pin(GCK) { direction : output; clock_gate_out_pin : true; }
    pin(CK) { direction : input; clock : true; capacitance : 1; clock_gate_clock_pin : true; }
    pin(E) { direction : input; capacitance : 1; clock_gate_enable_pin : true; } }
"""
TIMES = {
    "INV": (0.02, 0.03),
    "BUF": (0.05, 0.05),
    "NAND2": (0.04, 0.02),
    "NOR2": (0.04, 0.03),
    "XOR2": (0.06, 0.06),
}


def timed(times=TIMES, more=GATE):
    """The library with delays in ns to a rise and a fall, a clock gate, and a model of wires."""
    text = CELLS.read_text()
    for name, (rise, fall) in times.items():
        head, cell, rest = text.partition(f"cell({name})")
        timing = (
            f'timing() {{ related_pin : "A"; cell_rise(scalar) {{ values("{rise}"); }} '
            f'cell_fall(scalar) {{ values("{fall}"); }} }}'
        )
        text = head + cell + rest.replace("direction : output;", f"direction : output; {timing}", 1)
    wire = """
  default_wire_load : "small";
  wire_load("small") { capacitance : 2; slope : 3; fanout_length(1, 1); fanout_length(3, 5); }
  wire_load("large") { capacitance : 20; slope : 3; fanout_length(1, 1); }
  wire_load_selection("only") { wire_load_from_area(100, 200, "large"); }
"""
    return text.rstrip().removesuffix("}") + more + wire + "}"


def library_of(tmp_path, text):
    path = tmp_path / "timed.lib"
    path.write_text(text)
    return liberty.read(path)


def test_a_library_with_delays_and_wires_by_hand(tmp_path):
    library = library_of(tmp_path, timed())
    assert library.cells["NAND2"].pins["Y"].delays(FF) == pytest.approx((40e-12, 20e-12))
    assert library.cells["DFF"].pins["Q"].delays(FF) is None
    small = library.wire_load(50)
    lengths = [small.capacitance(n) / (2 * FF) for n in (1, 2, 3, 5)]
    assert lengths == pytest.approx([1, 3, 5, 5 + 3 * 2])
    assert library.wire_load(100).name == "large"
    assert library.wire_load(200).name == "small"
    gate = library.cells["CG"]
    assert (gate.gate, gate.state.clock, gate.state.data) == (True, "!CK", "E")
    assert LIBRARY.wire_load(50) is None


HAZARD = {
    "ports": {"clk": {"bits": [9]}, "a": {"bits": [2]}, "y": {"bits": [4]}},
    "cells": {
        "i": {"type": "INV", "connections": {"A": [2], "Y": [3]}},
        "n": {"type": "NAND2", "connections": {"A": [2], "B": [3], "Y": [4]}},
    },
    "netnames": {},
}
PULSE = gate_level.Unit("hazard", "", {"a": 1}, {"y": 1})


@pytest.mark.parametrize(
    ("fall", "moves"),
    [(19, 0), (20, 2), (21, 2)],
    ids=["shorter than the gate's delay", "as long", "longer"],
)
def test_a_pulse_shorter_than_a_gates_delay_is_swallowed(tmp_path, fall, moves):
    """a NAND not a falls for as long as the inverter takes to fall, if it is no quicker than the NAND's own 20 ps."""
    library = library_of(tmp_path, timed(TIMES | {"INV": (0.02, fall / 1000)}))
    played = gate_level.Activity([{"a": 0}, {"a": 1}, {"a": 1}], [{"y": 1}] * 3)
    run = gate_level.with_delays(PULSE, played, HAZARD, library)
    assert (run.moves[2], run.moves[3], run.moves[4]) == (1, 1, moves)
    assert (run.settled[2], run.settled[3], run.settled[4]) == (1, 1, 0)
    assert run.longest == 1 + fall + (40 if moves else 0)


def test_outputs_with_delays_are_held_to_recorded_ones():
    played = gate_level.Activity([{"a": 0}, {"a": 1}, {"a": 1}], [{"y": 1}, {}, {"y": 0}])
    with pytest.raises(CheckFailure, match="hazard must do with delays .* differs in cycle 2"):
        gate_level.with_delays(PULSE, played, HAZARD, LIBRARY)


def test_a_loop_is_refused(monkeypatch):
    monkeypatch.setattr(gate_level.player, "MOST_PS", 1000)
    ring = {**HAZARD, "cells": {"n": {"type": "INV", "connections": {"A": [4], "Y": [4]}}}}
    with pytest.raises(CheckFailure, match="must come to rest after an edge of its clock"):
        gate_level.with_delays(PULSE, gate_level.Activity([{"a": 0}], [{}]), ring, LIBRARY)


def test_a_unit_is_mapped_run_and_held_to_its_outputs(tmp_path):
    """Without clock gates and with one, which opens in two of three cycles."""
    library, out = library_of(tmp_path, timed()), tmp_path / "good"
    (gate,) = liberty.clock_gates(tmp_path / "timed.lib")
    text = timed({})  # the mapping needs no delays, and takes none from a scalar
    m = gate_level.measure(COUNTER, play(30), library, text, out, gate)
    assert (m.timed > 0, m.untimed) == (True, 5)
    assert m.cells["DFF"] == 4
    assert m.cells["CG"] == 1
    assert m.annotated == m.nets > 0
    assert m.ungated == pytest.approx(4 * 59 * 15e-15)  # 59 edges of the clock reach four pins
    assert m.clock == 0  # the gate's own pin, whose energy the library has not got
    wire = 4 * FF + library.wire_load(m.area).capacitance(4)
    ups = sum(i["up"] for i in play(30).inputs[:-1]) * 2  # edges behind the gate
    assert m.gated == pytest.approx(ups * (4 * 15e-15 + wire * 2.0**2 / 2))
    assert m.wiring.endswith("wires small")
    plain = json.loads((out / gate_level.PLAIN).read_text())["modules"]["counter"]
    run = gate_level.with_delays(COUNTER, play(30), plain, library)
    rested = {bit: n + run.first[bit] for bit, n in run.settled.items()}
    counted = second_simulator.toggles(COUNTER, play(30), out)
    assert counted == {bit: rested[bit] for bit in counted}, "as often as Verilator has them toggle"
    assert len(counted) > m.nets / 2
    with pytest.raises(
        CheckFailure, match="the netlist of counter must do with delays .* cycle 20"
    ):
        gate_level.with_delays(COUNTER, play(30, fault=20), plain, library)


def test_activity_of_a_lane_is_the_simulators():
    cycles, beats = activity.traced(TINY, None)
    played = activity.lane_activity(PLAN, cycles)
    assert sum(i["valid"] for i in played.inputs) == beats["xnor"] + beats["and"]
    assert beats["and"] > 0
    assert sum("acc" in o for o in played.outputs) > 100


@pytest.fixture(scope="module")
def tree():
    return characterize.characterize(DRAWING, None, CELLS, Silent())


def test_units_are_measured(tree):
    """Mapped netlists give the simulator's sums, proxies, deltas and draws, or this would have failed."""
    assert set(tree["units"]) == {"lane", "file", "update", "error", "draw"}
    assert tree["events"]["file_beat"]["count"] < tree["events"]["lane_beat"]["count"]
    assert all(parts["count"] > 0 for parts in tree["events"].values())
    for name, unit in tree["units"].items():
        assert unit["annotated"] == unit["nets"] > 100
        assert unit["glitch_factor"] > 1
        assert unit["clock_gated"] == unit["clock_ungated"], "the library has no gate"
        assert tree["events"][f"{name}_{characterize.EVENTS[name]}"]["wires"] > 0
    text = characterize.text(tree)
    assert text.count("100.0 % of ") == 10, "beside every energy"
    assert "clock gates: none, for the library has none" in text
    beats = tree["activity"]["lane_beats"]
    assert f"activity of the simulator: {beats:,} lane beats, {beats:,} file beats, " in text
    assert "100 ps of delay each, for the library has none" in text


def test_a_library_without_flip_flops_is_refused_before_the_work(tmp_path, monkeypatch):
    path = tmp_path / "gates.lib"
    path.write_text(CELLS.read_text().replace("ff(IQ, IQN)", "statetable(CK, IQ)"))
    monkeypatch.setattr(activity, "traced", lambda *_: pytest.fail("the work has begun"))
    with pytest.raises(liberty.LibertyError, match="must have a flip-flop, but none of its 8"):
        characterize.characterize(TINY, None, path, Silent())


def test_activity_of_a_lanes_file_has_words_to_compare():
    cycles, beats = activity.traced(TINY, None)
    played = activity.file_activity(PLAN, activity.lane_activity(PLAN, cycles))
    assert sum(i["load"] for i in played.inputs) == sum(beats.values())
    words = [o["word"] for o in played.outputs if o]
    assert len(words) > len(played.outputs) / 2
    assert len(set(words)) > 3


@pytest.mark.parametrize("unit", ["error", "draw"])
def test_activity_of_other_units_is_the_references(unit):
    """Deltas and words are there to be compared; a draw is one of 2^planes words, not a word of zeros."""
    made = getattr(drawn_activity, f"{unit}_activity")(DRAWING, None)
    played, events = made
    output = {"error": "delta", "draw": "word"}[unit]
    shown = [o[output] for o in played.outputs if output in o]
    assert len(shown) >= events / 2 > 0
    assert len(set(shown)) > 3


COUNTERS = {
    "cycles": 100,
    "lane.file.reads": 10,
    "cls.low.writes": 5,
    "array.taps": 90,
    "learn.samples": 2,
}


def test_the_estimate_takes_them(tree, tmp_path):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    counters = COUNTERS
    cited = estimate.energy(PLAN, counters, 100)
    measured.use_logic(path)
    own = estimate.energy(PLAN, counters, 100)
    array = [r for r in own if r.part == "array"]
    beat = tree["events"]["lane_beat"]
    assert [(r.correction, r.joules[1]) for r in array] == [
        ("", pytest.approx(10 * beat["count"])),
        (laws.WIRES, pytest.approx(10 * beat["wires"])),
        (laws.GLITCHES, pytest.approx(10 * beat["glitches"])),
    ]
    assert all("100.0 % of" in r.source and r.measured for r in array)
    assert {r.part for r in own} >= {"clock", "lanes, logic", "control"}
    assert not {r.part for r in own} & {"array pipeline", "accumulators", "lane.file"}
    update = next(r for r in own if r.event == "cls.low.writes" and "gate level" in r.source)
    assert update.joules[1] == pytest.approx(5 * tree["events"]["update_segment"]["count"])
    (error,) = (r for r in own if r.event == "learn.samples")
    assert error.joules[1] == pytest.approx(2 * tree["events"]["error_sample"]["count"])
    assert estimate.total(own) != estimate.total(cited)


def test_corrections_are_not_added_to_measured_rows_twice(tree, tmp_path):
    """Every wire and glitch within a measured unit is the measured one; either can be switched off."""
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    measured.use_logic(path)
    units = {"array", "update units", "error unit", "clock"}
    within = {laws.WIRES, laws.GLITCHES}
    rows = estimate.corrected_rows(PLAN, COUNTERS, 100)
    found = [r for r in rows if r.part in units and r.correction in within]
    drawn = {r.event for r in rows if r.part == "update units" and not r.measured}
    assert {r.part for r in found if r.measured} == units - {"clock"}
    assert [r for r in found if not r.measured and r.event.split(",")[0] not in drawn] == []
    price = estimate.price(PLAN, COUNTERS, 100)
    with laws.switched([laws.WIRES, laws.GLITCHES]):
        bare = estimate.price(PLAN, COUNTERS, 100)
    assert not within & bare["corrections"].keys()
    before = price["total"][1] / estimate.chips.whole().factor
    assert sum(price["origin"].values()) == pytest.approx(before)
    assert price["origin"][estimate.MEASURED] == pytest.approx(
        sum(r.joules[1] for r in rows if r.measured)
    )
    assert 0 < bare["origin"][estimate.MEASURED] < price["origin"][estimate.MEASURED]


def test_the_estimate_says_what_rests_on_measurement(tree, tmp_path, capsys):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    arguments = ["estimate", "--preset", "tiny", "--untrained"]
    assert cli.main(arguments) == 0
    assert "measured in your cells" not in capsys.readouterr().out
    assert cli.main([*arguments, "--logic", str(path)]) == 0
    assert "measured in your cells" in capsys.readouterr().out


def test_draws_are_priced_by_their_planes(tree, tmp_path):
    plan = plans.compile(DRAWING.network, DRAWING.target)
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(tree))
    measured.use_logic(path)
    rows = estimate.energy(plan, {"cycles": 100, "replay.mean.reads": 7}, 100)
    draw = [r for r in rows if r.part == "draw"]
    assert all(r.measured for r in draw)
    assert draw[0].joules[1] == pytest.approx(7 * tree["events"]["draw_plane"]["count"])
    path.write_text(json.dumps(tree | {"draw_planes": 0}))
    measured.use_logic(path)
    with pytest.raises(costs.CostError, match="the target's draw_planes of 2, not 0"):
        estimate.energy(plan, {"cycles": 1}, 1)


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
            **dict.fromkeys(measured.DIALS, 1),
            "window": 1e999,
            "events": {},
            "units": dict.fromkeys(measured.UNITS, {"annotated": 1, "nets": 1, "leakage": 1}),
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
