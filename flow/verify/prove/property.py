"""A property of a chip: a sentence, its statement in Verilog, how it is decided, and faults that break it."""

import re
from dataclasses import dataclass

from xnoreplay.flow.verify.prove.design import Chip, Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.spec.errors import SpecError


@dataclass(frozen=True)
class Fault:
    """A fault in the Verilog: one signal gets another value.

    Parameters
    ----------
    unit : str
        Dotted path of the unit.
    signal : str
        Driven there by an assignment; ``name#1`` is the second of those that Amaranth keeps apart by numbers.
    value : str
        Expression of signals of the unit; `@` stands for the value that the signal would have.
    also : Fault, optional
        A second change that the fault needs.
    """

    unit: str
    signal: str
    value: str
    also: "Fault | None" = None

    def planted(self, verilog: str) -> str:
        """Return the Verilog with the fault.

        Raises
        ------
        SpecError
            Where nothing that is understood drives the signal.
        """
        chip = Chip(verilog)
        body = chip.modules[chip.module_of(self.unit)]
        path = f"{self.unit}.{self.signal}" if self.unit else self.signal
        own = chip.signal(path)[0].rpartition(".")[2]
        name = re.escape(own)
        wire = re.compile(
            rf"^(  assign \\?{name} +=|    \\?{name} +<=) (.*);$",
            re.MULTILINE,
        )

        def other(found: re.Match) -> str:
            return f"{found[1]} {self.value.replace('@', f'({found[2]})')};"

        changed, count = wire.subn(other, body)
        if not count:
            changed, count = self._in_block(body, own)
        if count != 1:
            raise SpecError(
                f"a fault's signal must have one assignment in {self.unit}, but {self.signal} has {count}"
            )
        verilog = verilog.replace(body, changed)
        return self.also.planted(verilog) if self.also else verilog

    def _in_block(self, body: str, name: str) -> tuple[str, int]:
        """Change a signal of a combinational block at the block's end."""
        start = rf"^    \\?{re.escape(name)} += "
        blocks = re.findall(r"^  always @\* begin\n.*?^  end\n", body, re.MULTILINE | re.DOTALL)
        own = [block for block in blocks if re.search(start, block, re.MULTILINE)]
        if len(own) != 1:
            return body, len(own)
        spelt = name if name.isidentifier() else f"\\{name} "
        line = f"    {spelt} = {self.value.replace('@', spelt)};\n"
        return body.replace(own[0], own[0].removesuffix("  end\n") + line + "  end\n"), 1


@dataclass(frozen=True)
class Property:
    """One property.

    Parameters
    ----------
    name : str
        Dotted: the subject, then what is said of it.
    sentence : str
        What holds.
    statement : Statement
    method : Method
    faults : tuple of Fault
        Each breaks the property; there is at least one.
    depth : int
        Cycles of `Method.BOUNDED`.
    given : tuple of str
        Names of properties that the proof assumes of units that are cut; each of them is proved by itself, without this
        one; its ``text`` has each declaration in one line.
    given_before : tuple of str
        Names of properties that the proof assumes in earlier cycles than the one that it looks at. They
        may assume this one alike: what holds in all earlier cycles holds in the next, so all hold in every cycle.
    why : str
        Of a bounded one, why it is not proved for all cycles.
    """

    name: str
    sentence: str
    statement: Statement
    method: Method
    faults: tuple[Fault, ...]
    depth: int = 0
    given: tuple[str, ...] = ()
    given_before: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        assert self.faults, f"{self.name} must have a fault that breaks it"
        assert (self.method is Method.BOUNDED) == bool(self.depth), self.name
