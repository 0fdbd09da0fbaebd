"""Tables in percent, and figures, from the result of `reproduce`."""

from xnoreplay.flow.learning.paper import published
from xnoreplay.flow.learning.trials import SCORES
from xnoreplay.flow.output import plots
from xnoreplay.flow.output.quantities import mean, percent, spread
from xnoreplay.spec import bundle as bundles


def markdown(result: dict) -> str:
    """Return the tables, in percent: mean and sample standard deviation over the seeds."""
    lines, table = _head(result), None
    for row in result["rows"]:
        if row["table"] != table:
            table = row["table"]
            names = " | ".join(SCORES)
            lines += [
                "",
                f"| {table} | {names} | paper's a_final | seconds a seed |",
                "|---" * (len(SCORES) + 3) + "|",
            ]
        cells = [row["label"], *(percent(row[name]) for name in SCORES), row["paper"] or "–"]
        lines.append("| " + " | ".join([*cells, f"{mean(row['seconds']):.0f}"]) + " |")
    return "\n".join(lines)


def _head(result: dict) -> list[str]:
    seeds = ", ".join(map(str, result["seeds"]))
    conditions = (
        f"Seeds {seeds}. Epochs a session: chip's rule {result['chip_epochs']}, float "
        f"{result['float_epochs']}, native replay {result['native_epochs']}. Computed on "
        f"{'; '.join(result['hardware'])}. Percent, mean and deviation over the seeds."
    )
    lines = [conditions]
    for bundle in result["bundles"]:
        base, every = _accuracies(bundle, "base"), _accuracies(bundle, "trained")
        if not base:
            continue  # random bits
        trained = (
            bundles.entry_of(bundle, "hardware", str) or "a machine that its bundle does not name"
        )
        last = "the last of them " if bundles.entry_of(bundle, "start", dict) else ""
        line = (
            f"The {bundle['label']}, {last}trained on {trained}, recognises {base[0]:.1f} % of the training "
            f"and {base[1]:.1f} % of the test images of the base classes among these."
        )
        if every:
            line += f" Of all classes it was trained on, {every[0]:.1f} % and {every[1]:.1f} %."
        lines.append(line)
    if any(bundle.get("dataset") == published.SCENARIO[0] for bundle in result["bundles"]):
        lines.append(
            f"The paper's, trained on all 100 classes, recognises {published.OFFLINE_TRAIN} % of their "
            "training images."
        )
    if any("±" in row["paper"] for row in result["rows"]):
        lines.append(
            "What has ± 2 was read off a plot of the paper's predecessor, of a network of 4.1 Mb."
        )
    return lines


def _accuracies(provenance: dict, classes: str) -> list[float]:
    """Return percent of training and test images, if a bundle's provenance, which is free, has both."""
    shares = [bundles.share(provenance, f"{classes}_{part}_accuracy") for part in ("train", "test")]
    known = [100 * share for share in shares if share is not None]
    return known if len(known) == len(shares) else []


PICTURES = ("sessions_float", "sessions_chip", "losses", "memory")
"""Every name that a figure may have."""


def pictures(result: dict) -> dict[str, plots.Picture]:
    """Draw the figures that have rows, by name: sessions of each rule, losses, memory."""
    drawn = {}
    for rule in ("float", "chip"):
        chosen = [
            r for r in result["rows"] if r["table"].startswith("Systems") and r["rule"] == rule
        ]
        if chosen:
            lines = {r["label"]: _band(r["curve"]) for r in chosen}
            axis = "accuracy on all classes seen"
            drawn[f"sessions_{rule}"] = plots.curves(lines, axis, _ticks(chosen))
    losses = [r for r in result["rows"] if r["table"].startswith("Losses")]
    if losses:
        bars = {name: _points(losses, name) for name in SCORES[:3]}
        axis = "accuracy after the last session"
        drawn["losses"] = plots.columns([r["label"] for r in losses], bars, axis)
    memory: dict[str, list[dict]] = {}
    for row in result["rows"]:
        if row["table"].startswith("Memory"):
            memory.setdefault(f"{row['system']}, {row['rule']}", []).append(row)
    if memory:
        points = {
            name: ([r["megabits"] for r in of], *_points(of, "a_final"))
            for name, of in memory.items()
        }
        quoted = _read_off(result["rows"])
        drawn["memory"] = plots.against(points | quoted, "memory, Mb", "a_final", dashed=quoted)
    return {name: drawn[name] for name in PICTURES if name in drawn}


def _read_off(rows: list[dict]) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Return each system's memories and accuracies of the predecessor, "26 ± 2", in fractions."""
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for row in rows:
        if row["table"].startswith("Memory") and row["paper"]:
            accuracy, reading = (float(part) / 100 for part in row["paper"].split("±"))
            found.setdefault(f"predecessor, {row['system']}", {})[row["megabits"]] = (
                accuracy,
                reading,
            )
    return {
        name: (
            list(of),
            [accuracy for accuracy, _ in of.values()],
            [reading for _, reading in of.values()],
        )
        for name, of in found.items()
    }


def _ticks(rows: list[dict]) -> list[str]:
    return ["base", *(f"session {t}" for t in range(1, len(rows[0]["curve"][0])))]


def _band(curves: list[list[float]]) -> tuple[list[float], list[float]]:
    steps = list(zip(*curves, strict=True))
    return [mean(list(s)) for s in steps], [spread(list(s)) for s in steps]


def _points(rows: list[dict], score: str) -> tuple[list[float], list[float]]:
    return [mean(r[score]) for r in rows], [spread(r[score]) for r in rows]
