"""Contexts of symbols: which of their neighbours' values a code table depends on."""

from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.kernels.context_format import CONTEXTS, LIMIT, SPREAD

COUNTERS = 1 << 17
"""That a thread works on at once, about what the second cache holds."""


def as_planes(q: Tensor) -> Tensor:
    """Symbols (n, k, ...) as planes (n, k, h, w); the last spatial axis is the row."""
    *above, width = q.shape[2:] or (1,)
    return q.reshape(q.shape[0], q.shape[1], prod(above), width)


def contexts_of(q: Tensor) -> Tensor:
    """The definition, on any device: context of every symbol of q, shape (n, k, h, w), int64.

    With l the symbol on the left and u the one above, each clamped to -2..2 and zero outside of the
    plane, it is 5 (l + 2) + u + 2.
    """
    clamped = q.clamp(-LIMIT, LIMIT).long() + LIMIT
    left = F.pad(clamped[..., :-1], (1, 0), value=LIMIT)
    above = F.pad(clamped[:, :, :-1], (0, 0, 1, 0), value=LIMIT)
    return SPREAD * left + above


def count_in_contexts(q: Tensor, lowest: int, counts: Tensor) -> None:
    """Add the symbols of a batch to a table of counts by component and context.

    Args:
        q: whole numbers, shape (n, k, ...), any dtype.
        lowest: symbol of the first column. What lies outside of the table is counted in its first
            or last column.
        counts: shape (k, contexts, levels), int64, changed in place; contexts is `CONTEXTS`, or 1
            where they are not told apart.
    """
    if q.numel() == 0:
        return
    planes = as_planes(q.detach())
    if planes.device.type != "cpu":
        count_in_contexts_reference(planes, lowest, counts)
        return
    from actpress.kernels import numba_loops  # noqa: PLC0415 - numba is slow to load

    pixels = planes.float().permute(0, 2, 3, 1).contiguous()
    share = -(-len(counts) // torch.get_num_threads())
    block = max(min(share, COUNTERS // counts[0].numel()), 1)
    with numba_loops.threads_of_torch():
        numba_loops.count_contexts(pixels.numpy(), block, lowest, counts.numpy())


def count_in_contexts_reference(planes: Tensor, lowest: int, counts: Tensor) -> None:
    """The definition in plain torch, on any device; planes (n, k, h, w)."""
    components, contexts, levels = counts.shape
    context = contexts_of(planes) if contexts == CONTEXTS else torch.zeros_like(planes).long()
    component = torch.arange(components, device=planes.device)[:, None, None]
    column = (planes.long() - lowest).clamp(0, levels - 1)
    index = (component * contexts + context) * levels + column
    counts += torch.bincount(index.flatten(), minlength=counts.numel()).reshape(counts.shape)
