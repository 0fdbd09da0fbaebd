"""A reader of Liberty files: area, leakage, capacitances, functions, and energy and delay of a transition of each cell.

Of the format only groups and attributes are read; an attribute this module does not use is skipped.
Energies are per transition in J: the mean of rise and fall, and of the arcs of a pin, at the library's
second least slew and a given load, linear between the entries of a table. Delays are taken the same way, of rise and of
fall. What a library says of wires is its own model of them (`WireLoad`).
"""

import bisect
import itertools
import math
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from xnoreplay.spec import reading
from xnoreplay.spec.errors import XnoreplayError, shown, told

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.+*\-\[\]!&|^\'/<>%]+|[(){}:;,=]', re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
CONTINUED = re.compile(r"\\\s*\n")
SI = {"a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3}
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
        """List the groups inside that are of these kinds."""
        return [g for g in self.groups if g.kind in kinds]


@dataclass(frozen=True)
class Table:
    """Energy in J, or delay in s, over slew and load; axes in the library's unit of time and in F."""

    slews: tuple[float, ...]
    loads: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, load: float) -> float:
        """Return the value at a load, F, at the second least slew; the last interval goes on beyond it."""
        row = self.values[min(SLEW, len(self.values) - 1)]
        if len(row) == 1:
            return row[0]
        i = min(max(bisect.bisect_right(self.loads, load), 1), len(row) - 1)
        x0, x1 = self.loads[i - 1], self.loads[i]
        return row[i - 1] + (row[i] - row[i - 1]) * (load - x0) / (x1 - x0)


@dataclass(frozen=True)
class Pin:
    """Direction, capacitance in F, tables of energy by related pin ("" where none), and those of delay to a rise and a fall."""

    direction: str
    capacitance: float
    clock: bool
    energy: dict[str, tuple[Table, ...]]
    rise: tuple[Table, ...] = ()
    fall: tuple[Table, ...] = ()

    def joules(self, load: float) -> float:
        """Return the mean energy of a transition at a load."""
        tables = [t for group in self.energy.values() for t in group]
        return sum(t.at(load) for t in tables) / len(tables) if tables else 0.0

    def delays(self, load: float) -> tuple[float, float] | None:
        """Return the mean seconds from its inputs to a rise and to a fall at a load; None where no table says so.

        A load beyond a table counts as the table's greatest: any flow puts buffers into such a net.
        """
        rise, fall = self.rise or self.fall, self.fall or self.rise
        if not rise:
            return None

        def mean(tables: tuple[Table, ...]) -> float:
            return sum(t.at(min([load, *t.loads[-1:]])) for t in tables) / len(tables)

        return mean(rise), mean(fall)


class State(NamedTuple):
    """What a flip-flop, a latch or a clock gate holds: a bit, which functions of its pins set.

    Parameters
    ----------
    name, inverse : str
        What functions call the bit, and its inverse.
    latch : bool
        The bit follows `data` while `clock` is 1, in place of where it rises.
    clock, data, clear, preset : str
        Functions; clear and preset may be "".
    """

    name: str
    inverse: str
    latch: bool
    clock: str
    data: str
    clear: str = ""
    preset: str = ""


@dataclass(frozen=True)
class Cell:
    """area in the library's unit, um2; leakage in W; functions of its output pins; what it holds, if anything."""

    name: str
    area: float
    leakage: float
    sequential: bool
    function: bool
    """Whether an output pin says what it computes."""
    pins: dict[str, Pin]
    functions: dict[str, str] = field(default_factory=dict)
    state: State | None = None
    gate: bool = False
    """Whether it is a clock gate."""


@dataclass(frozen=True)
class WireLoad:
    """A library's own model of a net's wire: its length by fan-out, and F of a unit of length; slope goes on beyond."""

    name: str
    farads: float
    slope: float
    lengths: tuple[tuple[float, float], ...]

    def capacitance(self, fanout: int) -> float:
        """Return the F of a net's wire that reaches so many pins: linear between the lengths given."""
        points = [(0.0, 0.0), *self.lengths]
        for (n0, l0), (n1, l1) in itertools.pairwise(points):
            if fanout <= n1:
                return self.farads * (l0 + (l1 - l0) * (fanout - n0) / (n1 - n0))
        last, length = points[-1]
        return self.farads * (length + self.slope * (fanout - last))


