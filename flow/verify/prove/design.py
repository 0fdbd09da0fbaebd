"""A proof's design: the generated Verilog, of which parts are cut out, beside a module that states one property.

The Verilog is the text that a user gets. What is cut out of it, a unit or the words of a memory, is replaced by values
that may be anything in every cycle: what holds then holds whatever the unit or the memory does, so a proof of a
part is one of the whole chip, and needs no assumption about the rest. The clock is the chip's; every other input of the chip,
reset among them, may be anything in every cycle. Nothing has a start value: the first cycle is one of reset.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from xnoreplay.flow.chip.mapping import modules
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.spec.errors import SpecError

CHIP, PROOF, MODEL, MAP = "chip.v", "proof.v", "model.aig", "model.map"
BAD, REACHED, STEP = 0, 1, 2
"""Outputs of the model: the property is broken; its precondition is met; it is broken after `DEPTH` cycles, begun in any
state at all, in which it held."""
DEPTH = 2  # of the induction
_PROBE = re.compile(r"@([a-z]\w*(?:\.\$?\w+)*(?:#\d+)?)")
_SET = re.compile(r"^  always @\(posedge clk\) (\w+) <=", re.MULTILINE)
_PORT = re.compile(r"^  (input|output)(?: \[(\d+):0\])? (\\\S+ |\w+) ?;$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One property of a design, in Verilog.

    In the expressions and in ``text``, ``@unit.signal`` is a signal of the chip by its dotted path; the chip's own
    signals have no unit, as in ``@host.seen``. A memory's word 3 is ``@replay_label.array.row3``, where the memory is kept.

    Parameters
    ----------
    when, holds : str
        Expressions: in each cycle of ``when`` the property is that ``holds``. ``started`` is 1 from the second cycle on.
    text : str
        Declarations that they use, such as registers that remember the cycle before.
    assume : str
        Expression that holds in every cycle but the first; traces in which it does not are left out.
    before : str
        Expression that holds in every earlier cycle than one that is looked at, but the first.
    keep : tuple of str
        Units, as dotted paths below the top, that stay; what is inside of them stays with them. Others are cut.
    memories : tuple of str
        Dotted paths of instances of memory macros whose words stay; the words of others are cut.
    """

    when: str
    holds: str
    text: str = ""
    assume: str = "1"
    before: str = "1"
    keep: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()


# Each property and each planted fault has a text of its own, most of whose modules are those of others.
@lru_cache(maxsize=1024)
def _instances(module: str) -> tuple[tuple[str, str], ...]:
    """Module and name, as the text has it, of all that may be an instance in a module's text."""
    found = re.findall(r"^  \\?(\S+) +\\?([^\s(]+) +\($", module, re.MULTILINE)
    return tuple(found)


@lru_cache(maxsize=1024)
def _ports(module: str) -> tuple[tuple[str, str, int], ...]:
    """Direction, name and bits of each port in a module's text."""
    found = _PORT.finditer(module)
    return tuple((m[1], m[3].strip(" \\"), int(m[2] or 0) + 1) for m in found)


