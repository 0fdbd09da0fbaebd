"""The loss that the pre-training minimises: the network, and the parts that only training needs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnoreplay.model.network import packed
from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training.distributed import total
from xnoreplay.model.training.losses import ClassLoss, twins
from xnoreplay.model.training.recipe import Recipe
from xnoreplay.model.training.teacher import distance


class Objective(nn.Module):
    """Weighted CCE, and what a recipe adds to it.

    L = (1 - distilled) CCE + distilled D_T + activation mean_j (mean_b z_bj)^2 + twins L_SSL(z, z')
        + reconstruction MSE(D z, pixels)

    z are the latents of a minibatch, of -1 and +1, z' those of a second view of the same images,
    L_SSL is the Barlow Twins loss of `xnoreplay.model.training.losses.twins`; D_T is the distance to a
    teacher's logits, `xnoreplay.model.training.teacher.distance`; D is a real linear decoder
    that learns beside the network and is then dropped; pixels are scaled to [-1, 1]. Where there
    are two views, the other terms are means over both.

    Parameters
    ----------
    network : FBNN
    criterion : ClassLoss
    recipe : Recipe
    max_pixel : int
        The greatest value a pixel may have.
    """

    def __init__(self, network: FBNN, criterion: ClassLoss, recipe: Recipe, max_pixel: int) -> None:
        super().__init__()
        self.network = network
        if recipe.reconstruction:
            pixels = math.prod(network.net.image_shape)
            self.decoder = nn.utils.skip_init(nn.Linear, network.net.latent, pixels)
            nn.init.zeros_(self.decoder.weight)
            nn.init.zeros_(self.decoder.bias)
        self.criterion = criterion
        self.recipe = recipe
        self.half_range = max_pixel / 2

    def latents(self, image: Tensor) -> Tensor:
        """(n, h, w, channels) uint8 -> (n, latent) of -1 and +1, float32.

        A recipe that is `packed` convolves on packed bits on a CPU, and in bfloat16 on a GPU and
        where the kernels do not fit; each is exact forward.
        """
        network = self.network
        if not self.recipe.packed:
            return network.features(network.thermometer(image))
        if image.device.type == "cpu" and packed.fits(network.net):
            return network.packed_features(image)
        return network.half_features(image)

    def forward(
        self, image: Tensor, classes: Tensor, share: float = 1.0, taught: Tensor | None = None
    ) -> Tensor:
        """Return the scalar loss of a minibatch.

        Parameters
        ----------
        image : Tensor
            (n, h, w, channels) uint8; with twins (2 n, ...), the second views last.
        classes : Tensor
            (n,) int64.
        share : float
            n over the mean of n over all processes: it weighs means over this process's samples.
        taught : Tensor, optional
            (len(image), rows of the output layer) float, a teacher's logits of the images.
        """
        recipe = self.recipe
        latent = self.latents(image)
        views = len(image) // len(classes)
        _, sums = self.network.classifier(latent)
        assert (taught is not None) == bool(recipe.distilled)
        logits = sums * self.network.alpha
        loss = share * self.criterion(logits, classes.repeat(views))
        if taught is not None:
            apart = share * distance(logits, taught, recipe.temperature)
            loss = (1 - recipe.distilled) * loss + recipe.distilled * apart
        if recipe.activation:
            count = total(latent.new_full((), len(latent)))
            mean = total(latent.sum(dim=0)) / count
            loss = loss + recipe.activation * mean.square().mean()
        if recipe.twins:
            pair = latent[: len(classes)], latent[len(classes) :]
            loss = loss + recipe.twins * twins(*pair, recipe.redundancy)
        if recipe.reconstruction:
            pixels = image.flatten(1) / self.half_range - 1  # (n, h w channels)
            error = F.mse_loss(self.decoder(latent), pixels)
            loss = loss + share * recipe.reconstruction * error
        return loss

    def clip(self) -> None:
        """Bring every proxy back into [-1, 1], as after each step of training."""
        with torch.no_grad():
            for proxy in self.network.parameters():
                proxy.clamp_(-1, 1)
