"""Whether two modules with the same registers have the same next states and outputs, as ABC finds it.

Both modules are and-inverter graphs. A register of one and the register of the other with its name are one variable, and so are
inputs; what must be equal are the next states of these registers, and the outputs. ABC merges what is equal from the inputs
on (`&fraig -x`), so a multiplier that was mapped to other gates is no harder than its rows.

A register that one side alone has may be anything in every cycle. What is proved then holds for the real one, too. Where the
module has one that is constant after some cycles of reset, it is that constant: synthesis leaves such registers out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.verify.prove import aiger, engine
from xnoreplay.flow.verify.prove.aiger import Bit
from xnoreplay.flow.verify.prove.graph import Graph
from xnoreplay.spec.errors import ToolError

SECONDS = 300  # of the processor
MITER, SWEPT = "pairs.aig", "swept.aig"
RESET, CLOCK = ("rst", 0), "w:clk"


def written(name: str) -> str:
    """Return yosys' commands that write the module that is the top as `NAME.aig` and `NAME.map`.

    They fail for a register that another edge than the rising one of the clock writes, because a graph has no clock.
    """
    return f"""\
setundef -undriven -anyseq
setundef -anyseq
{aiger.GATES}select -assert-none t:*dff* t:*DFF* %u t:$_DFF_P_ %d
select -assert-none t:$_DFF_P_ {CLOCK} %co1:+[C] %d
write_aiger -symbols -vmap {name}.map {name}.aig
"""


@dataclass(frozen=True)
class Side:
    """A module's graph, and the names of what is in it.

    Parameters
    ----------
    aig : Aiger
    inputs : dict of int to Bit
        By number; one without a name may be anything.
    registers : list of list of Bit
        All names of each.
    outputs : dict of Bit to int
        Literals.
    """

    aig: aiger.Aiger
    inputs: dict[int, Bit]
    registers: list[list[Bit]]
    outputs: dict[Bit, int]


def read(folder: Path, name: str) -> Side:
    """Read what `written` has written."""
    aig, inputs, outputs = aiger.named(folder / f"{name}.aig")
    text = (folder / f"{name}.map").read_text(encoding="utf-8")
    literals = {bit: aig.outputs[number] for number, bit in outputs.items()}
    return Side(aig, inputs, aiger.registers(text, len(aig.latches)), literals)


def equal_pairs(folder: Path, gold: str, gate: str) -> int:
    """Return how many pairs of registers and outputs are equal; 0 where not all are proved to be.

    Parameters
    ----------
    folder : Path
        With what `written` wrote of both; files of the proof are added.
    gold, gate : str
        Their names.

    Raises
    ------
    ToolError
        Where the sides have not the same outputs, or ABC does not give back all that it was given.
    """
    first, second = read(folder, gold), read(folder, gate)
    if first.outputs.keys() != second.outputs.keys():
        raise ToolError("a module and its netlist must have the same outputs, but have not")
    graph = Graph()
    inputs: dict[Bit, int] = {}
    kept = [graph.input() for _ in second.registers]
    place = {bit: n for n, names in enumerate(second.registers) for bit in names}
    partners = [
        next((place[bit] for bit in names if bit in place), None) for names in first.registers
    ]
    own = [graph.input() if n is None else kept[n] for n in partners]
    alone = [n for n, partner in enumerate(partners) if partner is None]
    for n, value in _Constants(graph, first, inputs, own, folder).among(alone).items():
        own[n] = value
    one, other = _literals(graph, first, inputs, own), _literals(graph, second, inputs, kept)
    pairs = [
        (one(first.aig.latches[n]), other(second.aig.latches[partner]))
        for n, partner in enumerate(partners)
        if partner is not None
    ]
    pairs += [(one(first.outputs[bit]), other(second.outputs[bit])) for bit in first.outputs]
    differ = _swept(graph, [graph.differ(*pair) for pair in pairs], folder)
    return 0 if any(differ) else len(pairs)


def _literals(
    graph: Graph, side: Side, inputs: dict[Bit, int], registers: list[int]
) -> Callable[[int], int]:
    """Add a side to a graph; return the function from its literals to the graph's."""
    found = [0]
    for number in range(side.aig.inputs):
        bit = side.inputs.get(number)
        if bit is None:
            found.append(graph.input())
        else:
            if bit not in inputs:
                inputs[bit] = graph.input()
            found.append(inputs[bit])
    found += registers

    def literal(own: int) -> int:
        return found[own >> 1] ^ (own & 1)

    for left, right in side.aig.gates:
        found.append(graph.both(literal(left), literal(right)))
    return literal


@dataclass
class _Constants:
    """Registers of a side that are constant, by number, as literals 0 and 1.

    Parameters
    ----------
    graph : Graph
    side : Side
    inputs : dict of Bit to int
        Literals of the inputs in the graph.
    registers : list of int
        Literals of the registers.
    folder : Path
        For files.
    """

    graph: Graph
    side: Side
    inputs: dict[Bit, int]
    registers: list[int]
    folder: Path

    def among(self, some: list[int]) -> dict[int, int]:
        """Return those of some registers that have one value after cycles of reset, as many as they need, and keep it."""
        found: dict[int, int] = {}
        reset = self.inputs | {RESET: 1}
        while (more := self._after(reset, some, found)) != found:
            found = more
        while (
            left := {
                n: value
                for n, value in self._after(self.inputs, list(found), found).items()
                if value == found[n]
            }
        ) != found:
            found = left
        return found

    def _after(
        self, inputs: dict[Bit, int], some: list[int], held: dict[int, int]
    ) -> dict[int, int]:
        """Return those of some registers that are constant in the next cycle where others have the values that are held."""
        state = [held.get(n, literal) for n, literal in enumerate(self.registers)]
        after = _literals(self.graph, self.side, inputs, state)
        values = _swept(self.graph, [after(self.side.aig.latches[n]) for n in some], self.folder)
        return {n: value for n, value in zip(some, values, strict=True) if value in (0, 1)}


def _swept(graph: Graph, literals: list[int], folder: Path) -> list[int]:
    """Return 0 or 1 for each literal that ABC finds to be constant, and another number for the others."""
    if all(literal in (0, 1) for literal in literals):
        return literals
    graph.write(folder / MITER, literals)
    commands = ("strash", "&get", "&fraig,-x", "&put", f"write_aiger,{SWEPT}")
    try:
        engine.abc(folder, [f"read_aiger,{MITER}", *commands], cpu=SECONDS)
    except ToolError:  # also where it takes too long: what is written by then may be a part
        return literals
    found = aiger.read(folder / SWEPT).outputs
    if len(found) != len(literals):
        raise ToolError(f"ABC must give back {len(literals)} outputs, not {len(found)}")
    return found
