"""How a simulator's cost grows with its work: processor seconds over network size, lanes, minibatch, samples.

Work is in one-bit operations of the array's cells, which the simulator counts as the chip would
(`xnoreplay.flow.cost.estimate.cell_operations`). A cost is close to linear in the work where its exponent
is near 1, and where an operation costs alike from one end of a curve to the other.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from xnoreplay.flow.cost.estimate import cell_operations
from xnoreplay.flow.output import plots
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.records import own_folder
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.bits import pack_bytes, unpack_bytes
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

WIDTHS = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2))
OCTAVES = (-3, -2, -1, 0, 1, 2)  # of lanes and of the minibatch, around the preset's
SHARES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(1))
SIMULATORS = {
    "weight bits": ("functional", "fast", "step", "retraining"),
    "lanes": ("functional", "fast", "step", "retraining"),
    "minibatch": ("retraining",),
    "samples": ("functional", "fast", "retraining"),
}
"""What is measured along each dial."""
TITLES = {
    "functional": "inference, functional",
    "fast": "inference, fast mode",
    "step": "inference, stepping mode",
    "retraining": "retraining, fast mode",
}
COUNTS = {"functional": 1024, "fast": 32, "step": 4, "retraining": 2048}  # samples, at most
EPOCHS = 4
REPEATS = 3
FOLDER = "scaling"  # in a run folder
VARIES = 1.5  # ratio of most to least work from which an exponent says something


@dataclass(frozen=True)
class Point:
    """One measurement: value of the dial; work in cell operations; seconds of processor time."""

    value: float
    work: float
    seconds: float


@dataclass(frozen=True)
class Curve:
    """A simulator's cost along a dial."""

    dial: str
    simulator: str
    points: tuple[Point, ...]

    @property
    def by_work(self) -> float | None:
        """Exponent e of seconds = c work^e; None where the work is the same all along."""
        work = [p.work for p in self.points]
        return (
            slope(work, [p.seconds for p in self.points])
            if max(work) > VARIES * min(work)
            else None
        )

    @property
    def by_dial(self) -> float | None:
        """Exponent e of seconds = c value^e; None for a single value."""
        values = [p.value for p in self.points]
        return slope(values, [p.seconds for p in self.points]) if len(set(values)) > 1 else None

    @property
    def spread(self) -> float:
        """Cost of the dearest operation over that of the cheapest."""
        costs = [p.seconds / p.work for p in self.points]
        return max(costs) / min(costs)

    def plain(self) -> dict:
        """Return the curve as plain values by name."""
        points = [vars(p) for p in self.points]
        return {
            "dial": self.dial,
            "simulator": self.simulator,
            "points": points,
            "by_work": self.by_work,
            "by_dial": self.by_dial,
            "spread": self.spread,
        }


