"""A design as a netlist of the cells of a Liberty file, module by module, with clock gates and its memories as macros.

What `generate --asic` leaves and what `cosim --netlist --liberty` compares come from the one script of `script`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip import synth
from xnoreplay.flow.cost.cells import gating, liberty
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.errors import CheckFailure, ToolError

SOURCE, NETLIST, COUNTED = "rtl.v", "netlist.v", "netlist.json"
LIBRARY, MODELS = "cells.lib", "cells.v"


@dataclass(frozen=True)
class Mapping:
    """What is mapped, and how.

    Parameters
    ----------
    top : str
        The top module.
    boxes : tuple of str
        Modules that stay outside, as macros.
    gate : ClockGate, optional
        Is put before the flip-flops that share an enable.
    held : tuple of str
        Patterns of modules whose flip-flops stay variables, though they become of kinds that the library has.
    """

    top: str
    boxes: tuple[str, ...]
    gate: liberty.ClockGate | None = None
    held: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mapped:
    """A netlist.

    Parameters
    ----------
    verilog : str
        Its text.
    cells, boxes : dict of str to int
        Cells, and instances of the boxes, by type.
    area : float
        In the library's unit.
    flip_flops, gated, clock_gates : int
        How many there are; how many of them are behind a clock gate; and how many gates there are.
    """

    verilog: str
    cells: dict[str, int]
    boxes: dict[str, int]
    area: float
    flip_flops: int
    gated: int
    clock_gates: int


HELD = r"\$_S?DFF\w*|\$_DLATCH\w*"
"""Flip-flops that are not mapped; see `Mapping.held`."""


def script(chosen: Mapping, ties: tuple[tuple[str, str], tuple[str, str]] | None = None) -> str:
    """Return the yosys script that maps a design to the cells of `LIBRARY`.

    Initial values are dropped: a cell has none, and a chip begins with a reset.

    Parameters
    ----------
    chosen : Mapping
    ties : pair of (str, str), optional
        Cell and pin of a constant 1, and of a constant 0.
    """
    others = " ".join(["*", *(f"{name} %d" for name in chosen.held)])
    lines = [
        f"read_liberty -lib -ignore_miss_func {LIBRARY}",
        f"read_verilog {SOURCE}",
        *(f"blackbox {name}" for name in chosen.boxes),
        f"hierarchy -check -top {chosen.top}",
        "proc",
        "opt -full",
        "memory",
        "opt -full",
        "techmap",
        "opt -full",
        "setattr -unset init w:*",
    ]
    if chosen.gate:
        lines += gating.commands(chosen.gate, others)
    lines += [
        f"dfflibmap -prepare -liberty {LIBRARY}",
        f"dfflibmap -map-only -liberty {LIBRARY} {others}",
        "opt_clean",
        "simplemap",  # what the last commands have left of wider cells, which abc passes over
        f"abc -liberty {LIBRARY}",
        "opt_clean",
    ]
    if ties:
        (one, high), (zero, low) = ties
        lines.append(f"hilomap -hicell {one} {high} -locell {zero} {low}")
    lines += [
        "check -assert",
        f"tee -o {COUNTED} stat -json -liberty {LIBRARY}",
        f"write_verilog -noattr {NETLIST}",
        "",
    ]
    return "\n".join(lines)


def first_gate(library: Path) -> liberty.ClockGate | None:
    """Return the clock gate of a library that is inserted; None where it has none."""
    return next(iter(liberty.clock_gates(library)), None)


def gated_flip_flops(log: str) -> int:
    r"""Count the flip-flops that yosys has put behind a clock gate, from its log.

    >>> gated_flip_flops("Converted 12 FFs.\nConverted 3 FFs.\n")
    15
    """
    return sum(map(int, re.findall(r"^Converted (\d+) FFs", log, re.MULTILINE)))


def run(chosen: Mapping, library: Path, folder: Path, progress: Progress) -> Mapped:
    """Map the design whose text is `SOURCE` in a folder; the folder gets `LIBRARY`, and the tool's files.

    Raises
    ------
    CheckFailure
        Where yosys refuses the design, or leaves a cell that is none of the library's.
    LibertyError
        For a file that is no library of cells.
    ToolError
        Where yosys is missing, or its report lacks what is asked of it.
    """  # noqa: DOC502  raised by what is called
    liberty.check_cells(library)
    (folder / LIBRARY).write_text(liberty.text_of(library), encoding="utf-8")
    text = script(chosen, liberty.ties(library))
    (folder / "netlist.ys").write_text(text, encoding="utf-8")
    with progress.task("yosys: map to the library's cells (the first use prepares it)"):
        log = synth.yosys(folder, "netlist", "map to the library's cells")
    report = files.read_json(folder / COUNTED)
    counted = synth.cells(report, COUNTED)
    try:
        area = float(report["design"]["area"])
    except (KeyError, TypeError, ValueError):
        raise ToolError(f"{COUNTED} must have design.area, but has none") from None
    cells = {n: k for n, k in counted.items() if n not in chosen.boxes}
    if strange := sorted(n for n in cells if n.startswith("$") and not re.fullmatch(HELD, n)):
        raise CheckFailure(f"the netlist must have the library's cells alone, not {strange[0]}")
    sequential = liberty.sequential(library)
    return Mapped(
        (folder / NETLIST).read_text(encoding="utf-8"),
        cells,
        {n: k for n, k in counted.items() if n in chosen.boxes},
        area,
        sum(k for n, k in cells.items() if n in sequential or re.fullmatch(HELD, n)),
        gated_flip_flops(log),
        cells.get(chosen.gate.name, 0) if chosen.gate else 0,
    )


def models(library: Path, folder: Path) -> dict[str, str]:
    """Return a module for each cell of `LIBRARY` in a folder, by name, that does what the functions of its pins say.

    Raises
    ------
    LibertyError
        For a library of which yosys cannot read the functions.
    """
    lines = [
        f"read_liberty -ignore_miss_func {LIBRARY}",
        "proc",
        "opt_clean",
        f"write_verilog -noattr {MODELS}",
        "",
    ]
    (folder / "models.ys").write_text("\n".join(lines), encoding="utf-8")
    try:
        synth.yosys(folder, "models", "have modules for its cells")
    except CheckFailure as error:
        raise liberty.LibertyError(
            f"Liberty file {library} must have functions that yosys reads, but: {error}"
        ) from None
    text = (folder / MODELS).read_text(encoding="utf-8")
    gates = {gate.name: gate.verilog() for gate in liberty.clock_gates(library)}
    return modules(text, ("",)) | gates


def models_of(library: Path, folder: Path) -> dict[str, str]:
    """Return what `models` returns, for a folder that has no `LIBRARY` yet."""
    (folder / LIBRARY).write_text(liberty.text_of(library), encoding="utf-8")
    return models(library, folder)


def modules(verilog: str, begins: tuple[str, ...]) -> dict[str, str]:
    r"""Return the texts of modules by name, of those whose name begins so.

    >>> modules("module ab(x);\nendmodule\nmodule c(x);\nendmodule\n", ("a",))
    {'ab': 'module ab(x);\nendmodule\n'}
    """
    pattern = r"^module \\?(\S+?) ?\(.*?^endmodule\n"
    found = re.finditer(pattern, verilog, re.MULTILINE | re.DOTALL)
    return {m[1]: m[0] for m in found if m[1].startswith(begins)}
