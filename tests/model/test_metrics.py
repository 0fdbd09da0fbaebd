"""Metrics, against values worked out by hand."""

import numpy as np
import pytest

from xnoreplay.model import metrics
from xnoreplay.spec.errors import SpecError

NAN = float("nan")
ACCURACY = np.array(
    [
        [0.90, NAN, NAN],
        [0.80, 0.60, NAN],
        [0.70, 0.70, 0.50],
    ]
)
COUNTS = np.array([20, 10, 10])


def test_a_final_weighs_tasks_by_their_samples():
    assert metrics.a_final(ACCURACY, COUNTS) == pytest.approx((14 + 7 + 5) / 40)


def test_a_old_and_a_new_split_at_the_last_task():
    assert metrics.a_old(ACCURACY, COUNTS) == pytest.approx((14 + 7) / 30)
    assert metrics.a_new(ACCURACY, COUNTS) == pytest.approx(0.5)


def test_average_accuracy_is_over_all_sessions():
    expected = (0.9 + (16 + 6) / 30 + 26 / 40) / 3
    assert metrics.average_accuracy(ACCURACY, COUNTS) == pytest.approx(expected)


def test_forgetting_counts_from_the_best_session():
    # task 0: best 0.9, now 0.7; task 1: best before the last session 0.6, now 0.7
    assert metrics.forgetting(ACCURACY) == pytest.approx((0.2 - 0.1) / 2)


def test_backward_transfer_compares_with_the_task_s_own_session():
    assert metrics.backward_transfer(ACCURACY) == pytest.approx(((0.7 - 0.9) + (0.7 - 0.6)) / 2)


def test_one_task_has_no_old_classes():
    message = "at least 2 tasks, the base and a session's, not 1"
    with pytest.raises(SpecError, match=message):
        metrics.forgetting(np.array([[0.9]]))
    with pytest.raises(SpecError, match=message):
        metrics.a_old(np.array([[0.9]]), np.array([5]))


def test_task_accuracy_is_a_row_of_the_matrix():
    correct = np.array([True, False, True, True])
    row = metrics.task_accuracy(correct, np.array([0, 0, 1, 1]), tasks=3)
    np.testing.assert_array_equal(row, [0.5, 1.0, NAN])


def test_metrics_change_nothing():
    before = ACCURACY.copy()
    metrics.average_accuracy(ACCURACY, COUNTS)
    metrics.forgetting(ACCURACY)
    np.testing.assert_array_equal(ACCURACY, before)
