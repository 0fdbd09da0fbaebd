"""A design as a netlist, so that what synthesis makes of it can be held to the simulator.

yosys maps all logic to two-input gates, multiplexers and flip-flops, or to the cells of a Liberty file, clock gates
among them, each a module that does what the file says. Modules, their ports and the memories keep their names, which
is how the test bench finds its way; memories stay arrays, as they would be macros on a chip.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip import mapping
from xnoreplay.flow.chip.synth import cells, yosys
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import PUBLIC, TOP
from xnoreplay.hw.parts.macros import MODULES, ROWS
from xnoreplay.spec.errors import CheckFailure

SOURCE, NETLIST, COUNTED = "rtl.v", "netlist.v", "netlist.json"
GATES = "AND,NAND,OR,NOR,XOR,XNOR,MUX"
SCRIPT = f"""\
read_verilog -nosynthesis {SOURCE}
hierarchy -check -top {TOP}
proc
opt
memory -nomap
opt -full
techmap
opt -fast
abc -g {GATES}
opt_clean
check -assert
tee -o {COUNTED} stat -json
write_verilog -noattr {NETLIST}
"""
LATE = re.compile(r"\.wen\(late_en\)|^module \\?\S+\.array\.lane", re.MULTILINE)
"""A module whose memory's write enable follows from a register without a reset: see `flow.chip.resets.TABLE`."""
KEPT = r"\$mem(_v2)?"  # the only cells of the result that are no gate
WRITTEN = tuple(
    module for access, module, _ in PUBLIC if access == "flat_rw" and module.startswith("*")
)
"""Modules with registers that the test bench writes: their flip-flops stay variables, of the library's kinds."""


@dataclass(frozen=True)
class Netlist:
    """A design as gates.

    Parameters
    ----------
    verilog : str
        Its text.
    gates, flip_flops, memories : int
        How many it has.
    clock_gates : int
        How many it has; 0 without a library.
    """

    verilog: str
    gates: int
    flip_flops: int
    memories: int
    clock_gates: int = 0


def build(verilog: str, folder: Path, progress: Progress) -> Netlist:
    """Map a design to gates; `folder` is for the tool's files.

    Raises
    ------
    CheckFailure
        Where yosys refuses the design, or leaves anything but gates and memories.
    ToolError
        Where yosys is missing.
    """  # noqa: DOC502  raised by `yosys`
    folder.mkdir(parents=True)
    (folder / SOURCE).write_text(verilog, encoding="utf-8")
    (folder / "netlist.ys").write_text(SCRIPT, encoding="utf-8")
    with progress.task("yosys: map to gates (the first use prepares it)"):
        yosys(folder, "netlist", "map to gates")
    counted = cells(files.read_json(folder / COUNTED), COUNTED)
    memories = sum(n for name, n in counted.items() if re.fullmatch(KEPT, name))
    gates = {n: k for n, k in counted.items() if re.fullmatch(r"\$_[A-Z]+_", n)}
    flip_flops = {n: k for n, k in counted.items() if re.match(r"\$_S?DFF", n)}
    rest = counted.keys() - gates.keys() - flip_flops.keys()
    if others := sorted(n for n in rest if not re.fullmatch(KEPT, n)):
        raise CheckFailure(
            f"the netlist must have gates, flip-flops and memories alone, not {others[0]}"
        )
    text = (folder / NETLIST).read_text(encoding="utf-8")
    return Netlist(text, sum(gates.values()), sum(flip_flops.values()), memories)


def build_of_cells(verilog: str, library: Path, folder: Path, progress: Progress) -> Netlist:
    """Map a design to the cells of a library, with clock gates where it has some; `folder` is for the tool's files.

    The text has the cells' modules, too, and the memories as the design has them. As on a chip, flip-flops power up
    with any value: each starts at a drawn bit, see `powered_up`.

    Raises
    ------
    CheckFailure
        Where yosys refuses the design, or leaves anything but cells and memories.
    LibertyError
        For a file that is no library of cells.
    ToolError
        Where yosys is missing.
    """  # noqa: DOC502  raised by what is called
    folder.mkdir(parents=True)
    (folder / mapping.SOURCE).write_text(verilog, encoding="utf-8")
    macros = mapping.modules(verilog, MODULES)
    chosen = mapping.Mapping(TOP, tuple(macros), mapping.first_gate(library), WRITTEN)
    mapped = mapping.run(chosen, library, folder, progress)
    models = mapping.models(library, folder)
    known = models.keys() | {n for n in mapped.cells if re.fullmatch(mapping.HELD, n)}
    if others := sorted(mapped.cells.keys() - known):
        raise CheckFailure(f"the netlist must have the library's cells alone, not {others[0]}")
    used = sorted(mapped.cells.keys() & models.keys())
    return Netlist(
        powered_up(mapped.verilog, macros.values(), {name: models[name] for name in used}),
        sum(mapped.cells.values()) - mapped.flip_flops - mapped.clock_gates,
        mapped.flip_flops,
        sum(mapped.boxes.values()),
        mapped.clock_gates,
    )


