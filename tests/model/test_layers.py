"""Binarisation and layers, against values worked out by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model.network import layers
from xnoreplay.model.network.binarize import bits, sign, sign_of_sums
from xnoreplay.model.network.float_rule import INIT
from xnoreplay.model.training import losses

pytestmark = pytest.mark.torch


def generator():
    return torch.Generator().manual_seed(0)


def test_sign_of_zero_is_plus_one():
    assert sign(torch.tensor([-2.0, -0.0, 0.0, 3.0])).tolist() == [-1, 1, 1, 1]
    assert bits(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]


def test_ste_passes_gradient_up_to_one_inclusive():
    above = np.nextafter(np.float32(1), np.float32(2))
    x = torch.tensor([-above, -1.0, 0.0, 1.0, above], requires_grad=True)
    (sign(x) * torch.arange(1.0, 6.0)).sum().backward()
    assert x.grad.tolist() == [0, 2, 3, 4, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("variance", "most"), [(9, 3), (10, 3), (576, 24), (1152, 33), (4160, 64), (25600, 160)]
)
def test_sums_of_any_type_pass_gradient_up_to_their_deviation(dtype, variance, most):
    """34, over the root of 1152, is 1 in bfloat16."""
    x = torch.arange(-200, 201).to(dtype).requires_grad_()
    y = sign_of_sums(x, variance)
    y.sum().backward()
    assert torch.equal(y, torch.where(x >= 0, 1.0, -1.0).to(dtype))
    scale = torch.tensor(1 / variance**0.5).to(dtype)
    assert torch.equal(x.grad, torch.where(x.abs() <= most, scale, torch.zeros_like(scale)))


def test_proxies_start_small():
    proxy = layers.proxies(1000, generator=generator())
    assert 0.09 < proxy.abs().max() <= INIT


def test_thermometer_is_inclusive_and_keeps_channel_order():
    thermometer = layers.Thermometer((2, 1, 1), torch.tensor([4, 9, 7, 0], dtype=torch.uint8))
    image = torch.tensor([[[[4, 6, 0]]]], dtype=torch.uint8)  # one pixel, three channels
    assert thermometer(image).flatten().tolist() == [1, -1, -1, 1]


@pytest.mark.parametrize("pad_bit", [0, 1])
def test_conv_pads_with_its_bit(pad_bit):
    conv = layers.BinaryConv(1, 1, 1, False, pad_bit, generator())
    with torch.no_grad():
        conv.weight.fill_(0.05)
    # a corner sees 4 pixels of -1 and 5 of padding
    out = conv(-torch.ones(1, 1, 4, 4))
    assert out[0, 0, 0, 0] == (1 if pad_bit else -1)
    assert out[0, 0, 1, 1] == -1


def test_groups_do_not_see_each_other():
    conv = layers.BinaryConv(4, 6, 2, False, 0, generator())
    x = sign(torch.randn(1, 4, 4, 4, generator=generator()))
    y = x.clone()
    y[:, 2:] *= -1
    assert torch.equal(conv(x)[:, :3], conv(y)[:, :3])
    assert not torch.equal(conv(x)[:, 3:], conv(y)[:, 3:])


def test_pooling_before_the_sign_is_or_after_it():
    pooled = layers.BinaryConv(3, 5, 1, True, 1, generator())
    plain = layers.BinaryConv(3, 5, 1, False, 1, generator())
    x = sign(torch.randn(2, 3, 4, 6, generator=generator()))
    assert torch.equal(pooled(x), torch.nn.functional.max_pool2d(plain(x), 2))


def test_the_scale_is_the_inverse_root_of_the_fan_in():
    assert layers.BinaryConv(8, 4, 2, False, 0, generator()).variance == 36
    assert layers.BinaryDense(16, 2, generator()).scale == 1 / 4
    # a skip of weight 8 adds 64 to the variance of a fan-in of 36
    assert layers.BinaryConv(8, 4, 2, False, 0, generator(), 8).variance == 100


def test_a_skip_shifts_the_sums_by_its_weight_and_passes_gradient():
    conv = layers.BinaryConv(4, 2, 1, False, 0, generator(), skip=8)
    x = sign(torch.randn(1, 4, 3, 3, generator=generator()))
    earlier = sign(torch.randn(1, 2, 3, 3, generator=generator())).requires_grad_()
    weight = sign(conv.weight)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), value=-1.0)
    sums = torch.nn.functional.conv2d(padded, weight) + 8 * earlier
    out = conv(x, earlier)
    assert torch.equal(out, torch.where(sums >= 0, 1.0, -1.0))
    out.sum().backward()
    passes = sums.abs() <= 10  # of deviation sqrt(36 + 64)
    assert 0 < passes.sum() < passes.numel()
    assert torch.allclose(earlier.grad, torch.where(passes, 8 / 10, 0.0))


def test_lgap_puts_the_average_first():
    lgap = layers.LGAP(2, 2, 2, generator())
    with torch.no_grad():
        lgap.weight.copy_(torch.tensor([[[0.1, 0.1], [0.1, 0.1]], [[0.1, -0.1], [-0.1, -0.1]]]))
    x = torch.ones(1, 2, 2, 2)
    x[0, 0, 0] = -1  # mean 0, whose sign is +1
    assert lgap(x).tolist() == [[1, 1, 1, -1]]


def test_dense_skip_adds_both_copies_over_latent_then_hidden():
    skip = layers.DenseSkip(3, 2, 1, generator())
    with torch.no_grad():
        skip.hidden.weight.copy_(torch.tensor([[0.1, 0.1, 0.1], [-0.1, -0.1, -0.1]]))
        skip.output.copy_(
            torch.tensor([[[0.1, 0.1, -0.1, 0.1, 0.1], [0.1, -0.1, -0.1, 0.1, -0.1]]])
        )
    hidden, sums = skip(torch.tensor([[1.0, 1.0, -1.0]]))
    assert hidden.tolist() == [[1, -1]]
    assert sums.tolist() == [[2 + 0 + 2 + 2 + 0]]


def test_copies_of_a_pair_share_their_gradient():
    skip = layers.DenseSkip(6, 4, 3, generator())
    _, sums = skip(sign(torch.randn(5, 6, generator=generator())))
    sums.square().sum().backward()
    assert skip.output.grad.abs().sum() > 0
    assert torch.equal(skip.output.grad[:, 0], skip.output.grad[:, 1])


def test_weighted_loss_weighs_each_sample_by_its_class():
    loss = losses.ClassLoss(np.array([0.5, 1.5]))
    logits = torch.zeros(2, 2)
    assert loss(logits, torch.tensor([0, 0])).item() == pytest.approx(0.5 * np.log(2))
    assert loss(logits, torch.tensor([0, 1])).item() == pytest.approx(1.0 * np.log(2))