@dataclass(frozen=True)
class Library:
    """A library: its name, supply in V, and cells by name; its models of wires by name, and which is taken.

    Parameters
    ----------
    selection : tuple of (float, float, str)
        Area from and below which a unit has a model, and the model's name.
    default : str
        The model of a unit for which the selection has none; "" where the library has none.
    """

    name: str
    volts: float
    cells: dict[str, Cell]
    wire_loads: dict[str, WireLoad] = field(default_factory=dict)
    selection: tuple[tuple[float, float, str], ...] = ()
    default: str = ""

    def wire_load(self, area: float) -> WireLoad | None:
        """Return the model of wires for a unit of an area; None where the library has none."""
        chosen = (name for least, below, name in self.selection if least <= area < below)
        return self.wire_loads.get(next(chosen, self.default))


def text_of(path: Path) -> str:
    """Return a file's text, unpacked where it is gzipped.

    Raises
    ------
    LibertyError
        Where the file cannot be read.
    """
    try:
        return reading.unpacked(path, reading.MOST_TEXT).decode("utf-8")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise LibertyError(f"Liberty file {path} must be readable, but: {told(error)}") from None


def read(path: Path) -> Library:
    """Read a library.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library, or one without supply or cells.
    """
    return _read(path, _library)


def check_cells(path: Path) -> None:
    """Refuse a file without what a mapping needs: a library whose cells have areas and functions.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library, or has no cell with an area and a function, or no
        flip-flop.
    """
    for cell in (cells := _read(path, _cells)):
        if cell.area > 0 and cell.function and not cell.sequential:
            break
    else:
        raise LibertyError(
            f"Liberty file {path} must have a cell with an area and a function, but none of its {len(cells)} has both"
        )
    if not any(cell.sequential for cell in cells):
        raise LibertyError(
            f"Liberty file {path} must have a flip-flop, but none of its {len(cells)} cells is one"
        )


def sequential(path: Path) -> set[str]:
    """Return the names of a library's flip-flops and latches.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library.
    """
    return {cell.name for cell in _read(path, _cells) if cell.sequential}


def names(path: Path) -> set[str]:
    """Return the names of a library's cells.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library.
    """
    return {cell.name for cell in _read(path, _cells)}


