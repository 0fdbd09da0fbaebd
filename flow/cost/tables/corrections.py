"""Corrections of a logic cost: glitches and wires, of `corrections.csv`, at a node and supply."""

from dataclasses import replace
from functools import cache

from xnoreplay.flow.cost import tables
from xnoreplay.flow.cost.tables import Cost, Place, laws, wires

Bounds = tuple[float, float, float, str]  # low, nominal and high of a row, and its reason


@cache
def _bounds(cost: str, correction: str) -> Bounds | None:
    for row in tables.table("corrections.csv"):
        if (row["cost"], row["correction"]) == (cost, correction):
            low, nominal, high = (float(row[name]) for name in ("low", "nominal", "high"))
            return low, nominal, high, f"{row['why']} [{row['mark']}]"
    return None


def _lacking(cost: str, correction: str, place: Place, without: str) -> Bounds | None:
    """Return the bounds of a correction where it counts: it is on, and the cost's nominal source has not got it yet."""
    found = _bounds(cost, correction)
    if found is None or not laws.on(correction):
        return None
    return found if tables.lacks(cost, correction, place, without) else None


def glitches(cost: str, joules: float, place: Place, without: str = "") -> Cost | None:
    """Return what a cost's glitches add to its nominal joules; None where there are none to add."""
    found = _lacking(cost, laws.GLITCHES, place, without)
    if found is None:
        return None
    low, nominal, high, why = found
    return Cost(low * joules, nominal * joules, high * joules, f"{nominal:g} of the event: {why}")


def local_wires(cost: str, place: Place, without: str = "") -> Cost | None:
    """Return the joules of an event's wires within its unit, their glitches too; None where there are none to add."""
    found = _lacking(cost, laws.WIRES, place, without)
    if found is None:
        return None
    transitions, why = found[1], found[3]
    shorter = _lacking(cost, laws.GLITCHES, place, without)
    times = transitions * (1 + (shorter[1] if shorter else 0))
    each = wires.transition(place.node, place.volts) * times
    what = f"{times:.3g} transitions ({why}{', with glitches' if shorter else ''})"
    return replace(each, source=f"{what}: {each.source}")
