"""The sign and its surrogate gradient."""

import torch
from torch import Tensor

JUST_ABOVE_ONE = 1.0000001  # the next single-precision number, as a bound that excludes itself


class _Sign(torch.autograd.Function):
    """Half of a training step is spent here: each direction is one or two passes over memory."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.copysign(x.new_ones(()), x + 0.0)  # -0.0 + 0.0 is +0.0

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grad, x, -JUST_ABOVE_ONE, JUST_ABOVE_ONE)


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
