"""A mutation score as text."""

from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.verify.mutation import catalogue, design
from xnoreplay.flow.verify.mutation.score import EQUIVALENT, KILLED, REASONS, SURVIVED

WHAT = catalogue.KINDS | design.YOSYS
"""What each kind of mutant is."""


def headline(result: dict) -> str:
    """One sentence: how many were shown, and the score."""
    return (
        f"{result[KILLED]} of {result['mutants']} mutants are killed, {result[EQUIVALENT]} are proved equivalent and "
        f"{result[SURVIVED]} survive: {100 * result['score']:.1f} % of those that are not equivalent"
    )


def reasons(result: dict) -> list[list[str]]:
    """Rows (mutants, what shows them), most first."""
    return [[str(count), REASONS[name]] for name, count in result["reasons"].items()]


def kinds(result: dict) -> list[list[str]]:
    """Rows (kind, drawn, killed, equivalent, what it is) of the mutants."""
    return [[kind, *map(str, counts), WHAT[kind]] for kind, counts in result["kinds"].items()]


def text(result: dict) -> str:
    """Return a score as text: the headline, what shows the mutants, their kinds, and those that survive."""
    blocks = [
        f"{result['preset']}, seed {result['seed']}: {headline(result)}",
        columns(["mutants", "first shown by"], reasons(result), words=True),
        columns(["kind", "drawn", "killed", "equivalent", "what it is"], kinds(result), words=True),
    ]
    if result["survivors"]:
        blocks.append("\n".join(["surviving:", *result["survivors"]]))
    return "\n\n".join(blocks)
