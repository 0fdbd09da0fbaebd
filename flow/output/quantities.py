"""Reported numbers: each with unit, direction and origin, so that two runs compare themselves."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "neither"]
Origin = Literal["counted", "modelled", "tool"]

PREFIXES = (
    (1e-15, "f"),
    (1e-12, "p"),
    (1e-9, "n"),
    (1e-6, "µ"),
    (1e-3, "m"),
    (1, ""),
    (1e3, "k"),
    (1e6, "M"),
    (1e9, "G"),
)
KIB = 8 * 1024  # bits
SCALED = ("J", "W", "s", "Hz", "J/op", "cycle/s")


@dataclass(frozen=True)
class Metric:
    """One number of the report.

    Parameters
    ----------
    name : str
        Its place in the report, with full stops.
    value : float or int, optional
        In the unit.
    unit : str
        As `quantity` shows it.
    better : str
        "lower", "higher" or "neither".
    origin : str
        Counted by the simulator or the RTL or on test samples, modelled by the plan or a cost
        table, or reported by a tool.
    """

    name: str
    value: float | int | None
    unit: str
    better: Better
    origin: Origin

    def as_dict(self) -> dict:
        """Return the number as plain values by field."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "better": self.better,
            "origin": self.origin,
        }


def si(value: float) -> tuple[float, str]:
    """Return the factor and prefix that bring a quantity between 1 and 1,000.

    >>> si(0.0032)
    (0.001, 'm')
    """
    return max((p for p in PREFIXES if p[0] <= abs(value)), default=PREFIXES[0])


def quantity(value: float | int | None, unit: str = "") -> str:
    """Return a number with its unit as a report shows it: integers in full, SI prefixes for the rest.

    >>> quantity(12345, "cycles"), quantity(3.21e-9, "J"), quantity(0.9133, "fraction")
    ('12,345 cycles', '3.21 nJ', '91.3 %')
    >>> quantity(None)
    '–'
    """
    if value is None:
        return "–"
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit in SCALED:
        factor, prefix = si(value)
        return f"{value / factor:.3g} {prefix}{unit}" if value else f"0 {unit}"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f"{text} {unit}".rstrip()


def kib(bits: int) -> str:
    """Return bits as KiB of 1,024 bytes.

    >>> kib(8192), kib(100)
    ('1.000', '0.012')
    """
    return f"{bits / KIB:,.3f}"


def mean(values: list[float]) -> float:
    """Return the mean of one value or more."""
    return sum(values) / len(values)


def spread(values: list[float]) -> float:
    """Return the sample standard deviation; 0 for one value."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return (sum((v - centre) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def seen_curve(matrix: list[list[float | None]], counts: list[int]) -> list[float]:
    """Return the accuracy on all classes seen, after each task.

    Parameters
    ----------
    matrix : list of list
        Accuracy by [after task][on task], in [0, 1].
    counts : list of int
        Test samples of each task.

    >>> seen_curve([[0.5, None], [0.25, 1.0]], [30, 10])
    [0.5, 0.4375]
    """
    curve = []
    for t, row in enumerate(matrix):
        right = [(v or 0.0) * n for v, n in zip(row[: t + 1], counts, strict=False)]
        curve.append(sum(right) / sum(counts[: t + 1]))
    return curve


def percent(values: list[float]) -> str:
    """Return mean and sample standard deviation of fractions in percent; of one fraction, itself.

    >>> percent([0.25, 0.35]), percent([0.25])
    ('30.0 ± 7.1', '25.0')
    """
    scaled = [100 * v for v in values]
    if len(scaled) == 1:
        return f"{scaled[0]:.1f}"
    return f"{mean(scaled):.1f} ± {spread(scaled):.1f}"
