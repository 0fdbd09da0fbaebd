"""A netlist of a library's cells as arrays, which `player` plays with the cells' delays.

Each output pin of a cell is a gate of up to six inputs: its truth table, and the whole picoseconds until it rises or
falls. What a flip-flop, latch or clock gate holds is a net of its own, which its output pins read; it follows its
inputs at once, and the output pins a delay later. The clock is ideal: gates on its way to flip-flops have no delay, as
if a clock tree had made all its ways the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from xnoreplay.flow.cost.cells import functions
from xnoreplay.flow.cost.cells.liberty import Cell, Library
from xnoreplay.flow.cost.cells.player import Design
from xnoreplay.spec.errors import ToolError

UNIT_PS = 100
"""Delay of an output for which the library has no table."""
MOST_PS = 1_000_000
"""Of a delay: the player has a slot for each picosecond of the longest."""
PICO = 1e-12
CLOCK = "clk"


@dataclass(frozen=True)
class Delayed:
    """A netlist that can be played.

    Parameters
    ----------
    design : Design
        What the player takes.
    numbers : dict of int to int
        The player's number of each net of yosys.
    timed, untimed : int
        Output pins whose delay is the library's, and those whose delay is `UNIT_PS`.
    """

    design: Design
    numbers: dict[int, int]
    timed: int
    untimed: int


def cell_of(name: str, kind: str, library: Library) -> Cell:
    """Return the library's cell of an instance.

    Raises
    ------
    ToolError
        Where the library has none.
    """
    cell = library.cells.get(kind)
    if cell is None:
        raise ToolError(f"cell {name} must be mapped to the library, but is a {kind}")
    return cell


def clock_nets(netlist: dict, library: Library) -> set[int]:
    """Return the nets on the clock's way: the clock itself, and what clock gates and gates behind it give."""
    reached = set(netlist.get("ports", {}).get(CLOCK, {}).get("bits", ()))
    passing = []
    for instance in netlist["cells"].values():
        cell = library.cells.get(instance["type"])
        if cell is not None and (cell.gate or cell.state is None):
            ways: dict[str, set] = {"input": set(), "output": set()}
            for port, bits in instance["connections"].items():
                if port in cell.pins:
                    ways.setdefault(cell.pins[port].direction, set()).update(bits)
            passing.append((ways["input"], ways["output"]))
    before = 0
    while len(reached) > before:
        before = len(reached)
        for inputs, outputs in passing:
            if inputs & reached:
                reached |= outputs
    return reached


def delayed(
    netlist: dict, library: Library, loads: Callable[[int], float], ports: Iterable[int]
) -> Delayed:
    """Return a netlist, as yosys writes it in JSON, as the player takes it.

    Parameters
    ----------
    netlist : dict
    library : Library
    loads : callable
        F at a net.
    ports : iterable of int
        Nets that have a number even if no cell reads or drives them.

    Raises
    ------
    ToolError
        For a cell that is not the library's, or whose functions cannot be read.
    """
    nets = _Nets()
    for bit in ports:
        nets.of(bit)
    clocks = clock_nets(netlist, library)
    gates: list[tuple[list[int], int, int, int, int]] = []
    states: list[tuple[list[int], tuple[int, int, int, int], bool, int]] = []
    timed = untimed = 0
    for name, instance in netlist["cells"].items():
        cell = cell_of(name, instance["type"], library)
        wires = {port: bits[0] for port, bits in instance["connections"].items() if bits}
        _require_pins(cell, wires)
        try:
            held = {}
            if cell.state is not None:
                found, held = _state(cell, wires, nets)
                states.append(found)
            for port, function in cell.functions.items():
                if port not in wires:
                    continue
                bit = wires[port]
                inputs, table = _gate(function, wires, held, cell, nets)
                seconds = cell.pins[port].delays(loads(bit))
                rise, fall = (0, 0) if bit in clocks else _picoseconds(seconds)
                timed, untimed = timed + (seconds is not None), untimed + (seconds is None)
                gates.append((inputs, table, nets.of(bit), rise, fall))
        except KeyError as error:
            raise ToolError(
                f"cell {cell.name} must have its pins connected, but not {error}"
            ) from None
        except ValueError as error:
            raise ToolError(f"cell {cell.name} must be one that can be run, but: {error}") from None
    return Delayed(_design(gates, states, nets.count), nets.numbers, timed, untimed)


