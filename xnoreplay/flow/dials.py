"""What each dial of the learning rule costs in accuracy, one at a time around a preset.

Dials are compared on validation samples, every fourth training sample of each class, so that a
default chosen from the table was not chosen on test images.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from xnoreplay.flow import cil
from xnoreplay.flow.progress import Progress
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, unknown
from xnoreplay.spec.presets import Preset

STRIDE = 4
SCORES = ("a_final", "a_old", "a_new")
DIALS: dict[str, tuple] = {
    "proxy_bits": (3, 4, 5, 6, 8, 10, 12),
    "delta_bits": (2, 3, 4, 6, 8),
    "proxies_per_pair": (1, 2),
    "hidden_learns": (False, True),
    "batch": (1, 4, 8, 16, 32, 64),
    "rate_shift": (1, 2, 3, 4, 5),
    "epochs": (2, 4, 6, 12, 24),
    "staging_capacity": (0, 20, 40, 80, 160),
    "replay_capacity": (20, 50, 100, 200),
}
"""Dials of TargetSpec and the values tried."""


def parse(texts: Iterable[str]) -> dict[str, tuple]:
    """Dials as a user names them, instead of `DIALS`.

    >>> parse(["rate_shift=5,6", "hidden_learns=true"])
    {'rate_shift': (5, 6), 'hidden_learns': (True,)}

    Raises
    ------
    SpecError
        For an unknown dial, or a value that is neither an integer nor true or false.
    """
    chosen = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name not in DIALS:
            raise unknown("dial", name, DIALS)
        chosen[name] = tuple(_value(name, v) for v in values.split(","))
    return chosen


def _value(name: str, text: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    if not text.removeprefix("-").isdecimal():
        raise SpecError(
            f"{name} must be given as NAME=VALUE,VALUE of integers or true, false, not {text!r}"
        )
    return int(text)


def validation(latents: cil.Latents) -> cil.Latents:
    """Training samples only: every fourth of each class becomes a test sample."""
    held = np.zeros(len(latents.train), bool)
    for label in np.unique(latents.train_class):
        held[np.flatnonzero(latents.train_class == label)[::STRIDE]] = True
    train, train_class = latents.train, latents.train_class
    return cil.Latents(train[~held], train_class[~held], train[held], train_class[held])


def run(
    preset: Preset, bundle: Bundle, seeds: Iterable[int], progress: Progress,
    chosen: dict[str, tuple] = DIALS,
) -> dict:  # fmt: skip
    """Rows of every dial's every value: label, scores over the seeds, and the float baseline.

    Accuracies are in [0, 1], on validation samples.
    """
    seeds = list(seeds)
    if not seeds:
        raise SpecError("seeds must name at least one seed, not none")
    latents = validation(cil.extract(preset, bundle))
    orders = {seed: latents.shuffled(seed) for seed in seeds}

    def scores(method, variant: Preset) -> dict[str, list[float]]:
        results = [method(variant, bundle, orders[seed], seed) for seed in seeds]
        return {name: [r[name] for r in results] for name in SCORES}

    rows = [{"dial": "float Adam", "value": "", **scores(cil.floating, preset)}]
    with progress.task("dials", sum(map(len, chosen.values()))) as task:
        for dial, values in chosen.items():
            for value in values:
                task.advance(1, f"{dial} {value}")
                try:
                    target = dataclasses.replace(preset.target, **{dial: value})
                except SpecError:
                    continue
                variant = dataclasses.replace(preset, target=target)
                rows.append({"dial": dial, "value": value, **scores(cil.chip, variant)})
    return {"seeds": seeds, "validation_samples": len(latents.test), "rows": rows}


def markdown(result: dict) -> str:
    """The rows as a table, in percent: mean and sample standard deviation over the seeds."""
    lines = ["| dial | value | a_final | a_old | a_new |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        cells = [row["dial"], str(row["value"])]
        for name in SCORES:
            values = 100 * np.array(row[name])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.1f} ± {spread:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
