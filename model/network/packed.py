"""All convolutions of a network as one differentiable function: popcounts, and bfloat16 gradients.

Forward it is exact. Backward, PyTorch's convolutions run in bfloat16 on maps expanded from the bits.
The layers' scales are positive constants, so they multiply the gradients once, at the end.
"""

import functools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.network import packed_kernels
from xnoreplay.model.network.packed_kernels import WORD
from xnoreplay.spec.machine import cores
from xnoreplay.spec.network import TAPS, NetworkSpec


def fits(net: NetworkSpec) -> bool:
    """Tell whether the kernels take a network: groups of whole words."""
    channels = [net.maps[i].channels // c.groups for i, c in enumerate(net.convs)]
    members = [c.filters // c.groups for c in net.convs]
    return all(n % WORD == 0 for n in channels + members)


def convolutions(
    net: NetworkSpec, thresholds: Tensor, image: Tensor, proxies: list[Tensor]
) -> Tensor:
    """Compute all convolutions of a network for images.

    Images (n, h, w, channels) uint8 -> the last map (n, channels, h', w') of -1 and +1, float32.

    The result is that of `Thermometer` and the `BinaryConv` of `xnoreplay.model.network.layers`; gradients by every
    proxy are theirs to the precision of bfloat16.
    """
    return _Convolutions.apply(net, thresholds, image, *proxies)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores())


def _share(count: int, work) -> None:
    """Call work(slice) on all cores, the slices covering `count` images."""
    pieces = min(count, torch.get_num_threads())
    cuts = [count * i // pieces for i in range(pieces + 1)]
    list(_pool().map(work, [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]))


def _maps(net: NetworkSpec, count: int) -> list[np.ndarray]:
    """Make empty maps of bits: their edges hold the pad bit."""
    groups = [*(c.groups for c in net.convs), 1]
    fill = np.uint64(0xFFFF_FFFF_FFFF_FFFF if net.pad_bit else 0)
    return [
        np.full((count, g, m.height + 2, m.width + 2, m.channels // g // WORD), fill)
        for g, m in zip(groups, net.maps, strict=True)
    ]


def _words(proxy: Tensor, groups: int) -> np.ndarray:
    """Pack (filters, channels, 3, 3) proxies into (groups, words, 9, filters of a group) uint64."""
    bits = (proxy.detach() >= 0).numpy()
    filters, channels = bits.shape[:2]
    rows = bits.reshape(groups, filters // groups, channels, TAPS).transpose(0, 3, 1, 2)
    packed = np.packbits(rows, axis=3, bitorder="little").view(np.uint64)
    return np.ascontiguousarray(packed.transpose(0, 3, 1, 2))


def _bfloat16(shape: tuple[int, ...]) -> tuple[Tensor, np.ndarray]:
    """Make a (n, h, w, channels) array: as a tensor (n, channels, h, w), and its patterns."""
    patterns = np.empty(shape, np.uint16)
    tensor = torch.from_numpy(patterns.view(np.int16)).view(torch.bfloat16)
    return tensor.permute(0, 3, 1, 2), patterns


def _patterns(x: Tensor) -> np.ndarray:
    """Return a bfloat16 tensor (n, channels, h, w) as its patterns (n, h, w, channels) uint16."""
    return x.permute(0, 2, 3, 1).contiguous().view(torch.int16).numpy().view(np.uint16)


class _Convolutions(torch.autograd.Function):
    @staticmethod
    def forward(ctx, net: NetworkSpec, thresholds: Tensor, image: Tensor, *proxies: Tensor):
        count, images = len(image), np.ascontiguousarray(image.numpy())
        maps = _maps(net, count)
        codes = [np.empty((count, m.height, m.width, m.channels), np.int8) for m in net.maps[1:]]
        words = [_words(p, c.groups) for p, c in zip(proxies, net.convs, strict=True)]
        channel = np.repeat(np.arange(net.image_channels), net.levels)
        last, patterns = _bfloat16((count, *codes[-1].shape[1:]))

        def work(part: slice) -> None:
            first = maps[0][part]
            packed_kernels.thermometer(images[part], channel, thresholds.numpy(), first)
            for i, c in enumerate(net.convs):
                limit = math.isqrt(net.conv_variance(i))
                args = maps[i][part], words[i], 2 if c.pool else 1, limit
                earlier, half = maps[max(0, i - 1)][part], net.skip_weight(i) // 2
                packed_kernels.forward(*args, earlier, half, maps[i + 1][part], codes[i][part])
            packed_kernels.expand(maps[-1][part], 1, patterns[part])

        _share(count, work)
        ctx.net, ctx.maps, ctx.codes, ctx.proxies = net, maps, codes, proxies
        return last.float()

    @staticmethod
    def backward(ctx, grad: Tensor):
        net, scale, gradients = ctx.net, 1.0, []
        top, edge = _patterns(grad.bfloat16()), 0
        skipped = None  # gradient by a map that comes from the convolution after its own
        for i, c in reversed(list(enumerate(net.convs))):
            m, step = net.maps[i], 2 if c.pool else 1
            x, x_patterns = _bfloat16((len(grad), m.height + 2, m.width + 2, m.channels))
            g, g_patterns = _bfloat16((len(grad), m.height, m.width, c.filters))

            def work(part: slice, i=i, step=step, top=top, edge=edge, x=x_patterns, g=g_patterns):
                packed_kernels.expand(ctx.maps[i][part], 0, x[part])
                packed_kernels.spread(top[part], edge, ctx.codes[i][part], step, g[part])

            _share(len(grad), work)
            weight = torch.where(ctx.proxies[i].detach() >= 0, 1.0, -1.0).bfloat16()
            by_x, by_weight, _ = torch.ops.aten.convolution_backward(
                g,
                x,
                weight.to(memory_format=torch.channels_last),
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                c.groups,
                [i > 0, True, False],
            )
            deviation = math.sqrt(net.conv_variance(i))
            scale /= deviation
            gradients.append(by_weight.float() * scale)
            if i:
                if skipped is not None:  # by_x has yet to be divided by this deviation
                    by_x[:, :, 1:-1, 1:-1] += skipped * deviation
                top, edge = _patterns(by_x), 1
            skipped = g * net.skip_weight(i) if c.skip else None
        return None, None, None, *reversed(gradients)
