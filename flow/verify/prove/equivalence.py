"""Equivalence of the Verilog and its netlist, module by module.

Each module is mapped by itself, to gates or to the cells of a Liberty file, as `synth` and `cosim --netlist` map it, with
the modules inside of it cut out: what they take is an output, and what they give an input. yosys pairs the registers and the
outputs of both by name and proves each pair equal, for every state and every input: `equiv_make`, `equiv_simple`,
`equiv_induct`. Since each module equals its netlist, so does the chip.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip import synth
from xnoreplay.flow.chip.mapping import LIBRARY
from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.verify.prove.design import Chip, gutted, is_macro
from xnoreplay.spec.errors import CheckFailure

SOURCE, GATES = "rtl.v", "AND,NAND,OR,NOR,XOR,XNOR,MUX"
PREPARE = f"""\
read_verilog {SOURCE}
hierarchy -check -top {{name}}
proc
opt_clean
setattr -unset init w:*
"""
MAP = """\
opt -full
memory -nomap
memory_map
opt -full
techmap
opt -fast
"""
PLAIN = ("memory -nomap", "memory_map", "opt_clean")
"""A table that yosys takes for a memory is logic."""
HIDE = "rename -hide w:$*"
"""Wires that Amaranth numbers are no pairs: one may be another's register in the netlist, whose own pair then lacks."""
SPLIT = "splitnets"
DRIVEN = (
    SPLIT,
    "setundef -undriven -anyseq",
    "opt_clean",
    "select -set loose t:$anyseq %co1 w:* %i x:* %d",
    "delete @loose t:$anyseq",
)
"""A bit of a register that nothing outside of it reads is not in the netlist: what has no driver there is no pair."""
OWN = "rename -hide w:* t:*dff* %co1 %d x:* %d"
"""Leaves the pairs that must be: registers and outputs. A wire between them may differ where nobody looks at it."""
APART = "insbuf -buf $_BUF_ A Y"
"""An output that is a register in the netlist gets a buffer, so that both are pairs."""


@dataclass(frozen=True)
class Fault:
    """A gate of a netlist that is changed, to see it found: the first of one type becomes another."""

    old: str
    new: str


def names(chip: Chip) -> list[str]:
    """Return the modules that are compared: all but memories."""
    return [name for name in chip.modules if not is_macro(name)]


def source(chip: Chip, name: str) -> str:
    """Return a module's text with the ports of the modules in it."""
    inside = {module for _, module in chip.instances(name).values()}
    return "\n".join(
        [chip.modules[name], *(gutted(chip.modules[module]) for module in sorted(inside))]
    )


def script(
    name: str, boxes: list[str], library: bool, fault: Fault | None = None, between: bool = True
) -> str:
    """Return the yosys script that maps a module and compares both.

    Parameters
    ----------
    name : str
        Of the module.
    boxes : list of str
        Modules inside of it.
    library : bool
        Whether `LIBRARY` is mapped to.
    fault : Fault, optional
        Is planted into the netlist.
    between : bool
        Wires between registers are pairs, too, which makes proofs short.
    """
    mapped = [f"abc -g {GATES}", "opt_clean"]
    if library:
        mapped = [
            f"dfflibmap -prepare -liberty {LIBRARY}",
            f"dfflibmap -map-only -liberty {LIBRARY}",
            "opt_clean",
            f"abc -liberty {LIBRARY}",
            "opt_clean",
        ]
    escaped = f"\\{name}"
    cut = [f"blackbox \\{box}" for box in boxes]
    if boxes:
        cut.append(f"expose -evert {' '.join(f'{escaped}/t:{box}' for box in boxes)}")
    lines = [
        PREPARE.format(name=escaped),
        *cut,
        *PLAIN,
        HIDE,
        SPLIT,
        *([] if between else [OWN]),
        f"rename {escaped} gold",
        "design -stash gold",
        PREPARE.format(name=escaped),
        *cut,
        MAP,
        *mapped,
    ]
    if fault:
        lines.append(f"chtype -set {fault.new} {escaped}/t:{fault.old} %R1")
    lines += [HIDE, *DRIVEN, APART, f"rename {escaped} gate", "design -stash gate"]
    if library:
        lines += [f"read_liberty -ignore_miss_func {LIBRARY}", "proc", "opt_clean"]
    lines += [
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
    ]
    if library:
        lines.append("flatten gate")
    return "\n".join(
        [
            *lines,
            "equiv_make gold gate equiv",
            "hierarchy -top equiv",
            "opt_clean",
            "equiv_simple",
            "equiv_induct",
            "equiv_status -assert",
            "",
        ]
    )


@dataclass(frozen=True)
class Compared:
    """One module.

    Parameters
    ----------
    equal : bool
    pairs : int
        Pairs of registers' inputs and outputs that were compared.
    unproved : int
        Of them.
    """

    equal: bool
    pairs: int
    unproved: int


def compare(
    chip: Chip, name: str, folder: Path, library: Path | None = None, fault: Fault | None = None
) -> Compared:
    """Map a module and compare it with its netlist.

    Raises
    ------
    CheckFailure
        Where yosys cannot map the module.
    LibertyError
        For a file that is no library of cells.
    ToolError
        Where yosys is missing.
    """  # noqa: DOC502  raised by what is called
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).write_text(source(chip, name), encoding="utf-8")
    if library:
        (folder / LIBRARY).write_text(liberty.text_of(library), encoding="utf-8")
    boxes = sorted({module for _, module in chip.instances(name).values()})
    for between in (True, False):
        text = script(name, boxes, library is not None, fault, between)
        (folder / "equal.ys").write_text(text, encoding="utf-8")
        found = _decided(name, folder)
        if found.equal:
            break
    return found


def _decided(name: str, folder: Path) -> Compared:
    """Run a folder's script, and read how many pairs are equal."""
    try:
        log, failed = synth.yosys(folder, "equal", "be compared with its netlist"), False
    except CheckFailure:
        log, failed = (folder / "equal.log").read_text(encoding="utf-8", errors="replace"), True
    found = re.findall(
        r"^Found (\d+) \$equiv cells in \S+:\n  Of those cells (\d+) are proven and (\d+) are",
        log,
        re.MULTILINE,
    )
    if not found:
        if failed:
            raise CheckFailure(f"module {name} must be compared with its netlist, but yosys cannot")
        return Compared(True, 0, 0)
    pairs, _, unproved = map(int, found[-1])
    return Compared(unproved == 0, pairs, unproved)
