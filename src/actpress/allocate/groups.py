"""Where the search for bit-widths starts: groups of components, their ranges and first widths."""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from actpress.allocate.ladder import Ladder
from actpress.allocate.partition import GROUP_COST, equal_partition, group_index, partition
from actpress.budget import View
from actpress.codec import WIDEST

RANGE_IN_DEVIATIONS = {View.ENTROPY: 8.0, View.FIXED: 5.0}
"""Range that the levels of a group divide, in standard deviations. With few levels of equal cost it
pays to clamp more than an entropy coder would."""


class Importance(StrEnum):
    """The order of components: by variance, or by what dropping them would lose (Fisher)."""

    VARIANCE = "variance"
    SENSITIVITY = "sensitivity"


@dataclass(frozen=True)
class Grouping:
    """How components are grouped.

    Attributes:
        importance: their order.
        groups: so many of equal size; None cuts where the importance falls (`partition`).
        group_cost: of `partition`, in squared bits.
    """

    importance: Importance = Importance.VARIANCE
    groups: int | None = None
    group_cost: float = GROUP_COST


@dataclass(frozen=True)
class Groups:
    """The groups of one site with G groups, most important first.

    Attributes:
        index: group of each component, shape (c,), int64.
        log2_range: of each group, shape (G,), float64; see `MixtureCodec`.
        width: bit-width to start from, shape (G,), int64, 0..8; the first is at least 1.
    """

    index: Tensor
    log2_range: Tensor
    width: Tensor

    def members(self, group: int) -> tuple[int, ...]:
        """Components of a group, rising."""
        return tuple((self.index == group).nonzero()[:, 0].tolist())


def make_groups(
    ladder: Ladder, step: float, sensitivity: Tensor, grouping: Grouping, view: View
) -> Groups:
    """Group the components of a site, with widths that give about one step.

    Args:
        ladder: of the site.
        step: where to start, > 0.
        sensitivity: loss of dropping each component, shape (c,), >= 0.
        grouping: how.
        view: the bits that count.

    Raises:
        BudgetError: fewer components than groups; names the site.
    """
    variances = ladder.basis.variances
    by_variance = grouping.importance is Importance.VARIANCE
    importance = variances if by_variance else sensitivity.to(variances)
    order = torch.argsort(importance, descending=True, stable=True)
    sizes = (
        partition(importance[order], group_cost=grouping.group_cost)
        if grouping.groups is None
        else equal_partition(len(order), grouping.groups, site=ladder.site)
    )
    index = torch.empty(len(order), dtype=torch.int64)
    index[order] = group_index(sizes)
    count = torch.bincount(index)
    variance = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, index, variances) / count
    wide = torch.log2(RANGE_IN_DEVIATIONS[view] * variance.sqrt().clamp(min=1e-30))
    log2_step = math.log2(step)
    wide = wide.clamp(min=log2_step - WIDEST)  # components that never vary have no range at all
    width = (wide - log2_step).round().clamp(0, WIDEST).long()
    width[0] = width[0].clamp(min=1)
    return Groups(index, torch.where(width > 0, log2_step + width, wide), width)
