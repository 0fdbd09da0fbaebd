"""The sign and its surrogate gradient."""

import torch
from torch import Tensor


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


def sign(x: Tensor) -> Tensor:
    """Binarise to -1 and +1, with the straight-through estimator (STE) as its gradient.

    Forward: y = +1 where x >= 0, else -1; sign(0) = +1.
    Backward: dL/dx = dL/dy where abs(x) <= 1, else 0.
    Source: Hubara et al., "Binarized Neural Networks", NeurIPS 2016, arXiv 1602.02830.
    """
    return _Sign.apply(x)


def bits(x: Tensor) -> Tensor:
    """Bits of binarised values: +1 is 1, -1 is 0. Same shape, uint8."""
    return (x > 0).to(torch.uint8)
