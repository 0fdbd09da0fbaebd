"""What the pre-training minimises: the network, and the parts that only training needs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnoreplay.model import packed
from xnoreplay.model.losses import WeightedCCE
from xnoreplay.model.network import FBNN
from xnoreplay.model.recipe import Recipe


class Objective(nn.Module):
    """L = weighted CCE + activation mean_j (mean_b z_bj)^2 + reconstruction MSE(D z, pixels).

    z are the latents of a minibatch, of -1 and +1; D is a real linear decoder that learns beside
    the network and is then dropped; pixels are scaled to [-1, 1].

    Parameters
    ----------
    network : FBNN
    criterion : WeightedCCE
    recipe : Recipe
    max_pixel : int
        The greatest value a pixel may have.
    """

    def __init__(
        self, network: FBNN, criterion: WeightedCCE, recipe: Recipe, max_pixel: int
    ) -> None:
        super().__init__()
        self.network = network
        if recipe.reconstruction:
            pixels = math.prod(network.net.image_shape)
            self.decoder = nn.utils.skip_init(nn.Linear, network.net.latent, pixels)
            nn.init.zeros_(self.decoder.weight)
            nn.init.zeros_(self.decoder.bias)
        self.packed = recipe.packed and packed.fits(network.net)
        self.criterion = criterion
        self.recipe = recipe
        self.half_range = max_pixel / 2

    def forward(self, image: Tensor, classes: Tensor) -> Tensor:
        """(n, h, w, channels) uint8, (n,) int64 -> scalar loss."""
        network, recipe = self.network, self.recipe
        if self.packed:
            latent = network.packed_features(image)
        else:
            latent = network.features(network.thermometer(image))
        _, sums = network.classifier(latent)
        loss = self.criterion(sums * network.alpha, classes)
        if recipe.activation:
            loss = loss + recipe.activation * latent.mean(dim=0).square().mean()
        if recipe.reconstruction:
            pixels = image.flatten(1) / self.half_range - 1  # (n, h w channels)
            loss = loss + recipe.reconstruction * F.mse_loss(self.decoder(latent), pixels)
        return loss

    def clip(self) -> None:
        """Bring every proxy back into [-1, 1], as after each step of training."""
        with torch.no_grad():
            for proxy in self.network.parameters():
                proxy.clamp_(-1, 1)
