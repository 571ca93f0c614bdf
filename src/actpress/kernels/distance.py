"""How far two values are apart, in one pass over both."""

import torch
from torch import Tensor


def squared_distance(x: Tensor, y: Tensor) -> float:
    """Sum of (x - y)^2, each image's in float32, as the number of threads does not matter.

    Args:
        x: shape (n, c, ...), floating point.
        y: likewise; both may lie in memory as they like.
    """
    x, y = x.detach(), y.detach()
    if x.device.type != "cpu" or x.dtype != torch.float32 or y.dtype != torch.float32:
        return squared_distance_reference(x, y)
    from actpress.kernels import distance_loops, numba_loops  # noqa: PLC0415 - numba loads slowly

    pair, loop = _in_one_order(x, y), distance_loops.distances
    if pair is None:
        pair, loop = (_by_pixel(x), _by_pixel(y)), distance_loops.distances_by_pixel
    sums = torch.zeros(len(x), dtype=torch.float32)
    numba_loops.run_streams(loop, len(x), pair[0].numpy(), pair[1].numpy(), sums.numpy())
    return float(sums.double().sum())


def squared_distance_reference(x: Tensor, y: Tensor) -> float:
    """The definition in plain torch, on any device."""
    differences = ((a - b).flatten() for a, b in zip(x, y, strict=True))
    return float(sum(difference.dot(difference) for difference in differences))


def _in_one_order(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
    """Both with a row for each image, if they lie in memory in the same order without gaps."""
    if x.is_contiguous() and y.is_contiguous():
        return x.flatten(1), y.flatten(1)
    x, y = (values.movedim(1, -1) for values in (x, y))
    if x.is_contiguous() and y.is_contiguous():
        return x.flatten(1), y.flatten(1)
    return None


def _by_pixel(values: Tensor) -> Tensor:
    """Values (n, c, ...) as (n, p, c), a view where that is possible."""
    return values.flatten(2).movedim(1, -1) if values.ndim > 2 else values[:, None]
