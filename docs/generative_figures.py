"""Draws the two figures of `docs/generative_replay.md`, and prints the table of the first.

`python docs/generative_figures.py FOLDER` writes `generative_memory.svg` and `generative_sessions.svg` there, from test images.
With `--kept FILE` each measurement is written down when it is there, and a run that was stopped goes on where it was.
"""

import argparse
import json
from pathlib import Path

from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.learning import cil
from xnoreplay.flow.learning.paper import published, reproduce
from xnoreplay.flow.output import plots
from xnoreplay.flow.output.quantities import mean, percent, seen_curve, spread
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.presets import Preset

GENERATIVE, STORED, WHOLE = "generative replay", "stored replay", "stored replay, as preset"
COMPONENTS = (
    (1, 1, 96),
    (1, 2, 96),
    (2, 2, 96),
    (5, 2, 96),
    (7, 2, 128),
    (10, 2, 128),
    (16, 2, 128),
    (16, 3, 128),
)
"""Components of a class, bits of a mean and samples of a class in an epoch; none staged."""
LATENTS = (100, 400, 1045, 2000, 4882)
"""Latents of a memory that stores them; new ones take their places at once, none staged."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5)
SCORES = ("a_final", "a_old", "a_new")
KEPT = ("replay.", "staging.", "fit.")
"""First words of the memories that are counted: what is remembered, its labels and counters, and new samples."""


def lines() -> list[tuple[str, dict]]:
    """Each way of replay and its dials, in the order of the table."""
    found: list[tuple[str, dict]] = []
    for components, bits, drawn in COMPONENTS:
        dials = {
            "replay_components": components,
            "mean_bits": bits,
            "drawn_per_class": drawn,
        }
        found.append((GENERATIVE, {"replay": "generative", "staging_capacity": 0, **dials}))
    found += [(STORED, {"staging_capacity": 0, "replay_capacity": n}) for n in LATENTS]
    return [*found, (WHOLE, {})]


def kilobits(preset: Preset) -> float:
    """1,000 bits of what a chip keeps of samples."""
    memories = plans.compile(preset.network, preset.target).memories
    return sum(m.bits for m in memories if m.name.startswith(KEPT)) / 1000


def measured(preset: Preset, seeds: int, kept: Path | None) -> list[dict]:
    """Each line's way, dials, kilobits, and scores and curves over the seeds."""
    bundle = BundleSource.choose(preset).load(preset)
    latents = cil.extract(preset, bundle)
    counts = latents.test_counts(preset.scenario)
    done = {}
    if kept is not None and kept.exists():
        done = {json.dumps(k): v for k, v in map(json.loads, kept.read_text().splitlines())}
    rows: list[dict] = [{"way": way, "dials": dials, "runs": []} for way, dials in lines()]
    for seed in range(seeds):
        order = latents.shuffled(seed)
        for row in rows:
            variant = presets.vary(preset, "target", **row["dials"])
            row["kilobits"] = kilobits(variant)
            key = [preset.name, row["dials"], seed]
            if (run := done.get(json.dumps(key))) is None:
                scores = cil.chip(variant, bundle, order, seed)
                run = {name: scores[name] for name in SCORES}
                run["curve"] = seen_curve(scores["matrix"], counts)
                if kept is not None:
                    with open(kept, "a", encoding="utf-8") as file:
                        file.write(json.dumps([key, run]) + "\n")
            row["runs"].append(run)
    return rows


def table(rows: list[dict]) -> str:
    """The rows in percent, mean and sample standard deviation over the seeds."""
    printed = ["| replay | kb | a_final | a_old | a_new |", "|---|---|---|---|---|"]
    for row in rows:
        dials = {n: v for n, v in row["dials"].items() if n not in ("replay", "staging_capacity")}
        what = ", ".join([row["way"], *(f"`{name}` {value}" for name, value in dials.items())])
        cells = [percent([run[name] for run in row["runs"]]) for name in SCORES]
        printed.append(f"| {what} | {row['kilobits']:,.1f} | {' | '.join(cells)} |")
    return "\n".join(printed)


def memory(rows: list[dict], quoted: bool) -> plots.Picture:
    """a_final over megabits of both ways, with the paper's and its predecessor's figures beside them if `quoted`."""
    series: dict[str, tuple[list[float], list[float], list[float]]] = {}
    for way in (GENERATIVE, STORED):
        of = [
            (row["kilobits"] / 1000, [r["a_final"] for r in row["runs"]])
            for row in rows
            if row["way"] == way
        ]
        series[way] = ([x for x, _ in of], [mean(a) for _, a in of], [spread(a) for _, a in of])
    others = {}
    if quoted:
        read = {
            x: [float(part) / 100 for part in text.split(" ± ")]
            for x, text in published.LATENT_MEMORY.items()
            if x <= max(TICKS)
        }
        others["predecessor"] = (
            list(read),
            [a for a, _ in read.values()],
            [w for _, w in read.values()],
        )
        paper = float(published.LATENT_RPT[True]) / 100
        others["the paper"] = ([reproduce.PAPER_MEGABITS], [paper], [0.0])
    return plots.against(
        series | others,
        "replay and staging memory, Mb",
        "a_final",
        dashed=others,
        ticks=TICKS,
    )


def sessions(rows: list[dict]) -> plots.Picture:
    """Accuracy on all classes seen after each session: of the default dials, as many stored bits, and the preset."""
    chosen = {
        "generative, 5 components": rows[COMPONENTS.index((5, 2, 96))],
        "generative, 7 components, 128 drawn": rows[COMPONENTS.index((7, 2, 128))],
        "stored, 1,045 latents": rows[len(COMPONENTS) + LATENTS.index(1045)],
        "stored, as preset": rows[-1],
    }
    bands = {}
    for name, row in chosen.items():
        steps = list(zip(*(run["curve"] for run in row["runs"]), strict=True))
        label = f"{name}: {row['kilobits'] / 1000:.1f} Mb"
        bands[label] = ([mean(list(s)) for s in steps], [spread(list(s)) for s in steps])
    ticks = ["base", *(f"session {t}" for t in range(1, len(steps)))]
    return plots.curves(bands, "accuracy on all classes seen", ticks)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="3mb-stored", help="with stored replay")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kept", type=Path, help="file of measurements, to go on from")
    given = parser.parse_args()
    preset = presets.load(given.preset)
    rows = measured(preset, given.seeds, given.kept)
    print(table(rows))
    given.folder.mkdir(parents=True, exist_ok=True)
    drawn = {"memory": memory(rows, preset.name == "3mb-stored"), "sessions": sessions(rows)}
    for name, picture in drawn.items():
        (given.folder / f"generative_{name}.svg").write_text(picture.svg_file, encoding="utf-8")


if __name__ == "__main__":
    main()
