"""A folder that an ASIC flow starts with: RTL with SRAM macros, constraints, a table of macros, a mapped netlist.

Large memories with a clocked read stay outside the logic, as black boxes; the others become registers. No memory
needs a value at power-up: a reset empties what must be empty (`hw.parts.clear`), and every other row is written
before anything reads it, by the host or by the chip.
"""

import csv
import dataclasses
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip import asic_facts, mapping, resets
from xnoreplay.flow.chip.generate import MANIFEST, VERILOG
from xnoreplay.flow.cost.cells import liberty as libraries
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.records import step_record, why_foreign
from xnoreplay.spec import reading, whole
from xnoreplay.spec.errors import CheckFailure, SpecError, shown
from xnoreplay.spec.memories import Apart, Memory
from xnoreplay.spec.plan import Plan

STEP = "asic"  # in the record of its folder
TOP = "xnoreplay"
LEAST_BITS = 1024
"""Bits of an instance above which a memory is a macro by default: an SRAM's periphery outweighs fewer."""
RTL, REGISTERS = f"rtl/{VERILOG}", "rtl/registers.v"
BOXES, MODELS = "macros/boxes.v", "macros/models.v"
TABLE, SDC, CONFIG, NETLIST = "macros.csv", f"{TOP}.sdc", "config.json", "netlist.v"
FACTS = "README.md"
IO_SHARE = 0.2  # of the period, for what is outside on each side
ONE_PORT = (Apart.UNWRITTEN, Apart.PHASES, Apart.STATES)
"""Reasons why no cycle reads and writes a memory: an SRAM with one port for both is enough."""


@dataclass(frozen=True)
class Row:
    """A row of the table of macros.

    Parameters
    ----------
    macro : str
        Name of its module.
    depth, width : int
        Words, and bits of a word.
    mask : int
        Bits that one write enable covers.
    ports : str
        1RW where no cycle both reads and writes, 1R1W otherwise. The module's ports are those of 1R1W.
    collision : str
        Why no cycle reads the row that it writes, by `spec.memories.Apart`; of several memories with "; " between.
    instances, bits : int
        How many there are, and bits of one.
    memories : str
        Names of `spec.memories` that lie in them, with spaces between.
    """

    macro: str
    depth: int
    width: int
    mask: int
    ports: str
    collision: str
    instances: int
    bits: int
    memories: str


def table(plan: Plan) -> list[Row]:
    """Return a row for each shape of memory that could be a macro, those of most bits first."""
    from xnoreplay.hw.parts.macros import Macro, macros_of

    held: dict[Macro, list[Memory]] = {}
    for memory in plan.memories:
        for macro in macros_of(plan, memory):
            held.setdefault(macro, []).append(memory)
    rows = [
        Row(
            macro.name,
            macro.depth,
            macro.width,
            macro.granule,
            "1RW" if all(m.apart in ONE_PORT for m in memories) else "1R1W",
            "; ".join(dict.fromkeys(m.apart for m in memories if m.apart)),
            len(memories),
            macro.depth * macro.width,
            " ".join(dict.fromkeys(m.name for m in memories)),
        )
        for macro, memories in held.items()
    ]
    return sorted(rows, key=lambda row: (-row.bits, row.macro))


def chosen(plan: Plan, wanted: Path | None, prefix: str = TOP) -> list[Row]:
    """Return the rows of `table` that are macros: those of a file's column ``macro``, or those above `LEAST_BITS`.

    Names in the file may begin with `prefix` in place of `TOP`, as those of a folder with a prefix do.

    Raises
    ------
    SpecError
        For a file that is no such table, or that names a macro which the chip has not.
    """
    rows = {row.macro: row for row in table(plan)}
    if wanted is None:
        return [row for row in rows.values() if row.bits > LEAST_BITS]
    try:
        header, *lines = csv.reader(io.StringIO(reading.text(wanted, reading.MOST_TEXT)))
        column = header.index("macro")
        names = [re.sub(rf"^{prefix}(?=_)", TOP, line[column]) for line in lines if line]
    except (OSError, ValueError, IndexError, csv.Error):
        raise SpecError(
            f"--macros must be a CSV file with a column 'macro', as {TABLE} is, but {wanted} is not"
        ) from None
    for name in names:
        if name not in rows:
            raise SpecError(
                f"a macro of {wanted} must be one of this chip, {', '.join(rows)}, not {shown(name)}"
            )
    return [row for row in rows.values() if row.macro in names]


