"""Class weights."""

import numpy as np
import pytest

from xnoreplay.model.network.float_rule import class_weights


def test_weights_are_inverse_to_frequency_and_of_mean_one():
    weights = class_weights(np.array([10, 20, 40]))
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights * [10, 20, 40], weights[0] * 10)


def test_absent_classes_neither_weigh_nor_count():
    np.testing.assert_allclose(class_weights(np.array([5, 0, 15])), [1.5, 0, 0.5])
