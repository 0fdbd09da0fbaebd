"""Variants of `xnoreplay.flow.systems` beside each other."""

from collections.abc import Iterable
from pathlib import Path

from xnoreplay.flow import cil, metrics, predictions, systems
from xnoreplay.flow.progress import Progress
from xnoreplay.flow.systems import Variant
from xnoreplay.flow.workers import one_thread
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

SCORES = ("a_final", "a_old", "a_new", "average", "forgetting", "backward_transfer")


def run(
    variants: list[Variant], preset: Preset, bundle: Bundle, seeds: Iterable[int],
    progress: Progress, checkpoint: Path | None = None, dump: Path | None = None,
    file: Path | None = None,
) -> dict:  # fmt: skip
    """Scores of variants over seeds: {"seeds", "rows": [{"label", score: list over seeds}]}.

    checkpoint : for native replay, see `systems.run`
    file : of latents, see `cil.extract`
    dump : where a file of all predictions goes, see `xnoreplay.flow.predictions`
    """
    seeds = list(seeds)
    latents = cil.extract(preset, bundle, file)
    images = systems.pictures(preset) if any(v.system == "native" for v in variants) else None
    rows, predicted = [], {}
    with progress.task("systems", len(variants) * len(seeds)) as task, one_thread():
        for variant in variants:
            row: dict = {"label": variant.label}
            for seed in seeds:
                result = systems.run(
                    variant, preset, bundle, latents.shuffled(seed), seed,
                    images=images.shuffled(seed) if images and variant.system == "native" else None,
                    checkpoint=checkpoint,
                )  # fmt: skip
                predicted[f"{variant.label}/{seed}"] = result.pop("predictions")
                for name in SCORES:
                    row.setdefault(name, []).append(result[name])
                task.advance(1, f"{variant.label}, seed {seed}")
            rows.append(row)
    if dump is not None:
        predictions.dump(dump, preset, bundle, latents.test_class, predicted)
    return {"seeds": seeds, "rows": rows}


def markdown(result: dict) -> str:
    """The scores as a table, in percent: mean and sample standard deviation over the seeds."""
    lines = [f"| system | {' | '.join(SCORES)} |", "|---" * (len(SCORES) + 1) + "|"]
    for row in result["rows"]:
        cells = [row["label"], *(metrics.percent(row[name]) for name in SCORES)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
