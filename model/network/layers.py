"""The layers of an FBNN. Activations are -1 and +1 in a float tensor; maps are (n, c, h, w).

A layer's scale S = 1 / sqrt(fan-in) gives its sums unit variance at initialisation; being positive,
it moves no sign. It matters to training alone: the STE passes gradient where abs(S sum) <= 1.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnoreplay.model.network.binarize import sign, sign_of_sums
from xnoreplay.model.network.float_rule import INIT, PAIR_OFFSET
from xnoreplay.spec.network import COPIES, TAPS


def proxies(*shape: int, generator: torch.Generator) -> nn.Parameter:
    """Make real weights behind the binary ones, uniform in [-INIT, INIT]."""
    return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * INIT)


class Thermometer(nn.Module):
    """Pixels to thermometer bits: +1 where pixel >= threshold.

    Parameters
    ----------
    levels : tuple of int
        Bits of each image channel.
    thresholds : Tensor
        (sum(levels),) uint8, in the order of the channels.
    """

    thresholds: Tensor
    channel: Tensor  # of each threshold

    def __init__(self, levels: tuple[int, ...], thresholds: Tensor) -> None:
        super().__init__()
        self.register_buffer("thresholds", thresholds)
        channel = torch.arange(len(levels)).repeat_interleave(torch.tensor(levels))
        self.register_buffer("channel", channel, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(n, h, w, channels) uint8 -> (n, sum(levels), h, w)."""
        pixel = image.index_select(3, self.channel)  # (n, h, w, sum(levels))
        above = pixel >= self.thresholds
        return (above.to(torch.get_default_dtype()) * 2 - 1).permute(0, 3, 1, 2).contiguous()


class BinaryConv(nn.Module):
    """Grouped 3x3 binary convolution of the same size, optional 2x2 max-pooling, sign.

    Outside the map lies the pad bit, as -1 or +1. The maximum before the sign is the OR after it.
    A skip of weight k adds k times an earlier map to the sums, which its k^2 makes vary more.
    """

    def __init__(self, channels, filters, groups, pool, pad_bit, generator, skip=0) -> None:
        super().__init__()
        self.weight = proxies(filters, channels // groups, 3, 3, generator=generator)
        self.groups = groups
        self.pool = pool
        self.pad = 2.0 * pad_bit - 1.0
        self.skip = skip
        self.variance = TAPS * channels // groups + skip**2  # of its sums, where weights are random

    def forward(self, x: Tensor, earlier: Tensor | None = None) -> Tensor:
        """(n, channels, h, w) -> (n, filters, h, w), or half of h and w with pooling.

        earlier (n, filters, h, w) is what a skip adds.
        """
        weight = sign(self.weight).to(x.dtype)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), value=self.pad), weight, groups=self.groups)
        if self.skip:
            x = x + self.skip * earlier
        if self.pool:
            x = F.max_pool2d(x, 2)
        return sign_of_sums(x, self.variance)


class Convolutions(nn.Sequential):
    """Convolutions in a row; a skip's map is the input of the convolution before."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> the last one's map."""
        before = x
        for conv in self:
            before, x = x, conv(x, before)
        return x


class LGAP(nn.Module):
    """Learnable global average pooling: the sign of a map's mean, beside the sign of a depthwise kernel's sum."""

    def __init__(self, channels, height, width, generator) -> None:
        super().__init__()
        self.weight = proxies(channels, height, width, generator=generator)
        self.scale = 1 / math.sqrt(height * width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, 2 channels): average path first, then depthwise path."""
        average = x.mean(dim=(2, 3))
        depthwise = (x * sign(self.weight).to(x.dtype)).sum(dim=(2, 3)) * self.scale
        return sign(torch.cat([average, depthwise], dim=1))


class BinaryDense(nn.Module):
    """Binary dense layer and sign."""

    def __init__(self, inputs, outputs, generator) -> None:
        super().__init__()
        self.weight = proxies(outputs, inputs, generator=generator)
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        return sign(F.linear(x, sign(self.weight).to(x.dtype)) * self.scale)


class DenseSkip(nn.Module):
    """The classifier: one hidden layer, and an output layer that also sees the latent.

    Its input v = [latent, hidden] is duplicated: each input has two binary weights, which add to
    -2, 0 or +2. Both copies of a pair have the same gradient, so their proxies keep the distance
    they start with: u + PAIR_OFFSET and u - PAIR_OFFSET, u one real number a pair.
    """

    def __init__(self, latent, hidden, classes, generator) -> None:
        super().__init__()
        self.hidden = BinaryDense(latent, hidden, generator)
        pair = proxies(classes, 1, latent + hidden, generator=generator)
        offset = torch.tensor([PAIR_OFFSET, -PAIR_OFFSET]).reshape(COPIES, 1)
        self.output = nn.Parameter(pair.detach() + offset)  # (classes, COPIES, latent + hidden)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(n, latent) -> hidden (n, hidden), sums (n, classes) of integer value."""
        hidden = self.hidden(latent)
        v = torch.cat([latent, hidden], dim=1)
        weight = sign(self.output).sum(dim=1).to(v.dtype)  # (classes, latent + hidden)
        return hidden, F.linear(v, weight)