def _require_pins(cell: Cell, wires: dict) -> None:
    for port in wires:
        if port not in cell.pins:
            raise ToolError(
                f"cell {cell.name} of the library must have the pin {port}, but has none"
            )
        if cell.pins[port].direction == "output" and port not in cell.functions:
            raise ToolError(
                f"cell {cell.name} must have a function of its pin {port}, but has none"
            )


class _Nets:
    """Numbers of nets; 0 and 1 are the constants."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.count = 2

    def of(self, bit: int | str) -> int:
        if not isinstance(bit, int):
            return int(bit == "1")
        if bit not in self.numbers:
            self.numbers[bit] = self.new()
        return self.numbers[bit]

    def new(self) -> int:
        self.count += 1
        return self.count - 1


def _picoseconds(seconds: tuple[float, float] | None) -> tuple[int, int]:
    if seconds is None:
        return UNIT_PS, UNIT_PS
    if max(seconds) > MOST_PS * PICO:
        raise ValueError(f"a delay must be at most {MOST_PS:,} ps, not {max(seconds):g} s")
    rise, fall = (max(1, round(s / PICO)) for s in seconds)
    return rise, fall


def _state(cell: Cell, wires: dict, nets: _Nets):
    """Return inputs and functions of what a cell holds, and the net of it by name."""
    state = cell.state
    assert state is not None
    texts = (state.clock, state.data, state.clear or "0", state.preset or "0")
    own = nets.new()
    inputs = [n for n in functions.names(*texts) if n not in (state.name, state.inverse)]
    known = [*inputs, state.name]
    clock, data, clear, preset = (
        functions.table(_plain(text, state.inverse, state.name), known) for text in texts
    )
    held = {state.name: own, state.inverse: own}
    return (
        [*(nets.of(wires[n]) for n in inputs), own],
        (clock, data, clear, preset),
        state.latch,
        own,
    ), held


def _plain(function: str, inverse: str, name: str) -> str:
    """Return a function in which the inverse of what a cell holds is written with what it holds."""
    words = functions.names(function)
    if inverse not in words:
        return function
    return functions.renamed(function, inverse, f"(!{name})")


def _gate(
    function: str, wires: dict, held: dict[str, int], cell: Cell, nets: _Nets
) -> tuple[list[int], int]:
    """Return the nets of a function's inputs, and its truth table."""
    if cell.state is not None:
        function = _plain(function, cell.state.inverse, cell.state.name)
    inputs = functions.names(function)
    table = functions.table(function, inputs)
    return [held[n] if n in held else nets.of(wires[n]) for n in inputs], table


def _design(gates, states, nets: int) -> Design:
    most = functions.MOST_INPUTS
    gate_inputs = np.zeros((len(gates), most), np.int32)
    state_inputs = np.zeros((len(states), most), np.int32)
    sinks = defaultdict(list)
    for i, (inputs, *_) in enumerate(gates):
        gate_inputs[i, : len(inputs)] = inputs
        for net in set(inputs):
            sinks[net].append(i)
    for i, (inputs, *_, own) in enumerate(states):
        state_inputs[i, : len(inputs)] = inputs
        for net in set(inputs) - {own}:
            sinks[net].append(len(gates) + i)
    first = np.zeros(nets + 1, np.int64)
    first[1:] = np.cumsum([len(sinks[net]) for net in range(nets)])
    return Design(
        nets=np.zeros(nets, np.uint8),
        first=first,
        sinks=np.array([s for net in range(nets) for s in sinks[net]], np.int32),
        gate_inputs=gate_inputs,
        gate_table=np.array([g[1] for g in gates], np.uint64),
        gate_output=np.array([g[2] for g in gates], np.int32),
        rise=np.array([g[3] for g in gates], np.int32),
        fall=np.array([g[4] for g in gates], np.int32),
        state_inputs=state_inputs,
        state_tables=np.array([s[1] for s in states], np.uint64).reshape(len(states), 4),
        state_latch=np.array([s[2] for s in states], np.uint8),
        state_net=np.array([s[3] for s in states], np.int32),
    )
