"""What the pre-training minimises, part by part."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training.losses import ClassLoss, twins
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.spec import presets  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def parts(small):
    """Loss, latents (-1 and +1) and scaled pixels of a minibatch, for a recipe."""
    preset, dataset = small
    image = torch.from_numpy(dataset.images[:8])
    label = torch.arange(8) % 2
    network = FBNN(preset.network, np.array([2, 6, 10, 14], np.uint8), 2, seed=0)

    def evaluate(**dials):
        criterion = ClassLoss(np.ones(2))
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


def barlow_twins(za, zb, redundancy):
    """The loss as arXiv 2503.07107 writes it, loop by loop, with our 1 / n in the variances."""
    n, d = za.shape
    loss = 0.0
    for i in range(d):
        for j in range(d):
            a, b = za[:, i] - za[:, i].mean(), zb[:, j] - zb[:, j].mean()
            c = (a * b).mean() / np.sqrt(((a**2).mean() + 1 / n) * ((b**2).mean() + 1 / n))
            loss += (1 - c) ** 2 if i == j else redundancy * c**2
    return loss / d


def test_twins_are_the_paper_s_sum_over_correlations():
    rng = np.random.default_rng(0)
    za, zb = rng.choice([-1.0, 1.0], (2, 10, 6))
    zb[:, :3] = za[:, :3]
    za[:, 4] = 1  # a bit that is the same for every image
    for redundancy in (0.0, 5e-3, 1.0):
        got = twins(torch.tensor(za), torch.tensor(zb), redundancy).item()
        assert got == pytest.approx(barlow_twins(za, zb, redundancy))


def test_two_views_are_means_and_the_twins_term(small):
    preset, dataset = small
    network = FBNN(preset.network, np.array([2, 6, 10, 14], np.uint8), 2, seed=0)
    one, two = (torch.from_numpy(dataset.images[i : i + 8]) for i in (0, 8))
    label = torch.arange(8) % 2

    def loss(images, **dials):
        objective = Objective(network, ClassLoss(np.ones(2)), Recipe(**dials), dataset.max_pixel)
        return objective(images, label).item()

    za, zb = (network.features(network.thermometer(i)).detach().numpy() for i in (one, two))
    expected = (loss(one) + loss(two)) / 2 + 2 * barlow_twins(za, zb, 0.1)
    both = loss(torch.cat([one, two]), twins=2.0, redundancy=0.1)
    assert both == pytest.approx(expected, rel=1e-5)


def test_bfloat16_convolutions_give_the_very_latents(tiny, packaged):
    convs = [{"filters": 48}, {"filters": 64}, {"filters": 48}, {"filters": 64, "skip": True}]
    skipping = presets.from_dict({"preset": "tiny", "network": {"convs": convs, "latent": 64}})
    for preset, dataset, *_ in (tiny, packaged, (skipping, tiny[1])):
        levels = sum(preset.network.levels)
        network = FBNN(preset.network, np.arange(1, levels + 1, dtype=np.uint8), 5, seed=1)
        image = torch.from_numpy(dataset.images[:64])
        exact = network.features(network.thermometer(image).double())
        assert torch.equal(network.half_features(image), exact.float())
        assert 0.05 < (exact > 0).double().mean() < 0.95
