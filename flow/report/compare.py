"""Comparison of two reports: which numbers changed, and whether for the better."""

from dataclasses import dataclass, fields
from pathlib import Path

from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.output.quantities import Metric, quantity
from xnoreplay.flow.report.page import NUMBERS
from xnoreplay.flow.run import files
from xnoreplay.flow.run.records import require_whole, step_record
from xnoreplay.spec.errors import ReadError, XnoreplayError, shown

TIMINGS = ("step.", "speed.")  # of the machine, not of the chip
GREATEST = 1e300  # beyond it a difference would be infinite
VERDICTS = ("better", "worse", "changed", "new", "gone")


@dataclass(frozen=True)
class Change:
    """One number in both runs; None where a run does not have it."""

    name: str
    before: Metric | None
    after: Metric | None

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, or "" where the number is the same."""
        if self.before is None:
            return "new"
        if self.after is None:
            return "gone"
        a, b = self.before.value, self.after.value
        if a == b:
            return ""
        if self.after.better == "neither" or a is None or b is None:
            return "changed"
        return "better" if (b < a) == (self.after.better == "lower") else "worse"

    @property
    def relative(self) -> float | None:
        """The change over the first value; None where there is none."""
        if self.before is None or self.after is None:
            return None
        a, b = self.before.value, self.after.value
        return None if not a or b is None else b / a - 1

    @property
    def unit(self) -> str:
        """The unit of the number."""
        metric = self.after or self.before
        assert metric is not None
        return metric.unit


def read(path: Path) -> tuple[str, dict[str, Metric]]:
    """Read the preset's name and the metrics of a run folder, or of its report.json.

    Raises
    ------
    XnoreplayError
        Where there is no report.
    """
    candidates = [path / "report" / NUMBERS, path / NUMBERS, path]
    file = next((c for c in candidates if c.is_file()), candidates[0])
    try:
        if file == candidates[0] and (folder := file.parent).is_dir() and step_record(folder):
            require_whole(folder)
        tree = _tree(file)
        found = [_metric(m) for m in tree["metrics"]]
        return str(tree["preset"]), {m.name: m for m in found}
    except ReadError as error:
        raise XnoreplayError(
            f"{path} must be a run folder with a report, or a report.json, but: {error}"
        ) from None
    except XnoreplayError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise XnoreplayError(
            f"{path} must be a run folder with a report, or a report.json, but {_why(error, file)}"
        ) from None


def _tree(file: Path):
    """Return what a report's JSON holds; ValueError where it is none."""
    try:
        return files.read_json(file)
    except ReadError as error:
        raise ValueError(str(error)) from None


def _why(error: Exception, file: Path) -> str:
    if isinstance(error, KeyError):
        return f"{shown(error.args[0])} is missing"
    if isinstance(error, OSError):
        return f"{file} cannot be read: {error.strerror}"
    return str(error) if isinstance(error, ValueError) else "it has a value of another kind"


def _metric(tree: object) -> Metric:
    """Return a number of a report; ValueError for one with other fields, or with a field of another kind."""
    if not isinstance(tree, dict) or tree.keys() != {f.name for f in fields(Metric)}:
        raise ValueError(
            f"a number must have the fields of a report's number, not be {shown(tree)}"
        )
    metric = Metric(**tree)
    texts = (metric.name, metric.unit, metric.better, metric.origin)
    known = all(isinstance(t, str) for t in texts) and not isinstance(metric.value, bool)
    if metric.value is not None:
        known = (
            known and isinstance(metric.value, int | float) and -GREATEST < metric.value < GREATEST
        )
    if not known:
        raise ValueError(
            f"a number must have a name, a unit and a value of at most {GREATEST:g}, not {shown(tree)}"
        )
    return metric


def changes(before: dict[str, Metric], after: dict[str, Metric]) -> list[Change]:
    """List every number of either run that is not the same in both, in the order of the second."""
    names = dict.fromkeys([*after, *before])
    found = [Change(n, before.get(n), after.get(n)) for n in names]
    return [c for c in found if c.verdict and not c.name.startswith(TIMINGS)]


def text(first: Path, second: Path, events: bool = False) -> str:
    """Return the changes from one run to another as text; single event counters only where asked for."""
    (one, before), (two, after) = read(first), read(second)
    found = changes(before, after)
    shown = [c for c in found if events or not c.name.startswith("events.")]
    head = f"{one} in {first} -> {two} in {second}: "
    if not found:
        return head + "every number is the same"
    counts = ", ".join(
        f"{sum(c.verdict == v for c in found)} {v}"
        for v in VERDICTS
        if any(c.verdict == v for c in found)
    )
    rows = [[c.name, _shown(c.before), _shown(c.after), _percent(c), c.verdict] for c in shown]
    rows.sort(key=lambda row: VERDICTS.index(row[-1]))
    hidden = len(found) - len(shown)
    foot = f"\n\n{hidden} event counters changed, too; --events shows them" if hidden else ""
    return f"{head}{counts}\n\n{columns(['number', 'first', 'second', 'change', ''], rows)}{foot}"


def _shown(metric: Metric | None) -> str:
    return "–" if metric is None else quantity(metric.value, metric.unit)


def _percent(change: Change) -> str:
    if change.relative is None:
        return ""
    return f"{100 * change.relative:+.1f} %"
