"""The paper's experiments on a preset's latents, as tables with the paper's numbers beside ours."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from xnoreplay.flow import cil, metrics
from xnoreplay.flow.progress import Progress
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.presets import Preset

BUFFERS = (0.05, 0.5, 1.0, 5.0, 25.0, 50.0)  # Mb of replayed latents
SCORES = ("a_final", "a_old", "a_new", "average", "forgetting", "backward_transfer")
Method = Callable[[Preset, Bundle, cil.Latents, int], dict]


@dataclass(frozen=True)
class Row:
    """One line of a table: a method on a variant of the preset.

    paper : a_final in percent as the paper or its predecessor has it, or ''
    """

    table: str
    label: str
    method: Method
    preset: Preset
    paper: str = ""


def reset(
    preset: Preset, bundle: Bundle, latents: cil.Latents, seed: int, everything: bool = True
) -> dict:
    """A fresh float classifier each session, from all classes seen so far or the new ones alone."""
    from xnoreplay.model import adam

    scenario, weights, seen = preset.scenario, adam.warm(bundle), 0

    def session(task: int) -> None:
        nonlocal weights, seen
        seen = scenario.seen(task)
        if task:
            z, y = latents.of(range(seen) if everything else scenario.task_classes(task))
            weights = adam.train(
                adam.fresh(bundle.network, seed), z, y, seen, seed=seed, epochs=cil.FLOAT_EPOCHS,
                batch=preset.target.batch,
            )  # fmt: skip

    return cil.evaluate(scenario, latents, session, lambda z: adam.predict(weights, z, seen))


def rows(preset: Preset) -> list[Row]:
    """Every line, in the order of the tables."""
    table = "Systems"
    lines = [
        Row(table, "chip's integers, weighted CCE", cil.chip, preset, "45.5"),
        Row(table, "chip's integers, naive", cil.naive, preset),
        Row(table, "chip's integers, cumulative", cil.cumulative, preset),
        Row(table, "float Adam, naive-reset", partial(reset, everything=False), preset),
        Row(table, "float Adam, cumulative-reset", reset, preset),
    ]
    for loss, name in (("cce", "CCE"), ("fcce", "focal CCE"), ("sh", "squared hinge")):
        for balanced, kind in ((True, "weighted"), (False, "plain")):
            method = partial(cil.floating, balanced=balanced, loss=loss)
            paper = {True: "45.5", False: "40.9"}[balanced] if loss == "cce" else ""
            lines.append(Row("Losses, float Adam", f"{kind} {name}", method, preset, paper))
    latent, read_off = preset.network.latent, {0.5: "26 ± 2", 5.0: "40 ± 2", 25.0: "44 ± 2"}
    for megabits in BUFFERS:
        slots = int(megabits * 1e6) // latent
        images = int(megabits * 1e6) // preset.network.native_image_bits
        label = f"{megabits:g} Mb: {slots:,} latents (or {images:,} images)"
        variant = _with(preset, "target", replay_capacity=slots)
        paper = read_off.get(megabits, "")
        lines.append(Row("Replay memory, chip's integers", label, cil.chip, variant, paper))
    for step in (10, 2):
        variant = _with(preset, "scenario", step=step)
        label = f"{variant.scenario.tasks} sessions of {step} classes"
        lines.append(Row("Sessions, chip's integers", label, cil.chip, variant))
    return lines


def _with(preset: Preset, part: str, **fields) -> Preset:
    changed = dataclasses.replace(getattr(preset, part), **fields)
    return dataclasses.replace(preset, **{part: changed})


def run(preset: Preset, bundle: Bundle, seeds: Iterable[int], progress: Progress) -> dict:
    """Scores of every row over the seeds.

    A seed orders the samples and starts the chip's registers; the class order is the preset's.

    Raises
    ------
    SpecError
        For no seed, or a scenario that is not the paper's.
    """
    seeds, scenario = list(seeds), preset.scenario
    if not seeds:
        raise SpecError("seeds must name at least one seed, not none")
    if (scenario.dataset, scenario.base) != ("cifar100", 50):
        raise SpecError(
            "the scenario to reproduce must be of data set 'cifar100' with 50 base classes, not "
            f"{scenario.dataset!r} with {scenario.base}"
        )
    latents = cil.extract(preset, bundle)
    orders = {seed: latents.shuffled(seed) for seed in seeds}
    lines, done = rows(preset), []
    with progress.task("reproduce", len(lines)) as task, ThreadPoolExecutor(os.cpu_count()) as pool:
        for row in lines:
            start = time.monotonic()

            def result(seed: int, row: Row = row) -> dict:
                return row.method(row.preset, bundle, orders[seed], seed)

            results = list(pool.map(result, seeds))
            scores = {n: [r[n] for r in results] for n in SCORES}
            seconds = (time.monotonic() - start) / len(seeds)
            done.append({"table": row.table, "label": row.label, "paper": row.paper,
                         "seconds": seconds, **scores})  # fmt: skip
            task.advance(1, row.label)
    return {
        "seeds": seeds,
        "chip_epochs": preset.target.epochs,
        "float_epochs": cil.FLOAT_EPOCHS,
        "base_train_accuracy": bundle.provenance["base_train_accuracy"],
        "base_test_accuracy": bundle.provenance["base_test_accuracy"],
        "rows": done,
    }


def markdown(result: dict) -> str:
    """The tables, in percent: mean and sample standard deviation over the seeds."""
    base = [100 * result[f"base_{part}_accuracy"] for part in ("train", "test")]
    seeds = ", ".join(map(str, result["seeds"]))
    head = (
        f"Seeds {seeds}; chip's rule {result['chip_epochs']} epochs a session, float "
        f"{result['float_epochs']}. The bundle recognises {base[0]:.1f} % of the training and "
        f"{base[1]:.1f} % of the test images of the base classes among these."
    )
    lines, table = [head], None
    for row in result["rows"]:
        if row["table"] != table:
            table = row["table"]
            names = " | ".join(SCORES)
            lines += ["", f"| {table} | {names} | paper's a_final | seconds a seed |",
                      "|---" * (len(SCORES) + 3) + "|"]  # fmt: skip
        cells = [row["label"], *(_cell(row[name]) for name in SCORES), row["paper"] or "–"]
        lines.append("| " + " | ".join([*cells, f"{row['seconds']:.0f}"]) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    percent = [100 * v for v in values]
    return f"{metrics.mean(percent):.1f} ± {metrics.spread(percent):.1f}"
