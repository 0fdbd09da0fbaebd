"""The sign and its surrogate gradient."""

import math

import torch
from torch import Tensor

JUST_ABOVE_ONE = 1.0000001  # the next single-precision number, as a bound that excludes itself


class _Sign(torch.autograd.Function):
    """The sign with its gradient, each in one or two passes over memory: half of a training step is spent here."""

    @staticmethod
    def forward(ctx, x: Tensor, bound: float, scale: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound, ctx.scale = bound, scale
        return torch.copysign(x.new_ones(()), x + 0.0)  # -0.0 + 0.0 is +0.0

    @staticmethod
    def backward(ctx, grad: Tensor):
        (x,) = ctx.saved_tensors
        passed = torch.ops.aten.hardtanh_backward(grad, x, -ctx.bound, ctx.bound)
        if ctx.scale != 1.0:
            passed = passed * ctx.scale
        return passed, None, None


def sign(x: Tensor) -> Tensor:
    """Binarise to -1 and +1, with the straight-through estimator (STE) as its gradient.

    Forward: y = +1 where x >= 0, else -1; sign(0) = +1.
    Backward: dL/dx = dL/dy where abs(x) <= 1, else 0. x in single precision or double.
    Source: Hubara et al., "Binarized Neural Networks", NeurIPS 2016, arXiv 1602.02830.
    """
    return _Sign.apply(x, JUST_ABOVE_ONE, 1.0)


def sign_of_sums(x: Tensor, variance: int) -> Tensor:
    """Return `sign(S x)`, S = 1 / sqrt(variance), of sums: integers in a tensor of any floating-point type.

    S moves no sign. Where abs(S x) <= 1 is asked of the integers, as abs(x) <= floor(sqrt(variance)):
    in bfloat16 S x would be rounded to 1 from both sides. Variances are below 2^16, as bfloat16 holds
    every integer up to 256 alone.
    """
    return _Sign.apply(x, math.isqrt(variance) + 0.5, 1 / math.sqrt(variance))


def bits(x: Tensor) -> Tensor:
    """Return the bits of binarised values: +1 is 1, -1 is 0. Same shape, uint8."""
    return (x > 0).to(torch.uint8)
