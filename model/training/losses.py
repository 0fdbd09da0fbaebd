"""Losses of training with PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnoreplay.model.network.float_rule import FOCUS, LOSSES
from xnoreplay.model.training.distributed import total
from xnoreplay.spec.errors import require


class ClassLoss(nn.Module):
    """The loss of logits, weighted against class imbalance.

    L = mean over the minibatch of w_y l(logits, y). The mean divides by the number of samples, not
    by the sum of their weights, so that a sample's gradient is its weight's alone. With
    p = softmax(logits), l is -log p_y ("cce"), -(1 - p_y)^2 log p_y ("fcce", arXiv 1708.02002), or
    the mean over classes of max(0, 1 - t_c logit_c)^2, t_c = 1 for y, else -1 ("sh"): those of
    `xnoreplay.model.float_classifier`.

    Parameters
    ----------
    weights : ndarray
        (classes,) weight of each class; see `xnoreplay.model.network.float_rule.class_weights`.
    loss : str
        One of `xnoreplay.model.network.float_rule.LOSSES`.
    """

    weight: Tensor

    def __init__(self, weights: np.ndarray, loss: str = "cce") -> None:
        super().__init__()
        require.choice("loss", loss, LOSSES)
        self.register_buffer("weight", torch.from_numpy(weights).float(), persistent=False)
        self.loss = loss

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """(n, classes) float, (n,) int64 -> scalar."""
        if self.loss == "sh":
            target = 2 * F.one_hot(label, logits.shape[1]) - 1
            each = (1 - target * logits).clamp(min=0).square().mean(dim=1)
        else:
            each = F.cross_entropy(logits, label, reduction="none")
            if self.loss == "fcce":
                each = (1 - torch.exp(-each)) ** FOCUS * each
        return (self.weight[label] * each).mean()


def twins(z: Tensor, other: Tensor, redundancy: float) -> Tensor:
    """Return the Barlow Twins loss of two views' latents, per latent bit.

    (sum_i (1 - C_ii)^2 + redundancy sum_{i != j} C_ij^2) / bits, where C_ij is the correlation over
    the minibatch between bit i of one view and bit j of the other: (bits, bits). To each variance
    1 / samples is added, a quarter of what a bit that differs in one sample has: bits that never
    differ have a correlation of 0 instead of none.

    (n, bits), (n, bits) -> scalar. Source: Zbontar et al., arXiv 2103.03230, without its division,
    as it stands in arXiv 2503.07107.
    """
    count = total(z.new_full((), len(z)))
    centre = [total(v.sum(dim=0)) / count for v in (z, other)]
    spread = [
        (total(v.square().sum(dim=0)) / count - m.square() + 1 / count).sqrt()
        for v, m in zip((z, other), centre, strict=True)
    ]
    joint = total(z.T @ other) / count - torch.outer(*centre)
    c = joint / torch.outer(*spread)
    same = c.diagonal()
    off = c.square().sum() - same.square().sum()
    return ((1 - same).square().sum() + redundancy * off) / len(same)
