"""How energy changes with node and supply, by published pairs, and which corrections are switched off.

A pair is one design at two supplies, or a group's designs of one kind at two nodes: `pairs.csv`. The energy of a figure
at node n0 and supply V0 is at n and V

    E = E0 (n / n0)^p (V / V0)^q

with p and q the means over groups of what each of them shows. Either law can be switched off: then capacitance follows
Stillmaker and Baas (`stored.energy_factor`), or energy the square of the supply.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from statistics import mean, stdev

from xnoreplay.flow.cost.tables.stored import CostError, Place, energy_factor, packaged
from xnoreplay.spec.errors import unknown

NODE, SUPPLY, CALIBRATION = "node", "supply", "calibration"
GLITCHES, WIRES, LONG_WIRES, COUNTERS = "glitches", "wires", "long wires", "counters"
RETRAINING = "retraining"
SWITCHES = {
    NODE: "node law of published pairs, in place of Stillmaker and Baas",
    SUPPLY: "supply law of published pairs, in place of the square",
    WIRES: "wires within a unit",
    LONG_WIRES: "wires between memories and lanes",
    GLITCHES: "transitions of adders and multipliers before they settle",
    COUNTERS: "event counters",
    RETRAINING: "divisions, rounding and draws of retraining",
    CALIBRATION: "what published chips take beyond the count",
}
"""Corrections of an estimate, by the name that switches one off."""
PADS = "pads"
"""The only correction that is off unless it is asked for."""
NODES = (7, 130)
"""Least and greatest node of the figures that the law has carried, nm."""

_off: frozenset[str] = frozenset({PADS})
_shift: dict[str, float] = {}


def switch(without: Iterable[str] = (), pads: bool = False) -> None:
    """Switch corrections off, the others on; `pads` asks for those of the input's pins.

    Raises
    ------
    SpecError
        For a name that is no correction's.
    """  # noqa: DOC501  `unknown` makes a SpecError
    global _off
    for name in without:
        if name not in SWITCHES:
            raise unknown("correction", name, SWITCHES)
    _off = frozenset(without) | (frozenset() if pads else {PADS})


def on(name: str) -> bool:
    """Tell whether a correction counts."""
    return name not in _off


def state() -> tuple[frozenset[str], tuple[tuple[str, float], ...]]:
    """Return which corrections are off, and by how much exponents are shifted: what a cached figure depends on."""
    return _off, tuple(sorted(_shift.items()))


@contextmanager
def shifted(name: str, by: float):
    """Shift the exponent of a law for a block of code."""
    _shift[name] = by
    try:
        yield
    finally:
        del _shift[name]


@contextmanager
def switched(without: Iterable[str] = (), pads: bool = False):
    """Switch corrections off for a block of code."""
    global _off
    before = _off
    switch(without, pads)
    try:
        yield
    finally:
        _off = before


@dataclass(frozen=True)
class Law:
    """An exponent, its standard deviation between groups, and what each group shows."""

    exponent: float
    error: float
    groups: dict[str, float]


@cache
def law(name: str, without: str = "") -> Law:
    """Return the law of `NODE` or `SUPPLY`: the mean over groups of the mean exponent of a group's pairs.

    Pairs of the chip `without` are left out.

    >>> round(law(SUPPLY).exponent, 2)
    1.8
    """
    shown = _supply_exponent if name == SUPPLY else _node_exponent(law(SUPPLY, without).exponent)
    groups: dict[str, list[float]] = {}
    for row in packaged("pairs.csv"):
        if row["law"] == name and without not in (row["chip"], row["other"]):
            groups.setdefault(row["group"], []).append(shown(row))
    means = {group: mean(values) for group, values in groups.items()}
    return Law(mean(means.values()), stdev(means.values()), means)


def _ratio(row: dict[str, str], column: str) -> float:
    return float(row[column]) / float(row[f"other_{column}"])


def _supply_exponent(row: dict[str, str]) -> float:
    return math.log(_ratio(row, "value")) / math.log(_ratio(row, "supply_v"))


def _node_exponent(supply: float) -> Callable[[dict[str, str]], float]:
    def shown(row: dict[str, str]) -> float:
        alike = _ratio(row, "value") / _ratio(row, "supply_v") ** supply
        return math.log(alike) / math.log(_ratio(row, "node_nm"))

    return shown


def scale(joules: float, before: Place, after: Place, without: str = "") -> float:
    """Scale a figure from a node, flavour and supply to others.

    Parameters
    ----------
    joules : float
        The figure.
    before, after : Place
        Where the figure is from, and where it is wanted.
    without : str
        A chip whose own figures the laws may not use.

    Raises
    ------
    CostError
        For a node that no figure of the laws was at.
    """
    (n0, flavour0, v0), (n, flavour, v) = before, after
    if on(NODE):
        for node in (n0, n):
            if not NODES[0] <= node <= NODES[1]:
                raise CostError(
                    f"a node must be from {NODES[0]} to {NODES[1]} nm to be scaled to, not {node}"
                )
        capacitance = (n / n0) ** exponent(NODE, without)
    else:
        capacitance = energy_factor(n, flavour) / energy_factor(n0, flavour0)
    return joules * capacitance * (v / v0) ** (exponent(SUPPLY, without) if on(SUPPLY) else 2)


def reaches(node: int) -> bool:
    """Tell whether figures can be scaled to a node: by the law, or where it is off by Stillmaker and Baas."""
    least = NODES[0] if on(NODE) else min(int(r["node_nm"]) for r in packaged("scaling.csv"))
    return least <= node <= NODES[1]


def exponent(name: str, without: str = "") -> float:
    """Return a law's exponent, shifted where it is (`shifted`)."""
    return law(name, without).exponent + _shift.get(name, 0.0)
