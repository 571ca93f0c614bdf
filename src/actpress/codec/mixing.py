"""Matrices on the channel axis, forward and backward."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

LARGE = 48
"""Rows and columns from which on a product of matrices is the faster way to a matrix's gradient."""

_lower: ContextVar[bool] = ContextVar("actpress_gradients_in_bfloat16", default=False)


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


@contextmanager
def gradients_in_bfloat16(*, allowed: bool = True) -> Iterator[None]:
    """In what is computed in the block, gradients pass matrices in bfloat16, values in float32.

    Where the processor has no instructions that multiply matrices of bfloat16, nothing changes.
    """
    token = _lower.set(allowed and multiplies_bfloat16())
    try:
        yield
    finally:
        _lower.reset(token)


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor has matrices of bfloat16 (AMX), which are several times faster."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


class _Mix(torch.autograd.Function):
    """The convolution; oneDNN's backward takes about twice as long for the matrix as a product.

    With fewer pixels than channels oneDNN spends its time on laying out the matrix.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, matrix)
        ctx.lower = _lower.get() and x.dtype == torch.float32
        if _has_few_pixels(x):
            return _as_planes(F.linear(_pixels(x), matrix, bias), x)
        return F.conv2d(x, matrix[:, :, None, None], bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, matrix = ctx.saved_tensors
        rows, pixels = _pixels(gradient), _pixels(x)
        of_bias, of_x = rows.sum(0), None
        if ctx.lower:
            rows, pixels, matrix = rows.bfloat16(), pixels.bfloat16(), matrix.bfloat16()
        if ctx.needs_input_grad[0]:
            if ctx.lower or _has_few_pixels(x):
                of_x = _as_planes((rows @ matrix).to(x.dtype), x)
            else:
                of_x = F.conv2d(gradient, matrix.t()[:, :, None, None])
        return of_x, (rows.t() @ pixels).to(x.dtype), of_bias


def _has_few_pixels(x: Tensor) -> bool:
    """Fewer than channels."""
    return x.numel() < x.shape[1] ** 2


def _pixels(x: Tensor) -> Tensor:
    """Values (n, c, h, w) with a row for each pixel, shape (n * h * w, c)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _as_planes(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse, with the pixels of `like`; channels stay neighbours in memory."""
    n, _, h, w = like.shape
    return rows.reshape(n, h, w, -1).permute(0, 3, 1, 2)
