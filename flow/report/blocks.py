"""What a section of the report is made of."""

from dataclasses import dataclass, field

from xnoreplay.flow.output.plots import Picture
from xnoreplay.flow.output.quantities import Better, Metric, Origin


@dataclass(frozen=True)
class Text:
    text: str
    tone: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Preformatted:
    text: str
    kind: str = "preformatted"


@dataclass(frozen=True)
class Figure:
    picture: Picture
    caption: str
    kind: str = "figure"

    @property
    def svg(self) -> str:
        return self.picture.svg


@dataclass(frozen=True)
class Table:
    """head and rows of text; classes of the columns: n for numbers, source, code, or nothing.

    total : the last row is a sum
    folded : if given, the table opens on a click of this line
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


@dataclass
class Section:
    """One section: blocks to show and the metrics they show.

    missing : says which step has not run, where the section has nothing to show
    """

    name: str
    title: str
    blocks: list[Text | Heading | Preformatted | Figure | Table] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    missing: str = ""

    def absent(self, step: str, failures: dict[str, str]) -> None:
        """Say why a step has nothing to show."""
        failed = f"Step {step} failed: {failures[step]}." if step in failures else ""
        self.missing = failed or f"Step {step} has not run."

    def text(self, text: str, tone: str = "") -> None:
        self.blocks.append(Text(text, tone))

    def heading(self, text: str) -> None:
        self.blocks.append(Heading(text))

    def preformatted(self, text: str) -> None:
        self.blocks.append(Preformatted(text))

    def figure(self, picture: Picture, caption: str) -> None:
        self.blocks.append(Figure(picture, caption))

    def table(self, *args, **kwargs) -> None:
        self.blocks.append(Table(*args, **kwargs))

    def metric(
        self, name: str, value: float | int | None, unit: str, better: Better, origin: Origin
    ) -> None:
        self.metrics.append(Metric(name, value, unit, better, origin))


@dataclass(frozen=True)
class Card:
    """A headline number."""

    label: str
    value: str
    note: str
    origin: str
    tone: str = ""