class Chip:
    """The modules of a chip's Verilog by name, and what is where in them."""

    def __init__(self, verilog: str, top: str = TOP) -> None:
        self.verilog, self.top = verilog, top
        self.modules = modules(verilog, ("",))
        if top not in self.modules:
            raise SpecError(f"the Verilog must have a module {top}, but has none")

    def instances(self, module: str) -> dict[str, tuple[str, str]]:
        """Instances in a module by name: the name in the text, which may end in $ and a number, and the module."""
        found = _instances(self.modules[module])
        return {_plain(name): (name, of) for of, name in found if of in self.modules}

    def module_of(self, path: str) -> str:
        """Name of the module of the instance at a dotted path; the top's for an empty path."""
        return self._find(path)[0]

    def real(self, path: str) -> str:
        """Return a path as the flattened design has it."""
        return self._find(path)[1]

    def _find(self, path: str) -> tuple[str, str]:
        """Module at a path, and the path as the text has it."""
        module, steps = self.top, []
        for step in filter(None, path.split(".")):
            inside = self.instances(module)
            if step not in inside:
                raise SpecError(f"unit {path} must be in the Verilog, but {module} has no {step}")
            name, module = inside[step]
            steps.append(name)
        return module, ".".join(steps)

    def signal(self, signal: str) -> tuple[str, int]:
        """Name, as the flattened design has it, and bits of a signal, by its dotted path.

        Amaranth keeps signals of one name apart by numbers at their ends: ``name#2`` is the third of them, and a name
        alone is that of the port where there are several.

        Raises
        ------
        SpecError
            Where there is no such signal, or more than one.
        """
        path, _, name = signal.rpartition(".")
        name, _, place = name.partition("#")
        module, real = self._find(path)
        found = re.findall(
            rf"^  (?:wire|reg)(?: \[(\d+):0\])? \\?({re.escape(name)}(?:\$\d+)?) ?(?: = .*)?;$",
            self.modules[module],
            re.MULTILINE,
        )
        ports = {port for _, port, _ in self.ports(module)}
        if place:
            found = sorted(found, key=lambda match: _number(match[1]))[int(place) :][:1]
        elif len(found) > 1:  # a port has the name before others of the module
            found = [match for match in found if match[1] in ports]
        if len(found) != 1:
            raise SpecError(f"signal {signal} must be in the Verilog once, but is not")
        ((high, own),) = found
        return (f"{real}.{own}" if real else own), int(high or 0) + 1

    def ports(self, module: str = "") -> list[tuple[str, str, int]]:
        """Direction, name and bits of each port of a module, the top without one."""
        return list(_ports(self.modules[module or self.top]))

    def macros(self, path: str = "") -> dict[str, str]:
        """Modules of all memory macros at or below a path, by the instance's dotted path."""
        found: dict[str, str] = {}
        for name, (_, module) in self.instances(self.module_of(path)).items():
            inside = f"{path}.{name}" if path else name
            if is_macro(module):
                found[inside] = module
            else:
                found |= self.macros(inside)
        return found


@dataclass(frozen=True)
class Problem:
    """What yosys is given for a statement.

    Parameters
    ----------
    chip, proof : str
        Texts of `CHIP` and `PROOF`.
    probes : dict of str to str
        The chip's signal, as the flattened design names it, by the wire of the proof that shows it.
    """

    chip: str
    proof: str
    probes: dict[str, str]

    def script(self) -> str:
        """Return the yosys script that writes `MODEL`: outputs `BAD` and `REACHED`, and every free value an input."""
        wires = [
            f"connect -nounset -set {wire} {_escaped(signal)}"
            for wire, signal in self.probes.items()
        ]
        return "\n".join(
            [
                f"read_verilog -nosynthesis -noblackbox {CHIP} {PROOF}",
                "hierarchy -check -top proof",
                # Probes are connected later, so no pass may take them for undriven; a table stays logic.
                "proc -noopt -norom",
                "flatten",
                *wires,
                "opt_clean",  # leaves what the property depends on
                "setattr -unset init w:dut.*",
                "formalff -setundef -ff2anyinit",  # no pass may choose a start value
                "setundef -undriven -anyseq",
                "opt -full",
                "formalff -anyinit2ff",
                "techmap",
                "dffunmap",
                "simplemap",
                "opt_expr",
                "opt_merge",
                "setundef -anyseq",
                "aigmap",
                "opt_clean",
                f"write_aiger -zinit -symbols -vmap {MAP} {MODEL}",
                "",
            ]
        )


