"""Models as and-inverter graphs: a reader of AIGER, a simulation of a trace, and its waveform.

The format is that of Biere, Heljanko and Wieringa, "AIGER 1.9 and beyond" (2011). A literal is twice a variable, plus 1
where it is inverted; literal 0 is the constant 0.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from vcd import VCDWriter

from xnoreplay.spec.errors import ToolError

GATES = """\
opt -full
memory_map
opt -full
techmap
dffunmap
simplemap
opt_expr
opt_merge
opt_clean
setundef -anyseq
aigmap
opt_clean
"""
"""yosys' commands that make AND gates, inverters and flip-flops of a flat design; what has no value may be anything."""
_SYMBOL = re.compile(rb"^([io])(\d+) (\S+?)(?:\[(\d+)\])?$", re.MULTILINE)
Bit = tuple[str, int]
"""A wire's name, and a bit of it."""
Frame = list[bool]
"""A bit for each literal's variable in one clock cycle."""


@dataclass(frozen=True)
class Aiger:
    """A model: variables 1 to ``inputs`` are inputs, the next are latches, all others AND gates in order.

    Parameters
    ----------
    inputs : int
        How many there are.
    latches : list of int
        Next state of each latch, a literal; all start at 0.
    outputs : list of int
        Literals.
    gates : list of (int, int)
        The two literals of each AND gate.
    """

    inputs: int
    latches: list[int]
    outputs: list[int]
    gates: list[tuple[int, int]]

    def frames(self, stimulus: list[str]) -> list[Frame]:
        """Simulate a trace: of each cycle the inputs, a text of 0 and 1, give the variables' values."""
        state = [False] * len(self.latches)
        found = []
        for line in stimulus:
            frame = [False, *(bit == "1" for bit in line), *state]
            if len(line) != self.inputs:
                raise ToolError(f"a trace must have {self.inputs} inputs, not {len(line)}")
            for left, right in self.gates:
                frame.append(value(frame, left) and value(frame, right))
            found.append(frame)
            state = [value(frame, literal) for literal in self.latches]
        return found


def value(frame: Frame, literal: int) -> bool:
    """Return a literal's value in a cycle."""
    return frame[literal >> 1] != bool(literal & 1)


def read(path: Path) -> Aiger:
    """Read a binary AIGER file as yosys writes it with ``-zinit``.

    Raises
    ------
    ToolError
        Where it is none.
    """
    return _parts(path)[0]


def _parts(path: Path) -> tuple[Aiger, bytes]:
    """Return the model, and the symbols behind its gates, which are no lines."""
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n")
    found = re.fullmatch(rb"aig (\d+) (\d+) (\d+) (\d+) (\d+)", header)
    if not found:
        raise ToolError(f"{path.name} must begin as an AIGER file, but does not")
    _, inputs, latches, outputs, gates = map(int, found.groups())
    lines = rest.split(b"\n", latches + outputs)
    numbers = [int(line.split()[0]) for line in lines[:-1]]
    packed, at, pairs = lines[-1], 0, []
    for n in range(gates):
        literal = 2 * (1 + inputs + latches + n)
        left, at = _number(packed, at)
        right, at = _number(packed, at)
        pairs.append((literal - left, literal - left - right))
    return Aiger(inputs, numbers[:latches], numbers[latches:], pairs), packed[at:]


def _number(packed: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, low ones first, and the place after it."""
    number = shift = 0
    while packed[at] & 0x80:
        number |= (packed[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | packed[at] << shift, at + 1


def named(path: Path) -> tuple[Aiger, dict[int, Bit], dict[int, Bit]]:
    """Read a file that yosys wrote with ``-symbols``: the model, and the names of its inputs and of its outputs by their numbers.

    Raises
    ------
    ToolError
        Where it is none.
    """  # noqa: DOC502  raised by `_parts`
    model, symbols = _parts(path)
    found: dict[bytes, dict[int, Bit]] = {b"i": {}, b"o": {}}
    for kind, number, name, bit in _SYMBOL.findall(symbols):
        found[kind][int(number)] = name.decode(), int(bit or 0)
    return model, found[b"i"], found[b"o"]


def registers(text: str, count: int) -> list[list[Bit]]:
    """Return all names of each of ``count`` latches, from yosys' ``-vmap`` file; none for one that the Verilog does not name."""
    found: list[list[Bit]] = [[] for _ in range(count)]
    for line in text.splitlines():
        kind, *rest = line.split(" ", 3)
        if kind == "latch" and len(rest) == 3 and not rest[2].startswith("$"):
            found[int(rest[0])].append((rest[2], int(rest[1])))
    return found


def wires(text: str) -> dict[str, list[int]]:
    """Return the literals of each wire, lowest bit first, by its name, from yosys' ``-vmap`` file."""
    found: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        kind, *rest = line.split(" ", 3)
        if kind in ("wire", "input", "output") and len(rest) == 3:
            literal, bit, name = rest
            if kind == "wire":
                found.setdefault(name, {})[int(bit)] = int(literal)
    return {name: [bits.get(i, 0) for i in range(max(bits) + 1)] for name, bits in found.items()}


def write_vcd(path: Path, names: dict[str, list[int]], frames: list[Frame]) -> None:
    """Write a waveform of a trace: a clock cycle is 10 ns, and units are scopes.

    Parameters
    ----------
    path : Path
    names : dict of str to list of int
        Literals of each signal, as `wires` returns them; dots in a name part scopes.
    frames : list of Frame
    """
    with path.open("w", encoding="ascii") as file, VCDWriter(file, timescale="1 ns") as writer:
        clock = writer.register_var("proof", "clk", "wire", size=1)
        signals = []
        for name, literals in names.items():
            *scopes, own = name.split(".")
            if name != "clk" and "$" not in name:
                scope = ".".join(["proof", *scopes])
                var = writer.register_var(scope, own, "wire", size=len(literals))
                signals.append((var, literals))
        for number, frame in enumerate(frames):
            for var, literals in signals:
                word = sum(value(frame, literal) << i for i, literal in enumerate(literals))
                writer.change(var, 10 * number, word)
            writer.change(clock, 10 * number, 1)
            writer.change(clock, 10 * number + 5, 0)
        writer.close(10 * len(frames))
