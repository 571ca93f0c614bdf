"""Matrices on the channel axis."""

from typing import cast

from torch import Tensor
from torch.nn import functional as F


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
    return F.conv2d(x, matrix[:, :, None, None], bias)
