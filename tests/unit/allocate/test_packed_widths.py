"""Widths for plain packing: quantizers as in the textbook, bits where they save the most."""

import itertools

import pytest
import torch
from actpress.allocate.packed_widths import laplace_quantizer
from torch import Tensor

from actpress.allocate import GroupedSite, Groups, choose_packed_widths


@pytest.mark.parametrize(
    ("bit_width", "step", "error"),
    [(0, 1.0, 1.0), (1, 1.4142, 0.5), (2, 1.0874, 0.1963), (3, 0.7309, 0.0717), (4, 0.461, 0.0254)],
)
def test_quantizers_are_those_of_jayant_and_noll(bit_width: int, step: float, error: float) -> None:
    """Digital Coding of Waveforms, 1984, optimum uniform quantizers of a Laplace variable."""
    assert laplace_quantizer(bit_width) == pytest.approx((step, error), rel=3e-3)


def site(
    variances: list[float], index: list[int], *, weight: float = 1.0, cost: float = 1.0
) -> GroupedSite:
    groups = torch.tensor(index)
    count = int(groups.max()) + 1
    empty = Groups(groups, torch.zeros(count), torch.zeros(count, dtype=torch.int64))
    spread = torch.tensor(variances)
    return GroupedSite(
        empty, spread, weight * spread, weight * torch.ones(len(variances)), cost=cost
    )


def total_loss(sites: list[GroupedSite], widths: list[Tensor]) -> float:
    return sum(
        float(site.losses().gather(1, width[:, None]).sum())
        for site, width in zip(sites, widths, strict=True)
    )


@pytest.mark.parametrize("target", [6.0, 11.0, 17.0])
def test_the_choice_is_near_the_best_of_all(target: float) -> None:
    sites = [site([9.0, 1.0, 0.8], [0, 1, 1]), site([4.0, 0.1], [0, 1], weight=3.0, cost=2.0)]
    chosen = choose_packed_widths(sites, target)
    spent = sum(
        s.cost * float((g.width * torch.bincount(g.index)).sum())
        for s, g in zip(sites, chosen, strict=True)
    )
    assert target - 2 <= spent <= target
    best = min(
        total_loss(sites, [torch.tensor([a, b]), torch.tensor([c, d])])
        for a, b, c, d in itertools.product(range(1, 9), range(9), range(1, 9), range(9))
        if a + 2 * b + 2 * c + 2 * d <= target
    )
    assert total_loss(sites, [g.width for g in chosen]) <= 1.15 * best


def test_ranges_hold_the_levels_of_the_best_quantizer() -> None:
    (groups,) = choose_packed_widths([site([16.0, 1.0, 1.0, 1e-9], [0, 1, 1, 2])], 9.0)
    assert groups.width.tolist() == [5, 2, 0]
    steps = 2.0 ** (groups.log2_range - groups.width)
    assert float(steps[0]) == pytest.approx(4 * laplace_quantizer(5)[0])
    assert float(steps[1]) == pytest.approx(laplace_quantizer(2)[0])


def test_what_cannot_be_seen_gets_no_bits_and_nothing_gets_more_than_eight() -> None:
    blind = site([5.0, 5.0], [0, 1], weight=0.0)
    seen, unseen = choose_packed_widths([site([1.0, 1.0], [0, 1]), blind], 100.0)
    assert seen.width.tolist() == [8, 8]
    assert unseen.width.tolist() == [1, 0], "a site keeps its first group"