def check(
    folder: Path, plan: Plan, liberty: Path | None, wanted: Path | None, prefix: str = TOP
) -> None:
    """Refuse, before any work, a folder of somebody else's, a library without clock gates, and a macro of no chip.

    Raises
    ------
    LibertyError
        For a file that is no library of cells, or has no clock gate.
    SpecError
        For the folder, for the file of macros, or for a prefix that is the name of another file or of a cell.
    """  # noqa: DOC502  raised by what is called
    if prefix == (taken := Path(REGISTERS)).stem:
        raise SpecError(
            f"prefix must not be {shown(prefix)} with --asic, whose folder has {taken} beside the chip's file"
        )
    if why := why_foreign(folder, STEP):
        raise SpecError(
            f"--asic must be a folder that is new, empty or of an earlier --asic, but {folder} {why}"
        )
    for above in folder.parents:
        if above.exists() and not above.is_dir():
            raise SpecError(
                f"--asic must be a folder, but {folder} lies below {above}, which is no folder"
            )
        if record := step_record(above):
            raise SpecError(
                f"--asic must not lie in a folder of a step, but {above} is of step {shown(record['step'])}"
            )
    if liberty is not None:
        libraries.check_cells(liberty)
        libraries.clock_gate(liberty)
        if prefix in libraries.names(liberty):
            raise SpecError(
                f"prefix must be the name of no cell of {liberty}, as is {shown(prefix)}"
            )
    chosen(plan, wanted, prefix)


def sdc(period: float, ports: list[dict]) -> str:
    """Return the constraints for a clock period in ns, and the top's ports as the manifest of generate lists them."""
    outside = IO_SHARE * period
    names: dict[str, str] = {}
    for way in ("input", "output"):
        found = [p for p in ports if p["direction"] == way and p["name"] != "clk"]
        names[way] = " ".join(p["name"] + ("[*]" if p["bits"] > 1 else "") for p in found)
    return f"""\
# Times are in ns. The period is that of the target's clock_hz: what is asked for, which nothing has timed yet.
# One clock. rst is sampled by it as any input is: it is timed, and no false path.
create_clock -name clk -period {period:.3f} [get_ports clk]
set_clock_uncertainty {0.02 * period:.3f} [get_clocks clk]
# What lies outside may take {IO_SHARE:.0%} of the period on each side, and gives no time to hold. What drives an input, and an
# output's load, are yours: set_driving_cell or set_input_transition, and set_load.
set_input_delay -max -clock clk {outside:.3f} [get_ports {{{names["input"]}}}]
set_input_delay -min -clock clk 0.000 [get_ports {{{names["input"]}}}]
set_output_delay -max -clock clk {outside:.3f} [get_ports {{{names["output"]}}}]
set_output_delay -min -clock clk 0.000 [get_ports {{{names["output"]}}}]
"""


def librelane(period: float) -> dict:
    """Return the configuration of LibreLane for a clock period in ns; MACROS is the user's, who has the layouts."""
    return {
        "meta": {"version": 2, "flow": "Classic"},
        "DESIGN_NAME": TOP,
        "VERILOG_FILES": [f"dir::{RTL}", f"dir::{REGISTERS}"],
        "EXTRA_VERILOG_MODELS": [f"dir::{BOXES}"],
        "CLOCK_PORT": "clk",
        "CLOCK_PERIOD": round(period, 3),
        "PNR_SDC_FILE": f"dir::{SDC}",
        "SIGNOFF_SDC_FILE": f"dir::{SDC}",
    }


def box(macro: dict) -> str:
    """Return a macro of the manifest as a black box."""
    lines = [
        "(* blackbox *)",
        f"module {macro['name']}({', '.join(p['name'] for p in macro['ports'])});",
    ]
    for port in macro["ports"]:
        span = f" [{port['bits'] - 1}:0]" if port["bits"] > 1 else ""
        lines.append(f"  {port['direction']}{span} {port['name']};")
    return "\n".join([*lines, "endmodule", ""])


def split(text: str) -> tuple[str, dict[str, str]]:
    """Return the logic of a generated text, and the modules of its memories by name."""
    from xnoreplay.hw.parts.macros import GUARD, MODULES

    logic, _, rest = text.partition(f"`ifndef {GUARD}\n")
    return logic, mapping.modules(rest, MODULES)


