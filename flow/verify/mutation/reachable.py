"""Which mutants do the same as the design in every state that comes, as ABC proves it.

`proofs` compares registers in any state at all. Here both begin with a cycle of reset, in one state that may be any, and
have the same inputs in every cycle; ABC finds what else holds of the states that follow: registers that are always
equal or constant (`scorr`), then what property directed reachability (`pdr`) adds. What must never differ is what leaves the
part that is looked at: its output ports, and what its memories are given to write.

Both begin in the first cycle after the reset: a register has the value that the reset gives it, or one that follows from the
state before.

The model is an and-inverter graph of the whole chip, in which the input `SELECT` is still one. The words of memories are cut:
one that is read is any word, the same for both where both read the same row. Registers are of two kinds. The part's own
are there twice, where they may differ. Others are there once: what leaves the part is equal, so they are. Those of the
part are registers of the model; others may be anything in every cycle.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from xnoreplay.flow.chip.synth import yosys
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.port_rules import PAYLOAD
from xnoreplay.flow.verify.mutation.hierarchy import Hierarchy, box
from xnoreplay.flow.verify.prove import aiger, engine
from xnoreplay.flow.verify.prove.design import MAP, MODEL, is_macro
from xnoreplay.flow.verify.prove.graph import Graph
from xnoreplay.spec.errors import ToolError

CHIP, SWEPT = "chip.il", "swept.aig"
SEEN = "seen"  # attribute of the ports that modules drive
SCRIPT = f"""\
read_rtlil {CHIP}
hierarchy -check -top {TOP}
setattr -set {SEEN} 1 o:*
proc
flatten
setattr -unset init w:*
{{evert}}
expose w:* a:{SEEN} %i
{aiger.GATES}write_aiger -symbols -vmap {MAP} {MODEL}
"""
PROVED = (
    "the same gates",
    "equal at its module's ports, in states that come",
    "equal outside its module, in states that come",
    "equal outside its module and those that read it, in states that come",
    "equal in the chip, in states that come",
)
"""How a proof closed."""
QUICK, SLOW = PROVED[:3], PROVED[3:]
"""Those that end within seconds, and the others."""
SECONDS, SECONDS_OF_SOME, SECONDS_OF_CHIP = 10, 60, 60
"""Of the processor, for a module, for it and those around it, and for the whole chip."""
GROWN = 3  # times that a module takes in those that read it
READ = ("ren", "raddr")
WRITE = ("wen", "waddr", "wdata")
Key = int | tuple[str, int]
"""A register's number, or path and bit of a memory's word."""
Bits = dict[int, int]  # literal, or number of an input, by bit


@dataclass(frozen=True)
class Part:
    """What is looked at in one attempt.

    Parameters
    ----------
    own : tuple of str
        Dotted paths of the units whose registers may differ, or of single registers; "" for the whole chip.
    seconds : int
        Of the processor, after which it is given up.
    ports : bool
        What must never differ is what leaves the unit by its ports; else what becomes of it outside: the next state of
        all other registers, so that a port may differ where nobody looks.
    """

    own: tuple[str, ...]
    seconds: int
    ports: bool = True


@dataclass(frozen=True)
class Memory:
    """A memory's ports in the model: literals by bit, and of the word that is read the numbers of inputs by bit."""

    ports: dict[str, Bits]
    word: Bits

    @property
    def clocked(self) -> bool:
        """Whether the word is there in the cycle after it is read, and stays."""
        return "ren" in self.ports


