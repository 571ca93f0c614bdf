"""Bit-widths of groups for plain packing: a bit goes where it saves the most loss.

Without an entropy coder a component costs its width, whatever its values, so that the steps of a
search that counts ranges say little about widths: few levels, well placed, are better than ranges
that hold every value. Components are taken to be Laplace variables, as in the rate model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from actpress.allocate.groups import Groups
from actpress.codec import WIDEST

QUANTILES = 1 << 17
"""Points that stand for a Laplace variable."""


@dataclass(frozen=True)
class GroupedSite:
    """What the widths of a site are chosen from.

    Attributes:
        groups: of its components.
        variances: of each component, shape (c,).
        dropped, noisy: loss of dropping each component, and of noise of variance 1 in it, in nats
            (`component_losses`), shape (c,).
        cost: what the budget counts for one bit of one component, in bits per inference.
    """

    groups: Groups
    variances: Tensor
    dropped: Tensor
    noisy: Tensor
    cost: float

    def losses(self) -> Tensor:
        """Estimated loss of each group at each width, shape (G, WIDEST + 1), in nats.

        Of a quantizer whose levels are the means of what they stand for, the error is d y and noise
        of variance d (1 - d) var(y), with d its squared error over the variance.
        """
        share = torch.tensor([laplace_quantizer(width)[1] for width in range(WIDEST + 1)])
        noise = self.noisy.double() * self.variances.double()
        table = share**2 * self.dropped.double()[:, None] + share * (1 - share) * noise[:, None]
        summed = torch.zeros(len(self.groups.width), WIDEST + 1, dtype=torch.float64)
        return 0.5 * summed.index_add_(0, self.groups.index, table.double())

    def with_widths(self, width: Tensor) -> Groups:
        """The groups with other widths, and the ranges that suit them."""
        members = torch.bincount(self.groups.index)
        variance = torch.zeros(len(members), dtype=torch.float64)
        variance.index_add_(0, self.groups.index, self.variances.double())
        steps = torch.tensor([laplace_quantizer(max(int(w), 1))[0] for w in width])
        step = steps * (variance / members).sqrt().clamp(min=1e-30)
        return Groups(self.groups.index, torch.log2(step) + width.clamp(min=1), width)


def choose_packed_widths(sites: Sequence[GroupedSite], target: float) -> list[Groups]:
    """Raise widths from 0, always where a bit saves the most loss, until the target is spent.

    The first group of a site has at least 1 bit, also where that exceeds the target.

    Args:
        sites: of the network.
        target: what all widths may cost, in bits per inference.
    """
    losses = [site.losses() for site in sites]
    costs = [site.cost * torch.bincount(site.groups.index) for site in sites]
    widths = [torch.zeros(len(cost), dtype=torch.int64) for cost in costs]
    for first in widths:
        first[0] = 1
    spent = sum(float((width * cost).sum()) for width, cost in zip(widths, costs, strict=True))
    while (move := _best_move(losses, costs, widths, target - spent)) is not None:
        site, group, raised = move
        spent += float((raised - widths[site][group]) * costs[site][group])
        widths[site][group] = raised
    return [site.with_widths(width) for site, width in zip(sites, widths, strict=True)]


def _best_move(
    losses: Sequence[Tensor], costs: Sequence[Tensor], widths: Sequence[Tensor], room: float
) -> tuple[int, int, int] | None:
    """Site, group and new width of most loss saved per bit among those that there is room for.

    A move may skip widths: the first bit of a group can save less than the second.
    """
    best: tuple[float, int, int, int] | None = None
    every = torch.arange(WIDEST + 1)
    for site, (loss, cost, width) in enumerate(zip(losses, costs, widths, strict=True)):
        more = (every - width[:, None]) * cost[:, None]
        saved = loss.gather(1, width[:, None]) - loss
        gains = torch.where((more > 0) & (more <= room), saved / more, -torch.inf)
        at = int(gains.argmax())
        gain = float(gains.flatten()[at])
        if gain > 0 and (best is None or gain > best[0]):
            best = gain, site, at // (WIDEST + 1), at % (WIDEST + 1)
    return None if best is None else best[1:]


@cache
def laplace_quantizer(bit_width: int) -> tuple[float, float]:
    """Step and squared error of the best uniform quantizer of a Laplace variable of variance 1.

    It has 2^bit_width levels, zero between two of them; without bits the error is 1, the step any.
    """
    if bit_width == 0:
        return 1.0, 1.0
    upper = (np.arange(QUANTILES) + 0.5) / QUANTILES
    x = -np.log1p(-upper) / np.sqrt(2)

    def squared_error(step: float) -> float:
        level = np.minimum(np.floor(x / step), 2 ** (bit_width - 1) - 1)
        return float(np.mean((x - (level + 0.5) * step) ** 2))

    found = minimize_scalar(squared_error, bounds=(0.01, 2.0), method="bounded")
    return float(found.x), float(found.fun)
