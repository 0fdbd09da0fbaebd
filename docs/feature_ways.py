"""Measures the ways to binarise features: `python docs/feature_ways.py x.npz --latent 256 --hidden 64 --kept x.jsonl`.

Prints rows like those of the table of `docs/features.md`, for vectors of your own, or of several sets; test samples are not
looked at. With `--kept` each measurement is written down when it is there, and a run that was stopped goes on where it was. The
table itself is of `speakers.npz digits.npz letter.npz texture.npz`, which `docs/task_speakers.md` and `docs/feature_sets.py`
make. Needs scikit-learn.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import binarise, proposal, vectors
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.datasets.splits import split
from xnoreplay.flow.learning import cil
from xnoreplay.model import latent_classifier
from xnoreplay.spec import features, presets
from xnoreplay.spec.bits import signed, unpack_bytes
from xnoreplay.spec.features import METHODS, Binariser, FeatureSpec
from xnoreplay.spec.presets import Preset

ITQ = "PCA and ITQ"
TURNS = 30


def trained(x: np.ndarray, classes: np.ndarray, way: str, latent: int) -> Binariser:
    """The binarisation of a way: (n, d) float64, (n,)."""
    return itq(x, latent) if way == ITQ else binarise.train(x, classes, FeatureSpec(way), latent)


def itq(x: np.ndarray, latent: int) -> Binariser:
    """Iterative quantisation (Gong and Lazebnik, CVPR 2011) on principal components, of up to 256 features.

    Where the bits are more than the features, further rotations are trained, and their thresholds drawn from the middle.
    """
    exponent, offset = binarise.scales(x)
    q = features.quantised(x, exponent, offset).astype(float)
    rng, spread = np.random.default_rng(0), np.maximum(q.std(axis=0), 1)
    z = (q - q.mean(axis=0)) / spread
    _, size, axes = np.linalg.svd(z, full_matrices=False)
    axes = axes[: min(latent, int((size > 1e-6 * size[0]).sum()))]
    y, rows = z @ axes.T, []
    while len(rows) < latent:
        turn = np.linalg.qr(rng.standard_normal((len(axes), len(axes))))[0]
        for _ in range(TURNS):
            u, _, v = np.linalg.svd(np.where(y @ turn >= 0, 1, -1).T @ y)
            turn = (u @ v).T
        rows += list(turn.T @ axes / spread)
    weight = np.array(rows[:latent])
    weight = np.round(127 * weight / np.abs(weight).max(axis=1, keepdims=True))
    part = np.where(np.arange(latent) < len(axes), 0.5, rng.uniform(0.2, 0.8, latent))
    sums = np.sort(q @ weight.T, axis=0)
    threshold = sums[(part * len(q)).astype(int), np.arange(latent)]
    tap = np.tile(np.arange(x.shape[1], dtype=np.uint16), (latent, 1))
    return Binariser(exponent, offset, tap, weight.astype(np.int8), threshold.astype(np.int32))


def shares(preset: Preset, x: np.ndarray, y: np.ndarray, way: str, seed: int) -> list[float]:
    """Accuracies of one seed: float on features, float on bits, chip all at once, chip after the last session."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    order = np.random.default_rng(100 + seed).permutation(len(y))
    x, y = x[order], y[order]
    test, classes = split(y), preset.network.classes
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    float_features = plain.fit(x[~test], y[~test]).score(x[test], y[test])
    every = presets.vary(preset, "scenario", base=classes, step=1, order_seed=seed)
    some = presets.vary(preset, "scenario", order_seed=seed)
    found = []
    for chosen in (every, some):
        scenario = chosen.scenario
        chip = scenario.chip_classes(y)
        base = ~test & (chip < scenario.base)
        rule = trained(x[base], chip[base], way, chosen.network.latent)
        data = Dataset(scenario.dataset, rule.packed(x), y, test, binariser=rule)
        with tempfile.TemporaryDirectory() as folder:
            path = latent_classifier.pretrain(chosen, data, Path(folder), seed=seed)
            bundle = latent_classifier.export_bundle(chosen, data, path, rule)
        bits = unpack_bytes(data.images, rule.latent)
        if chosen is every:
            z = signed(bits)
            model = LogisticRegression(max_iter=300, C=0.05).fit(z[~test], y[~test])
            learner = cil.power_on(chosen.target, bundle, 0)
            learner.arrive(classes)
            right = (learner.predict(bits[test]) == chip[test]).mean()
            found += [model.score(z[test], y[test]), float(right)]
        else:
            latents = cil.Latents(bits[~test], chip[~test], bits[test], chip[test])
            found.append(cil.chip(chosen, bundle, latents.shuffled(seed), seed)["a_final"])
    return [float_features, *found]


def measured(path: Path, latent: int, hidden: int, seeds: int, kept: Path | None) -> None:
    """Print a row a way of one set, with what is written down in `kept`, where that has it."""
    found = vectors.listing(path)
    preset = proposal.propose_for_features(found, str(path.absolute()), "it").preset
    network = dataclasses.replace(preset.network, latent=latent, hidden=hidden)
    preset = dataclasses.replace(preset, network=network)
    x = np.concatenate([np.asarray(block, np.float64) for block in found.blocks()])
    x, y = x[~found.is_test], found.labels[~found.is_test]
    done = {}
    if kept is not None and kept.exists():
        done = dict((json.dumps(k), v) for k, v in map(json.loads, kept.read_text().splitlines()))
    for way in (*METHODS, ITQ):
        rows = []
        for seed in range(seeds):
            key = [found.name, way, seed, latent, hidden]
            if (row := done.get(json.dumps(key))) is None:
                row = shares(preset, x, y, way, seed)
                if kept is not None:
                    with open(kept, "a", encoding="utf-8") as file:
                        file.write(json.dumps([key, row]) + "\n")
            rows.append(row)
        means, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=min(1, seeds - 1))
        cells = [f"{100 * m:.1f} ± {100 * s:.1f}" for m, s in zip(means, spread, strict=True)]
        what = f"{found.name}, {found.features:,} features, {len(found.classes):,} classes"
        print(f"| {what} | `{way}` | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a row a way and set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kept", type=Path, help="file of measurements, to go on from")
    given = parser.parse_args()
    for path in given.paths:
        measured(path, given.latent, given.hidden, given.seeds, given.kept)


if __name__ == "__main__":
    main()
