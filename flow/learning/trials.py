"""Variants of `xnoreplay.flow.learning.systems` beside each other."""

from collections.abc import Iterable
from pathlib import Path

from xnoreplay.flow.learning import cil, predictions, systems
from xnoreplay.flow.learning.systems import Variant
from xnoreplay.flow.output import quantities
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.workers import side_by_side
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

SCORES = ("a_final", "a_old", "a_new", "average", "forgetting", "backward_transfer")


def try_variants(
    variants: list[Variant],
    preset: Preset,
    bundle: Bundle,
    seeds: Iterable[int],
    progress: Progress,
    checkpoint: Path | None = None,
    dump: Path | None = None,
    file: Path | None = None,
    workers: int = 1,
) -> dict:
    """Scores of variants over seeds: {"seeds", "rows": [{"label", score: list over seeds}]}.

    So many workers compute side by side; native replay, which trains on every core, alone.

    checkpoint : for native replay, see `systems.learn_variant`
    file : of latents, see `cil.extract`
    dump : where a file of all predictions goes, see `xnoreplay.flow.learning.predictions`
    """
    seeds = list(seeds)
    preset.scenario.check_session()
    latents = cil.extract(preset, bundle, file, progress)
    images = systems.pictures(preset) if any(v.system == "native" for v in variants) else None
    jobs = [(variant, seed) for variant in variants for seed in seeds]

    def one(job: tuple[Variant, int]) -> dict:
        variant, seed = job
        return systems.learn_variant(
            variant,
            preset,
            bundle,
            latents.shuffled(seed),
            seed,
            images=images.shuffled(seed) if images and variant.system == "native" else None,
            checkpoint=checkpoint,
            report=progress.note,
        )

    rows: list[dict] = [{"label": variant.label} for variant in variants]
    predicted = {}
    done = enumerate(side_by_side(one, jobs, 1 if images else workers))
    with progress.task("systems", len(jobs)) as task:
        for (i, result), (variant, seed) in zip(done, jobs, strict=True):
            predicted[f"{variant.label}/{seed}"] = result.pop("predictions")
            for name in SCORES:
                rows[i // len(seeds)].setdefault(name, []).append(result[name])
            task.advance(1, f"{variant.label}, seed {seed}")
    if dump is not None:
        predictions.dump(dump, preset, bundle, latents.test_class, predicted)
    return {"seeds": seeds, "rows": rows}


def markdown(result: dict) -> str:
    """The scores as a table, in percent: mean and sample standard deviation over the seeds."""
    lines = [f"| system | {' | '.join(SCORES)} |", "|---" * (len(SCORES) + 1) + "|"]
    for row in result["rows"]:
        cells = [row["label"], *(quantities.percent(row[name]) for name in SCORES)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
