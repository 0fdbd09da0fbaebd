"""Resources of a design in FPGA families, and in the cells of a Liberty file.

Memories are mapped one by one, each macro as a module of its own: that says which become RAM. The
whole design is mapped with them for the sums.
"""

import re
from pathlib import Path

from xnoreplay.flow.chip import mapping, synth
from xnoreplay.flow.cost.cells import gating
from xnoreplay.flow.cost.cells.liberty import LibertyError, check_cells, clock_gates, text_of
from xnoreplay.flow.cost.cells.liberty import read as read_liberty
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.errors import CheckFailure, ToolError

COMMANDS = {
    "ecp5": synth.SYNTHESIS,
    "ice40": "synth_ice40",
    "xcup": "synth_xilinx -family xcup",
    "gowin": "synth_gowin -family gw5a",
}
TITLES = {
    "ecp5": "Lattice ECP5",
    "ice40": "Lattice iCE40",
    "xcup": "Xilinx UltraScale+",
    "gowin": "Gowin GW5A",
}
KINDS = {
    "look-up tables": r"LUT\d|SB_LUT4",
    "carry cells": r"CCU2C|SB_CARRY|CARRY\d|ALU",
    "flip-flops": r"TRELLIS_FF|SB_DFF\w*|FD[RCPS]E|DFF\w*",
    "block memories": r"DP16KD|PDPW16KD|SB_RAM40_4K\w*|SB_SPRAM256KA|RAMB\w+|URAM\w+|SDPX?9?B|DPX?9?B",
    "distributed memories": r"TRELLIS_DPR16X4|RAM\d+\w+",
    "multipliers": r"MULT18X18D|SB_MAC16|DSP48E\w*|MULT\d+X\d+",
}
GATED = "gated.json"
LARGE = 4096  # bits above which a memory must be RAM


def counts(mapped: dict[str, int]) -> dict[str, int]:
    """Count the cells of each of `KINDS` from yosys' cells by type.

    >>> counts({"LUT4": 3, "LUT6": 1, "SB_DFFESR": 2})["look-up tables"]
    4
    """
    return {
        kind: sum(n for name, n in mapped.items() if re.fullmatch(pattern, name))
        for kind, pattern in KINDS.items()
    }


def commands(family: str, top: str, netlist: str = "") -> list[str]:
    """Return yosys' commands that map a design to a family, and write the netlist if it has a name."""
    if family == "ecp5":
        return synth.to_ecp5(top, netlist)
    return [f"{COMMANDS[family]} -top {top}" + (f" -json {netlist}" if netlist else "")]


def memory_script(family: str, macros: list[dict]) -> str:
    """Return the yosys script that maps each macro alone."""
    lines = [f"read_verilog {synth.SOURCE}", "design -save all"]
    for macro in macros:
        name = macro["name"]
        lines += [
            "design -load all",
            f"hierarchy -top {name}",
            *commands(family, name),
            f"tee -o {family}-{name}.json stat -json",
        ]
    return "\n".join([*lines, ""])


def inferred(bits: int, cells: dict[str, int]) -> bool:
    """Tell whether a memory's cells are RAM; a register that holds a read word does not count."""
    found = counts(cells)
    return (
        found["block memories"] + found["distributed memories"] > 0 and found["flip-flops"] < bits
    )


def memories(family: str, macros: list[dict], out: Path, progress: Progress) -> list[dict]:
    """Map every macro of a design, whose Verilog is in `out`, and return its shape, kinds, and whether it is RAM.

    Raises
    ------
    CheckFailure
        Where a memory of more than `LARGE` bits becomes registers.
    """
    (out / f"{family}-memories.ys").write_text(memory_script(family, macros), encoding="utf-8")
    with progress.task(f"yosys: {len(macros)} memories for {TITLES[family]}"):
        synth.yosys(out, f"{family}-memories")
    table = []
    for macro in macros:
        report = out / f"{family}-{macro['name']}.json"
        cells = synth.cells(files.read_json(report), report.name)
        report.unlink()
        table.append(
            {
                "name": macro["name"],
                "instances": macro["instances"],
                "bits": macro["bits"],
                "ram": inferred(macro["bits"], cells),
                **counts(cells),
            }
        )
    logic = [row["name"] for row in table if row["bits"] > LARGE and not row["ram"]]
    if logic:
        raise CheckFailure(
            f"every memory of more than {LARGE} bits must be RAM in {TITLES[family]}, but "
            f"{logic[0]} is not",
            {"memories": table},
        )
    return table


def resources(family: str, top: str, out: Path, progress: Progress) -> dict[str, int]:
    """Map the whole design, whose Verilog is in `out`."""
    report = f"{family}.json"
    script = "\n".join(
        [
            f"read_verilog {synth.SOURCE}",
            *commands(family, top),
            f"tee -o {report} stat -json",
            "",
        ]
    )
    (out / f"{family}.ys").write_text(script, encoding="utf-8")
    with progress.task(f"yosys: map to {TITLES[family]}"):
        synth.yosys(out, family)
    return counts(synth.cells(files.read_json(out / report), report))


