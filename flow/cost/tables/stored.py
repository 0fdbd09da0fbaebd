"""The tables of this folder as they are stored, and Stillmaker and Baas's factors among them."""

import csv
import math
from functools import cache
from importlib import resources
from typing import NamedTuple

from xnoreplay.spec.errors import XnoreplayError


class Place(NamedTuple):
    """Where a figure is from, or is scaled to: node in nm, flavour of the scaling fit ("hp" or "lp"), supply in V."""

    node: int
    flavour: str
    volts: float


class CostError(XnoreplayError):
    """A cost that is not in the tables."""


@cache
def packaged(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table of this folder."""
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def energy_factor(node: int, flavour: str) -> float:
    """Return c(n), Stillmaker and Baas's energy factor at 1 V, between nodes by logarithms.

    Raises
    ------
    CostError
        For a node outside the table.

    >>> round(energy_factor(65, "hp"), 3)
    1.332
    """
    known = {
        int(r["node_nm"]): float(r["a2"]) + float(r["a1"]) + float(r["a0"])
        for r in packaged("scaling.csv")
        if r["flavour"] == flavour
    }
    if node in known:
        return known[node]
    below = max((n for n in known if n < node), default=None)
    above = min((n for n in known if n > node), default=None)
    if below is None or above is None:
        raise CostError(
            f"a node must be from {min(known)} to {max(known)} nm to be scaled to, not {node}"
        )
    t = math.log(node / below) / math.log(above / below)
    return known[below] ** (1 - t) * known[above] ** t