def powered_up(netlist: str, memories: Iterable[str], cells: dict[str, str]) -> str:
    """Return a netlist with its memories and cells, of which each register that has no other start has a drawn one.

    The draws are the same each time. An unknown value in place of a drawn one would not do: gates make more of it
    unknown than they must, for an exclusive or of a net with itself is 0.

    Parameters
    ----------
    netlist : str
        Instances of the cells, a line each as yosys writes them.
    memories : iterable of str
        Their modules; their words start at 0, what they read at a drawn word, which a read past the last row gives, too.
        The first clock edge, at which reset is sampled, writes none of them, for drawn bits may enable it; nor does the second
        write one of a module that `LATE` finds, whose enable is what drawn bits have given at the first. Every later write counts.
    cells : dict of str to str
        Modules of the cells by name; those of flip-flops have a register that an edge sets.
    """
    draw = random.Random(0)
    kinds = [name for name, text in cells.items() if _HOLDS.search(text)]
    held = {
        name: _HOLDS.sub(r"\g<0>\n  parameter START = 1'b0;\n  initial \1 = START;", text, count=1)
        for name, text in cells.items()
        if name in kinds
    }
    if kinds:
        instance = re.compile(rf"^  ({'|'.join(map(re.escape, kinds))}) (?=\S+ +\($)", re.MULTILINE)
        netlist = instance.sub(
            lambda found: f"  {found[1]} #(.START(1'b{draw.getrandbits(1)})) ", netlist
        )
    memories = list(memories)
    known = [_known(text, draw) for text in memories]
    return "\n".join([_told_late(netlist, memories), *known, *(cells | held).values()])


def _told_late(netlist: str, memories: list[str]) -> str:
    """Return a netlist that tells the memories in modules of `LATE` from when on their writes count."""
    names = "|".join(re.escape(name) for text in memories for name in mapping.modules(text, ("",)))
    if not names:
        return netlist
    instance = re.compile(rf"^  ({names}) (?=\S+ \($)", re.MULTILINE)

    def told(module: re.Match) -> str:
        return (
            instance.sub(r"  \1 #(.FROM(2)) ", module[0]) if LATE.search(module[0]) else module[0]
        )

    return _MODULE.sub(told, netlist)


def _known(memory: str, draw: random.Random) -> str:
    """Return the module of a memory as it is after power-on, when no word counts: see `powered_up`."""
    size = _SIZE.search(memory)
    assert size, memory
    width, depth = int(size[1] or 0) + 1, int(size[2]) + 1
    word = f"{width}'d{draw.getrandbits(width)}"
    memory = memory.replace(f"rdata = {width}'d0;", f"rdata = {word};")
    if depth & depth - 1:
        memory = memory.replace(f"= {ROWS}[raddr];", f"= raddr < {depth} ? {ROWS}[raddr] : {word};")
    memory = _WRITES.sub(r"    if (edges >= FROM && \1)", memory)
    counted = """\
  parameter FROM = 1;
  integer edges;
  initial edges = 0;
  always @(posedge clk)
    if (edges < FROM)
      edges <= edges + 1;
endmodule
"""
    return memory.replace("endmodule\n", counted)


_HOLDS = re.compile(r"^  reg (\S+);$(?=\n  always @\((?:pos|neg)edge )", re.MULTILINE)
_MODULE = re.compile(r"^module .*?^endmodule$", re.MULTILINE | re.DOTALL)
_WRITES = re.compile(r"^    if \((wen(?:\[\d+\])?|ren && .*)\)$", re.MULTILINE)
_SIZE = re.compile(rf"^  reg(?: \[(\d+):0\])? {ROWS} \[0:(\d+)\];", re.MULTILINE)