class Model:
    """The graph of a chip with its mutants, and what is where in it.

    Parameters
    ----------
    folder : Path
        Where `prepare` wrote it.
    memories : sequence of str
        Dotted paths of the memories that are cut.
    """

    def __init__(self, folder: Path, memories: Sequence[str]) -> None:
        self.aig, self.inputs, outputs = aiger.named(folder / MODEL)
        self.driven: dict[str, Bits] = {}
        """Literals by bit of what modules drive, by dotted path."""
        for number, (name, bit) in outputs.items():
            self.driven.setdefault(name, {})[bit] = self.aig.outputs[number]
        text = (folder / MAP).read_text(encoding="utf-8")
        named = aiger.registers(text, len(self.aig.latches))
        self.registers = [[name for name, _ in bits] for bits in named]
        """Names of each register, in its own module and in those that see it; none where it has no name."""
        self.memories = {
            path: Memory(
                {
                    port: self.driven.pop(f"{path}.{port}")
                    for port in (*READ, *WRITE)
                    if f"{path}.{port}" in self.driven
                },
                {bit: n for n, (name, bit) in self.inputs.items() if name == f"{path}.rdata"},
            )
            for path in memories
        }

    def within(self, units: Sequence[str]) -> set[int]:
        """Numbers of the registers of units, and of those that they see; one without a name may be of any unit."""
        return {
            number
            for number, names in enumerate(self.registers)
            if not names or any(inside(name, units) for name in names)
        }

    def ports(self, unit: str) -> Iterator[tuple[int, int]]:
        """All that a unit drives; the chip's ports for the whole chip.

        Yields
        ------
        driven : int
            A literal.
        matters : int
            The literal that is 1 where it is looked at: the payload of a response only while it is valid.
        """
        for name, bits in self.driven.items():
            if name.rpartition(".")[0] == unit and name not in ("clk", SELECT):
                valid = VALID.get(name) if not unit else None
                matters = self.driven[valid][0] if valid in self.driven else 1
                yield from ((literal, matters) for literal in bits.values())


def inside(name: str, units: Sequence[str]) -> bool:
    """Whether a dotted name is, or lies in, one of some units; all do in the whole chip."""
    return any(not unit or name == unit or name.startswith(unit + ".") for unit in units)


VALID = {
    f"s_axil_{payload}": f"s_axil_{valid}"
    for payload, valid in PAYLOAD.items()
    if payload.startswith(("b", "r"))
}
"""Of each of the chip's ports that means something only beside a valid, the name of that."""


def prepare(hierarchy: Hierarchy, folder: Path) -> None:
    """Write the model of a chip with its mutants.

    Parameters
    ----------
    hierarchy : Hierarchy
        Of its text with the input `SELECT`.
    folder : Path
        For files; it must be there.

    Raises
    ------
    ToolError, CheckFailure
        Of `flow.chip.synth.yosys`.
    """  # noqa: DOC502  raised by `yosys`
    texts = [box(text) if is_macro(kind) else text for kind, text in hierarchy.modules.items()]
    (folder / CHIP).write_text("\n".join(texts), encoding="utf-8")
    boxes = [f"t:{kind}" for kind in hierarchy.modules if is_macro(kind)]
    evert = f"expose -evert {' '.join(boxes)}" if boxes else ""
    (folder / "model.ys").write_text(SCRIPT.format(evert=evert), encoding="utf-8")
    yosys(folder, "model", "become a graph")


@cache
def model_of(folder: Path, memories: tuple[str, ...]) -> Model:
    """The model that `prepare` wrote; see `Model`."""
    return Model(folder, memories)


def proof_of(
    hierarchy: Hierarchy, number: int, module: str, kinds: Sequence[str], folder: Path
) -> str:
    """Try to prove that a mutant does the same in all states that come.

    Parameters
    ----------
    hierarchy : Hierarchy
    number : int
        Of the mutant.
    module : str
        That it lies in. The inside of a memory is not in the model: nothing is said of such a mutant.
    kinds : sequence of str
        Of `PROVED`: what is tried, in this order.
    folder : Path
        Where `prepare` wrote the model.

    Returns
    -------
    str
        How it was proved, of `PROVED`, or nothing.
    """
    instances = [(path, kind) for path, kind in hierarchy.all(TOP)]
    paths = [path for path, kind in instances if kind == module] if module != TOP else [""]
    if module in hierarchy.modules and not paths:
        return PROVED[
            0
        ]  # nothing reads what it gives: yosys has taken its instance out of the chip
    if is_macro(module) or len(paths) != 1:
        return ""
    model = model_of(folder, tuple(path for path, kind in instances if is_macro(kind)))
    tried = parts(paths[0])
    for how in kinds:
        part = tried[how]
        grows = how == PROVED[3]
        if grows and not paths[0]:  # the top is all; what is tried is what sees the mutant first
            part = replace(part, own=())
        for _ in range(GROWN if grows else 1):
            if grows:
                more = readers(model, number, part)
                if not more:
                    break
                part = replace(part, own=(*part.own, *more))
            if same(model, number, part, folder):
                return how
    return ""


