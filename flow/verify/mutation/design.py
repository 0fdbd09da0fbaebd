"""Many mutants of a design in one text: an input chooses which of them the simulation is of.

So the C++ compiler reads one text for all of them. Half of the mutants are faults of `catalogue`; the other half are
those that yosys draws, each of which sets or inverts one bit at one port of one cell.
"""

import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

from xnoreplay.flow.chip.synth import yosys
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.netlist import WRITTEN
from xnoreplay.flow.verify.mutation import catalogue
from xnoreplay.flow.verify.mutation.catalogue import Site
from xnoreplay.spec.errors import SpecError

SOURCE, BASE, LISTED, MUTATED, VERILOG = (
    "source.v",
    "base.il",
    "list.txt",
    "mutated.il",
    "mutants.v",
)
READ = f"""\
read_verilog -nosynthesis {SOURCE}
hierarchy -check -top {TOP}
proc
opt_expr
opt_clean
wreduce
opt_clean
write_rtlil {BASE}
"""
"""Of the text with the catalogue's faults. Bits that nothing uses are removed, for their mutants would say nothing."""
MORE = 4  # as many mutants are asked of yosys as are wanted, because some are left out
YOSYS = {
    "inv": "a bit is inverted",
    "const0": "a bit is always 0",
    "const1": "a bit is always 1",
    "cnot0": "a bit is inverted where another one is 0",
    "cnot1": "a bit is inverted where another one is 1",
}
"""Kinds of yosys's mutants, and what each is."""
CLOCKS = ("CLK", "clk")
IDLE = ("ARST", "SRST")  # ports of a cell that reads a memory, which nothing drives there


@dataclass(frozen=True)
class Mutant:
    """One small fault of a design.

    Parameters
    ----------
    number : int
        Value of the input `SELECT` that chooses it, from 1 on.
    source : str
        "catalogue" or "yosys".
    kind : str
        A key of `catalogue.KINDS` or `YOSYS`.
    module : str
        Of the Verilog.
    where : str
        The line's text before and after, or cell, port and bit, and the net if it has a name.
    """

    number: int
    source: str
    kind: str
    module: str
    where: str

    def __str__(self) -> str:
        return f"{self.number} {self.kind} in {self.module}: {self.where}"

    def plain(self) -> dict:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Mutants:
    """A design with mutants.

    Parameters
    ----------
    verilog : str
        Text with the input `SELECT`.
    rtlil : str
        The same as yosys's own text.
    bits : int
        Of the input.
    mutants : tuple of Mutant
    """

    verilog: str
    rtlil: str
    bits: int
    mutants: tuple[Mutant, ...]


def draw(verilog: str, count: int, seed: int, folder: Path, progress: Progress) -> Mutants:
    """Draw mutants of a generated Verilog and put all of them into one text.

    Parameters
    ----------
    verilog : str
        As `hw.verilog.generate` makes it.
    count : int
        How many mutants; every other one is of the catalogue.
    seed : int
        Of the draws.
    folder : Path
        For the tool's files; it must not be there yet.
    progress : Progress

    Raises
    ------
    SpecError
        Where the design is too small for so many.
    ToolError, CheckFailure
        Of `flow.chip.synth.yosys`.
    """  # noqa: DOC502  raised by `yosys`
    sites = catalogue.drawn(verilog, (count + 1) // 2, seed)
    wanted = count - len(sites)
    bits = count.bit_length()
    numbered = dict(enumerate(sites, 1))
    folder.mkdir(parents=True)
    text = catalogue.planted(verilog, numbered, bits)
    (folder / SOURCE).write_text(text, encoding="utf-8")
    ask = f"mutate -list {MORE * wanted + 10} -seed {seed} -o {LISTED}\n"
    (folder / "list.ys").write_text(READ + ask, encoding="utf-8")
    with progress.task("yosys: draw mutants (the first use prepares it)"):
        yosys(folder, "list", "be read")
    left_out = catalogue.hidden(text.splitlines()) | {site.line for site in sites}
    lines = (folder / LISTED).read_text(encoding="utf-8").splitlines()
    base = (folder / BASE).read_text(encoding="utf-8")
    drawn = _kept(lines, left_out, starts_of_memories(base))[:wanted]
    if len(drawn) < wanted:
        raise SpecError(
            f"mutants must be at most {len(sites) + len(drawn)} of this design, not {count}"
        )
    offset = len(sites) + 1
    applied = [
        f"mutate -ctrl {SELECT} {bits} {number} {command}"
        for number, (command, _) in enumerate(drawn, offset)
    ]
    script = [f"read_rtlil {BASE}", *applied, "opt_clean"]
    script += [f"write_rtlil {MUTATED}", f"write_verilog -noattr {VERILOG}", ""]
    (folder / "apply.ys").write_text("\n".join(script), encoding="utf-8")
    with progress.task("yosys: put the mutants into one text"):
        yosys(folder, "apply", "take its mutants")
    mutants = [_of_catalogue(number, site) for number, site in numbered.items()]
    mutants += [_of_yosys(number, fields) for number, (_, fields) in enumerate(drawn, offset)]
    read = {name: (folder / name).read_text(encoding="utf-8") for name in (VERILOG, MUTATED)}
    return Mutants(read[VERILOG], read[MUTATED], bits, tuple(mutants))


def starts_of_memories(rtlil: str) -> set[str]:
    """Names of the cells that say what a memory starts with, in yosys's own text of a design."""
    return set(re.findall(r"^  cell \$meminit\S* (\S+)$", rtlil, re.MULTILINE))


def _kept(
    lines: list[str], left_out: set[int], starts: set[str]
) -> list[tuple[str, dict[str, str]]]:
    """Return (what `mutate` is told, its options by name) of each drawn mutant that is of use.

    Left out are those of a clock, for the design has one and each register would stand still; of what a memory
    starts with; of ports of a memory's read that have no use there; of what a register gives that the test bench
    writes, which a mutant would hide from it; and of lines `left_out`, which are no hardware or the catalogue's own. `starts`
    is what `starts_of_memories` returns.
    """
    found = []
    for line in lines:
        words = line.split()[1:]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        fields = {name.removeprefix("-"): value for name, value in pairs}
        places = {int(n) for n in re.findall(r"\.v:(\d+)\.", line)}
        port = fields["port"].removeprefix(
            "\\"
        )  # which of both yosys writes is its version's matter
        if (
            port in (*CLOCKS, *IDLE, SELECT)
            or (port == "EN" and "memwr" not in fields["cell"])
            or fields["cell"] in starts
            or (port == "Q" and any(fnmatch(fields["module"], w) for w in WRITTEN))
            or fields.get("wire", "").startswith(SELECT)
            or places & left_out
        ):
            continue
        used = ("mode", "module", "cell", "port", "portbit", "ctrlbit")
        command = " ".join(f"-{name} {fields[name]}" for name in used if name in fields)
        found.append((command, fields))
    return found


def _of_catalogue(number: int, site: Site) -> Mutant:
    where = f"line {site.line}: {site.before} became {site.after}"
    return Mutant(number, "catalogue", site.kind, site.module, where)


def _of_yosys(number: int, fields: dict[str, str]) -> Mutant:
    where = f"cell {fields['cell']}, port {fields['port']}, bit {fields['portbit']}"
    if "wire" in fields:
        where += f", net {fields['wire'].removeprefix(chr(92))}, bit {fields['wirebit']}"
    return Mutant(number, "yosys", fields["mode"], fields["module"], where)
