"""Which assumption moves a run's joules most: each at its low and its high, the others nominal."""

from collections.abc import Callable, Mapping
from functools import partial

from xnoreplay.flow.cost import chips, estimate
from xnoreplay.flow.cost.corrected import Row
from xnoreplay.flow.cost.tables import laws
from xnoreplay.spec.plan import Plan

COSTS = {
    "cell": "a cell of the array",
    "add_bit": "a bit of an addition",
    "multiply_bit": "a bit of a product",
    "register_bit": "a flip-flop",
    "clock_bit": "the clock tree",
}


def _is_kind(kind: str, row: Row) -> bool:
    return row.kind == kind


def _is_correction(name: str, row: Row) -> bool:
    return row.correction == name


def swings(plan: Plan, counters: Mapping[str, float], cycles: float) -> list[dict]:
    """Return what a run takes with each assumption at its ends, the widest swing first.

    An exponent's ends are one deviation between published groups away; what chips take beyond the count is fitted anew
    for them. The ends of a cost are those of its sources, of SRAMs the assumed 30 %.

    Returns
    -------
    list of dict
        assumption, low and high, the last two in J.
    """
    rows = estimate.corrected_rows(plan, counters, cycles)
    nominal = sum(r.joules[1] for r in rows)
    calibrated = laws.on(laws.CALIBRATION)
    factor = chips.whole().factor if calibrated else 1.0
    counted = [r for r in rows if r.correction != laws.CALIBRATION]
    found = {}

    def swing(name: str, belongs: Callable[[Row], bool]) -> None:
        chosen = [r for r in counted if belongs(r)]
        ends = [factor * sum(r.joules[i] - r.joules[1] for r in chosen) for i in (0, 2)]
        found[name] = (nominal + ends[0], nominal + ends[1])

    for kind, title in COSTS.items():
        swing(title, partial(_is_kind, kind))
    swing("memories", lambda r: not r.kind and not r.correction and r.event != "leakage")
    swing("leakage", lambda r: r.event == "leakage")
    for name in (laws.GLITCHES, laws.WIRES, laws.LONG_WIRES):
        swing(laws.SWITCHES[name], partial(_is_correction, name))
    for name, title in (
        (laws.NODE, "exponent of the node"),
        (laws.SUPPLY, "exponent of the supply"),
    ):
        if laws.on(name):
            error = laws.law(name).error
            sums = []
            for by in (-error, error):
                with laws.shifted(name, by):
                    sums.append(estimate.total(estimate.corrected_rows(plan, counters, cycles))[1])
            found[title] = (min(sums), max(sums))
    if calibrated:
        spread = chips.whole().spread
        found["published chips, all that is not known"] = (nominal / spread, nominal * spread)
    listed = [
        {"assumption": name, "low": low, "high": high}
        for name, (low, high) in found.items()
        if low != high
    ]
    return sorted(listed, key=lambda s: s["low"] - s["high"])
