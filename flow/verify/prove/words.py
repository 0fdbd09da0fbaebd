"""Expressions of Verilog that several properties use."""

from collections.abc import Iterable

from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan

CONTROL = ("host", "sequencer", "clearing")
"""Units that decide what the chip does."""
UNITS = (
    "thermometer",
    "front",
    "array",
    "back",
    "lgap",
    "latent_input",
    "dense",
    "replay",
    "learning",
)
"""Units that an abort puts back; a plan has some of them."""


def units(plan: Plan) -> tuple[str, ...]:
    """Return those of `UNITS` that a plan's chip has."""
    images = plan.network.takes_images
    absent = {"latent_input"} if images else {"thermometer", "front", "back", "lgap"}
    return tuple(unit for unit in UNITS if unit not in absent)


def phase(plan: Plan, *names: str) -> str:
    """Whether the chip is in one of these phases, of those that the plan has."""
    numbers = [plan.phases.index(name) for name in names if name in plan.phases]
    return any_of(f"@sequencer.phase == {number}" for number in numbers)


def commands(name: str, chosen: Iterable[Command]) -> str:
    """Whether a signal holds the number of one of these commands."""
    return any_of(f"{name} == {int(command)}" for command in chosen)


def any_of(parts: Iterable[str]) -> str:
    """The OR of expressions of one bit; 0 of none."""
    return "(" + (" | ".join(f"({part})" for part in parts) or "1'b0") + ")"


def all_of(parts: Iterable[str]) -> str:
    """The AND of expressions of one bit; 1 of none."""
    return "(" + (" & ".join(f"({part})" for part in parts) or "1'b1") + ")"


def implies(when: str, holds: str) -> str:
    """That `holds` where `when` does."""
    return f"(~({when}) | ({holds}))"


def most_one(parts: Iterable[str]) -> str:
    """That at most one of expressions of one bit is 1."""
    several = f"{{{', '.join(f'({part})' for part in parts)}}}"
    return f"(({several} & ({several} - 1'b1)) == 0)"


def one(signal: str) -> str:
    """That exactly one bit of a signal is 1."""
    return f"({signal} != 0 & ({signal} & ({signal} - 1'b1)) == 0)"


def word(rows: list[str], address: str, missing: str) -> str:
    """The row at an address, or `missing` past the last row."""
    text = missing
    for k, row in enumerate(rows):
        text = f"({address} == {k} ? {row} : {text})"
    return text


def total(bits: Iterable[str]) -> str:
    """How many expressions of one bit are 1, in 16 bits."""
    return "(" + " + ".join(f"{{15'd0, {bit}}}" for bit in bits) + ")"


def remembered(**signals: tuple[int, str]) -> str:
    """Declare registers that hold expressions of the cycle before: of each the bits and the expression."""
    lines = []
    for name, (width, expression) in signals.items():
        span = f"[{width - 1}:0] " if width > 1 else ""
        lines += [
            f"  reg {span}{name};",
            f"  always @(posedge clk) {name} <= {expression};",
        ]
    return "\n".join(lines)
