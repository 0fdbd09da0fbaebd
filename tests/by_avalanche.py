"""Scores of a prediction file, computed by the metrics of avalanche-lib and held to ours.

    pip install avalanche-lib==0.6.0 torchvision
    python tests/by_avalanche.py runs/3mb/cil/predictions.safetensors

pytest does not collect it, since the project does not need that library. Exit code 1 where they differ.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from avalanche.evaluation.metrics import BWT, Accuracy, Forgetting

from xnoreplay.flow.learning import predictions

LARGEST = 1e-12
"""Both add and divide in double precision, in another order."""


def accuracy(predicted: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> float:
    """Of the chosen samples, by avalanche; all (n,)."""
    metric = Accuracy()
    metric.update(torch.from_numpy(predicted[chosen]), torch.from_numpy(labels[chosen]))
    return metric.result()


def scores(labels: np.ndarray, task: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Its own of labels, task (n,) and predicted (tasks, n).

    Its forgetting takes the accuracy that a task began with for the best it had.
    """
    last = len(predicted) - 1
    transfer, forgetting = BWT(), Forgetting()
    for j in range(last):
        first, final = (accuracy(predicted[t], labels, task == j) for t in (j, last))
        for metric in (transfer, forgetting):
            metric.update(j, first, initial=True)
            metric.update(j, final)
    seen = [accuracy(row, labels, task <= t) for t, row in enumerate(predicted)]
    return {
        "a_final": seen[-1],
        "a_old": accuracy(predicted[last], labels, task < last),
        "a_new": accuracy(predicted[last], labels, task == last),
        "average": float(np.mean(seen)),
        "backward_transfer": float(np.mean(list(transfer.result().values()))),
        "forgetting from the start": float(np.mean(list(forgetting.result().values()))),
    }


def main(path: str) -> int:
    labels, task, methods, _ = predictions.read(Path(path))
    differ = 0
    for method, predicted in methods.items():
        ours = predictions.score(labels, task, predicted)
        ours["forgetting from the start"] = -ours["backward_transfer"]
        for name, theirs in scores(labels, task, predicted).items():
            apart = abs(theirs - ours[name])
            differ += apart > LARGEST
            print(f"{method:20} {name:26} {theirs:.6f} {ours[name]:.6f} {apart:.0e}")
    print(f"{len(methods)} runs, {differ} scores differ")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
