"""Published chips, priced with the tables that price this one, and what they take beyond the count.

A chip's events are in `tables/chips.csv`: a cycle's of those that infer, a synaptic operation's or an image's of
those that learn. What a paper says is marked `published`, what follows from it `derived`, the rest `assumed`. Of the
quotients of published and counted energy the geometric mean is a factor of every estimate, and their spread its
interval. A chip is held against a factor, laws and costs in which none of its own figures is.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, mean, stdev

from xnoreplay.flow.cost import tables
from xnoreplay.flow.cost.tables import KBIT, PICO, Cost, Place, corrections, laws, wires

TECHNOLOGY_OF = {28: 32, 10: 22}  # SRAM tables used for nodes without one, scaled like the logic
IMAGES = 50_000  # an epoch's, of the chip that trains
COVERAGE = 0.8  # share of chips that the interval is to hold


@dataclass(frozen=True)
class Event:
    """One kind of event of a chip: how many there are, what each costs in J, and which correction it is, if one."""

    name: str
    count: float
    cost: Cost
    mark: str
    why: str
    correction: str = ""


@dataclass(frozen=True)
class Calibration:
    """What chips take beyond the count: a factor, and the factor of an interval that holds `COVERAGE` of chips.

    Parameters
    ----------
    factor : float
        Geometric mean of published over counted, each family of chips once.
    spread : float
        High over nominal, and nominal over low.
    quotients : dict of str to float
        Published over counted, by family.
    """

    factor: float
    spread: float
    quotients: dict[str, float]

    def interval(self, nominal: float) -> tuple[float, float, float]:
        """Return low, nominal and high of a nominal energy."""
        return nominal / self.spread, nominal, nominal * self.spread


@dataclass(frozen=True)
class Prediction:
    """A published figure and ours, low to high, in the unit of the first.

    The sum of the events over `operations`, times the factor of `calibration`, is the nominal prediction.
    """

    chip: str
    figure: str
    unit: str
    published: float
    predicted: tuple[float, float, float]
    technology: str
    source: str
    scope: str
    explanation: str
    fitted: bool
    operations: float
    events: tuple[Event, ...]
    calibration: Calibration | None

    @property
    def ratio(self) -> float:
        """Nominal prediction over the published figure."""
        return self.predicted[1] / self.published

    @property
    def inside(self) -> bool:
        """Whether the published figure lies in the interval."""
        return self.predicted[0] <= self.published <= self.predicted[2]


def rows() -> tuple[dict[str, str], ...]:
    """Return the rows of `tables/published_chips.csv`."""
    return tables.table("published_chips.csv")


def predictions() -> list[Prediction]:
    """Predict every chip from the others, where the law of nodes reaches it."""
    return [predict(row) for row in rows() if laws.reaches(int(row["node_nm"]))]


def predict(row: dict[str, str]) -> Prediction:
    """Predict one chip of `rows` without a figure of its own."""
    found = events(row, row["family"])
    per = _per(row)
    if laws.on(laws.CALIBRATION):
        fit = calibration(row["family"])
        bounds = fit.interval(sum(e.count * e.cost.nominal for e in found) * per * fit.factor)
    else:
        fit = None
        low, nominal, high = (
            sum(e.count * getattr(e.cost, b) for e in found) * per
            for b in ("low", "nominal", "high")
        )
        bounds = low, nominal, high
    return Prediction(
        row["chip"],
        row["figure"],
        row["unit"],
        float(row["published"]),
        bounds,
        f"{row['node_nm']} nm, {row['supply_v']} V",
        row["source"],
        row["scope"],
        row["explanation"],
        row["in_fit"] == "yes",
        1 / per,
        tuple(found),
        fit,
    )


def _per(row: dict[str, str]) -> float:
    operations = float(row["operations"])
    return 1 / operations if operations else IMAGES


def counted(row: dict[str, str], without: str = "") -> float:
    """Return the counted energy of a chip in the unit of its figure, with its corrections and without a factor."""
    return sum(e.count * e.cost.nominal for e in events(row, without)) * _per(row)


def calibration(without: str = "") -> Calibration:
    """Return what chips take beyond the count, but for those of one family."""
    quotients: dict[str, list[float]] = defaultdict(list)
    for row in rows():
        if row["in_fit"] == "yes" and row["family"] != without:
            quotient = float(row["published"]) / counted(row, without)
            quotients[row["family"]].append(math.log(quotient))
    families = {family: mean(values) for family, values in quotients.items()}
    n = len(families)
    width = student(COVERAGE, n - 1) * stdev(families.values()) * math.sqrt(1 + 1 / n)
    return Calibration(
        math.exp(mean(families.values())),
        math.exp(width),
        {family: math.exp(q) for family, q in families.items()},
    )


def student(share: float, freedom: int) -> float:
    """Return how many deviations hold a share of Student's t with degrees of freedom from 5 on, within 0.3 %.

    The expansion of Cornish and Fisher about the normal quantile.

    >>> round(student(0.8, 10), 3)  # 1.372 in tables
    1.372
    """
    z = NormalDist().inv_cdf((1 + share) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def events(row: dict[str, str], without: str = "") -> list[Event]:
    """Return a chip's events and their corrections, from sources in which the chip `without` has no figure."""
    place = tables.place_in(row)
    found = []
    for e in tables.table("chips.csv"):
        if e["chip"] != row["chip"]:
            continue
        name, count = e["event"], float(e["count"])
        if name == "wire_um":
            if laws.on(laws.LONG_WIRES):
                cost = wires.bit_um(place.volts)
                found.append(Event(name, count, cost, e["mark"], e["why"], laws.LONG_WIRES))
            continue
        if name.startswith("sram_"):
            found.append(Event(name, count, _sram(e, row, without), e["mark"], e["why"]))
            continue
        cost = tables.logic_at(name, place, without)
        found.append(Event(name, count, cost, e["mark"], e["why"]))
        for correction, extra in (
            (laws.GLITCHES, corrections.glitches(name, cost.nominal, place, without)),
            (laws.WIRES, corrections.local_wires(name, place, without)),
        ):
            if extra is not None:
                event = Event(
                    f"{name}, {correction}", count, extra, "derived", extra.source, correction
                )
                found.append(event)
    return found


