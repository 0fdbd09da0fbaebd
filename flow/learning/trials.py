"""Scores of several variants of `xnoreplay.flow.learning.systems`."""

from collections.abc import Iterable
from pathlib import Path

from xnoreplay.flow.learning import cil, predictions, systems
from xnoreplay.flow.learning.systems import Variant
from xnoreplay.flow.output import quantities
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.workers import side_by_side
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.presets import Preset

SCORES = ("a_final", "a_old", "a_new", "average", "forgetting", "backward_transfer")


def try_variants(  # noqa: PLR0913  each is a choice of the experiment
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
    """Score variants over seeds.

    Native replay, which trains on every core, runs alone.

    Parameters
    ----------
    variants : list of Variant
        The systems to score.
    preset : Preset
        With the scenario.
    bundle : Bundle
        With extractor and classifier of the base.
    seeds : iterable of int
        Seeds that a score is a mean over.
    progress : Progress
        Shows how far the variants are.
    checkpoint : Path, optional
        For native replay, see `systems.learn_variant`.
    dump : Path, optional
        Where a file of all predictions goes, see `xnoreplay.flow.learning.predictions`.
    file : Path, optional
        Of latents, see `cil.extract`.
    workers : int
        How many are computed side by side.

    Returns
    -------
    dict
        {"seeds", "rows": [{"label", score: list over seeds}]}.

    Raises
    ------
    SpecError
        For native replay of a network that is given latents.
    """
    seeds = list(seeds)
    preset.scenario.check_session()
    if any(v.system == "native" for v in variants) and not preset.network.takes_images:
        raise SpecError(
            f"system 'native' must have images, but network {preset.network.name} is given latents"
        )
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
    """Return the scores of `try_variants` as a table, in percent: mean and sample standard deviation over the seeds."""
    lines = [f"| system | {' | '.join(SCORES)} |", "|---" * (len(SCORES) + 1) + "|"]
    for row in result["rows"]:
        cells = [row["label"], *(quantities.percent(row[name]) for name in SCORES)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
