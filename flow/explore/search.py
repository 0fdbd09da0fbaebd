"""The search for a better chip: every point of a sweep with accuracy, memory, time, energy, area."""

import dataclasses
from pathlib import Path

from xnoreplay.flow.cost import replay_variants, session_cost, workload
from xnoreplay.flow.cost.tables import gates
from xnoreplay.flow.datasets import latent_files
from xnoreplay.flow.explore import jobs as explore_jobs
from xnoreplay.flow.explore import space
from xnoreplay.flow.explore.fronts import COSTS, front
from xnoreplay.flow.explore.jobs import Job, Sources
from xnoreplay.flow.output.quantities import mean, spread
from xnoreplay.flow.run import code, files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

CODE = ("flow/explore/jobs.py",)
"""Modules that compute the runs of a point; see `xnoreplay.flow.run.code`."""
LATENTS, JOBS = "latents.safetensors", "jobs"


def search(
    preset: Preset,
    bundle_path: Path,
    sweep: dict[str, list],
    seeds: int,
    scratch: Path,
    progress: Progress,
) -> dict:
    """Compute accuracy and costs of every point of a sweep.

    Parameters
    ----------
    preset : Preset
        The design that the dials change.
    bundle_path : Path
        An untrained one, whose provenance names no data set, gives no accuracies.
    sweep : dict
        Values to try by dial.
    seeds : int
        Seeds that an accuracy is a mean over.
    scratch : Path
        Keeps what is done, for a repetition after an interrupt.
    progress : Progress
        Shows how far the points are.

    Returns
    -------
    dict
        preset, sweep, seeds, accuracy (whether it was measured, and on what), points, refused, runs; fronts: of
        each of `COSTS` the numbers of the points on its Pareto front with accuracy; stored_fronts: the same without
        generative replay, where the sweep has other replay beside it.
    """
    preset.scenario.check_session()
    valid, refused = space.points(preset, sweep)
    limits.count(
        "runs", len(valid) * (seeds + 1), "runs of a sweep, of each design one a seed and one more,"
    )
    bundle = bundles.read(bundle_path)
    scratch.mkdir(parents=True, exist_ok=True)
    stored = _latents(preset, bundle, progress)
    if stored is not None:
        latent_files.write(stored, scratch / LATENTS)
    sources = Sources(str(bundle_path), str(scratch / LATENTS) if stored is not None else None)
    stamp = f"{bundles.digest(bundle)} {code.digest(CODE)} {stored is not None}"
    table = [_jobs(point, range(seeds if stored is not None else 0), stamp) for point in valid]
    jobs = [job for accuracy, counting in table for job in (*accuracy, counting)]
    results = explore_jobs.compute(jobs, sources, scratch / JOBS, progress)
    points = [
        _priced(point, [results[j.name] for j in accuracy], results[counting.name])
        for point, (accuracy, counting) in zip(valid, table, strict=True)
    ]
    origin = "none: no latents of a trained extractor" if stored is None else f"{seeds} seeds"
    both = len({p["replay"] == space.DRAWN for p in points}) > 1
    return {
        "preset": preset.name,
        "sweep": sweep,
        "seeds": seeds,
        "accuracy": origin,
        "points": points,
        "refused": refused,
        "runs": len({job.name for job in jobs}),
        "fronts": {cost: front(points, cost) for cost in COSTS} if stored is not None else {},
        "stored_fronts": stored_fronts(points) if stored is not None and both else {},
    }


def stored_fronts(points: list[dict]) -> dict[str, list[int]]:
    """Return the fronts of the points that have no generative replay, by cost."""
    numbers = [i for i, p in enumerate(points) if p["replay"] != space.DRAWN]
    return {c: [numbers[i] for i in front([points[i] for i in numbers], c)] for c in COSTS}


def _latents(preset: Preset, bundle: Bundle, progress: Progress) -> latent_files.LatentSet | None:
    """Return latents to measure accuracy on; None for an untrained bundle."""
    if "dataset" not in bundle.provenance:
        return None
    stored = workload.latents_of(preset, bundle)
    if stored is None:
        from xnoreplay.flow.learning import cil

        stored = cil.simulated(preset, bundle, progress)
    return stored


def _jobs(point: space.Point, seeds: range, stamp: str) -> tuple[list[Job], Job]:
    """List a point's jobs, the same ones where points share what a job depends on."""
    chosen = point.preset
    shared = presets.to_dict(_plainest(chosen))
    accuracy = [Job("accuracy", {"preset": shared, "seed": s}, stamp) for s in seeds]
    unpriced = dataclasses.replace(
        chosen, target=dataclasses.replace(chosen.target, **{n: _default(n) for n in space.PRICING})
    )
    return accuracy, Job("counting", {"preset": presets.to_dict(unpriced)}, stamp)


def _default(name: str):
    return next(f.default for f in dataclasses.fields(plans.TargetSpec) if f.name == name)


def _plainest(preset: Preset) -> Preset:
    """Return the preset with all dials that accuracy does not depend on at one value."""
    target = preset.target
    plain = {n: _default(n) for n in space.PRICING}
    return dataclasses.replace(preset, target=dataclasses.replace(target, lanes=1, **plain))


def _priced(point: space.Point, scores: list[dict], counted: dict) -> dict:
    """Return one point's numbers: lists are low, nominal, high."""
    plan = plans.compile(point.preset.network, point.preset.target)
    inference = workload.Workload(counted["inference"])
    session = workload.Workload(counted["session"])
    variant = space.variant(point.replay)
    runs = session_cost.variant(plan, inference, session, variant)
    instances = replay_variants.memories(plan, variant)
    areas = gates.area(plan, instances)
    a_final = [s["a_final"] for s in scores]
    measured = bool(a_final) and point.replay != replay_variants.RETRAINED
    return {
        "dials": point.dials,
        "replay": point.replay,
        "samples": plan.target.replay_slots,
        "a_final": mean(a_final) if measured else None,
        "a_final_spread": spread(a_final) if measured else None,
        "memory": sum(m.bits for m in instances),
        "cycles": runs["session"]["cycles"],
        "seconds": runs["session"]["seconds"],
        "energy": list(runs["session"]["total"]),
        "inference_energy": list(runs["inference"]["total"]),
        "inference_cycles": runs["inference"]["cycles"],
        "area": [sum(bounds[i] for bounds in areas.values()) for i in range(3)],
    }


def write(result: dict, out: Path) -> None:
    """Write points.csv beside the step's own result, and the fronts as pictures."""
    import csv
    import io

    from xnoreplay.flow.explore import pictures

    dials = list(result["sweep"])
    numbers = ["samples", "a_final", "a_final_spread", "memory", "cycles", "seconds"]
    ranges = ["energy", "inference_energy", "area"]
    head = [*dials, *numbers, *(f"{r}_{b}" for r in ranges for b in ("low", "nominal", "high"))]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(head)
    for p in result["points"]:
        cells = [p["dials"].get(d) for d in dials] + [p[n] for n in numbers]
        rows.writerow([*cells, *(v for r in ranges for v in p[r])])
    files.write_whole(out / "points.csv", text.getvalue())
    pictures.write(result, out)