def _sram(event: dict[str, str], chip: dict[str, str], without: str) -> Cost:
    column = f"{event['event'].removeprefix('sram_')}_pj"
    joules = _word(column, int(event["kbit"]) * KBIT, int(event["width"]), chip, without)
    node, _, volts = tables.place_in(chip)
    error = tables.MODEL_ERROR
    return Cost(
        joules * (1 - error),
        joules,
        joules * (1 + error),
        f"CACTI 7, {_table(node)} nm {chip['device_type']}, scaled to {node} nm and {volts} V, +-30 % assumed",
    )


def _table(node: int) -> int:
    return TECHNOLOGY_OF.get(node, node)


def _word(column: str, bits: int, width: int, row: dict[str, str], without: str = "") -> float:
    """Return the joules of a word of an SRAM, a column of `sram.csv`, at the node and supply of a row."""
    place, device = tables.place_in(row), row["device_type"]
    node = _table(place.node)
    joules = tables.sram_at(column, bits, width, node, device) * PICO
    before = Place(node, place.flavour, tables.supply(node, device))
    return laws.scale(joules, before, place, without)


@dataclass(frozen=True)
class Memory:
    """A published memory: joules of a word, ours and published, and whether ours is of the SRAM table."""

    name: str
    technology: str
    predicted: float
    published: float
    kind: str
    source: str

    @property
    def ratio(self) -> float:
        """Prediction over the published figure."""
        return self.predicted / self.published


def memories() -> list[Memory]:
    """Predict the words of published memories.

    One of standard cells is predicted by the sources of a small memory that are not silicon: the geometric mean of a
    clocked flip-flop and a bit of the smallest SRAM.
    """
    found = []
    for row in tables.table("memories.csv"):
        place, width = tables.place_in(row), int(row["width"])
        least = tables.limits(place.node, row["device_type"])[0]
        joules = _word("read_pj", max(int(row["kbit"]) * KBIT, least), width, row)
        if row["kind"] != "sram":
            flip_flop = tables.logic_at("register_bit", place).low
            joules = width * math.sqrt(joules / width * flip_flop)
        found.append(
            Memory(
                row["memory"],
                f"{place.node} nm, {place.volts} V",
                joules,
                float(row["picojoule"]) * PICO,
                row["kind"],
                row["source"],
            )
        )
    return found


@cache
def _whole(state: tuple) -> Calibration:  # noqa: ARG001  the switches are read where costs are
    with tables.packaged_sram():
        return calibration()


def whole() -> Calibration:
    """Return what all chips take beyond the count, for an estimate of another chip; SRAMs are the package's."""
    return _whole(laws.state())