def problem(chip: Chip, statement: Statement) -> Problem:
    """Return the texts of a statement about a chip.

    Raises
    ------
    SpecError
        Where the chip lacks a unit, a memory or a signal that the statement names, or a signal lies inside of a unit that
        is cut.
    """
    for path in (*statement.keep, *statement.memories):
        chip.module_of(path)
    probes: dict[str, str] = {}

    def probe(found: re.Match) -> str:
        return probes.setdefault(found[1], f"probe{len(probes)}")

    text, when, holds, assume, before = (
        _PROBE.sub(probe, part)
        for part in (
            statement.text,
            statement.when,
            statement.holds,
            statement.assume,
            statement.before,
        )
    )
    signals = {wire: _signal(chip, statement, name) for name, wire in probes.items()}
    inputs = [(n, w) for way, n, w in chip.ports() if way == "input"]
    outputs = [(n, w) for way, n, w in chip.ports() if way == "output"]
    lines = [
        f"module proof({', '.join(n for n, _ in inputs)}, bad, reached, step);",
        *(f"  input {_span(w)}{n};" for n, w in inputs),
        "  output bad, reached, step;",
        *(f"  wire {_span(w)}{n};" for n, w in outputs),
        *(f"  wire {_span(width)}{wire};" for wire, (_, width) in signals.items()),
        f"  {chip.top} dut ({', '.join(f'.{n}({n})' for n, _ in inputs + outputs)});",
        "  reg started, spoilt;  // started: not the first cycle; spoilt: an assumption did not hold",
        "  initial started = 1'b0;",
        "  initial spoilt = 1'b0;",
        text,
        # Wires of one bit: an expression may have more, in which only the lowest counts.
        f"  wire allowed = {assume};",
        f"  wire usual = {before};",
        f"  wire asked = {when};",
        f"  wire right = {holds};",
        # Of the first cycle, in which registers hold anything, nothing but the reset is assumed.
        "  wire assumed = (started ? allowed : rst) & ~spoilt;",
        "  always @(posedge clk) begin",
        "    started <= 1'b1;",
        "    spoilt <= ~(assumed & (usual | ~started));",
        "  end",
        "  assign reached = assumed & started & asked;",
        "  assign bad = reached & ~right;",
        "  wire broken = asked & ~right;",
        f"  reg [{DEPTH - 1}:0] held;",
        f"  initial held = {DEPTH}'d0;",
        f"  always @(posedge clk) held <= {{held[{DEPTH - 2}:0], ~broken & allowed & usual}};",
        "  assign step = (&held) & allowed & broken;",
        "endmodule",
        "",
    ]
    return Problem(
        _parts(chip, statement), "\n".join(lines), {w: f"dut.{s}" for w, (s, _) in signals.items()}
    )


def _signal(chip: Chip, statement: Statement, name: str) -> tuple[str, int]:
    """Name and bits of a signal: of the chip, or of a memory as `memory` writes it."""
    path, _, own = name.rpartition(".")
    module = chip.module_of(path)
    if not is_macro(module):
        found = chip.signal(name)
        there = _there(statement, path)
        port = found[0].rpartition(".")[2] in {own for _, own, _ in chip.ports(module)}
        if not there and not (port and _there(statement, path.rpartition(".")[0])):
            raise SpecError(f"a signal of a unit that is cut must be a port, but {name} is not")
        return found
    kept = path in statement.memories
    text = memory(module, chip.modules[module], kept)
    own, width = Chip(text, module + "_kept" * kept).signal(own)
    return f"{chip.real(path)}.{own}", width


def _there(statement: Statement, path: str) -> bool:
    """Tell whether what is inside of a unit stays, or some of it."""
    here = (*statement.keep, *statement.memories)
    return not path or any(_within(path, unit) or _within(unit, path) for unit in here)


def _parts(chip: Chip, statement: Statement) -> str:
    """Return the chip's modules, with memories that can be reasoned about, and nothing in those that are cut."""
    texts: dict[str, str] = {}

    def visit(path: str, whole: bool) -> None:
        module = chip.module_of(path)
        body = chip.modules[module]
        for name, (_, inside) in chip.instances(module).items():
            below = f"{path}.{name}" if path else name
            if is_macro(inside):
                kept = below in statement.memories
                texts[inside + "_kept" * kept] = memory(inside, chip.modules[inside], kept)
                if kept:
                    body = body.replace(f"  {inside} {name} (", f"  {inside}_kept {name} (")
                continue
            here = (*statement.keep, *statement.memories)
            inner = whole or any(_within(below, unit) for unit in statement.keep)
            if inner or any(_within(unit, below) for unit in here):
                visit(below, inner)
            else:
                texts[inside] = gutted(chip.modules[inside])
        texts[module] = body

    visit("", False)
    return "\n".join(texts.values())