def readers(model: Model, number: int, part: Part) -> list[str]:
    """Dotted paths of the units outside of a part, or of registers of the top, that may see a mutant in the next cycle."""
    outside = Miter(model, number, part).touched
    names = [model.registers[key][0] for key in outside if isinstance(key, int)]
    return sorted({name.rpartition(".")[0] or name for name in names})


def parts(unit: str) -> dict[str, Part]:
    """What is tried for a mutant of a unit, by what is said of it, of `PROVED`."""
    whole, own = Part(("",), SECONDS_OF_CHIP), Part((unit,), SECONDS)
    tried = (
        replace(whole, seconds=0),
        own,
        replace(own, ports=False),
        Part((unit,), SECONDS_OF_SOME, False),
        whole,
    )
    return dict(zip(PROVED, tried, strict=True))


class Miter:
    """A design and one of its mutants side by side.

    Parameters
    ----------
    model : Model
    number : int
        Of the mutant.
    part : Part
    """

    def __init__(self, model: Model, number: int, part: Part) -> None:
        self.model, self.number, self.part = model, number, part
        self.graph = Graph()
        self._began = self.graph.latch()  # 0 in the first cycle after the reset
        self.graph.next[self._began] = 1
        self._own = model.within(part.own)
        self._latches: dict[int, tuple[int, int]] = {}
        self.touched: list[Key] = []
        """Registers and words outside of the part whose next states may differ."""
        self.outputs = self._build()
        """Literals of which none is ever 1 where the mutant does the same; none at all where it is the same graph."""

    def _register(self, start: int) -> int:
        """The value of a register that has value `start` in the first cycle; see `_follow`."""
        graph, latch = self.graph, self.graph.latch()
        value = latch ^ start if start in (0, 1) else graph.choose(self._began, latch, start)
        self._latches[value] = latch, int(start == 1)
        return value

    def _follow(self, value: int, after: int) -> None:
        """Set the next state of a register."""
        latch, inverted = self._latches[value]
        self.graph.next[latch] = after ^ inverted

    def _build(self) -> list[int]:
        """Put both sides into the graph, and return what may differ."""
        graph, model = self.graph, self.model
        reset, runs = Frame(graph, model, True), Frame(graph, model, False)
        words = [k for k in runs.words if model.memories[k[0]].clocked]
        keys: list[Key] = [*range(len(model.registers)), *words]
        mine = [
            k
            for k in keys
            if k in self._own or not isinstance(k, int) and inside(k[0], self.part.own)
        ]
        # The reset itself: what it does not set follows from a state that may be any, which both sides have.
        before = {key: graph.input() for key in keys}
        first = _Side(model, reset, 0, before, None)
        start = first.after(mine)
        other = _Side(model, reset, self.number, before, first).after(mine)
        state = {k: self._register(start[k]) if k in start else graph.input() for k in keys}
        gold = _Side(model, runs, 0, state, None)
        after = gold.after(keys)
        for key in start:
            self._follow(state[key], after[key])
        values, copied = dict(state), [k for k in mine if start[k] != other[k]]
        for key in copied:
            values[key] = self._register(other[key])
        while True:
            gate = _Side(model, runs, self.number, values, gold)
            then = gate.after(keys)
            new = [k for k in mine if values[k] == state[k] and then[k] != after[k]]
            for key in new:
                values[key] = self._register(other[key])
            copied += new
            if not new:
                break
        for key in copied:
            self._follow(values[key], then[key])
        outside = [k for k in keys if k not in start]
        self.touched = [k for k in outside if after[k] != then[k]]
        return list(self._seen(gold, gate, [(after[k], then[k]) for k in outside]))

    def _seen(
        self, gold: "_Side", gate: "_Side", outside: Sequence[tuple[int, int]]
    ) -> Iterator[int]:
        """What differs where it is looked at; `outside` are pairs of the next states of other registers."""
        graph, where = self.graph, self.part.own if self.part.ports else ("",)
        found = [
            graph.both(gold(matters), graph.differ(gold(literal), gate(literal)))
            for unit in where
            for literal, matters in self.model.ports(unit)
        ]
        if not self.part.ports:
            found += [graph.differ(one, other) for one, other in outside]
        for path, memory in self.model.memories.items():
            if inside(path, where):
                found += self._written(memory, gold, gate)
        yield from filter(None, found)

    def _written(self, memory: Memory, gold: "_Side", gate: "_Side") -> Iterator[int]:
        """What differs of a write; addresses and words matter where something is written."""
        graph, ports = self.graph, memory.ports
        enables = ports.get("wen", {})
        granule = len(ports.get("wdata", {})) // max(1, len(enables))
        for literal in enables.values():
            yield graph.differ(gold(literal), gate(literal))
        some = graph.any([gold(literal) for literal in enables.values()])
        for literal in ports.get("waddr", {}).values():
            yield graph.both(some, graph.differ(gold(literal), gate(literal)))
        for bit, literal in ports.get("wdata", {}).items():
            enable = gold(enables[bit // granule])
            yield graph.both(enable, graph.differ(gold(literal), gate(literal)))


class Frame:
    """What the design and a mutant are both given in a cycle: literals of inputs, and of words of memories.

    Parameters
    ----------
    graph : Graph
    model : Model
    reset : bool
        The reset is high; else it is an input.
    """

    def __init__(self, graph: Graph, model: Model, reset: bool) -> None:
        self.graph = graph
        read = {n for m in model.memories.values() for n in m.word.values()}
        self.given: dict[int, int] = {}
        """By their numbers, inputs that are neither memories' words nor the choice of a mutant."""
        for number in range(model.aig.inputs):
            name, _ = model.inputs.get(number, ("", 0))
            if number not in read and name not in (SELECT, "clk"):
                self.given[number] = 1 if reset and name == "rst" else graph.input()
        self.words = {
            (path, bit): graph.input() for path, m in model.memories.items() for bit in m.word
        }
        """By (path, bit), words that are read; see `other_word`."""
        self._other: dict[tuple[str, int], int] = {}

    def other_word(self, path: str, bit: int) -> int:
        """A word that the mutant reads where the design reads another row, or none."""
        if (path, bit) not in self._other:
            self._other[path, bit] = self.graph.input()
        return self._other[path, bit]


class _Side:
    """The design, or the mutant, in the graph of both: calls return the literal that one of the model becomes.

    Parameters
    ----------
    model : Model
    frame : Frame
    number : int
        Of the mutant; 0 for the design.
    state : dict
        Literals of registers by number, and of words of clocked memories by (path, bit).
    gold : _Side or None
        The design, for the mutant.
    """

    def __init__(
        self, model: Model, frame: Frame, number: int, state: Mapping, gold: "_Side | None"
    ) -> None:
        self.model, self.frame, self.gold, self.state = model, frame, gold, state
        aig = model.aig
        self._first = 1 + aig.inputs
        self._gates = self._first + len(aig.latches)
        self._read = {
            n: (path, bit)
            for path, memory in model.memories.items()
            for bit, n in memory.word.items()
        }
        value: list[int | None] = [None] * (self._gates + len(aig.gates))
        value[0] = 0
        for n in range(aig.inputs):
            name, bit = model.inputs.get(n, ("", 0))
            if name == SELECT:
                value[1 + n] = number >> bit & 1
            elif n in self._read:
                path, bit = self._read[n]
                if model.memories[path].clocked:
                    value[1 + n] = state[path, bit]
                elif gold is None:
                    value[1 + n] = frame.words[path, bit]
            else:
                value[1 + n] = frame.given.get(n, 0)
        for n in range(len(aig.latches)):
            value[self._first + n] = state[n]
        self._value = value

    def __call__(self, literal: int) -> int:
        value, left = self._value, [literal >> 1]
        while left:
            variable = left[-1]
            if value[variable] is None:
                missing = [v >> 1 for v in self._needs(variable) if value[v >> 1] is None]
                if missing:
                    left += missing
                    continue
                value[variable] = self._of(variable)
            left.pop()
        return self._known(literal)

    def _known(self, literal: int) -> int:
        found = self._value[literal >> 1]
        assert found is not None
        return found ^ (literal & 1)

    def _needs(self, variable: int) -> Sequence[int]:
        """Literals that a variable is made of: of a gate, or the address of a word."""
        if variable >= self._gates:
            return self.model.aig.gates[variable - self._gates]
        path, _ = self._read[variable - 1]
        return list(self.model.memories[path].ports.get("raddr", {}).values())

    def _of(self, variable: int) -> int:
        graph, frame = self.frame.graph, self.frame
        needed = self._needs(variable)
        if variable >= self._gates:
            return graph.both(*map(self._known, needed))
        assert self.gold is not None
        path, bit = self._read[variable - 1]
        moved = graph.any([graph.differ(self.gold(n), self._known(n)) for n in needed])
        if not moved:
            return frame.words[path, bit]
        return graph.choose(moved, frame.other_word(path, bit), frame.words[path, bit])

    def after(self, keys: Sequence) -> dict:
        """Next states by register, and by (path, bit) of words."""
        aig = self.model.aig
        return {
            key: self(aig.latches[key]) if isinstance(key, int) else self._next_word(*key)
            for key in keys
        }

    def _next_word(self, path: str, bit: int) -> int:
        frame, graph = self.frame, self.frame.graph
        ports = self.model.memories[path].ports
        read, word = self(ports["ren"][0]), frame.words[path, bit]
        if self.gold is not None:
            same = self.gold(ports["ren"][0])
            for literal in ports.get("raddr", {}).values():
                same = graph.both(same, graph.differ(self.gold(literal), self(literal)) ^ 1)
            # Where nothing is read the word does not matter.
            if same != read:
                word = graph.choose(same, word, frame.other_word(path, bit))
        return graph.choose(read, word, self.state[path, bit])


def same(model: Model, number: int, part: Part, folder: Path) -> bool:
    """Tell whether a mutant is proved to do the same, with what one part knows.

    Parameters
    ----------
    model : Model
    number : int
        Of the mutant.
    part : Part
    folder : Path
        For files; it must be there.
    """
    miter = Miter(model, number, part)
    if not miter.outputs:
        return True
    if not part.seconds:
        return False
    unit = "".join(part.own[:1])
    own = folder / f"same-{number}-{len(part.own)}-{unit}-{part.ports}"
    own.mkdir()
    miter.graph.write(own / MODEL, miter.outputs)
    commands = ("scorr", f"write_aiger,{SWEPT}", "orpos", "pdr", f"write_status,{engine.STATUS}")
    with suppress(ToolError):  # also where it takes too long: what is written by then counts
        engine.abc(own, [f"read_aiger,{MODEL}", "strash", *commands], cpu=part.seconds)
    swept, status = own / SWEPT, own / engine.STATUS
    proved = _all_zero(swept) or (status.exists() and status.read_text().startswith("snl_UNSAT"))
    shutil.rmtree(own)
    return proved


def _all_zero(path: Path) -> bool:
    """Whether a graph was written of which all outputs are constant 0."""
    return path.exists() and not any(aiger.read(path).outputs)