def slope(x: list[float], y: list[float]) -> float:
    """Return the exponent e of the power law y = c x^e that fits best, squares of logarithms counted.

    >>> round(slope([1, 2, 4], [3, 6, 12]), 9)
    1.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def widened(preset: Preset, factor: Fraction) -> Preset:
    """Return the preset with so many times the filters, latent and hidden bits.

    Raises
    ------
    SpecError
        Where that is no whole number, or no network of the target's.
    """
    net = preset.network
    wide = [w * factor for w in (*(c.filters for c in net.convs), net.latent, net.hidden)]
    if any(w.denominator > 1 for w in wide):
        raise SpecError(f"widths of {net.name} must stay whole, not {factor} of what they are")
    *filters, latent, hidden = map(int, wide)
    convs = tuple(
        presets.Conv(n, c.groups, c.pool, c.skip) for n, c in zip(filters, net.convs, strict=True)
    )
    return presets.vary(preset, "network", convs=convs, latent=latent, hidden=hidden)


def variants(preset: Preset, dial: str) -> Iterator[tuple[float, Preset, Fraction]]:
    """List (value, preset, share of the samples) along a dial; values that break a rule are left out."""
    if dial == "samples":
        yield from ((float(share), preset, share) for share in SHARES)
        return
    for step in WIDTHS if dial == "weight bits" else OCTAVES:
        try:
            if dial == "weight bits":
                other = widened(preset, Fraction(step))
                value = other.network.weight_bits
            else:
                name = {"lanes": "lanes", "minibatch": "batch"}[dial]
                value = int(getattr(preset.target, name) * Fraction(2) ** int(step))
                other = presets.vary(preset, "target", **{name: value})
            plans.compile(other.network, other.target)
        except SpecError:
            continue
        yield float(value), other, Fraction(1)


def fitting(images: np.ndarray, network: NetworkSpec) -> np.ndarray:
    """Return samples for a widened network: images as they are, packed latents (n, bytes) with their bits repeated."""
    if network.takes_images:
        return images
    bits = unpack_bytes(images, 8 * images.shape[1])
    return pack_bytes(bits[:, np.arange(network.latent) % bits.shape[1]])


@dataclass(frozen=True)
class Subject:
    """A preset to measure, its weights random, on samples: images, labels (n,) chip classes."""

    preset: Preset
    images: np.ndarray
    labels: np.ndarray

    @cached_property
    def plan(self) -> Plan:
        """The plan of the preset with few epochs."""
        target = presets.vary(self.preset, "target", epochs=EPOCHS).target
        return plans.compile(self.preset.network, target)

    def chip(self, mode: str = "fast"):
        """Make a chip that has seen every class."""
        from xnoreplay.sim.run import Simulator

        made = Simulator(self.plan, bundles.random(self.preset.network, 0), mode)
        made.arrive(self.preset.scenario.classes)
        return made

    @cached_property
    def inference(self) -> float:
        """Cell operations of one image, counted; no image takes more than another."""
        chip = self.chip()
        return self._operations(chip, lambda: chip.infer(self.images[0]))

    def measure(self, simulator: str, share: Fraction) -> tuple[int, float, float]:
        """Return samples, cell operations and seconds of the repeat whose operations were cheapest."""
        most = min(COUNTS[simulator], len(self.images))
        if simulator == "retraining":
            most = min(most, self.plan.replay.capacity)
        count = max(1, int(most * share))
        repeat = getattr(self, f"_{simulator}")(self.images[:count])
        repeat()
        found = []
        for _ in range(REPEATS):
            start = time.process_time()
            work = repeat()
            found.append((work, time.process_time() - start))
        return count, *min(found, key=lambda each: each[1] / each[0])

    def _functional(self, images: np.ndarray) -> Callable[[], float]:
        chip = self.chip()

        def repeat() -> float:
            chip.predict(images)
            return self.inference * len(images)

        return repeat

    def _fast(self, images: np.ndarray, mode: str = "fast") -> Callable[[], float]:
        chip = self.chip(mode)

        def repeat() -> float:
            for image in images:
                chip.infer(image)
            return self.inference * len(images)

        return repeat

    def _step(self, images: np.ndarray) -> Callable[[], float]:
        return self._fast(images, "step")

    def _retraining(self, images: np.ndarray) -> Callable[[], float]:
        chip = self.chip()
        chip.preload(chip.latents(images), self.labels[: len(images)])
        return lambda: self._operations(chip, chip.retrain)

    def _operations(self, chip, act: Callable) -> float:
        before = chip.counters
        act()
        return cell_operations(self.plan, {n: v - before[n] for n, v in chip.counters.items()})


def measure(preset: Preset, images: np.ndarray, labels: np.ndarray, progress: Progress) -> dict:
    """Measure every curve.

    Parameters
    ----------
    preset : Preset
        The design that the dials change.
    images, labels : ndarray
        (n, height, width, channels) uint8, (n,) chip classes, -1 of others; the first ones are used.
    progress : Progress
        Shows how far the curves are.

    Returns
    -------
    dict
        preset; machine; load, of the last minute, before; curves, as `Curve.plain` has them.

    Raises
    ------
    SpecError
        For a design with generative replay, which has no memory of samples to vary.
    """
    if preset.target.replay == "generative":
        raise SpecError(
            f"replay must be 'stored' for --scaling, which varies samples in the replay memory, not "
            f"{preset.target.replay!r}"
        )
    from xnoreplay.model.training.hardware import processor

    load = os.getloadavg()[0]
    known = labels >= 0
    images, labels = images[known][: max(COUNTS.values())], labels[known][: max(COUNTS.values())]
    along = {dial: list(variants(preset, dial)) for dial in SIMULATORS}
    points: dict[tuple[str, str], list[Point]] = {}
    length = sum(len(found) * len(SIMULATORS[dial]) for dial, found in along.items())
    with progress.task("scaling", length) as task:
        for dial, found in along.items():
            for value, other, share in found:
                subject = Subject(other, fitting(images, other.network), labels)
                for name in SIMULATORS[dial]:
                    count, *measured = subject.measure(name, share)
                    at = count if dial == "samples" else value
                    points.setdefault((dial, name), []).append(Point(at, *measured))
                    task.advance(1, f"{dial} {at:,.0f}, {TITLES[name]}")
    curves = [Curve(*key, tuple(of_curve)) for key, of_curve in points.items()]
    return {
        "preset": preset.name,
        "machine": processor(),
        "load": load,
        "curves": [curve.plain() for curve in curves],
    }


WROTE = files.json_with("preset", "machine", "load", "curves")
"""Whether a file is what `xnoreplay bench --scaling --json` writes of `run`."""


def markdown(result: dict) -> str:
    """Return the curves as a table, from the first to the last point of each."""
    titles = (
        "dial",
        "from, to",
        "simulator",
        "10^9 cell operations",
        "seconds",
        "exponent of the dial",
        "of the work",
        "dearest / cheapest operation",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for curve in result["curves"]:
        ends = curve["points"][0], curve["points"][-1]
        exponents = [
            "" if e is None else f"{round(e, 2) + 0.0:.2f}"
            for e in (curve["by_dial"], curve["by_work"])
        ]
        cells = [
            curve["dial"],
            _ends(p["value"] for p in ends),
            TITLES[curve["simulator"]],
            _ends(p["work"] / 1e9 for p in ends),
            _ends(p["seconds"] for p in ends),
            *exponents,
            f"{curve['spread']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{result['machine']}, load {result['load']:.1f} beforehand"])


def _ends(values) -> str:
    return ", ".join(f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values)


def picture(result: dict) -> plots.Picture:
    """Draw a panel for each dial: seconds by work, or by the dial where the work stays."""
    panels: dict = {}
    for curve in result["curves"]:
        work = curve["dial"] in ("weight bits", "samples")
        axis = "cell operations" if work else curve["dial"]
        x = [p["work" if work else "value"] for p in curve["points"]]
        lines = panels.setdefault((curve["dial"], axis), {})
        lines[TITLES[curve["simulator"]]] = x, [p["seconds"] for p in curve["points"]]
    return plots.powers(panels, "processor seconds")


def write(result: dict, folder: Path) -> None:
    """Write scaling.json, scaling.md, scaling.svg and scaling.pdf; the folder appears whole."""
    with own_folder(folder, FOLDER) as part:
        files.write_json(part / "scaling.json", result)
        (part / "scaling.md").write_text(markdown(result) + "\n", encoding="utf-8")
        picture(result).save(part / "scaling")
