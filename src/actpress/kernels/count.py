"""Counting quantized symbols per component, rounding fused in."""

import torch
from torch import Tensor


def count_symbols(y: Tensor, inverse_step: Tensor, q_min: Tensor, counts: Tensor) -> None:
    """Add the symbols clamp(round(y / step)) of a batch to a table of counts.

    Symbols outside the table are counted in its first or last column, as clamping does.

    Args:
        y: components, shape (n, k, ...), float32; rounding is half to even.
        inverse_step: 1 / step of each component, shape (k,), float32.
        q_min: symbol of the first column of each component, shape (k,), int32.
        counts: shape (k, levels), int64; changed in place.
    """
    if y.numel() == 0:
        return
    values = y.detach().reshape(y.shape[0], y.shape[1], -1)
    if y.device.type != "cpu":
        count_symbols_reference(values, inverse_step, q_min, counts)
        return
    from actpress.kernels import numba_loops  # noqa: PLC0415 - numba is slow to load

    channels_last = values.stride(1) == 1 and values.shape[1] > 1
    kernel = numba_loops.count_channels_last if channels_last else numba_loops.count_channels_first
    with numba_loops.threads_of_torch():
        kernel(values.numpy(), inverse_step.numpy(), q_min.numpy(), counts.numpy())


def count_symbols_reference(
    values: Tensor, inverse_step: Tensor, q_min: Tensor, counts: Tensor
) -> None:
    """The definition in plain torch, on any device; `values` has shape (n, k, p)."""
    levels = counts.shape[1]
    rows = values.transpose(0, 1).flatten(1)
    column = torch.round(rows * inverse_step[:, None]) - q_min[:, None]
    offset = torch.arange(len(counts), device=values.device)[:, None] * levels
    index = column.clamp(0, levels - 1).long() + offset
    counts += torch.bincount(index.flatten(), minlength=counts.numel()).reshape(counts.shape)
