"""A real-valued network that a binary one learns from: distillation, Hinton et al., arXiv 1503.02531.

The teacher's probabilities say more than a minibatch's classes: which other classes an image
is like. It learns from the images that the binary network learns from, before it, and is then dropped.
"""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnoreplay.model.network.network import CHUNK
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.samples import Samples, channel_counts
from xnoreplay.spec.rows import Images

WIDTH = 32  # filters of the first convolution
LEAST = 2  # height or width that is not halved: of one pixel of one image there are no statistics


def convolution(inputs: int, filters: int) -> nn.Sequential:
    """Make a 3x3 convolution of the same size, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()
    )


class Residual(nn.Module):
    """Two convolutions, and a way past them that is added to their result."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(convolution(filters, filters), convolution(filters, filters))

    def forward(self, x: Tensor) -> Tensor:
        """(n, filters, h, w) -> the same shape."""
        return x + self.convs(x)


class Teacher(nn.Module):
    """Ten convolutions: one, then three times one of twice the filters, max-pooling, and two more.

    Parameters
    ----------
    channels : int
        Of the images.
    classes : int
    seed : int
        Of the initial weights.
    half : bool
        Convolve in bfloat16.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, classes: int, seed: int, half: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.is_half = half
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = convolution(channels, WIDTH)
            self.stages = nn.ModuleList(
                nn.ModuleList([convolution(n, 2 * n), Residual(2 * n)])
                for n in (WIDTH, 2 * WIDTH, 4 * WIDTH)
            )
            self.output = nn.Linear(8 * WIDTH, classes)

    @classmethod
    def of(cls, state: dict[str, Tensor], half: bool, device: torch.device) -> "Teacher":
        """Make the teacher of a state, for use alone: nothing in it changes."""
        teacher = cls(len(state["mean"]), len(state["output.bias"]), seed=0, half=half)
        teacher.load_state_dict(state)
        return teacher.eval().to(device)

    def scale_inputs(self, images: Images) -> None:
        """Scale the input: the mean of each channel's pixels becomes 0, their deviation 1 or less.

        images (n, h, w, channels) uint8.
        """
        levels = np.arange(256)
        for i in range(images.shape[-1]):
            share = channel_counts(images, i) / np.prod(images.shape[:-1])
            self.mean[i] = float(share @ levels)
            self.deviation[i] = float(1 + np.sqrt(share @ np.square(levels - share @ levels)))

    def forward(self, image: Tensor) -> Tensor:
        """(n, h, w, channels) uint8 -> logits (n, classes) float32."""
        x = ((image - self.mean) / self.deviation).permute(0, 3, 1, 2)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.is_half):
            x = self.first(x)
            for stage in self.stages:
                convolve, refine = cast("nn.ModuleList", stage)
                x = convolve(x)
                if min(x.shape[2:]) > LEAST:
                    x = F.max_pool2d(x, 2)
                x = refine(x)
        return self.output(x.float().mean(dim=(2, 3)))

    def accuracy(self, samples: Samples, classes: int) -> float:
        """Return the fraction of samples of the first classes that are recognised among them."""
        right = 0
        with torch.no_grad():
            for start in range(0, len(samples.classes), CHUNK):
                image = torch.from_numpy(samples.images[start : start + CHUNK]).to(self.mean.device)
                found = self(image)[:, :classes].argmax(dim=1).cpu().numpy()
                right += int((found == samples.classes[start : start + CHUNK]).sum())
        return right / len(samples.classes)


class Lesson(nn.Module):
    """The objective of a teacher's own training: the weighted loss of its classes.

    It has the call of `xnoreplay.model.training.objective.Objective`, so that the same loop trains both.
    """

    def __init__(self, teacher: Teacher, criterion: ClassLoss) -> None:
        super().__init__()
        self.teacher = teacher
        self.criterion = criterion

    def forward(self, image: Tensor, classes: Tensor, share: float = 1.0) -> Tensor:
        """Return the scalar loss of a minibatch, as `Objective.forward` does."""
        return share * self.criterion(self.teacher(image), classes)

    def clip(self) -> None:
        """Do nothing: real weights have no range to be kept in."""


def distance(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(taught / T) || softmax(logits / T)), mean over the minibatch; scalar.

    logits, taught (n, classes). T^2 keeps gradients of the size they have at T = 1.
    """
    wanted = F.softmax(taught / temperature, dim=1)
    given = F.log_softmax(logits / temperature, dim=1)
    return temperature**2 * F.kl_div(given, wanted, reduction="batchmean")
