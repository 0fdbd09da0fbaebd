"""What the pre-training minimises, part by part."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.losses import WeightedCCE  # noqa: E402
from xnoreplay.model.network import FBNN  # noqa: E402
from xnoreplay.model.objective import Objective  # noqa: E402
from xnoreplay.model.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def parts(small):
    """Loss, latents (-1 and +1) and scaled pixels of a minibatch, for a recipe."""
    preset, dataset = small
    image = torch.from_numpy(dataset.images[:8])
    label = torch.arange(8) % 2
    network = FBNN(preset.network, np.array([2, 6, 10, 14], np.uint8), 2, seed=0)

    def evaluate(**dials):
        criterion = WeightedCCE(np.ones(2))
        objective = Objective(network, criterion, Recipe(**dials), dataset.max_pixel)
        latent = network.features(network.thermometer(image))
        return objective(image, label).item(), latent, image.flatten(1) / 8 - 1

    return evaluate


def test_activation_adds_the_squared_batch_mean_of_each_bit(parts):
    plain, latent, _ = parts()
    regularised, _, _ = parts(activation=3.0)
    expected = 3 * latent.mean(0).square().mean().item()
    assert regularised - plain == pytest.approx(expected, abs=1e-5)


def test_a_decoder_that_knows_nothing_costs_the_pixels_mean_square(parts):
    plain, _, pixels = parts()
    painted, _, _ = parts(reconstruction=2.0)
    assert painted - plain == pytest.approx(2 * pixels.square().mean().item(), abs=1e-5)
