"""Metrics of class-incremental learning: pure functions of accuracy[after_task, on_task].

``accuracy`` is (tasks, tasks) float: entry [t, j] is the test accuracy on task j's classes after
task t was learned, predicting among all classes seen by then; task 0 is the base. Entries above the
diagonal, j > t, are ignored and may be NaN. ``counts`` is (tasks,): test samples of each task.
"""

import numpy as np

from xnoreplay.spec.errors import SpecError


def a_final(accuracy: np.ndarray, counts: np.ndarray) -> float:
    """Return the test accuracy on all classes after the last session: the fraction of all test samples."""
    return _share(accuracy[-1], counts)


def a_old(accuracy: np.ndarray, counts: np.ndarray) -> float:
    """Return the test accuracy after the last session on the classes of all tasks but the last."""
    _need_two(accuracy)
    return _share(accuracy[-1, :-1], counts[:-1])


def a_new(accuracy: np.ndarray, counts: np.ndarray) -> float:
    """Return the test accuracy after the last session on the classes of the last task."""
    return _share(accuracy[-1, -1:], counts[-1:])


def average_accuracy(accuracy: np.ndarray, counts: np.ndarray) -> float:
    """Return the mean over tasks t, base included, of the accuracy on all classes seen after task t.

    The "average incremental accuracy" of iCaRL, arXiv 1611.07725.
    """
    seen = range(1, len(accuracy) + 1)
    return float(np.mean([_share(accuracy[n - 1, :n], counts[:n]) for n in seen]))


def forgetting(accuracy: np.ndarray) -> float:
    """Return the mean over tasks j but the last of max_{j <= t < last} A[t, j] - A[last, j].

    Negative where the last session improved old tasks. Chaudhry et al., arXiv 1801.10112.
    """
    _need_two(accuracy)
    drops = [accuracy[j:-1, j].max() - accuracy[-1, j] for j in range(len(accuracy) - 1)]
    return float(np.mean(drops))


def backward_transfer(accuracy: np.ndarray) -> float:
    """Return the mean over tasks j but the last of A[last, j] - A[j, j]: the effect of later sessions on a task.

    Lopez-Paz and Ranzato, arXiv 1706.08840.
    """
    _need_two(accuracy)
    return float(np.mean(accuracy[-1, :-1] - np.diag(accuracy)[:-1]))


def task_accuracy(correct: np.ndarray, task: np.ndarray, tasks: int) -> np.ndarray:
    """Return one row of the matrix: (n,) bool and (n,) task of each test sample -> (tasks,) float.

    NaN for a task without samples.
    """
    counts = np.bincount(task, minlength=tasks)
    hits = np.bincount(task, weights=correct, minlength=tasks)
    return np.divide(hits, counts, out=np.full(tasks, np.nan), where=counts > 0)


def _share(row: np.ndarray, counts: np.ndarray) -> float:
    return float(np.dot(row, counts) / np.sum(counts))


def _need_two(accuracy: np.ndarray) -> None:
    if len(accuracy) < 2:
        raise SpecError(
            f"accuracy must have at least 2 tasks, the base and a session's, not {len(accuracy)}"
        )
