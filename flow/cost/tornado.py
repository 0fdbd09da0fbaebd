"""Which assumption moves a run's joules most: each at its low and its high, the others nominal."""

from collections.abc import Mapping

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
    nominal = estimate.total(rows)[1]
    fit = chips.whole() if laws.on(laws.CALIBRATION) else None
    factor = fit.factor if fit else 1.0
    counted = [r for r in rows if r.correction != laws.CALIBRATION]

    def ends(chosen: list[Row]) -> tuple[float, float]:
        low, mid, high = estimate.total(chosen)
        return nominal + factor * (low - mid), nominal + factor * (high - mid)

    leaking = [r for r in counted if r.event == "leakage"]
    memories = [r for r in counted if not (r.kind or r.correction or r.event == "leakage")]
    found = {title: ends([r for r in counted if r.kind == kind]) for kind, title in COSTS.items()}
    found |= {"memories": ends(memories), "leakage": ends(leaking)}
    for name in (laws.GLITCHES, laws.WIRES, laws.LONG_WIRES):
        found[laws.SWITCHES[name]] = ends([r for r in counted if r.correction == name])
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
    if fit:
        found["published chips, all that is not known"] = fit.interval(nominal)[::2]
    listed = [
        {"assumption": name, "low": low, "high": high}
        for name, (low, high) in found.items()
        if low != high
    ]
    return sorted(listed, key=lambda s: s["low"] - s["high"])
