"""Quantizing components with the steps of many states at once, errors and counts fused in."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from actpress.kernels.contexts import as_planes, count_in_contexts_reference


@dataclass(frozen=True)
class Columns:
    """Which symbols of each state are counted, shape (states,) each, int64.

    Attributes:
        lowest: symbol of the first column.
        levels: columns; all symbols of the state lie in them. 0 counts nothing.
        contexts: that are told apart, `CONTEXTS` or 1.
    """

    lowest: Tensor
    levels: Tensor
    contexts: Tensor


@dataclass(frozen=True)
class Tallied:
    """What the states do to a batch.

    Attributes:
        squared: squared error of each component, that of one which is dropped its square, shape
            (states, k), float64.
        pulled: error of each image weighed by `pull`, shape (states, n), float64.
        counts: of each state's kept components, shape (rank, contexts, levels), int32; None where
            nothing was to be counted.
    """

    squared: Tensor
    pulled: Tensor
    counts: tuple[Tensor | None, ...]


def tally_states(
    y: Tensor, pull: Tensor, steps: Tensor, ranks: list[int], columns: Columns, counted: int
) -> Tallied:
    """Round components with the steps of every state, and see what that does.

    Args:
        y: components, shape (n, k, ...), float32; rounding is half to even.
        pull: of every value, the same shape.
        steps: shape (states, k), float32.
        ranks: components kept by each state, the first ones.
        columns: what is counted.
        counted: images whose symbols are, the first ones.
    """
    if y.device.type != "cpu":
        return tally_states_reference(y, pull, steps, ranks, columns, counted)
    from actpress.kernels import numba_loops, tally_loops  # noqa: PLC0415 - numba is slow to load

    images, components, *spatial = y.shape
    kept = torch.tensor(ranks)
    sizes = kept * columns.contexts * columns.levels
    begins = sizes.cumsum(0) - sizes
    squared = torch.zeros(components, len(ranks), dtype=torch.float64)
    pulled = torch.zeros(components, len(ranks), images, dtype=torch.float64)
    counts = torch.zeros(int(sizes.sum()), dtype=torch.int32)
    shape = images, components, prod(spatial)
    with numba_loops.threads_of_torch():
        tally_loops.tally_states(
            y.reshape(shape).contiguous().numpy(),
            pull.reshape(shape).contiguous().numpy(),
            spatial[-1] if spatial else 1,
            steps.T.contiguous().numpy(),
            kept.numpy(),
            columns.lowest.numpy(),
            columns.levels.numpy(),
            columns.contexts.numpy(),
            counted,
            begins.numpy(),
            squared.numpy(),
            pulled.numpy(),
            counts.numpy(),
        )
    tables = zip(ranks, columns.contexts.tolist(), columns.levels.tolist(), strict=True)
    parts = zip(counts.split(sizes.tolist()), tables, strict=True)
    found = tuple(part.reshape(table) if table[2] else None for part, table in parts)
    return Tallied(squared.T, pulled.sum(0), found)


def tally_states_reference(
    y: Tensor, pull: Tensor, steps: Tensor, ranks: list[int], columns: Columns, counted: int
) -> Tallied:
    """The definition in plain torch, on any device."""
    flat, weights = (values.reshape(*values.shape[:2], -1) for values in (y, pull))
    squared, pulled, counts = list[Tensor](), list[Tensor](), list[Tensor | None]()
    for state, (step, rank) in enumerate(zip(steps, ranks, strict=True)):
        own = step[:rank, None].to(y.device)
        q = torch.round(flat[:, :rank] / own)
        error = torch.cat([flat[:, :rank] - q * own, flat[:, rank:]], dim=1)
        squared.append(error.square().double().sum((0, 2)).cpu())
        pulled.append((weights * error).double().sum((1, 2)).cpu())
        shape = rank, int(columns.contexts[state]), int(columns.levels[state])
        counts.append(None)
        if shape[2]:
            own_counts = torch.zeros(shape, dtype=torch.int64, device=y.device)
            planes = as_planes(q[:counted].reshape(counted, rank, *y.shape[2:]))
            count_in_contexts_reference(planes, int(columns.lowest[state]), own_counts)
            counts[-1] = own_counts.int()
    return Tallied(torch.stack(squared), torch.stack(pulled), tuple(counts))
