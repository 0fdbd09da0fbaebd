"""Published chips, each predicted from the others: the table that tells how far to trust an estimate."""

from xnoreplay.flow.cost import chips
from xnoreplay.flow.cost.chips import Prediction, memories, predictions
from xnoreplay.flow.cost.session_text import anchors, columns
from xnoreplay.flow.cost.tables import laws
from xnoreplay.flow.output.quantities import quantity

__all__ = ["Prediction", "predictions", "reached", "text"]

LARGE = 2.0  # ratios beyond it, or below its inverse, are explained
CLOSE = 1.4
HEAD = ["at", "low", "predicted", "high", "published", "ratio", "inside"]


def text(found: list[Prediction], detail: bool = False) -> str:
    """Return the table of predictions, the shares within a factor, the laws and the anchors.

    With `detail` every event of each chip follows.
    """
    rows = [[p.chip, *cells(p)] for p in found]
    blocks = [columns(["chip", *HEAD], rows), reached(found), _laws(), _memories(), anchors()]
    blocks += [f"{p.chip}: {p.explanation}" for p in found if large(p) and p.explanation]
    if detail:
        blocks += [_events(p) for p in found]
    return "\n\n".join(blocks)


def cells(p: Prediction) -> list[str]:
    """Return a prediction as text, a cell for each of `HEAD`."""
    return [
        p.technology,
        *(quantity(float(v), p.unit) for v in p.predicted),
        quantity(p.published, p.unit),
        f"{p.ratio:.2f}",
        "yes" if p.inside else "no",
    ]


def large(p: Prediction) -> bool:
    """Tell whether a prediction is off by more than `LARGE`."""
    return not 1 / LARGE <= p.ratio <= LARGE


def reached(found: list[Prediction]) -> str:
    """Say how many of the chips in the fit are within a factor, and inside their interval."""
    fitted = [p for p in found if p.fitted]
    n = len(fitted)
    within = {f: sum(1 / f <= p.ratio <= f for p in fitted) for f in (LARGE, CLOSE)}
    inside = sum(p.inside for p in fitted)
    return (
        f"Of {n} configurations {within[LARGE]} are within a factor of {LARGE:g}, {within[CLOSE]} within {CLOSE:g}; "
        f"{inside} of the published figures ({100 * inside / n:.0f} %) lie in their interval."
    )


def _laws() -> str:
    lines = []
    least = min(float(row["supply_v"]) for row in chips.rows() if row["in_fit"] == "yes")
    for name, where in (
        (laws.NODE, f"from {laws.NODES[0]} to {laws.NODES[1]} nm"),
        (laws.SUPPLY, f"from {least} V"),
    ):
        if laws.on(name):
            law = laws.law(name)
            groups = ", ".join(f"{group} {value:.2f}" for group, value in law.groups.items())
            lines.append(
                f"exponent of the {name}: {law.exponent:.2f}, deviation {law.error:.2f} ({groups}); {where}"
            )
    return "\n".join(lines)


def _memories() -> str:
    rows = [
        [
            m.name,
            m.technology,
            quantity(m.predicted, "J"),
            quantity(m.published, "J"),
            f"{m.ratio:.2f}",
        ]
        for m in memories()
    ]
    return columns(["a word of a memory", "at", "predicted", "published", "ratio"], rows)


def _events(p: Prediction) -> str:
    rows = [
        [
            e.name,
            f"{e.count:,g}",
            quantity(e.cost.nominal, "J"),
            quantity(e.count * e.cost.nominal, "J"),
            f"{e.mark}: {e.why}",
        ]
        for e in p.events
    ]
    head = [f"{p.chip}, event", "count", "nominal each", "nominal", "mark and reason"]
    fit = p.calibration
    total = sum(e.count * e.cost.nominal for e in p.events)
    factor = f"{quantity(total, 'J')} over {p.operations:,.6g} operations"
    if fit is not None:
        factor += f", times {fit.factor:.3f} as the others take: {quantity(p.predicted[1], p.unit)}"
    return f"{columns(head, rows, words=True)}\n{factor}\n{p.scope}; {p.source}"
