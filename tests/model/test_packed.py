"""Packed convolutions against PyTorch's: the same bits, and gradients to the precision of bfloat16."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.network import network, packed
from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.spec import presets  # noqa: E402
from xnoreplay.spec.network import Conv  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("two_threads")]

NET = dataclasses.replace(
    presets.load("3mb").network,
    height=8,
    width=8,
    convs=(Conv(128), Conv(128, pool=True), Conv(256, groups=2, pool=True), Conv(256, groups=4)),
    latent=64,
    hidden=8,
    classes=5,
)


RESIDUAL = dataclasses.replace(
    NET,
    levels=(64, 32, 32),
    convs=(
        Conv(64),
        Conv(128, skip=True),
        Conv(128, groups=2),
        Conv(128, pool=True, skip=True),
        Conv(256, groups=2),
        Conv(128, groups=2, skip=True),
        Conv(256, groups=2, skip=True),
    ),
)


def parts(pad_bit, seed=0, net=NET):
    net = dataclasses.replace(net, pad_bit=pad_bit)
    draws = np.random.default_rng(seed).integers(0, 256, net.thermometer_bits)
    thresholds = np.sort(draws).astype(np.uint8)
    model = FBNN(net, thresholds, net.classes, seed)
    draw = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (6, *net.image_shape), dtype=torch.uint8, generator=draw)
    return model, image


@pytest.mark.parametrize("net", [NET, RESIDUAL], ids=["plain", "residual"])
@pytest.mark.parametrize("pad_bit", [0, 1])
def test_forward_is_exact_and_gradients_agree(pad_bit, net):
    model, image = parts(pad_bit, net=net)
    weights = [c.weight for c in model.convs]
    with torch.no_grad():
        weights[0][0, 0, 0, 0] = 0.0  # sign(0) is +1
    ours = packed.convolutions(model.net, model.thermometer.thresholds, image, weights)
    theirs = model.convs(model.thermometer(image))
    half = model.convs(model.thermometer(image).bfloat16()).float()  # what a GPU computes
    assert torch.equal(ours, theirs)
    assert torch.equal(half, theirs)
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    found = [torch.autograd.grad(x, weights, grad) for x in (ours, half, theirs)]
    for a, h, b in zip(*found, strict=True):
        assert b.norm() > 0
        assert (a - b).norm() < 0.01 * b.norm()  # bfloat16 has 8 significant bits
        assert (h - b).norm() < 0.01 * b.norm()


def test_evaluation_takes_the_packed_way_to_the_same_integers(monkeypatch):
    model, image = parts(0)
    fast = model.evaluate(image.numpy())
    monkeypatch.setattr(network.packed, "fits", lambda _net: False)
    for a, b in zip(fast, model.evaluate(image.numpy()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_objective_is_the_same_both_ways():
    model, image = parts(0)
    label = torch.arange(6) % 5
    losses = [
        Objective(model, ClassLoss(np.ones(5)), Recipe(packed=way), 255)(image, label).item()
        for way in (False, True)
    ]
    assert losses[0] == losses[1]


def test_networks_of_broken_words_do_not_fit():
    assert packed.fits(NET)
    assert packed.fits(presets.load("3mb").network)
    assert packed.fits(presets.load("3mb-res").network)
    assert not packed.fits(presets.load("digits").network)
