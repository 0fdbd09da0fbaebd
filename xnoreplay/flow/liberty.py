"""What a Liberty file says of its cells: area, leakage, capacitances, and energy of a transition.

Of the format only groups and attributes are read; an attribute this module does not use is skipped.
Energies are per transition in J: the mean of rise and fall, and of the arcs of a pin, at the library's
second least slew and a given load, linear between the entries of a table.
"""

import bisect
import gzip
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from xnoreplay.spec import reading
from xnoreplay.spec.errors import XnoreplayError

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.+*\-\[\]!&|^\'/<>%]+|[(){}:;,=]', re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
CONTINUED = re.compile(r"\\\s*\n")
SI = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3}
SLEW = 1  # of a table's slews, the second least


class LibertyError(XnoreplayError):
    """A Liberty file that cannot be read, or lacks what is asked of it."""


@dataclass
class Group:
    """A group: its kind and arguments, simple attributes, and groups inside."""

    kind: str
    arguments: list[str]
    attributes: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    groups: list["Group"] = field(default_factory=list)

    def of(self, *kinds: str) -> list["Group"]:
        return [g for g in self.groups if g.kind in kinds]


@dataclass(frozen=True)
class Table:
    """Energy in J over slew and load; axes in the library's unit of time and in F."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    joules: tuple[tuple[float, ...], ...]

    def at(self, load: float) -> float:
        """Energy at a load, F, at the second least slew; the last interval goes on beyond it."""
        row = self.joules[min(SLEW, len(self.joules) - 1)]
        if len(row) == 1:
            return row[0]
        i = min(max(bisect.bisect_right(self.loads, load), 1), len(row) - 1)
        x0, x1 = self.loads[i - 1], self.loads[i]
        return row[i - 1] + (row[i] - row[i - 1]) * (load - x0) / (x1 - x0)


@dataclass(frozen=True)
class Pin:
    """Direction, capacitance in F, and tables of energy by related pin ("" where none)."""

    direction: str
    capacitance: float
    clock: bool
    energy: dict[str, tuple[Table, ...]]

    def joules(self, load: float) -> float:
        """Mean energy of a transition at a load."""
        tables = [t for group in self.energy.values() for t in group]
        return sum(t.at(load) for t in tables) / len(tables) if tables else 0.0


@dataclass(frozen=True)
class Cell:
    """area in the library's unit, um2; leakage in W."""

    name: str
    area: float
    leakage: float
    sequential: bool
    pins: dict[str, Pin]


@dataclass(frozen=True)
class Library:
    """A library: its name, supply in V, and cells by name."""

    name: str
    volts: float
    cells: dict[str, Cell]


def text_of(path: Path) -> str:
    """A file's text, unpacked where it is gzipped.

    Raises
    ------
    LibertyError
        Where it cannot be read.
    """
    try:
        raw = reading.raw(path)
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise LibertyError(f"Liberty file {path} must be readable, but: {error}") from None


def read(path: Path) -> Library:
    """Read a library.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library, or one without supply or cells.
    """
    try:
        return _library(parse(text_of(path)))
    except (IndexError, KeyError, ValueError) as error:
        raise LibertyError(f"Liberty file {path} must be a Liberty library, but: {error}") from None


def parse(text: str) -> Group:
    """The library's group.

    >>> parse('library(x) { nom_voltage : 1.2; cell(a) { area : 3; } }').groups[0].attributes
    {'area': '3'}
    """
    text = CONTINUED.sub(" ", COMMENT.sub(" ", text))
    tokens = TOKEN.findall(text)
    if tokens[:2] != ["library", "("]:
        raise ValueError("it does not begin with library(...)")
    group, end = _group(tokens, 0)
    if end != len(tokens):
        raise ValueError("something follows the library")
    return group


