import pytest
import torch
from actpress.codec.code_tables import cluster
from torch import Tensor

from actpress.codec import (
    MOST_TABLES,
    coded_bits,
    context_share,
    contexts_for,
    entropy_bits,
    fit_code_tables,
)
from actpress.kernels import CONTEXTS, contexts_of, count_in_contexts, count_in_contexts_reference


def smooth(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Symbols that resemble their neighbours, some components wide, some narrow."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    blurred = torch.nn.functional.avg_pool2d(drawn, 3, 1, 1)
    scale = torch.logspace(1, -0.5, shape[1])[None, :, None, None]
    return torch.round(blurred * scale)


def counts_of(q: Tensor, contexts: int = CONTEXTS) -> tuple[Tensor, int]:
    lowest = int(q.min())
    counts = torch.zeros(q.shape[1], contexts, int(q.max()) - lowest + 1, dtype=torch.int64)
    count_in_contexts(q, lowest, counts)
    return counts, lowest


def test_contexts_by_hand() -> None:
    q = torch.tensor([[[[9, 0, -1], [1, -7, 2]]]])
    left_and_above = [[(0, 0), (2, 0), (0, 0)], [(0, 2), (1, 0), (-2, -1)]]
    expected = [[5 * (left + 2) + up + 2 for left, up in row] for row in left_and_above]
    assert contexts_of(q)[0, 0].tolist() == expected


@pytest.mark.parametrize("contexts", [1, CONTEXTS])
@pytest.mark.parametrize("shape", [(3, 5, 6, 7), (2, 3, 9), (4, 2), (0, 2, 3, 3)])
def test_counting_is_as_defined(contexts: int, shape: tuple[int, ...]) -> None:
    q = torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(1)).float()
    counts = torch.zeros(shape[1], contexts, 19, dtype=torch.int64)
    count_in_contexts(q, -9, counts)
    count_in_contexts(q, -9, counts)
    expected = torch.zeros_like(counts)
    planes = q.reshape(
        shape[0], shape[1], *{1: (1, *shape[2:]), 0: (1, 1)}.get(len(shape) - 2, shape[2:])
    )
    count_in_contexts_reference(planes, -9, expected)
    assert counts.equal(2 * expected)
    assert counts.sum() == 2 * q.numel()


def test_neighbours_that_tell_something_save_bits() -> None:
    q = smooth((8, 12, 16, 16))
    counts, _ = counts_of(q)
    plain = float(entropy_bits(counts.sum(1)).sum()) * q.numel() / q.shape[1]
    tables, bits = fit_code_tables(counts)
    assert tables.table_of.shape == (12, CONTEXTS)
    assert len(tables.counts) <= MOST_TABLES
    assert bits < 0.85 * plain
    assert coded_bits(q) == bits


def test_neighbours_that_tell_nothing_are_not_asked() -> None:
    generator = torch.Generator().manual_seed(2)
    q = torch.round(2 * torch.randn(8, 12, 16, 16, generator=generator))
    counts, _ = counts_of(q)
    assert fit_code_tables(counts)[0].table_of.shape == (12, 1)


def test_every_symbol_is_in_the_table_that_codes_it() -> None:
    q = smooth((4, 40, 8, 8))
    counts, _ = counts_of(q)
    tables, bits = fit_code_tables(counts)
    again = torch.zeros_like(tables.counts)
    again.index_add_(0, tables.table_of.long().flatten(), counts.flatten(0, 1))
    assert again.equal(tables.counts)
    assert float((counts * tables.code_lengths_bits()).sum()) == pytest.approx(bits)


def test_few_tables_cost_little_more_than_one_each() -> None:
    q = smooth((8, 100, 8, 8))
    counts, _ = counts_of(q, contexts=1)
    plain = float(entropy_bits(counts.sum(1)).sum()) * q.numel() / q.shape[1]
    tables, bits = fit_code_tables(counts)
    assert len(tables.counts) <= MOST_TABLES < 100
    assert bits < 1.02 * plain


def test_equal_histograms_share_a_table() -> None:
    kinds = torch.tensor([[90.0, 5, 5], [5, 90, 5], [5, 5, 90]], dtype=torch.float64)
    table = cluster(kinds.repeat(20, 1), 3)
    assert table.reshape(20, 3).unique(dim=0).shape == (1, 3)
    assert sorted(table[:3].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("contexts", [1, CONTEXTS])
def test_what_no_column_holds_is_counted_at_the_ends(contexts: int) -> None:
    """Not a byte is written beyond the table, whatever a symbol is."""
    q = torch.tensor([float("nan"), 1e9, -1e9, 99.0, -99.0, 0.0]).reshape(1, 1, 1, 6)
    counts = torch.zeros(1, contexts, 3, dtype=torch.int64)
    count_in_contexts(q, -1, counts)
    assert counts.sum() == 6
    assert counts[..., 1].sum() == 1


def test_no_contexts_for_very_many_levels_or_without_neighbours() -> None:
    assert contexts_for(torch.zeros(2, 3, 4, 4), 512) == CONTEXTS
    assert contexts_for(torch.zeros(2, 3, 4, 4), 513) == 1
    assert contexts_for(torch.zeros(2, 3), 5) == contexts_for(torch.zeros(2, 3, 1, 1), 5) == 1


def test_the_share_of_contexts_is_what_the_two_kinds_of_tables_take() -> None:
    q = smooth((8, 12, 16, 16))
    counts, _ = counts_of(q)
    plain = fit_code_tables(counts.sum(1, keepdim=True))[1]
    assert context_share(q) == pytest.approx(coded_bits(q) / plain)
    assert context_share(torch.zeros(2, 3, 4, 4)) == 1.0