def joined(text: str, more: str) -> str:
    r"""Return declarations with those of another statement, which are a line each, and stand there once.

    >>> joined("reg a;\nreg b;", "reg b;\nreg c;")
    'reg a;\nreg b;\nreg c;'
    """
    own = text.splitlines()
    added = [line for line in more.splitlines() if line not in own]
    clashes = set(_SET.findall(text)) & set(_SET.findall("\n".join(added)))
    assert not clashes, f"registers must be set in one way, but {sorted(clashes)} are not"
    return "\n".join([*own, *added])


def gutted(module: str) -> str:
    """Return a module with its ports alone, so that nothing drives its outputs."""
    ports = [f"{m[0]}" for m in _PORT.finditer(module)]
    return "\n".join([module[: module.index(";") + 1], *ports, "endmodule", ""])


def is_macro(module: str) -> bool:
    """Tell whether a module is a memory."""
    from xnoreplay.hw.parts.macros import MODULES

    return module.startswith(MODULES)


def _within(path: str, unit: str) -> bool:
    """Tell whether a path is a unit or lies in it."""
    return path == unit or path.startswith(unit + ".")


def memory(name: str, text: str, kept: bool) -> str:
    """Return a memory macro for a proof.

    A word that is read is any word, or where the words are kept, the one that is there; past the last row it is
    any word. ``both`` tells of a cycle that reads and writes, ``meets`` of one that reads the row that it writes.

    Parameters
    ----------
    name : str
        Of the macro's module.
    text : str
        The module; its header and ports are taken.
    kept : bool
        Each word is a register, ``row0``, ``row1`` and so on; the module's name then ends in ``_kept``.
    """
    head, _, _ = text.partition("  (* no_rw_check")
    head, _, _ = head.partition("  reg ")
    shape = re.fullmatch(r"xnoreplay_(ram|file)_(\d+)x(\d+)(?:_g(\d+))?", name)
    assert shape, name
    clocked, depth, width = shape[1] == "ram", int(shape[2]), int(shape[3])
    granule = int(shape[4] or width)
    addressed = "raddr" in head
    same = "raddr == waddr" if addressed else "1'b1"
    lines = [
        head.rstrip().replace(f"module {name}(", f"module {name}{'_kept' * kept}("),
        "  wire both;",
        "  wire meets;",
        f"  assign both = {'ren & ' * clocked}(|wen);",
        f"  assign meets = both & {same};",
        f"  wire {_span(width)}any;",
    ]
    if kept:
        lines += [f"  reg {_span(width)}row{k};" for k in range(depth)]
        lines += [f"  reg {_span(width)}word;", "  always @*"]
        if addressed:
            rows = [f"      {k}: word = row{k};" for k in range(depth)]
            lines += ["    case (raddr)", *rows, "      default: word = any;", "    endcase"]
        else:
            lines += ["    word = row0;"]
        lines += ["  always @(posedge clk) begin"]
        for k in range(depth):
            for i in range(width // granule):
                part = f"[{(i + 1) * granule - 1}:{i * granule}]" if width > 1 else ""
                here = f" && waddr == {k}" if addressed else ""
                enable = f"wen[{i}]" if width > granule else "wen"
                lines.append(f"    if ({enable}{here}) row{k}{part} <= wdata{part};")
        lines += ["  end"]
    else:
        lines += [f"  wire {_span(width)}word = any;"]
    if not clocked:
        lines += ["  assign rdata = word;"]
    elif kept:
        lines += [
            f"  reg {_span(width)}data;",
            "  always @(posedge clk) if (ren) data <= word;",
            "  assign rdata = data;",
        ]
    else:
        lines += [
            f"  reg {_span(width)}held;",
            "  reg fresh;",
            "  always @(posedge clk) begin fresh <= ren; held <= rdata; end",
            "  assign rdata = fresh ? word : held;",
        ]
    return "\n".join([*lines, "endmodule", ""])


def _span(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _escaped(signal: str) -> str:
    return f"\\{signal}"


def _number(name: str) -> int:
    """Return the number at a name's end, by which Amaranth keeps it apart; -1 of none."""
    found = re.search(r"\$(\d+)$", name)
    return int(found[1]) if found else -1


def _plain(name: str) -> str:
    r"""Return a name without the number that keeps it apart from others.

    >>> _plain("clearing$728")
    'clearing'
    """
    return re.sub(r"\$\d+$", "", name)