def ties(path: Path) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Return cell and pin of a library's constant 1, and of its constant 0; None where it lacks one.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library.
    """
    found = _read(path, _ties)
    return (found["1"], found["0"]) if found.keys() == {"1", "0"} else None


def _ties(group: Group) -> dict[str, tuple[str, str]]:
    """Cell and output pin of each constant, of the first cell whose only pin it is."""
    found: dict[str, tuple[str, str]] = {}
    for cell in group.of("cell"):
        pins = cell.of("pin")
        function = pins[0].attributes.get("function", "") if len(pins) == 1 else ""
        if function in ("0", "1") and pins[0].arguments:
            found.setdefault(function, (cell.arguments[0], pins[0].arguments[0]))
    return found


GATES = ("latch_posedge", "latch_posedge_precontrol", "latch_posedge_postcontrol")
"""Clock gates that hold their enable in a latch while the clock is high, without and with a test pin."""


@dataclass(frozen=True)
class ClockGate:
    """An integrated clock gate: its name, area and pins; ``test`` is empty where it has none."""

    name: str
    area: float
    enable: str
    clock: str
    out: str
    test: str

    def verilog(self) -> str:
        """Text of a module that does what the cell does."""
        ports = [self.clock, self.enable, *filter(None, [self.test]), self.out]
        opens = " | ".join(filter(None, [self.enable, self.test]))
        return "\n".join(
            [
                f"module {self.name}({', '.join(ports)});",
                *(f"  input {pin};" for pin in ports[:-1]),
                f"  output {self.out};",
                "  reg held;",
                "  always @*",
                f"    if (!{self.clock})",
                f"      held = {opens};",
                f"  assign {self.out} = {self.clock} & held;",
                "endmodule",
                "",
            ]
        )


def clock_gates(path: Path) -> list[ClockGate]:
    """Return a library's clock gates for flip-flops of the rising edge, those without a test pin first, then the least.

    A library may say of them that synthesis must not use them, for it does not by itself: they are named anyway.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library.
    """
    return _read(path, _clock_gates)


def clock_gate(path: Path) -> ClockGate:
    """Return the clock gate that a mapping inserts, the first of `clock_gates`.

    Raises
    ------
    LibertyError
        For a file that is no Liberty library, or has no clock gate.
    """
    if found := clock_gates(path):
        return found[0]
    raise LibertyError(
        f"Liberty file {path} must have a clock gate (clock_gating_integrated_cell: {', '.join(GATES)}), but has none"
    )


def _clock_gates(group: Group) -> list[ClockGate]:
    found = [_gate(cell.arguments[0], cell) for cell in group.of("cell")]
    return sorted(filter(None, found), key=lambda gate: (bool(gate.test), gate.area, gate.name))


def _gate(name: str, cell: Group) -> ClockGate | None:
    """Return the clock gate that a cell is; None for another cell."""
    if cell.attributes.get("clock_gating_integrated_cell") not in GATES:
        return None
    pins = {
        role: pin.arguments[0]
        for pin in cell.of("pin")
        for role in ("enable", "clock", "out", "test")
        if pin.attributes.get(f"clock_gate_{role}_pin") == "true" and pin.arguments
    }
    if not {"enable", "clock", "out"} <= pins.keys():
        return None
    area = _not_below_zero("area", cell.attributes.get("area", "0"))
    return ClockGate(name, area, **{"test": ""} | pins)


def _read(path: Path, read_group):
    try:
        return read_group(parse(text_of(path)))
    except RecursionError:
        why = "its groups are too deep"
    except IndexError:
        why = "it ends within a group, or a name or an argument is missing"
    except KeyError as error:
        why = f"{error} is missing"
    except (ValueError, OverflowError) as error:
        why = str(error)
    raise LibertyError(f"Liberty file {path} must be a Liberty library, but: {why}")


def parse(text: str) -> Group:
    """Return the library's group.

    Raises
    ------
    ValueError
        For a text that is no library.

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
    """Return the group whose name is at i, and where it ends."""
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
            raise ValueError(f"{shown(tokens[i])} is neither an attribute nor a group")
    return group, i + 1


