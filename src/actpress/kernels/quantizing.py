"""Rounding and clamping as training sees it, with what its rate needs, in one pass each way."""

from typing import Any, cast

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def quantize(z: Tensor, low: Tensor, high: Tensor) -> Pair:
    """Symbols, and how large components are; gradients pass the rounding, not the clamp.

    Args:
        z: components in units of their step, shape (n, k, ...), floating point, not empty.
        low: smallest symbol of each component, shape (k,).
        high: largest symbol of each component, shape (k,).

    Returns:
        clamp(round(z), low, high) as floats, shape and layout of z; and E|z| of each component,
        shape (k,).
    """
    bounds = torch.stack([low, high]).to(z.dtype)
    return cast(Pair, _Quantize.apply(z, bounds))  # type: ignore[no-untyped-call]


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, bounds: Tensor) -> Pair:
        ctx.save_for_backward(z, bounds)
        if not _compiled(z):
            return quantize_reference(z, *bounds)
        from actpress.kernels import quantize_loops  # noqa: PLC0415 - numba is slow to load

        return quantize_loops.forward(z, bounds)

    @staticmethod
    def backward(ctx: Any, of_q: Tensor, of_mean: Tensor) -> tuple[Tensor, None]:
        z, bounds = ctx.saved_tensors
        low, high = bounds
        if not _compiled(z):
            return gradient_reference(z, low, high, of_q, of_mean), None
        from actpress.kernels import quantize_loops  # noqa: PLC0415 - numba is slow to load

        return quantize_loops.backward(z, bounds, of_q, of_mean), None


def _compiled(z: Tensor) -> bool:
    """Whether there are compiled loops for z; torch's compiler makes its own."""
    return z.device.type == "cpu" and not torch.compiler.is_compiling()


def quantize_reference(z: Tensor, low: Tensor, high: Tensor) -> Pair:
    """The definition in plain torch, on any device."""
    low, high = _beside(low, z), _beside(high, z)
    q = torch.maximum(torch.minimum(torch.round(z), high), low)
    return q, z.abs().mean(dim=(0, *range(2, z.ndim)))


def gradient_reference(
    z: Tensor, low: Tensor, high: Tensor, of_q: Tensor, of_mean: Tensor
) -> Tensor:
    """Gradient of z, from those of the symbols and of E|z|, in plain torch."""
    inside = (z >= _beside(low, z)) & (z <= _beside(high, z))
    share = of_mean / (z.numel() // z.shape[1])
    return of_q * inside + torch.sgn(z) * _beside(share, z)


def _beside(values: Tensor, z: Tensor) -> Tensor:
    """Values of components, shape (k,), to go with z (n, k, ...)."""
    return values.reshape(-1, *[1] * (z.ndim - 2))
