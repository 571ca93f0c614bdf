"""Groups of components that learn a bit-width together: where they start, and what they became."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.allocate import CODED_BIT_WIDTH
from actpress.allocate.partition import equal_partition, group_index, partition
from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import (
    WIDEST,
    Basis,
    IdentityProjection,
    LinearProjection,
    MixtureCodec,
    Projection,
    family_of,
)
from actpress.plan import GroupPlan, SitePlan

RANGE_IN_DEVIATIONS = 8.0
"""Range that the levels of a group divide in the entropy view, in standard deviations."""


@dataclass(frozen=True)
class Groups:
    """The groups of one site with G groups, most important first.

    Attributes:
        index: group of each component, shape (K,), int64.
        log2_range: of each group, shape (G,), float64; see `MixtureCodec`.
        width: bit-width to start from, shape (G,), int64, 0..8; the first is at least 1.
    """

    index: Tensor
    log2_range: Tensor
    width: Tensor

    def members(self, group: int) -> tuple[int, ...]:
        """Components of a group, rising."""
        return tuple((self.index == group).nonzero()[:, 0].tolist())


def groups_of(site: SitePlan, basis: Basis, *, wanted: int | None) -> Groups:
    """The groups of a planned site, with widths that give about the plan's steps.

    Args:
        site: of the plan that the search starts from.
        basis: of its transform.
        wanted: so many of equal size; None keeps those of the plan, or cuts the spectrum where it
            falls (`partition`).

    Raises:
        BudgetError: fewer components than groups; names the site.
    """
    if site.groups and wanted is None:
        return _planned(site)
    importance = basis.variances
    order = torch.argsort(importance, descending=True, stable=True)
    sizes = (
        partition(importance[order])
        if wanted is None
        else equal_partition(len(order), wanted, site=site.site)
    )
    index = torch.empty(len(order), dtype=torch.int64)
    index[order] = group_index(sizes)
    count = torch.bincount(index)
    sums = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, index, importance.double())
    steps = _log2_steps(site, len(order))
    log2_step = torch.zeros_like(sums).index_add_(0, index, steps) / count
    wide = torch.log2(RANGE_IN_DEVIATIONS * (sums / count).sqrt().clamp(min=1e-30))
    log2_step = log2_step.clamp(min=-24.0)  # what never varies has no step and no range
    wide = torch.maximum(wide, log2_step - WIDEST)
    width = (wide - log2_step).round().clamp(0, WIDEST).long()
    width[0] = width[0].clamp(min=1)
    return Groups(index, torch.where(width > 0, log2_step + width, wide), width)


def mixture_of(
    site: SitePlan, groups: Groups, statistics: Statistics, view: View, *, candidates: int
) -> MixtureCodec:
    """The codec of a site in search: all its components, at several widths at once."""
    own = statistics.sites[site.site]
    projection: Projection
    if site.is_identity:
        projection = IdentityProjection(site.channels)
        signed = float(own.minimum.min()) < 0
    else:
        basis = statistics.basis(site.site, site.transform)
        every = basis.select(range(site.components))
        family = family_of(site.transform)
        projection = LinearProjection(
            family, every, own.mean, block=site.block, number_bits=site.number_bits
        )
        signed = True
    return MixtureCodec(
        projection,
        groups.index,
        groups.log2_range,
        groups.width,
        view=view,
        signed=signed,
        between_levels=not site.is_identity,
        candidates=candidates,
    )


def with_groups(
    site: SitePlan, groups: Groups, widths: list[int], log2_ranges: list[float], view: View
) -> SitePlan:
    """The site with learned widths.

    Args:
        site: that the search started from.
        groups: of its components.
        widths: of each group, in bits; 0 drops it.
        log2_ranges: see `MixtureCodec`.
        view: in the entropy view a width is a resolution, and symbols go as far as they must.
    """
    coded = view is View.ENTROPY
    planned = tuple(
        GroupPlan(
            components=groups.members(group),
            bit_width=CODED_BIT_WIDTH if coded and width else width,
            step=2 ** (log2_ranges[group] - width),
            between_levels=not coded and not site.is_identity and width > 0,
        )
        for group, width in enumerate(widths)
    )
    kept = [group for group in planned if group.bit_width]
    return site.model_copy(
        update={
            "rank": sum(len(group.components) for group in kept),
            "step": min(group.step for group in kept),
            "step_shifts": (),
            "bit_width": max(group.bit_width for group in kept),
            "groups": planned,
        }
    )


def _planned(site: SitePlan) -> Groups:
    """The groups of a plan, widest first."""
    ordered = sorted(site.groups, key=lambda group: -group.bit_width)
    index = torch.empty(site.components, dtype=torch.int64)
    for number, group in enumerate(ordered):
        index[list(group.components)] = number
    width = torch.tensor([min(group.bit_width, WIDEST) for group in ordered])
    steps = torch.tensor([group.step for group in ordered], dtype=torch.float64)
    typical = steps[width > 0].log2().mean()
    log2_range = torch.where(width > 0, steps.log2() + width, typical + 1)
    return Groups(index, log2_range, width)


def _log2_steps(site: SitePlan, components: int) -> Tensor:
    """Of every component, dropped ones taking the site's own step; shape (K,), float64."""
    steps = torch.full((components,), math.log2(site.step), dtype=torch.float64)
    if site.rank == components and site.step_shifts:
        steps -= torch.tensor(site.step_shifts, dtype=torch.float64) / 8
    return steps
