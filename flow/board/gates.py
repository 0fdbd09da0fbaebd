"""A netlist of an FPGA's cells as gates, flip-flops and memories, which ``gates.h`` plays.

Verilator works out the whole of a design in each clock; a chip that waits for its serial line moves a hundredth of it. So a
netlist is played event by event: a gate is worked out when an input of it changes, and nothing else is.

yosys puts its models of cells (`xnoreplay.flow.board.cells`) in the place of the netlist's cells, and makes gates of what
they say; a look-up table stays one. Nothing is optimised but for constants that a model meets, and what drives nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.flow.board import cells
from xnoreplay.flow.chip import synth
from xnoreplay.flow.run import files, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.errors import CheckFailure

PASSES = (
    "blackbox LUT?",
    "proc",
    "opt_expr",
    "opt_clean",
    "memory_collect",
    "techmap",
    "simplemap",
    "opt_expr",
    "opt_clean",
    "flatten -noscopeinfo",
    "opt_expr",
    "dfflegalize -cell $_DFF_P_ 01",
    "opt_clean",
)
"""Passes of yosys: models become gates, and then take the place of the cells; only the last four see the whole netlist."""
GATES = {
    "$_NOT_": ("A", 0b01),
    "$_AND_": ("AB", 0b1000),
    "$_NAND_": ("AB", 0b0111),
    "$_OR_": ("AB", 0b1110),
    "$_NOR_": ("AB", 0b0001),
    "$_XOR_": ("AB", 0b0110),
    "$_XNOR_": ("AB", 0b1001),
    "$_ANDNOT_": ("AB", 0b0010),
    "$_ORNOT_": ("AB", 0b1011),
    "$_MUX_": ("ABS", 0b11001010),
}
"""Inputs of a gate of yosys, and what it gives: bit k where k has the inputs, the first lowest."""
TABLES = ("LUT1", "LUT2", "LUT3", "LUT4")
"""Look-up tables of the families, with inputs in the order of their names; the parameter INIT is what they give."""
INPUTS = 4
"""Of a gate, at most."""
PINS = ("button", "uart_rx", "uart_tx")


class Gate(NamedTuple):
    """What of a design follows its inputs at once; a gate has one output, a memory's read port a word."""

    inputs: list[int]
    outputs: list[int]


def lowered(netlist: Path, top: str, family: str, progress: Progress) -> dict:
    """Return a netlist as yosys' ``write_json`` lays out a module, of `GATES`, `TABLES`, ``$_DFF_P_`` and ``$mem_v2``.

    Parameters
    ----------
    netlist : Path
        As yosys' ``write_json`` lays it out.
    top : str
        Name of its module.
    family : str
        Of `cells.CELLS`.
    progress : Progress

    Raises
    ------
    ToolError
        Where yosys is missing or fails, or a cell has no model.
    """  # noqa: DOC502  raised by what is called
    module = synth.load(netlist)["modules"][top]
    used = {cell["type"] for cell in module["cells"].values()} - {"$scopeinfo"}
    with temporary.folder("gates") as work:
        files.write_json(work / "top.json", {"creator": "", "modules": {top: module}})
        (work / "cells.v").write_text(cells.models(used, family), encoding="utf-8")
        read = ["read_json top.json", "read_verilog -sv cells.v", f"hierarchy -top {top}"]
        script = [*read, *PASSES, "write_json gates.json", ""]
        (work / "gates.ys").write_text("\n".join(script), encoding="utf-8")
        with progress.task("yosys: the netlist as gates"):
            synth.yosys(work, "gates")
        return synth.load(work / "gates.json")["modules"][top]


def words(module: dict) -> np.ndarray:
    """Return a design as ``gates.h`` reads it.

    Parameters
    ----------
    module : dict
        What `lowered` returns. Its clock is the port ``clk``, and `PINS` are ports of a bit.

    Returns
    -------
    np.ndarray
        uint32. The number of nets, of which 0 and 1 are the constants; the nets of `PINS`. Then the number of gates, and of
        each the nets of `INPUTS` inputs and of its output, what it gives, and its level, which is higher than those of the
        gates and read ports before it. The number of flip-flops; of each the nets of its input and output, and its first
        value. The number of memories; of each its rows, bits of a row and of an address; how many of its bits begin with 1,
        and which; its number of read ports, each with its level and the nets of address and word; and its number of write
        ports, each with the nets of address, word and of a bit's enable.

    Raises
    ------
    CheckFailure
        For what is none of these, a clock that is not ``clk``, a loop of gates, and where a model refuses how a cell is set.
    """
    parts = _Parts(module)
    for name, cell in module["cells"].items():
        parts.add(name, cell)
    reads = [Gate(address, word) for memory in parts.memories for address, word in memory.reads]
    levels = _levels([*(gate for gate, _ in parts.gates), *reads])
    found = [0, *(parts.nets.of(module["ports"][pin]["bits"])[0] for pin in PINS)]
    found.append(len(parts.gates))
    for (gate, gives), level in zip(parts.gates, levels, strict=False):
        unused = [0] * (INPUTS - len(gate.inputs))
        found += [*gate.inputs, *unused, *gate.outputs, gives, level]
    found += [len(parts.flops), *(word for flop in parts.flops for word in flop)]
    found.append(len(parts.memories))
    behind = iter(levels[len(parts.gates) :])
    for memory in parts.memories:
        found += memory.words(behind)
    found[0] = parts.nets.count
    return np.array(found, np.uint32)


