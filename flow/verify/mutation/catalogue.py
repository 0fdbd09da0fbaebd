"""Faults that hardware engineers make, planted in the generated Verilog behind the input `SELECT`.

The generated text has one form for each thing, which is what the patterns here look for: an assignment a line, a
condition a line. Each fault changes one line and leaves every other where it is, so that line numbers stay.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xnoreplay.flow.verify.cosim.bench.requests import SELECT

_NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
_NET = rf"{_NAME}(?:\[\d+(?::\d+)?\])?"
_CONSTANT = r"\d+'[hdb][0-9a-f]+"
_OPERAND = rf"(?:{_NET}|{_CONSTANT})"
_SIGNED = rf"\$signed\((?:{_OPERAND}|\{{ {_CONSTANT}, {_NET} \}})\)"
_ANY = rf"(?:{_SIGNED}|{_OPERAND}|\{{ {_CONSTANT}, {_NET} \}})"


@dataclass(frozen=True)
class Site:
    """One fault that can be planted.

    Parameters
    ----------
    line : int
        Of the text, from 1 on.
    kind : str
        A key of `KINDS`.
    module : str
        Of the Verilog.
    before, after : str
        What the line says, and what it says with the fault: an expression or a condition.
    width : int
        Bits of the signal that an assignment drives; 0 for other lines.
    """

    line: int
    kind: str
    module: str
    before: str
    after: str
    width: int = 0


KINDS = {
    "end": "a count ends one later or earlier",
    "bound": "a bound itself is taken for the wrong side",
    "step": "a count advances by two",
    "sign": "a signed number is extended by zeros",
    "select": "the two sides of a choice are swapped",
    "saturation": "the constant of a choice is one off",
    "condition": "one of two conditions is forgotten",
    "gate": "an AND is an OR, or an OR an AND",
    "invert": "a negation is forgotten",
    "sum": "a sum is a difference, or a difference a sum",
    "shift": "a shift is one too far",
    "handshake": "a ready or a valid is inverted",
    "reset": "a register is not reset",
    "clear": "a register is not cleared by an abort",
    "branch": "a condition is inverted",
    "stuck low": "an enable is never given",
    "stuck high": "an enable is always given",
    "value": "a register or a state takes another value",
    "mask": "a write mask is ignored",
    "write": "a memory is written without its enable",
}
"""Kinds of faults, and what each is."""


def _other(constant: str) -> str:
    """The constant plus one in its width, or for an even one minus nothing: its last bit is inverted."""
    width, base, digits = re.fullmatch(r"(\d+)'([hdb])([0-9a-f]+)", constant).groups()  # type: ignore[union-attr]
    value = int(digits, {"h": 16, "d": 10, "b": 2}[base]) ^ 1
    return f"{width}'d{value & (1 << int(width)) - 1}"


def _swap(pattern: str, change: Callable[[re.Match], str]) -> Callable[[str], str | None]:
    compiled = re.compile(pattern)

    def rule(right: str) -> str | None:
        found = compiled.fullmatch(right)
        return None if found is None else change(found)

    return rule


def _unsigned(right: str) -> str | None:
    return right.replace("$signed", "") if "$signed" in right else None


ASSIGNED: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("end", _swap(rf"({_OPERAND}) == ({_CONSTANT})", lambda m: f"{m[1]} == {_other(m[2])}")),
    ("end", _swap(rf"({_NET}) == ({_NET})", lambda m: f"{m[1]} == {m[2]} - 1'd1")),
    ("bound", _swap(rf"({_ANY}) >= ({_ANY})", lambda m: f"{m[1]} > {m[2]}")),
    ("bound", _swap(rf"({_ANY}) > ({_ANY})", lambda m: f"{m[1]} >= {m[2]}")),
    ("bound", _swap(rf"({_ANY}) < ({_ANY})", lambda m: f"{m[1]} <= {m[2]}")),
    ("bound", _swap(rf"({_ANY}) <= ({_ANY})", lambda m: f"{m[1]} < {m[2]}")),
    ("step", _swap(rf"({_OPERAND}) \+ 1'h1", lambda m: f"{m[1]} + 2'd2")),
    ("sign", _unsigned),
    ("select", _swap(rf"({_ANY}) \? ({_ANY}) : ({_ANY})", lambda m: f"{m[1]} ? {m[3]} : {m[2]}")),
    (
        "saturation",
        _swap(
            rf"({_ANY}) \? ({_CONSTANT}) : ({_ANY})", lambda m: f"{m[1]} ? {_other(m[2])} : {m[3]}"
        ),
    ),
    (
        "saturation",
        _swap(
            rf"({_ANY}) \? ({_NET}) : ({_CONSTANT})", lambda m: f"{m[1]} ? {m[2]} : {_other(m[3])}"
        ),
    ),
    ("condition", _swap(rf"({_NET}) & ({_NET})", lambda m: m[1])),
    ("condition", _swap(rf"({_NET}) & ({_NET})", lambda m: m[2])),
    ("gate", _swap(rf"({_NET}) & ({_NET})", lambda m: f"{m[1]} | {m[2]}")),
    ("gate", _swap(rf"({_NET}) \| ({_NET})", lambda m: f"{m[1]} & {m[2]}")),
    ("invert", _swap(rf"[~!] ({_NET})", lambda m: m[1])),
    ("sum", _swap(rf"({_ANY}) \+ ({_NET}|{_SIGNED})", lambda m: f"{m[1]} - {m[2]}")),
    ("sum", _swap(rf"({_ANY}) - ({_NET}|{_SIGNED})", lambda m: f"{m[1]} + {m[2]}")),
    ("shift", _swap(rf"({_ANY}) (<<|>>) ({_NET})", lambda m: f"({m[1]} {m[2]} {m[3]}) {m[2]} 1")),
)
"""Rules for the right side of an assignment: each returns the faulty one, or None where it does not apply."""

_MODULE = re.compile(r"module (\\\S+|\w+) ?\(")
_DECLARED = re.compile(rf"  (?:wire|reg|input|output)(?: signed)?(?: \[(\d+):0\])? ({_NAME}) ?;")
_ASSIGN = re.compile(rf"  assign ({_NAME}) ?= (.*);")
_IF = re.compile(r"(\s+(?:end else )?if )\((.*)\)( begin)?")
_SET = re.compile(rf"(\s+{_NAME} ?= )({_CONSTANT});")
_INSTANCE = re.compile(r"  (?:\\xnoreplay\S* |xnoreplay_\w+) +\S+ +\(")
_ENABLE = re.compile(r"(?:^|_)(?:w?en|ren|step|valid|done|issue|load|move|start|add\w*)\b")
_HANDSHAKE = re.compile(r"(?:ready|valid)\b")
_CLEAR = re.compile(r"abort ?|\\abort\S* ")
_OWN = "dump_module"  # part of a name in a statement that yosys writes for simulators and that does nothing


def hidden(lines: list[str]) -> set[int]:
    """Numbers of the lines that are of simulation alone, and no hardware."""
    inside, found = False, set()
    for number, line in enumerate(lines, 1):
        inside |= line.startswith("`ifndef SYNTHESIS")
        if inside or _OWN in line:
            found.add(number)
        inside &= not line.startswith("`endif")
    return found


def sites(verilog: str) -> Iterator[Site]:
    """Every fault that can be planted in a generated text, in the order of its lines."""
    lines = verilog.splitlines()
    unused, module = hidden(lines), ""
    widths: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if found := _MODULE.match(line):
            module, widths = found[1].removeprefix("\\"), {}
        elif found := _DECLARED.fullmatch(line):
            widths[found[2].strip()] = int(found[1] or 0) + 1
        elif number not in unused:
            for kind, before, after, width in _of_line(line, widths):
                yield Site(number, kind, module, before, after, width)


def _of_line(line: str, widths: dict[str, int]) -> Iterator[tuple[str, str, str, int]]:
    """(kind, before, after, width) of the faults of one line."""
    if found := _ASSIGN.fullmatch(line):
        name, right = found[1].strip(), found[2]
        if name not in widths:
            return
        for kind, rule in ASSIGNED:
            if (wrong := rule(right)) is not None and wrong != right:
                yield kind, right, wrong, widths[name]
        if _HANDSHAKE.search(name) and widths[name] == 1:
            yield "handshake", right, f"~({right})", 1
    elif found := _IF.fullmatch(line):
        yield from ((kind, found[2], wrong, 0) for kind, wrong in _of_condition(found[2]))
    elif found := _SET.fullmatch(line):
        name, constant = found[1].strip(" ="), found[2]
        if constant in ("1'h0", "1'h1") and _ENABLE.search(name):
            kind = "stuck low" if constant == "1'h1" else "stuck high"
        else:
            kind = "value"
        yield kind, constant, _other(constant), 0


def _of_condition(condition: str) -> Iterator[tuple[str, str]]:
    """(kind, condition) of the faults of a condition."""
    if condition == "rst":
        yield "reset", "1'b0"
    elif _CLEAR.fullmatch(condition):
        yield "clear", "1'b0"
    elif re.fullmatch(r"wen\[\d+\]", condition):
        yield "mask", "|wen"
        yield "write", "1'b1"
    elif condition == "wen":
        yield "write", "1'b1"
    else:
        yield "branch", f"!({condition})"


def drawn(verilog: str, count: int, seed: int) -> list[Site]:
    """Draw faults, as many of each kind as there are, one a line at most.

    Parameters
    ----------
    verilog : str
        The generated text.
    count : int
        How many; there are fewer where the text has fewer lines for them.
    seed : int
        Of the draw.
    """
    draw = random.Random(seed)
    by_kind: dict[str, list[Site]] = {kind: [] for kind in KINDS}
    for site in sites(verilog):
        by_kind[site.kind].append(site)
    for found in by_kind.values():
        draw.shuffle(found)
    chosen: dict[int, Site] = {}
    while len(chosen) < count and any(by_kind.values()):
        for found in by_kind.values():
            while found and found[-1].line in chosen:
                found.pop()
            if found and len(chosen) < count:
                site = found.pop()
                chosen[site.line] = site
    return [chosen[line] for line in sorted(chosen)]


def planted(verilog: str, chosen: dict[int, Site], bits: int) -> str:
    """Return the text with faults planted, each active where `SELECT` has its number.

    Parameters
    ----------
    verilog : str
    chosen : dict of int to Site
        By number, from 1 on; the lines differ.
    bits : int
        Of `SELECT`, which every module has as an input.
    """
    by_line = {site.line: (number, site) for number, site in chosen.items()}
    lines, header = verilog.splitlines(), False
    for index, line in enumerate(lines):
        if found := _MODULE.match(line):
            line = f"{line[: found.end()]}{SELECT}, {line[found.end() :]}"
            header = True
        elif _INSTANCE.fullmatch(line):
            line += f" .{SELECT}({SELECT}),"
        if header and line.endswith(");"):
            line, header = f"{line} input [{bits - 1}:0] {SELECT};", False
        if index + 1 in by_line:
            line = _faulty(line, *by_line[index + 1], bits)
        lines[index] = line
    return "\n".join([*lines, ""])


def _faulty(line: str, number: int, site: Site, bits: int) -> str:
    """The line with its fault."""
    active = f"{SELECT} == {bits}'d{number}"
    if (
        site.width
    ):  # two nets of the signal's width, because a choice would make signed sides unsigned
        left, size = line.partition(" = ")[0], f"[{site.width - 1}:0]"
        right, wrong = (f"{SELECT}_{number}_{side}" for side in ("right", "wrong"))
        return (
            f"  wire {size} {right}; wire {size} {wrong}; assign {right} = {site.before}; "
            f"assign {wrong} = {site.after}; {left.lstrip()} = {active} ? {wrong} : {right};"
        )
    if found := _IF.fullmatch(line):
        return f"{found[1]}({active} ? {site.after} : {site.before}){found[3] or ''}"
    found = _SET.fullmatch(line)
    assert found is not None, line
    return f"{found[1]}{active} ? {site.after} : {site.before};"
