"""Mixtures of quantizers: every component is the weighted sum of itself at several bit-widths."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor


class Quantizers(NamedTuple):
    """K uniform quantizers for each of k components; all tensors have shape (k, K), float32.

    A quantizer turns y into (q + centre) * step, q = clamp(round(y / step - centre), low, high).

    Attributes:
        step: > 0.
        centre: 0 where zero is a level, 0.5 where it lies between two levels.
        low, high: smallest and largest q; where `low` exceeds `high` the value is dropped: 0.
    """

    step: Tensor
    centre: Tensor
    low: Tensor
    high: Tensor


def mix_quantized(y: Tensor, weights: Tensor, quantizers: Quantizers) -> Tensor:
    """Sum over i of weights_i * quantizer_i(y), with gradients for y, weights and steps.

    The rounding passes gradients straight through; that of the step is LSQ's (Esser et al. 2020,
    arXiv 1902.08153, equation 3), and y gets none where it is clamped.

    Args:
        y: components, shape (n, k, ...), float32.
        weights: of the quantizers, shape (k, K), float32.
        quantizers: see there.
    """
    flat = y.reshape(y.shape[0], y.shape[1], -1)
    mixed = cast(Tensor, _Mixture.apply(flat, weights, *quantizers))  # type: ignore[no-untyped-call]
    return mixed.reshape(y.shape)


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, weights: Tensor, *quantizers: Tensor) -> Tensor:
        ctx.save_for_backward(y, weights, *quantizers)
        if y.device.type != "cpu":
            return mix_reference(y, weights, Quantizers(*quantizers))
        from actpress.kernels import mixture_loops  # noqa: PLC0415 - numba is slow to load

        return mixture_loops.forward(y, torch.stack([weights, *quantizers]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, weights, *quantizers = ctx.saved_tensors
        if y.device.type != "cpu":
            gradients = gradients_reference(gradient, y, weights, Quantizers(*quantizers))
        else:
            from actpress.kernels import mixture_loops  # noqa: PLC0415 - numba is slow to load

            table = torch.stack([weights, *quantizers])
            gradients = mixture_loops.backward(gradient, y, table)
        return *gradients, None, None, None


def mix_reference(y: Tensor, weights: Tensor, quantizers: Quantizers) -> Tensor:
    """The definition in plain torch; y has shape (n, k, p)."""
    mixed = torch.zeros_like(y)
    for index in range(weights.shape[1]):
        step, centre, low, high = _column(quantizers, index)
        q = torch.round(y / step - centre).clamp(low, high)
        mixed += torch.where(low <= high, weights[:, index, None] * (q + centre) * step, 0.0)
    return mixed


def gradients_reference(
    gradient: Tensor, y: Tensor, weights: Tensor, quantizers: Quantizers
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of y (n, k, p), weights (k, K) and steps (k, K), in plain torch."""
    of_y = torch.zeros_like(y)
    of_weights, of_steps = torch.zeros_like(weights), torch.zeros_like(weights)
    for index in range(weights.shape[1]):
        step, centre, low, high = _column(quantizers, index)
        weight = weights[:, index, None]
        z = y / step - centre
        rounded = torch.round(z)
        q = rounded.clamp(low, high)
        kept, inside = low <= high, (rounded >= low) & (rounded <= high)
        level = torch.where(kept, q + centre, 0.0)
        of_y += torch.where(inside, gradient * weight, 0.0)
        of_weights[:, index] = (gradient * level * step).sum((0, 2))
        slope = torch.where(inside, q - z, level)
        of_steps[:, index] = (gradient * slope * weight).sum((0, 2))
    return of_y, of_weights, of_steps


def _column(quantizers: Quantizers, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    step, centre, low, high = (values[:, index, None] for values in quantizers)
    return step, centre, low, high
