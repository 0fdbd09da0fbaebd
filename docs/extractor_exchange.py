"""Measures what becomes of a chip with generative replay whose feature extractor is exchanged for a newer one.

`python docs/extractor_exchange.py extractors/rpt-distilled-24.safetensors LATENTS` prints the table of
`docs/generative_replay.md`: from this extractor, whose LATENTS `xnoreplay latents` wrote, to the packaged one. With `--validation`
every fourth training image stands for the test images. With `--kept FILE` a run that was stopped goes on where it was.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.learning import ageing, cil, dials
from xnoreplay.flow.learning.ageing import Side
from xnoreplay.flow.output.quantities import percent
from xnoreplay.spec import presets
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import ScenarioSpec

SCORES = ("a_final", "a_old", "a_new")
BASE, SESSION = "base classes", "the session's classes"
LINES = (
    ("kept", ""),
    ("recomputed", ""),
    ("carried", BASE),
    ("carried", SESSION),
    ("carried, unrelated", BASE),
    ("unchanged", ""),
    ("discarded", ""),
)
"""What becomes of the means, and the images at hand by their classes.

Carried by a map of related extractors, or of others.
"""


def at_hand(scenario: ScenarioSpec, classes: np.ndarray, task: int, which: str) -> np.ndarray:
    """Which training images both extractors are run on: (n,) chip classes -> (n,) bool."""
    chosen = {BASE: range(scenario.base), SESSION: scenario.task_classes(task)}[which]
    return np.isin(classes, list(chosen))


def scored(
    preset: Preset, sides: list[Side], line: tuple[str, str], task: int, seed: int
) -> dict[str, float]:
    """Scores of one line of the table."""
    (way, *others), which = line[0].split(", "), line[1]
    old, new = (side.shuffled(seed) for side in sides)
    carry = None
    if way == "carried":
        chosen = at_hand(preset.scenario, old.latents.train_class, task, which)
        carry = ageing.fitted(old.latents.train[chosen], new.latents.train[chosen], not others)
    scores = ageing.learn(preset, old, new, seed, task, way, carry)
    return {name: scores[name] for name in SCORES}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("latents", type=Path)
    parser.add_argument("--preset", default="3mb")
    parser.add_argument(
        "--task", type=int, help="whose session is the first with the new extractor"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--kept", type=Path, help="file of measurements, to go on from")
    given = parser.parse_args()
    preset = presets.vary(
        presets.load(given.preset), "target", replay="generative", staging_capacity=0
    )
    task = given.task or preset.scenario.tasks
    sides = []
    for source, file in (
        (BundleSource("file", given.bundle), given.latents),
        (BundleSource.choose(preset), None),
    ):
        bundle = source.load(preset)
        latents = cil.extract(preset, bundle, file)
        sides.append(Side(bundle, dials.validation(latents) if given.validation else latents))
    done = {}
    if given.kept is not None and given.kept.exists():
        done = {json.dumps(k): v for k, v in map(json.loads, given.kept.read_text().splitlines())}
    runs: dict[tuple[str, str], list[dict]] = {line: [] for line in LINES}
    for seed in range(given.seeds):
        for line in LINES:
            key = [*line, task, seed, given.validation]
            if (run := done.get(json.dumps(key))) is None:
                run = scored(preset, sides, line, task, seed)
                if given.kept is not None:
                    with open(given.kept, "a", encoding="utf-8") as file:
                        file.write(json.dumps([key, run]) + "\n")
            runs[line].append(run)
    print("| means of later classes | images at hand | a_final | a_old | a_new |")
    print("|---|---|---|---|---|")
    for (way, which), found in runs.items():
        cells = [percent([run[name] for run in found]) for name in SCORES]
        print(f"| {way} | {which or '–'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