def _group(tokens: list[str], i: int) -> tuple[Group, int]:
    """A group whose name is at i, and where it ends."""
    kind, i = tokens[i], i + 2
    arguments = []
    while tokens[i] != ")":
        if tokens[i] != ",":
            arguments.append(tokens[i].strip('"'))
        i += 1
    group = Group(kind, arguments)
    i += 2  # ) {
    while tokens[i] != "}":
        if tokens[i] == ";":
            i += 1
        elif tokens[i + 1] in (":", "="):
            name, values = tokens[i], []
            i += 2
            while tokens[i] not in (";", "}"):
                values.append(tokens[i].strip('"'))
                i += 1
            group.attributes[name] = " ".join(values)
        elif tokens[i + 1] == "(":
            end = i + 2 + tokens[i + 2 :].index(")") if tokens[i + 2] != ")" else i + 2
            if tokens[end + 1] == "{":
                inner, i = _group(tokens, i)
                group.groups.append(inner)
            else:
                values = [t.strip('"') for t in tokens[i + 2 : end] if t != ","]
                group.lists.setdefault(tokens[i], []).extend(values)
                i = end + 1
        else:
            raise ValueError(f"{tokens[i]!r} is neither an attribute nor a group")
    return group, i + 1


def _unit(text: str) -> float:
    """A unit such as 1pW or 10fF."""
    match = re.match(r"([\d.]+)\s*([fpnum]?)", text)
    if match is None:
        raise ValueError(f"a unit must begin with a number, not {text!r}")
    return float(match[1]) * SI.get(match[2], 1.0)


def _library(group: Group) -> Library:
    volts = float(group.attributes.get("nom_voltage", "0"))
    if volts <= 0:
        raise ValueError("nom_voltage is missing")
    number, farads = group.lists["capacitive_load_unit"][:2]
    capacitance = float(number) * _unit("1" + farads.lower())
    volt = _unit(group.attributes.get("voltage_unit", "1V").lower())
    watts = _unit(group.attributes.get("leakage_power_unit", "1nW"))
    templates = {g.arguments[0]: g for g in group.of("power_lut_template")}
    cells = {}
    for g in group.of("cell"):
        name = g.arguments[0]
        cells[name] = Cell(
            name,
            float(g.attributes.get("area", "0")),
            _leakage(g) * watts,
            bool(g.of("ff", "latch")),
            {p.arguments[0]: _pin(p, capacitance, capacitance * volt**2, templates)
             for p in g.of("pin")},
        )  # fmt: skip
    if not cells:
        raise ValueError("it has no cell")
    return Library(group.arguments[0] if group.arguments else "", volts, cells)


def _leakage(cell: Group) -> float:
    """Leakage of a cell in the library's unit: its own figure, else the mean of its states."""
    if "cell_leakage_power" in cell.attributes:
        return float(cell.attributes["cell_leakage_power"])
    states = [float(g.attributes["value"]) for g in cell.of("leakage_power")]
    return sum(states) / len(states) if states else 0.0


def _pin(group: Group, farads: float, joules: float, templates: dict[str, Group]) -> Pin:
    energy: dict[str, list[Table]] = {}
    for power in group.of("internal_power"):
        for table in power.of("rise_power", "fall_power", "power"):
            related = power.attributes.get("related_pin", "")
            energy.setdefault(related, []).append(_table(table, farads, joules, templates))
    return Pin(
        group.attributes.get("direction", "input"),
        float(group.attributes.get("capacitance", "0")) * farads,
        group.attributes.get("clock", "false") == "true",
        {pin: tuple(tables) for pin, tables in energy.items()},
    )


def _numbers(texts: list[str]) -> tuple[float, ...]:
    return tuple(float(v) for t in texts for v in t.replace(",", " ").split())


def _table(group: Group, farads: float, joules: float, templates: dict[str, Group]) -> Table:
    rows = [_numbers([row]) for row in group.lists["values"]]
    template = templates.get(group.arguments[0]) if group.arguments else None
    axes = [
        _numbers(group.lists.get(name) or (template.lists.get(name, []) if template else []))
        for name in ("index_1", "index_2")
    ]
    if len(rows) == 1 and len(axes[0]) == len(rows[0]) and not axes[1]:
        rows = [(v,) for v in rows[0]]  # over slew alone
    return Table(
        axes[0], tuple(v * farads for v in axes[1]),
        tuple(tuple(v * joules for v in row) for row in rows),
    )  # fmt: skip
