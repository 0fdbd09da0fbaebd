"""Published chips, predicted with the tables that price this one.

Each chip's events are in `tables/chips.csv`: a cycle's of the three that infer, an image's of the one
that trains. What a paper says is marked `published`, what follows from it `derived`, the rest
`assumed`. Nothing is fitted.
"""

from dataclasses import dataclass

from xnoreplay.flow.cost import tables
from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.cost.tables import KBIT, PICO, Cost
from xnoreplay.flow.output.quantities import quantity

TECHNOLOGY_OF = {28: 32}  # SRAM tables used for nodes without one, scaled like the logic
IMAGES = 50_000  # an epoch's, of the chip that trains
LARGE = 2.0  # ratios beyond it, or below its inverse, are explained


@dataclass(frozen=True)
class Event:
    """One kind of event of a chip: how many there are, and what each costs, J."""

    name: str
    count: float
    cost: Cost
    mark: str
    why: str


@dataclass(frozen=True)
class Prediction:
    """A published figure and ours, low to high, in the unit of the first."""

    chip: str
    figure: str
    unit: str
    published: float
    predicted: tuple[float, float, float]
    technology: str
    source: str
    explanation: str
    events: tuple[Event, ...]

    @property
    def ratio(self) -> float:
        """Nominal prediction over the published figure."""
        return self.predicted[1] / self.published


def predictions() -> list[Prediction]:
    """Predict every chip of `tables/published_chips.csv`."""
    return [_predict(row) for row in tables.table("published_chips.csv")]


def _predict(row: dict[str, str]) -> Prediction:
    events = tuple(
        Event(e["event"], float(e["count"]), _cost(e, row), e["mark"], e["why"])
        for e in tables.table("chips.csv")
        if e["chip"] == row["chip"]
    )
    sums = [
        sum(e.count * getattr(e.cost, bound) for e in events)
        for bound in ("low", "nominal", "high")
    ]
    operations = float(row["operations"])
    times = 1 / operations if operations else IMAGES
    low, nominal, high = (s * times for s in sums)
    return Prediction(
        row["chip"],
        row["figure"],
        row["unit"],
        float(row["published"]),
        (low, nominal, high),
        f"{row['node_nm']} nm, {row['supply_v']} V",
        row["source"],
        row["explanation"],
        events,
    )


def _cost(event: dict[str, str], chip: dict[str, str]) -> Cost:
    node, flavour, volts = int(chip["node_nm"]), chip["flavour"], float(chip["supply_v"])
    if not event["event"].startswith("sram_"):
        return tables.logic_at(event["event"], node, flavour, volts)
    table = TECHNOLOGY_OF.get(node, node)
    device = chip["device_type"]
    column = f"{event['event'].removeprefix('sram_')}_pj"
    width, bits = int(event["width"]), int(event["kbit"]) * KBIT
    joules = tables.sram_at(column, bits, width, table, device) * PICO
    scale = tables.energy_factor(node, flavour) / tables.energy_factor(table, flavour)
    joules *= scale * (volts / tables.supply(table, device)) ** 2
    error = tables.MODEL_ERROR
    return Cost(
        joules * (1 - error),
        joules,
        joules * (1 + error),
        f"CACTI 7, {table} nm {device}, scaled to {node} nm and {volts} V, +-30 % assumed",
    )


def text(found: list[Prediction], detail: bool = False) -> str:
    """Return the table of predictions, and under it the reasons of large ratios; with `detail` every event."""
    rows = [
        [
            p.chip,
            p.figure,
            p.technology,
            *(quantity(float(v), p.unit) for v in p.predicted),
            quantity(p.published, p.unit),
            f"{p.ratio:.2f}",
        ]
        for p in found
    ]
    blocks = [
        columns(["chip", "figure", "at", "low", "predicted", "high", "published", "ratio"], rows)
    ]
    blocks += [f"{p.chip}: {p.explanation}" for p in found if large(p)]
    if detail:
        blocks += [_events(p) for p in found]
    return "\n\n".join(blocks)


def large(p: Prediction) -> bool:
    """Tell whether a prediction is off by more than `LARGE`."""
    return not 1 / LARGE <= p.ratio <= LARGE


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
    return columns(head, rows) + f"\n{p.source}"
