"""How much accuracy each dial of the learning rule costs, one at a time around a preset.

Dials are compared on validation samples, every fourth training sample of each class, so that a
default chosen from the table was not chosen on test images.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from xnoreplay.flow.learning import cil
from xnoreplay.flow.output.quantities import percent
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.workers import side_by_side
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, unknown
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.target import GENERATIVE

STRIDE = 4
MOST_DIGITS = 18  # of a value: what 64 bits hold
SCORES = ("a_final", "a_old", "a_new")
DIALS: dict[str, tuple] = {
    "proxy_bits": (3, 4, 5, 6, 8, 10, 12),
    "delta_bits": (2, 3, 4, 6, 8),
    "proxies_per_pair": (1, 2),
    "hidden_learns": (False, True),
    "batch": (1, 4, 8, 16, 32, 64),
    "rate_shift": (-2, -1, 0, 1, 2),
    "epochs": (2, 4, 6, 12, 24),
    "staging_capacity": (0.0, 0.125, 0.25, 0.5, 1.0),
    "replay_capacity": (0.2, 0.5, 1.0, 2.0),
    "replay_components": (1, 2, 3, 5, 8),
    "mean_bits": (1, 2, 3, 4),
    "drawn_per_class": (32, 64, 96, 128),
    "staged_per_class": (10, 50),
}
"""Dials of TargetSpec and the values tried; `rate_shift` is added to the preset's, capacities are
multiplied with it."""


def around(preset: Preset) -> dict[str, tuple]:
    """Return the values of `DIALS` to try around a preset, without capacities of fewer latents than classes.

    Of the dials that only one way of replay has, those of the preset's way are there.
    """
    target, least, chosen = preset.target, preset.network.classes, {}
    without = ("replay_capacity",) if target.replay == "generative" else GENERATIVE
    for name, values in DIALS.items():
        if name in without:
            continue
        if name == "rate_shift":
            values = tuple(target.rate_shift + d for d in values)
        elif name.endswith("_capacity"):
            values = tuple(int(f * getattr(target, name)) for f in values)
        kept = (v for v in values if name != "replay_capacity" or v >= least)
        chosen[name] = tuple(dict.fromkeys(kept))
    return chosen


def parse(texts: Iterable[str]) -> dict[str, tuple]:
    """Read dials and their values as a user names them.

    >>> parse(["rate_shift=5,6", "hidden_learns=true"])
    {'rate_shift': (5, 6), 'hidden_learns': (True,)}

    Raises
    ------
    SpecError
        For an unknown dial, or a value that is neither an integer nor true or false.
    """  # noqa: DOC501  `unknown` makes a SpecError
    chosen: dict[str, tuple] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name not in DIALS:
            raise unknown("dial", name, DIALS)
        chosen[name] = chosen.get(name, ()) + tuple(_value(name, v) for v in values.split(","))
    return chosen


def _value(name: str, text: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    digits = text.removeprefix("-")
    if not digits.isdecimal() or len(digits) > MOST_DIGITS:
        raise SpecError(
            f"{name} must be given as NAME=VALUE,VALUE of integers of at most {MOST_DIGITS} digits or "
            f"true, false, not {text[:80]!r}"
        )
    return int(text)


def validation(latents: cil.Latents) -> cil.Latents:
    """Return training samples only: every fourth of each class becomes a test sample."""
    held = np.zeros(len(latents.train), bool)
    for label in np.unique(latents.train_class):
        held[np.flatnonzero(latents.train_class == label)[::STRIDE]] = True
    train, train_class = latents.train, latents.train_class
    return cil.Latents(train[~held], train_class[~held], train[held], train_class[held])


def measure(
    preset: Preset,
    bundle: Bundle,
    seeds: Iterable[int],
    progress: Progress,
    chosen: dict[str, tuple] | None = None,
    workers: int = 1,
    file: Path | None = None,
) -> dict:
    """Score every value of every dial over the seeds, on validation samples.

    Parameters
    ----------
    preset : Preset
        Whose target the dials are set in.
    bundle : Bundle
        With extractor and classifier of the base.
    seeds : iterable of int
        Seeds that an accuracy is a mean over.
    progress : Progress
        Shows how far the values are.
    chosen : dict, optional
        Values by dial. Without it those of `around`, but for values that break a rule of TargetSpec.
    workers : int
        How many are computed side by side.
    file : Path, optional
        Of latents, see `cil.extract`.

    Returns
    -------
    dict
        Rows with label and scores over the seeds, in [0, 1], and the float baseline.

    Raises
    ------
    SpecError
        For no seed, and for a chosen value that breaks a rule.
    """
    seeds = list(seeds)
    if not seeds:
        raise SpecError("seeds must name at least one seed, not none")
    preset.scenario.check_session()
    lines: list[tuple] = [("float Adam", "", cil.floating, preset)]
    for dial, values in (around(preset) if chosen is None else chosen).items():
        for value in values:
            try:
                variant = presets.vary(preset, "target", **{dial: value})
            except SpecError:
                if chosen is not None:
                    raise
                continue
            lines.append((dial, value, cil.chip, variant))
    latents = validation(cil.extract(preset, bundle, file, progress))
    orders = {seed: latents.shuffled(seed) for seed in seeds}
    jobs = [(line, seed) for line in lines for seed in seeds]

    def one(job) -> dict:
        (_, _, method, variant), seed = job
        return method(variant, bundle, orders[seed], seed)

    results = []
    with progress.task("dials", len(jobs)) as task:
        for ((dial, value, *_), _), result in zip(
            jobs, side_by_side(one, jobs, workers), strict=True
        ):
            results.append(result)
            task.advance(1, f"{dial} {value}".strip())
    rows = []
    for i, (dial, value, *_) in enumerate(lines):
        of_line = results[i * len(seeds) : (i + 1) * len(seeds)]
        rows.append({"dial": dial, "value": value, **{n: [r[n] for r in of_line] for n in SCORES}})
    return {"seeds": seeds, "validation_samples": len(latents.test), "rows": rows}


def markdown(result: dict) -> str:
    """Return the rows of `measure` as a table, in percent: mean and sample standard deviation over the seeds."""
    lines = ["| dial | value | a_final | a_old | a_new |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        cells = [row["dial"], str(row["value"]), *(percent(row[name]) for name in SCORES)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
