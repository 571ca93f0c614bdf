"""Matrices on the channel axis, forward and backward."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

LARGE = 48
"""Rows and columns from which on a product of matrices is the faster way to a matrix's gradient."""


def mix_channels(matrix: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """Multiply the channel axis of x by a matrix and add a bias, at every pixel.

    Args:
        matrix: shape (k, c).
        x: shape (n, c, ...).
        bias: shape (k,).
    """
    if x.ndim == 2:
        return F.linear(x, matrix, bias)
    if x.ndim != 4:
        mixed = F.conv1d(x.flatten(2), matrix[:, :, None], bias)
        return cast(Tensor, mixed.unflatten(2, x.shape[2:]))
    large = min(matrix.shape) >= LARGE and x.device.type == "cpu"
    if large and matrix.requires_grad and torch.is_grad_enabled():
        return cast(Tensor, _Mix.apply(x, matrix, bias))  # type: ignore[no-untyped-call]
    return F.conv2d(x, matrix[:, :, None, None], bias)


class _Mix(torch.autograd.Function):
    """The convolution; oneDNN's backward takes about twice as long for the matrix as a product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, matrix)
        return F.conv2d(x, matrix[:, :, None, None], bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, matrix = ctx.saved_tensors
        rows = _pixels(gradient)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = F.conv2d(gradient, matrix.t()[:, :, None, None])
        return of_x, rows.t() @ _pixels(x), rows.sum(0)


def _pixels(x: Tensor) -> Tensor:
    """Values (n, c, h, w) with a row for each pixel, shape (n * h * w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
