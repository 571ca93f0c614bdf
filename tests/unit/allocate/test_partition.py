"""Partitions of a spectrum: exact, complete, and what one expects on spectra made by hand."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actpress.allocate.partition import equal_partition, group_index, partition
from actpress.errors import BudgetError


def cost(variances: torch.Tensor, sizes: tuple[int, ...], group_cost: float) -> float:
    bits = 0.5 * torch.log2(variances)
    spread = sum(float((part - part.mean()).square().sum()) for part in bits.split(list(sizes)))
    return spread + group_cost * len(sizes)


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9),
    st.sampled_from([0.1, 1.0, 3.0]),
)
def test_no_other_cut_is_better(values: list[float], group_cost: float) -> None:
    variances = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    sizes = partition(variances, group_cost=group_cost)
    assert sum(sizes) == len(values)
    cuts = range(1, len(values))
    every = (
        tuple(b - a for a, b in itertools.pairwise((0, *chosen, len(values))))
        for count in range(len(values))
        for chosen in itertools.combinations(cuts, count)
    )
    best = min(cost(variances, other, group_cost) for other in every)
    assert cost(variances, sizes, group_cost) == pytest.approx(best)


def test_steps_of_a_spectrum_become_groups() -> None:
    spectrum = torch.tensor([64.0] * 5 + [1.0] * 7 + [1e-3] * 4)
    assert partition(spectrum) == (5, 7, 4)
    assert partition(spectrum, group_cost=1e6) == (16,)


@pytest.mark.parametrize("variances", [torch.zeros(6), torch.tensor([1.0, 0.0, 0.0])])
def test_components_that_never_vary(variances: torch.Tensor) -> None:
    sizes = partition(variances)
    assert sum(sizes) == len(variances)
    assert sizes[0] == (6 if not variances.any() else 1)


@given(st.integers(1, 40), st.data())
def test_equal_groups_differ_by_one_at_most(components: int, data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, components))
    sizes = equal_partition(components, groups, site="relu")
    assert len(sizes) == groups
    assert sum(sizes) == components
    assert max(sizes) - min(sizes) <= 1
    assert group_index(sizes).bincount().tolist() == list(sizes)


@pytest.mark.parametrize("groups", [0, 5])
def test_impossible_numbers_of_groups_name_the_site(groups: int) -> None:
    with pytest.raises(BudgetError, match=f"site relu: its 4 components .* into {groups} groups"):
        equal_partition(4, groups, site="relu")
