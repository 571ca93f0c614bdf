"""Cutting the components of a site into groups that share a bit-width."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.errors import BudgetError

GROUP_COST = 2.0
"""What another group must save: squared bits of spread. A bit-width that is one bit off for two
components is worth a group of their own."""

SMALLEST_SHARE = 1e-12
"""Variances below this share of the largest count as this much; their logarithm says nothing."""


def partition(variances: Tensor, *, group_cost: float = GROUP_COST) -> tuple[int, ...]:
    """Cut a spectrum where it falls, by dynamic programming.

    A component of variance v needs about 1/2 log2(v) bits more than one of variance 1 at the same
    distortion (Cover and Thomas, 10.3.3). The cut minimises the squared spread of that number
    within the groups, summed over components, plus `group_cost` for each group; the number of
    groups follows. Exact, in O(c^2) time and O(c) memory.

    Args:
        variances: of the components, in the order in which they are to be cut, shape (c,), >= 0.
        group_cost: in squared bits, > 0.

    Returns:
        Sizes of the groups, in order; they add up to c.
    """
    bits = _excess_bits(variances)
    sums = np.concatenate([[0.0], np.cumsum(bits)])
    squares = np.concatenate([[0.0], np.cumsum(bits**2)])
    best = np.zeros(len(bits) + 1)  # best[j]: cost of the first j components
    previous = np.zeros(len(bits) + 1, dtype=np.int64)
    for end in range(1, len(bits) + 1):
        starts = np.arange(end)
        spread = squares[end] - squares[:end] - (sums[end] - sums[:end]) ** 2 / (end - starts)
        costs = best[:end] + spread + group_cost
        previous[end] = int(np.argmin(costs))
        best[end] = costs[previous[end]]
    sizes: list[int] = []
    end = len(bits)
    while end > 0:
        sizes.append(end - int(previous[end]))
        end = int(previous[end])
    return tuple(reversed(sizes))


def equal_partition(components: int, groups: int, *, site: str) -> tuple[int, ...]:
    """Cut into `groups` groups whose sizes differ by at most one.

    Raises:
        BudgetError: fewer components than groups, or no group; names the site.
    """
    if not 1 <= groups <= components:
        raise BudgetError(
            f"site {site}: its {components} components cannot be cut into {groups} groups; ask "
            f"for 1 to {components}, or for automatic groups"
        )
    size, rest = divmod(components, groups)
    return tuple(size + (index < rest) for index in range(groups))


def _excess_bits(variances: Tensor) -> NDArray[np.float64]:
    floor = float(variances.max()) * SMALLEST_SHARE
    if floor <= 0:
        return np.zeros(len(variances))
    clipped: NDArray[np.float64] = variances.double().clamp(min=floor).cpu().numpy()
    return 0.5 * np.log2(clipped)


def group_index(sizes: tuple[int, ...]) -> Tensor:
    """The group of every component, shape (sum of sizes,), int64."""
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
