"""Losses of the pre-training."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class WeightedCCE:
    """Categorical cross-entropy, weighted against class imbalance.

    L = mean over the minibatch of w_y (-log softmax(logits)_y). The mean divides by the number of
    samples, not by the sum of their weights, so that a sample's gradient is its weight's alone.

    Parameters
    ----------
    weights : ndarray
        (classes,) weight of each class; see `xnoreplay.model.rule.class_weights`.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.weight = torch.from_numpy(weights).float()

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        """(n, classes) float, (n,) int64 -> scalar."""
        return (self.weight[label] * F.cross_entropy(logits, label, reduction="none")).mean()
