"""The blocks that a section of the report is made of."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from xnoreplay.flow.output.plots import Picture
from xnoreplay.flow.output.quantities import Better, Metric, Origin


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is a class of the page's style."""

    text: str
    tone: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Preformatted:
    """Text that is shown as it is, in a fixed width."""

    text: str
    kind: str = "preformatted"


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    picture: Picture
    caption: str
    kind: str = "figure"

    @property
    def svg(self) -> str:
        """The picture as an svg element."""
        return self.picture.svg


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    head, rows : list
        Cells of the first row, and of each further one.
    classes : list of str
        Of each column: n for numbers, source, code, or nothing.
    caption : str
        Under the table.
    total : bool
        Whether the last row is a sum.
    folded : str
        A line on whose click the table opens; '' for a table that is open.
    """

    head: list[str]
    rows: list[list[str]]
    classes: list[str]
    caption: str = ""
    total: bool = False
    folded: str = ""
    kind: str = "table"

    def __post_init__(self) -> None:
        for row in [self.head, *self.rows]:
            assert len(row) == len(self.classes), (row, self.classes)


@dataclass(frozen=True)
class Points:
    """Designs as points that a reader can hover and filter; the page's own script draws them.

    Parameters
    ----------
    axes : dict
        Title of the axis of each cost.
    dials : list of str
        What can be filtered by.
    ways : dict of str
        Kinds of points, and the colour of each.
    points : list of dict
        Of each number, way, a_final in [0, 1], dials, tip (the text shown when it is hovered), and every cost of
        `axes` in the unit of the axis.
    """

    axes: dict[str, str]
    dials: list[str]
    ways: dict[str, str]
    points: list[dict]
    kind: str = "points"

    @property
    def json(self) -> str:
        """Everything as JSON that may stand inside a script element."""
        tree = {n: getattr(self, n) for n in ("axes", "dials", "ways", "points")}
        return json.dumps(tree, ensure_ascii=False).replace("<", "\\u003c")


@dataclass
class Section:
    """One section of the report: blocks to show, and the metrics that they show.

    Parameters
    ----------
    name, title : str
        Anchor and heading.
    blocks : list
        In their order.
    metrics : list of Metric
        Numbers that go into report.json.
    missing : str
        Which step has not run, where the section has nothing to show.
    """

    name: str
    title: str
    blocks: list[Text | Heading | Preformatted | Figure | Table | Points] = field(
        default_factory=list
    )
    metrics: list[Metric] = field(default_factory=list)
    missing: str = ""

    def absent(self, step: str, failures: dict[str, str]) -> None:
        """Say why a step has nothing to show."""
        failed = f"Step {step} failed: {failures[step]}." if step in failures else ""
        self.missing = failed or f"Step {step} has not run."

    def text(self, text: str, tone: str = "") -> None:
        """Add a paragraph."""
        self.blocks.append(Text(text, tone))

    def heading(self, text: str) -> None:
        """Add a heading."""
        self.blocks.append(Heading(text))

    def preformatted(self, text: str) -> None:
        """Add text that is shown as it is."""
        self.blocks.append(Preformatted(text))

    def figure(self, picture: Picture, caption: str) -> None:
        """Add a picture."""
        self.blocks.append(Figure(picture, caption))

    def table(self, *args, **kwargs) -> None:
        """Add a table; arguments are those of `Table`."""
        self.blocks.append(Table(*args, **kwargs))

    def metric(
        self, name: str, value: float | int | None, unit: str, better: Better, origin: Origin
    ) -> None:
        """Add a number; arguments are those of `Metric`."""
        self.metrics.append(Metric(name, value, unit, better, origin))

    def interval(self, name: str, bounds: Iterable[float], unit: str) -> None:
        """Add a modelled cost as three numbers: NAME.low, NAME.nominal and NAME.high."""
        for bound, value in zip(("low", "nominal", "high"), bounds, strict=True):
            self.metric(f"{name}.{bound}", value, unit, "lower", "modelled")


@dataclass(frozen=True)
class Card:
    """A headline number."""

    label: str
    value: str
    note: str
    origin: str
    tone: str = ""