def _unit(text: str, letter: str) -> float:
    """Return the value of a unit such as 1pW or 10fF, whose letter is W or F."""
    match = re.fullmatch(rf"([\d.]+)\s*([{''.join(SI)}]?){letter}", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(
            f"a unit must be a number and {letter}, with a prefix of {', '.join(SI)} or none, not {shown(text)}"
        )
    return _above_zero("a unit", match[1]) * SI.get(match[2].lower(), 1.0)


def _number(name: str, text: str) -> float:
    """Return a finite number from a text."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {shown(text)}")
    return value


def _not_below_zero(name: str, text: str) -> float:
    value = _number(name, text)
    if value < 0:
        raise ValueError(f"{name} must be a number of at least 0, not {shown(text)}")
    return value


def _above_zero(name: str, text: str) -> float:
    value = _number(name, text)
    if not value > 0:
        raise ValueError(f"{name} must be a number above 0, not {shown(text)}")
    return value


def _library(group: Group) -> Library:
    if "nom_voltage" not in group.attributes:
        raise ValueError("nom_voltage is missing")
    volts = _above_zero("nom_voltage", group.attributes["nom_voltage"])
    load_unit = group.lists["capacitive_load_unit"]
    if len(load_unit) != 2:
        raise ValueError(
            f"capacitive_load_unit must be a number and a unit, not {shown(load_unit)}"
        )
    number, farads = load_unit
    capacitance = _above_zero("capacitive_load_unit", number) * _unit("1" + farads, "F")
    volt = _unit(group.attributes.get("voltage_unit", "1V"), "V")
    watts = _unit(group.attributes.get("leakage_power_unit", "1nW"), "W")
    time = _unit(group.attributes.get("time_unit", "1ns"), "s")
    kinds = ("power_lut_template", "lu_table_template")
    templates = {g.arguments[0]: g for g in group.of(*kinds)}
    units = Units(watts, capacitance, capacitance * volt**2, time, templates)
    cells = _cells(group, units)
    wire_loads = [_wire_load(g, capacitance) for g in group.of("wire_load")]
    return Library(
        group.arguments[0] if group.arguments else "",
        volts,
        {c.name: c for c in cells},
        {w.name: w for w in wire_loads},
        _selection(group),
        group.attributes.get("default_wire_load", ""),
    )


def _wire_load(group: Group, farads: float) -> WireLoad:
    """Return a model of wires; ValueError where its lengths do not grow with the fan-out."""
    numbers = _numbers("fanout_length", group.lists.get("fanout_length", []))
    lengths = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or any(
        a >= b for (a, _), (b, _) in itertools.pairwise([(0.0, 0.0), *lengths])
    ):
        raise ValueError(f"fanout_length must be pairs whose fan-outs grow, not {shown(numbers)}")
    each = _not_below_zero("capacitance", group.attributes.get("capacitance", "0"))
    slope = _not_below_zero("slope", group.attributes.get("slope", "0"))
    return WireLoad(group.arguments[0], each * farads, slope, lengths)


def _selection(group: Group) -> tuple[tuple[float, float, str], ...]:
    """Return the areas of the library's default selection of models, or of its only one."""
    found = group.of("wire_load_selection")
    named = group.attributes.get("default_wire_load_selection")
    chosen = [g for g in found if named is None or g.arguments[:1] == [named]]
    if len(chosen) != 1:
        return ()
    words = chosen[0].lists.get("wire_load_from_area", [])
    return tuple(
        (_number("an area", least), _number("an area", below), name)
        for least, below, name in zip(words[::3], words[1::3], words[2::3], strict=False)
    )


class Units(NamedTuple):
    """What a library's figures count in: W, F, J and s; and the axes that its tables share, by name."""

    watts: float
    farads: float
    joules: float
    seconds: float
    templates: dict[str, Group]


def _cells(group: Group, units: Units | None = None) -> list[Cell]:
    """Return the cells of a library, without pins where no units are given."""
    cells: dict[str, Cell] = {}
    for g in group.of("cell"):
        if len(g.arguments) != 1:
            raise ValueError(f"a cell must have one name, not {shown(g.arguments)}")
        name = g.arguments[0]
        if name in cells:
            raise ValueError(f"cell {name} must be there once, but is there again")
        try:
            cells[name] = _cell(name, g, units)
        except ValueError as error:
            raise ValueError(f"cell {name}: {error}") from None
        except KeyError as error:
            raise ValueError(f"cell {name}: {error} is missing") from None
    if not cells:
        raise ValueError("it has no cell")
    return list(cells.values())


def _cell(name: str, group: Group, units: Units | None) -> Cell:
    leakage = 0.0
    pins: dict[str, Pin] = {}
    functions: dict[str, str] = {}
    if units is not None:
        leakage = _leakage(group) * units.watts
        for p in group.of("pin"):
            if not p.arguments:
                raise ValueError("a pin must have a name, but has none")
            pins |= dict.fromkeys(p.arguments, _pin(p, units))
            if "function" in p.attributes:
                functions |= dict.fromkeys(p.arguments, p.attributes["function"])
    state, gate = _state(group), _gate(name, group)
    if gate is not None:
        opens = " | ".join(filter(None, [gate.enable, gate.test]))
        state = State(HELD, f"{HELD}_n", True, f"!{gate.clock}", opens)
        functions[gate.out] = f"{gate.clock} & {HELD}"
    return Cell(
        name,
        _not_below_zero("area", group.attributes.get("area", "0")),
        leakage,
        bool(group.of("ff", "latch")),
        any("function" in p.attributes for p in group.of("pin")),
        pins,
        functions,
        state,
        gate is not None,
    )


HELD = "held"
"""What a clock gate holds, in the functions of it that are made here."""


def _state(cell: Group) -> State | None:
    """Return what a flip-flop or latch of one bit holds."""
    for g in cell.of("ff", "latch"):
        if len(g.arguments) == 2:  # noqa: PLR2004  the bit and its inverse
            latch = g.kind == "latch"
            clock, data = ("enable", "data_in") if latch else ("clocked_on", "next_state")
            given = [g.attributes.get(key, "") for key in (clock, data, "clear", "preset")]
            name, inverse = g.arguments
            return State(name, inverse, latch, *given)
    return None


def _leakage(cell: Group) -> float:
    """Return the leakage of a cell in the library's unit: its own figure, else the mean of its states."""
    if "cell_leakage_power" in cell.attributes:
        return _not_below_zero("cell_leakage_power", cell.attributes["cell_leakage_power"])
    states = [
        _not_below_zero("leakage_power", g.attributes["value"]) for g in cell.of("leakage_power")
    ]
    return sum(states) / len(states) if states else 0.0


def _pin(group: Group, units: Units) -> Pin:
    energy: dict[str, list[Table]] = {}
    for power in group.of("internal_power"):
        for table in power.of("rise_power", "fall_power", "power"):
            related = power.attributes.get("related_pin", "")
            energy.setdefault(related, []).append(_table(table, units.joules, units))
    delays: dict[str, list[Table]] = {"cell_rise": [], "cell_fall": []}
    for timing in group.of("timing"):
        if timing.attributes.get("timing_type", "combinational") in DELAYS:
            for table in timing.of(*delays):
                delays[table.kind].append(_table(table, units.seconds, units))
    return Pin(
        group.attributes.get("direction", "input"),
        _not_below_zero("capacitance", group.attributes.get("capacitance", "0")) * units.farads,
        group.attributes.get("clock", "false") == "true",
        {pin: tuple(tables) for pin, tables in energy.items()},
        tuple(delays["cell_rise"]),
        tuple(delays["cell_fall"]),
    )


DELAYS = (
    "combinational",
    "combinational_rise",
    "combinational_fall",
    "rising_edge",
    "falling_edge",
)
"""Kinds of arcs whose tables say when an output follows; the others are of set-up, hold, and asynchronous pins."""


def _numbers(name: str, texts: list[str]) -> tuple[float, ...]:
    return tuple(_number(name, v) for t in texts for v in t.replace(",", " ").split())


def _table(group: Group, unit: float, units: Units) -> Table:
    """Return a table of values in a unit; ValueError where they do not fill its axes."""
    rows = [_numbers("values", [row]) for row in group.lists["values"]]
    template = units.templates.get(group.arguments[0]) if group.arguments else None
    axes = [
        _numbers(name, group.lists.get(name) or (template.lists.get(name, []) if template else []))
        for name in ("index_1", "index_2")
    ]
    by_load = template is not None and template.attributes.get("variable_1", "").startswith("total")
    if len(rows) == 1 and len(axes[0]) == len(rows[0]) and not axes[1]:
        rows = [(v,) for v in rows[0]]  # over slew alone
    shape = (max(1, len(axes[0])), max(1, len(axes[1])))
    if len(rows) == 1 and len(rows[0]) == shape[0] * shape[1] > 1:  # written as one row
        rows = [rows[0][i : i + shape[1]] for i in range(0, len(rows[0]), shape[1])]
    alone = [len(row) for row in rows] == [1]  # a scalar, which needs no axes
    if not alone and [len(row) for row in rows] != [shape[1]] * shape[0]:
        raise ValueError(
            f"{group.kind} must have {shape[0]} x {shape[1]} values, as its axes have, not "
            f"{shown([len(row) for row in rows])} in its rows"
        )
    for name, axis in zip(("index_1", "index_2"), axes, strict=True):
        if any(a >= b for a, b in itertools.pairwise(axis)):
            raise ValueError(f"{name} must grow from number to number, not be {shown(axis)}")
    if by_load and axes[0]:
        axes, rows = axes[::-1], list(zip(*rows, strict=True))
    return Table(
        axes[0],
        tuple(v * units.farads for v in axes[1]),
        tuple(tuple(v * unit for v in row) for row in rows),
    )