def write(  # noqa: PLR0913  the inputs of a folder, and how its modules are called
    plan: Plan,
    generated: Path,
    out: Path,
    liberty: Path | None,
    wanted: Path | None,
    progress: Progress,
    prefix: str = TOP,
) -> dict:
    """Write the folder.

    Parameters
    ----------
    plan : Plan
    generated : Path
        Folder of the step generate.
    out : Path
        Receives ``rtl/``, ``macros/``, ``macros.csv``, ``xnoreplay.sdc``, ``config.json`` for LibreLane,
        ``manifest.json``, ``README.md``, and with a library ``netlist.v``.
    liberty : Path, optional
        A library with clock gates, whose cells the logic is mapped to.
    wanted : Path, optional
        See `chosen`.
    progress : Progress
        Shows what yosys does.
    prefix : str
        What the names of modules, and of the files that have `TOP` in theirs, begin with in place of it.

    Returns
    -------
    dict
        What ``manifest.json`` holds.

    Raises
    ------
    CheckFailure
        Where the Verilog's memories are not those of the table, or yosys refuses the design.
    """
    rows = chosen(plan, wanted, prefix)
    names = [row.macro for row in rows]
    logic, memories = split((generated / VERILOG).read_text(encoding="utf-8"))
    generation = files.read_json(generated / MANIFEST)
    shapes = {m["name"]: m for m in generation["macros"]}
    for row in table(plan):
        if shapes.get(row.macro, {}).get("instances") != row.instances:
            raise CheckFailure(
                f"the Verilog must have {row.instances} instances of {row.macro}, but has "
                f"{shapes.get(row.macro, {}).get('instances', 0)}"
            )
    without = resets.check(logic)
    logic = resets.unstarted(logic)
    for folder in ("rtl", "macros"):
        (out / folder).mkdir()
    small = "\n".join(model(shapes[name]) for name in memories if name not in names)
    boxes = "\n".join(box(shapes[name]) for name in names)
    period = 1e9 / plan.target.clock_hz
    for name, text in (
        (RTL, logic),
        (REGISTERS, small),
        (BOXES, boxes),
        (MODELS, "\n".join(model(shapes[name]) for name in names)),
        (TABLE, _csv(rows)),
        (SDC, sdc(period, generation["ports"])),
    ):
        (out / name).write_text(text, encoding="utf-8")
    files.write_json(out / CONFIG, librelane(period))
    where = asic_facts.paths(logic, TOP)
    registers = sum(m["bits"] * m["instances"] for n, m in shapes.items() if n not in names)
    manifest: dict = {
        "top": TOP,
        "clock_ns": period,
        "reset": {
            "port": "rst",
            "active": "high",
            "kind": "synchronous",
            "registers_without": without,
        },
        "macros": [dataclasses.asdict(row) | {"paths": where[row.macro]} for row in rows],
        "macro_instances": sum(row.instances for row in rows),
        "macro_bits": sum(row.bits * row.instances for row in rows),
        "memory_registers": registers,
        "power_up": {"needed_by": [], "cleared_by_reset": list(_cleared(plan))},
    }
    if liberty is not None:
        manifest["netlist"] = _mapped(out, f"{logic}\n{small}\n{boxes}", names, liberty, progress)
    files.write_json(out / MANIFEST, manifest)
    (out / FACTS).write_text(asic_facts.readme(manifest, IO_SHARE * period), encoding="utf-8")
    return _prefixed(out, prefix) if prefix != TOP else manifest


def _prefixed(out: Path, prefix: str) -> dict:
    """Begin the names of modules and files with a prefix in place of `TOP`; returns the manifest."""
    from xnoreplay.hw import verilog

    for path in [p for p in out.rglob("*") if p.is_file() and p != out / whole.MARK]:
        text = verilog.prefixed(path.read_text(encoding="utf-8"), prefix)
        path.unlink()
        path.with_name(path.name.replace(TOP, prefix, 1)).write_text(text, encoding="utf-8")
    return files.read_json(out / MANIFEST)


def model(shape: dict) -> str:
    """Return a memory of the manifest as a module whose words are unknown until they are written."""
    from xnoreplay.hw.parts.macros import Macro

    fields = ("depth", "width", "granule", "latency")
    text = Macro(*(shape[name] for name in fields)).verilog(started=False)
    return text.replace("`ifndef SYNTHESIS\n`endif\n", "")  # what would have started it


def _cleared(plan: Plan) -> Iterator[str]:
    """Names of the memories that a reset empties."""
    yield plan.forgotten.name
    for name in ("replay.count", "staging.count"):
        if any(memory.name == name for memory in plan.memories):
            yield name


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Row)])
    writer.writerows(dataclasses.astuple(row) for row in rows)
    return text.getvalue()


def _mapped(out: Path, text: str, names: list[str], liberty: Path, progress: Progress) -> dict:
    """Write the netlist, and say what it has."""
    gate = libraries.clock_gate(liberty)
    work = out / "work"
    work.mkdir()
    (work / mapping.SOURCE).write_text(text, encoding="utf-8")
    wanted = mapping.Mapping(TOP, tuple(names), gate)
    found = mapping.run(wanted, liberty, work, progress)
    (out / NETLIST).write_text(found.verilog, encoding="utf-8")
    for path in work.iterdir():  # a library may be licensed: no copy of it stays
        path.unlink()
    work.rmdir()
    return {
        "library": liberty.name,
        "area": found.area,
        "cells": found.cells,
        "flip_flops": found.flip_flops,
        "clock_gates": found.clock_gates,
        "gated_flip_flops": found.gated,
        "macros": found.boxes,
    }


def text(manifest: dict, folder: Path) -> str:
    """Return what a user is told of a folder that was written."""
    shapes, bits = len(manifest["macros"]), manifest["macro_bits"]
    lines = [
        f"macros: {manifest['macro_instances']} of {shapes} shapes, {bits:,} bits",
        f"registers of small memories: {manifest['memory_registers']:,} bits",
    ]
    if netlist := manifest.get("netlist"):
        lines.append(
            f"{netlist['library']}: area {netlist['area']:,.0f}, {netlist['clock_gates']:,} clock gates before "
            f"{netlist['gated_flip_flops']:,} flip-flops"
        )
    return "\n".join([*lines, f"for an ASIC flow: {folder}"])
