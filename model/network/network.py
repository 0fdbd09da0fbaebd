"""The FBNN in PyTorch, built from a NetworkSpec."""

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from xnoreplay.model.network import packed
from xnoreplay.model.network.binarize import bits
from xnoreplay.model.network.float_rule import ALPHA_GAIN
from xnoreplay.model.network.layers import (
    LGAP,
    BinaryConv,
    BinaryDense,
    Convolutions,
    DenseSkip,
    Thermometer,
)
from xnoreplay.spec.bits import signed
from xnoreplay.spec.bundle import MASTER_BITS, Bundle
from xnoreplay.spec.network import NetworkSpec

CHUNK = 256  # images evaluated at a time


class Evaluation(NamedTuple):
    """The network's results for n images, in integers.

    Parameters
    ----------
    latent : ndarray
        (n, latent) uint8 bits.
    hidden : ndarray
        (n, hidden) uint8 bits.
    logits : ndarray
        (n, classes) int32.
    """

    latent: np.ndarray
    hidden: np.ndarray
    logits: np.ndarray


class FBNN(nn.Module):
    """A fully-binarised network.

    Parameters
    ----------
    net : NetworkSpec
    thresholds : ndarray
        (sum of levels,) uint8, of the thermometer.
    classes : int
        Rows of the output layer: the classes, and pseudo-classes of the training.
    seed : int
        Of the initial proxies.
    """

    def __init__(self, net: NetworkSpec, thresholds: np.ndarray, classes: int, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.net = net
        self.alpha = ALPHA_GAIN * net.alpha
        self.thermometer = Thermometer(net.levels, torch.from_numpy(np.array(thresholds)))
        self.convs = Convolutions(
            *(
                BinaryConv(
                    net.maps[i].channels,
                    c.filters,
                    c.groups,
                    c.pool,
                    net.pad_bit,
                    draw,
                    net.skip_weight(i),
                )
                for i, c in enumerate(net.convs)
            )
        )
        last = net.lgap_map
        self.lgap = LGAP(last.channels, last.height, last.width, draw)
        self.dense = BinaryDense(net.lgap_bits, net.latent, draw)
        self.classifier = DenseSkip(net.latent, net.hidden, classes, draw)

    def features(self, x: Tensor) -> Tensor:
        """Thermometer map (n, bits, h, w) -> latent (n, latent), of -1 and +1."""
        return self.dense(self.lgap(self.convs(x)))

    def packed_features(self, image: Tensor) -> Tensor:
        """Return the latent (n, latent) of images (n, h, w, channels) uint8, by packed bits.

        Only where `xnoreplay.model.network.packed` fits the network.
        """
        weights = [cast("Tensor", conv.weight) for conv in self.convs]
        maps = packed.convolutions(self.net, self.thermometer.thresholds, image, weights)
        return self.dense(self.lgap(maps))

    def half_features(self, image: Tensor) -> Tensor:
        """Return the latent (n, latent) of images, with convolutions in bfloat16, channels last.

        Their sums are of -1 and +1, added in single precision and then rounded to 8 bits: no sign
        changes, nor with a skip of weight below 256, since sums below 256 are not rounded at all. On a GPU
        that takes the settings of `xnoreplay.model.training.distributed.join`.
        """
        x = self.thermometer(image).to(torch.bfloat16, memory_format=torch.channels_last)
        return self.dense(self.lgap(self.convs(x).float()))

    def forward(self, image: Tensor) -> Tensor:
        """Image (n, h, w, channels) uint8 -> logits (n, classes): alpha times the integer sum."""
        _, sums = self.classifier(self.features(self.thermometer(image)))
        return sums * self.alpha

    def evaluate(self, images: np.ndarray) -> Evaluation:
        """Evaluate images, (n, h, w, channels) uint8, in exact integers.

        In double precision no convolution algorithm of PyTorch's trades exactness for speed, and
        sums of -1 and +1 stay far below 2^53. Packed features are of integers anyway; sums of their
        dense layers stay below 2^24, exact in single precision too.
        """
        parts, fast = [], packed.fits(self.net)
        with torch.no_grad():
            for start in range(0, max(1, len(images)), CHUNK):
                image = torch.from_numpy(np.ascontiguousarray(images[start : start + CHUNK]))
                if fast:
                    latent = self.packed_features(image)
                else:
                    latent = self.features(self.thermometer(image).double())
                hidden, sums = self.classifier(latent)
                parts.append((bits(latent), bits(hidden), sums.to(torch.int32)))
        return Evaluation(*(torch.cat(p).numpy() for p in zip(*parts, strict=True)))


def of_bundle(bundle: Bundle) -> FBNN:
    """Return the network of a bundle, with every row of its classifier: to evaluate it in PyTorch."""
    model = FBNN(bundle.network, bundle.thresholds, bundle.network.classes, seed=0)
    weights = {f"convs.{i}.weight": w.transpose(0, 3, 1, 2) for i, w in enumerate(bundle.conv)}
    weights |= {"lgap.weight": bundle.lgap, "dense.weight": bundle.dense}
    state = {name: torch.from_numpy(signed(w)) for name, w in weights.items()}
    master = 2.0 ** -(MASTER_BITS - 1)
    state["classifier.hidden.weight"] = torch.from_numpy(bundle.hidden * master)
    state["classifier.output"] = torch.from_numpy(bundle.output * master)
    state["thermometer.thresholds"] = torch.from_numpy(bundle.thresholds)
    model.load_state_dict(state)
    return model
