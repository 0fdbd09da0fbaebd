"""Random bundles: thresholds lie where pixels do."""

import numpy as np
import pytest

from xnoreplay.flow.datasets import registry as data
from xnoreplay.spec import bundle, presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.scenario import ScenarioSpec

TINY = presets.load("tiny")


@pytest.mark.parametrize("most", [1, 2, 16, 255])
@pytest.mark.parametrize("levels", [1, 4, 16, 255])
def test_thresholds_of_random_bundles_lie_within_the_pixels(levels, most):
    net = NetworkSpec("n", 4, 4, "ycbcr", (levels, 1, 2), TINY.network.convs[:1], 3, 2, 2)
    first, *_ = np.split(bundle.random(net, 3, most).thresholds.astype(int), [levels, levels + 1])
    assert first.min() >= 1
    assert first.max() <= most
    assert (np.diff(first) >= 0).all()
    if levels < most:
        assert first.max() < most
    if levels <= most:
        assert len(set(first.tolist())) == levels


def test_a_random_bundle_needs_a_range():
    with pytest.raises(SpecError, match="max_pixel must be an integer from 1 to 255, not 0"):
        bundle.random(TINY.network, 0, 0)


def test_the_data_set_says_how_great_a_pixel_is():
    digits = data.load("digits")
    assert digits.images.max() == digits.max_pixel == TINY.scenario.max_pixel == 16
    assert presets.load("3mb").scenario.max_pixel == 255
    assert ScenarioSpec("random", 4, 2, 1).max_pixel == 255
