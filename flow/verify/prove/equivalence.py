"""Equivalence of the Verilog and its netlist, module by module.

Each module is mapped by itself, to gates or to the cells of a Liberty file, as `synth` and `cosim --netlist` map it, with
the modules inside of it cut out: what they take is an output, and what they give an input. Registers and outputs of both are
paired by name, and each pair is proved equal, for every input and every state that may follow a reset: by ABC all at once (`combinational`), or
else by yosys pair by pair: `equiv_make`, `equiv_simple`, `equiv_induct`. Since each module equals its netlist, so does
the chip around its memories.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip import synth
from xnoreplay.flow.chip.mapping import LIBRARY
from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.run import tools
from xnoreplay.flow.verify.prove import combinational
from xnoreplay.flow.verify.prove.design import Chip, gutted, is_macro
from xnoreplay.spec.errors import CheckFailure

SECONDS = 600  # of the processor, for each of yosys' attempts
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


@dataclass(frozen=True)
class _Mapping:
    """What is mapped, and how.

    Parameters
    ----------
    name : str
        Of the module, as yosys writes it.
    boxes : tuple of str
        Modules inside of it.
    library : bool
        Whether `LIBRARY` is mapped to.
    fault : Fault or None
        Is planted into the netlist.
    """

    name: str
    boxes: tuple[str, ...]
    library: bool
    fault: Fault | None

    @property
    def cut(self) -> list[str]:
        """Commands that make ports of what the modules inside take and give."""
        found = [f"blackbox \\{box}" for box in self.boxes]
        if found:
            places = " ".join(f"{self.name}/t:{box}" for box in self.boxes)
            found.append(f"expose -evert {places}")
        return found

    @property
    def netlist(self) -> list[str]:
        """Commands that read the module and map it."""
        mapped = [f"abc -g {GATES}", "opt_clean"]
        if self.library:
            mapped = [
                f"dfflibmap -prepare -liberty {LIBRARY}",
                f"dfflibmap -map-only -liberty {LIBRARY}",
                "opt_clean",
                f"abc -liberty {LIBRARY}",
                "opt_clean",
            ]
        lines = [PREPARE.format(name=self.name), *self.cut, MAP, *mapped]
        if self.fault:
            lines.append(f"chtype -set {self.fault.new} {self.name}/t:{self.fault.old} %R1")
        return lines

    @property
    def cells(self) -> list[str]:
        """Commands that read what the library's cells do."""
        read = [f"read_liberty -ignore_miss_func {LIBRARY}", "proc", "opt_clean"]
        return read if self.library else []


def _graphs(mapping: _Mapping) -> str:
    """Return the yosys script that writes the module and its netlist as graphs."""
    return "\n".join(
        [
            PREPARE.format(name=mapping.name),
            *mapping.cut,
            "memory -nomap",
            combinational.written("gold"),
            "design -reset",
            *mapping.netlist,
            *mapping.cells,
            f"hierarchy -top {mapping.name}",
            "flatten",
            combinational.written("gate"),
        ]
    )


def _script(mapping: _Mapping, between: bool) -> str:
    """Return the yosys script that maps a module and compares both.

    Parameters
    ----------
    mapping : _Mapping
    between : bool
        Wires between registers are pairs, too, which makes proofs short.
    """
    name = mapping.name
    lines = [
        PREPARE.format(name=name),
        *mapping.cut,
        *PLAIN,
        HIDE,
        SPLIT,
        *([] if between else [OWN]),
        f"rename {name} gold",
        "design -stash gold",
        *mapping.netlist,
        HIDE,
        *DRIVEN,
        APART,
        f"rename {name} gate",
        "design -stash gate",
        *mapping.cells,
        "design -copy-from gold -as gold gold",
        "design -copy-from gate -as gate gate",
    ]
    if mapping.library:
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
    boxes = tuple(sorted({module for _, module in chip.instances(name).values()}))
    mapping = _Mapping(f"\\{name}", boxes, library is not None, fault)
    (folder / "graphs.ys").write_text(_graphs(mapping), encoding="utf-8")
    synth.yosys(folder, "graphs", "be mapped")
    if pairs := combinational.equal_pairs(folder, "gold", "gate"):
        return Compared(True, pairs, 0)
    for between in (True, False):
        (folder / "equal.ys").write_text(_script(mapping, between), encoding="utf-8")
        found = _decided(name, folder)
        if found.equal:
            break
    return found


def _decided(name: str, folder: Path) -> Compared:
    """Run a folder's script, and read how many pairs are equal; those that it has not come to are not."""
    try:
        log, failed = synth.yosys(folder, "equal", "be compared with its netlist", SECONDS), False
    except (CheckFailure, tools.TooLong):
        log, failed = (folder / "equal.log").read_text(encoding="utf-8", errors="replace"), True
    found = re.findall(
        r"^Found (\d+) \$equiv cells in \S+:\n  Of those cells (\d+) are proven and (\d+) are",
        log,
        re.MULTILINE,
    )
    if found:
        pairs, _, unproved = map(int, found[-1])
        return Compared(unproved == 0, pairs, unproved)
    begun = re.findall(r"^Found (\d+) unproven \$equiv cells", log, re.MULTILINE)
    if failed and not begun:
        raise CheckFailure(f"module {name} must be compared with its netlist, but yosys cannot")
    pairs = int(begun[0]) if begun else 0
    return Compared(not failed, pairs, pairs - log.count(": success!") if failed else 0)
