"""Predictions of every test sample after every session as one file, from which each score follows.

A safetensors file, so that another library can compute its own metrics from it: `label` (n,) and
`task` (n,), and for each method and seed "METHOD/SEED" (tasks, n), all uint16. Row t holds what the
classifier predicts after task t, among the classes seen by then; task 0 is the base. Labels are chip
classes, numbered by arrival.
"""

import json
from pathlib import Path

import numpy as np

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import reading
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import XnoreplayError, shown, told
from xnoreplay.spec.presets import Preset

FORMAT = "xnoreplay-predictions-1"


def write(
    path: Path, labels: np.ndarray, task: np.ndarray, predicted: dict[str, np.ndarray], about: dict
) -> None:
    """Write a prediction file, whole or not at all.

    Parameters
    ----------
    path : Path
        Of the file.
    labels, task : ndarray
        (n,) chip class of each test sample, and the task that it belongs to.
    predicted : dict of ndarray
        (tasks, n) of each "METHOD/SEED".
    about : dict
        Plain values that describe the run.
    """
    tensors = {"label": labels, "task": task, **predicted}
    metadata = {"format": FORMAT, "about": json.dumps(about, sort_keys=True)}
    bundles.write_tensors(
        Path(path), {n: np.ascontiguousarray(a, np.uint16) for n, a in tensors.items()}, metadata
    )


def read(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], dict]:
    """Read a prediction file.

    Raises
    ------
    XnoreplayError
        For a file that is missing, damaged or of another kind.
    """
    stored, metadata = bundles.read_tensors(path, "prediction file", FORMAT)
    tensors = {name: a.astype(np.int64) for name, a in stored.items()}
    try:
        labels, task, about = (
            tensors.pop("label"),
            tensors.pop("task"),
            reading.json_of(metadata["about"], "field 'about'"),
        )
    except (KeyError, ValueError) as error:
        raise XnoreplayError(
            f"prediction file {path} must have tensors 'label' and 'task' and a field 'about', but: {told(error)}"
        ) from None
    for name, rows in {"task": task[None], **tensors}.items():
        if labels.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(labels):
            raise XnoreplayError(
                f"prediction file {path}: tensor {shown(name)} must have a value for each label, but is of "
                f"shape {rows.shape} beside labels of shape {labels.shape}"
            )
    return labels, task, tensors, about


def dump(
    path: Path, preset: Preset, bundle: Bundle, labels: np.ndarray, predicted: dict[str, np.ndarray]
) -> None:
    """Write the predictions of a scenario's test samples, whose chip classes are `labels` (n,)."""
    about = {
        "preset": preset.name,
        "dataset": preset.scenario.dataset,
        "class_order": preset.scenario.order.tolist(),
        "class_names": preset.scenario.names,
        "bundle": bundles.digest(bundle),
    }
    write(path, labels, preset.scenario.task_of[labels], predicted, about)


def score(labels: np.ndarray, task: np.ndarray, predicted: np.ndarray) -> dict:
    """Return accuracy matrix and scores from labels and tasks (n,) of test samples, and predictions (tasks, n)."""
    from xnoreplay.model import metrics

    count = len(predicted)
    counts = np.bincount(task, minlength=count)
    matrix = np.stack([metrics.task_accuracy(row == labels, task, count) for row in predicted])
    matrix[np.triu_indices(count, 1)] = np.nan
    return {
        "matrix": [[None if np.isnan(v) else float(v) for v in row] for row in matrix],
        "a_final": metrics.a_final(matrix, counts),
        "a_old": metrics.a_old(matrix, counts),
        "a_new": metrics.a_new(matrix, counts),
        "average": metrics.average_accuracy(matrix, counts),
        "forgetting": metrics.forgetting(matrix),
        "backward_transfer": metrics.backward_transfer(matrix),
    }