class _Parts:
    """What a module's cells are."""

    def __init__(self, module: dict) -> None:
        self.nets = _Nets(module)
        self.clock = self.nets.of(module["ports"]["clk"]["bits"])
        self.gates: list[tuple[Gate, int]] = []  # and what each gives
        self.flops: list[
            tuple[int, int, int]
        ] = []  # nets of input and output, and what it begins with
        self.memories: list[_Memory] = []

    def add(self, name: str, cell: dict) -> None:
        """Take a cell in; errors as of `words`."""
        kind = cell["type"]
        wires = {port: self.nets.of(bits) for port, bits in cell["connections"].items()}
        if kind in GATES:
            ports, gives = GATES[kind]
            self.gates.append((Gate([wires[port][0] for port in ports], wires["Y"]), gives))
        elif kind in TABLES:
            (out,) = (port for port, way in cell["port_directions"].items() if way == "output")
            inputs = [wires[port][0] for port in sorted(wires.keys() - {out})]
            self.gates.append((Gate(inputs, wires[out]), int(cell["parameters"]["INIT"], 2)))
        elif kind == "$_DFF_P_":
            self._require_clock(wires["C"], name)
            (q,) = wires["Q"]
            self.flops.append((wires["D"][0], q, self.nets.first.get(q, 0)))
        elif kind == "$mem_v2":
            self._require_clock(wires["WR_CLK"], name)
            self.memories.append(_Memory(name, cell["parameters"], wires))
        elif kind == "$check":
            if wires["A"] != [1]:
                raise CheckFailure(f"a cell must be set as its model is, but {name} is not")
        elif kind != "$scopeinfo":
            raise CheckFailure(f"a cell of the netlist must be of gates, but {kind} is not")

    def _require_clock(self, wires: list[int], name: str) -> None:
        if set(wires) - set(self.clock):
            raise CheckFailure(f"every cell must have the clock clk, but {name} has not")


class _Nets:
    """Numbers of a module's nets, from 2 on; what has no value is 0."""

    def __init__(self, module: dict) -> None:
        self._numbers: dict[int, int] = {}
        self.first: dict[int, int] = {}  # what a net begins with
        for net in module["netnames"].values():
            values = net["attributes"].get("init", "")
            for wire, value in zip(net["bits"], reversed(values), strict=False):
                if value == "1" and isinstance(wire, int):
                    self.first[self.of([wire])[0]] = 1

    def of(self, wires: list[int | str]) -> list[int]:
        numbers = self._numbers
        return [
            numbers.setdefault(wire, len(numbers) + 2)
            if isinstance(wire, int)
            else int(wire == "1")
            for wire in wires
        ]

    @property
    def count(self) -> int:
        return len(self._numbers) + 2


class _Memory:
    """A memory whose reads have no clock."""

    def __init__(self, name: str, parameters: dict[str, str], wires: dict[str, list[int]]) -> None:
        def number(key: str) -> int:
            return int(parameters[key], 2)

        ports = number("WR_PORTS")
        rising = (1 << ports) - 1
        if (
            number("RD_CLK_ENABLE")
            or number("OFFSET")
            or number("WR_CLK_ENABLE") != rising
            or number("WR_CLK_POLARITY") != rising
        ):
            raise CheckFailure(f"a memory must be written with the clock alone, but {name} is not")
        self.rows, self.width, self.bits = number("SIZE"), number("WIDTH"), number("ABITS")
        begins = reversed(parameters["INIT"])
        self.ones = [place for place, bit in enumerate(begins) if bit == "1"]
        a, w = self.bits, self.width
        self.reads = [
            (wires["RD_ADDR"][a * k : a * (k + 1)], wires["RD_DATA"][w * k : w * (k + 1)])
            for k in range(number("RD_PORTS"))
        ]
        self.writes = [
            wires["WR_ADDR"][a * k : a * (k + 1)]
            + wires["WR_DATA"][w * k : w * (k + 1)]
            + wires["WR_EN"][w * k : w * (k + 1)]
            for k in range(ports)
        ]

    def words(self, levels: Iterator[int]) -> list[int]:
        """See `words`; `levels` gives those of its read ports."""
        found = [self.rows, self.width, self.bits, len(self.ones), *self.ones, len(self.reads)]
        for address, word in self.reads:
            found += [next(levels), *address, *word]
        return [*found, len(self.writes), *(net for port in self.writes for net in port)]


def _levels(nodes: list[Gate]) -> list[int]:
    """Return for each gate a number that is higher than those of the gates that drive it.

    Raises
    ------
    CheckFailure
        For a loop.
    """
    driver = {net: node for node, gate in enumerate(nodes) for net in gate.outputs}
    before = [{driver[net] for net in gate.inputs if net in driver} for gate in nodes]
    after: list[list[int]] = [[] for _ in nodes]
    for node, drivers in enumerate(before):
        for one in drivers:
            after[one].append(node)
    left = [len(drivers) for drivers in before]
    levels = [0] * len(nodes)
    ready = [node for node, count in enumerate(left) if not count]
    for node in ready:  # grows
        for other in after[node]:
            levels[other] = max(levels[other], levels[node] + 1)
            left[other] -= 1
            if not left[other]:
                ready.append(other)
    if len(ready) < len(nodes):
        raise CheckFailure("the netlist must have no loop of gates, but has one")
    return levels