def area(liberty: Path, macros: list[dict], top: str, out: Path, progress: Progress) -> dict:
    """Map the logic to the cells of a Liberty file, then with its clock gates; memories are macros, left out of the area.

    Returns
    -------
    dict
        library; area in the file's unit; cells by type; and, where the file has a clock gate, gated: gate, its name;
        area; cells; flip_flops, how many are behind a gate; clock_energy, J a cycle at the clock pins, where the file
        says it: before, and at most and at least with gates, all of them open or all shut.

    Raises
    ------
    LibertyError
        For a file that is no library of cells, or none that yosys can map to.
    ToolError
        Where yosys' report lacks the area.
    """
    from xnoreplay.hw.parts.macros import GUARD

    check_cells(liberty)
    gates = clock_gates(liberty)
    library = out / "cells.lib"
    library.write_text(text_of(liberty), encoding="utf-8")
    boxes = [
        f"module {m['name']}({', '.join(p['name'] for p in m['ports'])});\n"
        + "".join(f"  {p['direction']} [{p['bits'] - 1}:0] {p['name']};\n" for p in m["ports"])
        + "endmodule\n"
        for m in macros
    ]
    (out / "boxes.v").write_text("\n".join(f"(* blackbox *)\n{box}" for box in boxes))
    script = "\n".join(
        [
            "read_verilog -lib boxes.v",
            f"read_verilog -D{GUARD} {synth.SOURCE}",
            f"synth -flatten -top {top}",
            *(["design -save logic"] if gates else []),
            *_to_cells("area.json"),
            *(["design -load logic", *gating.commands(gates[0])] if gates else []),
            *(_to_cells(GATED) if gates else []),
            "",
        ]
    )
    (out / "area.ys").write_text(script, encoding="utf-8")
    with progress.task("yosys: map to the Liberty file's cells"):
        try:
            log = synth.yosys(out, "area", "be mapped to the file's cells")
        except CheckFailure as error:  # the design itself has passed yosys in every family
            raise LibertyError(
                f"Liberty file {liberty} must have the cells that a mapping needs: {error}"
            ) from None
        finally:
            library.unlink()  # a library may be licensed: no copy of it stays
    names = {macro["name"] for macro in macros}
    found = {"library": liberty.name, **_area(out / "area.json", names)}
    if gates:
        gated = _area(out / GATED, names)
        count = mapping.gated_flip_flops(log)
        energy = clock_energy(liberty, gates[0].name, found["cells"], gated["cells"], count)
        found["gated"] = {
            "gate": gates[0].name,
            "flip_flops": count,
            **gated,
            **({"clock_energy": energy} if energy else {}),
        }
    return found


def _to_cells(report: str) -> list[str]:
    """Lines of a yosys script that map flip-flops and logic to the cells of a Liberty file, and count them."""
    return [
        "dfflibmap -liberty cells.lib",
        "abc -liberty cells.lib",
        "opt_clean",
        f"tee -o {report} stat -json -liberty cells.lib",
    ]


def _area(path: Path, macros: set[str]) -> dict:
    """Area, and cells by type, of a report of yosys."""
    report = files.read_json(path)
    try:
        total = float(report["design"]["area"])
    except (KeyError, TypeError, ValueError):
        raise ToolError(f"{path.name} must have design.area, but has none") from None
    cells = synth.cells(report, path.name)
    return {"area": total, "cells": {k: n for k, n in cells.items() if k not in macros}}


def clock_energy(
    path: Path, gate: str, before: dict[str, int], after: dict[str, int], gated: int
) -> dict[str, float] | None:
    """Energy of a clock cycle at the clock pins of a design, without its wires and the buffers of a clock tree.

    A clock pin rises and falls once a cycle, which takes its internal energy at no load, and C V^2 for its capacitance.

    Parameters
    ----------
    path : Path
        A Liberty file.
    gate : str
        Its clock gate.
    before, after : dict of str to int
        Cells by type, without and with clock gates.
    gated : int
        Flip-flops that are behind a gate.

    Returns
    -------
    dict of str to float, optional
        In J: before; open, with all gates open; shut, with all gates shut. None where the file has no energies.
    """
    try:
        library = read_liberty(path)
    except LibertyError:  # a mapping needs no energies
        return None
    pin = {
        name: sum(
            2 * p.joules(0.0) + p.capacitance * library.volts**2
            for p in cell.pins.values()
            if p.clock
        )
        for name, cell in library.cells.items()
    }

    def total(cells: dict[str, int], but: str = "") -> float:
        return sum(n * pin.get(name, 0.0) for name, n in cells.items() if name != but)

    if not total(before):
        return None
    flip_flops = {n: k for n, k in after.items() if pin.get(n) and n != gate}
    share = gated / max(1, sum(flip_flops.values()))
    gates = after.get(gate, 0) * pin.get(gate, 0.0)
    return {
        "before": total(before),
        "open": total(after),
        "shut": (1 - share) * total(flip_flops) + gates,
    }


def map_to_families(
    verilog: Path,
    top: str,
    macros: list[dict],
    out: Path,
    progress: Progress,
    names: list[str],
    liberty: Path | None = None,
) -> dict:
    """Map the memories to each family, and the whole design to the families that `synth.check_and_map` does not map to.

    Parameters
    ----------
    verilog : Path
        The generated file.
    top : str
        Its top module.
    macros : list of dict
        Memories as `manifest.json` lists them.
    out : Path
        Where logs and reports go.
    progress : Progress
        Shows how far the families are.
    names : list of str
        Of families.
    liberty : Path, optional
        A file whose cells the logic is mapped to, too.

    Returns
    -------
    dict
        families: name -> memories, and resources but for ECP5; area, with a Liberty file.
    """
    (out / synth.SOURCE).write_bytes(verilog.read_bytes())
    found: dict = {name: {"memories": memories(name, macros, out, progress)} for name in names}
    for name in names:
        if name != "ecp5":
            found[name]["resources"] = resources(name, top, out, progress)
    result: dict = {"families": found}
    if liberty is not None:
        result["area"] = area(liberty, macros, top, out, progress)
    (out / synth.SOURCE).unlink()
    return result
