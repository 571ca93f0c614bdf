"""Code tables name the symbols that are worth an entry, and escape the others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actpress.bitstream import scaled_frequencies
from actpress.codec import Histogram, fit_network_tables
from actpress.codec.entropy import network_tables
from actpress.codec.entropy.clusters import code_lengths, worth_naming

ENTRY_BITS = 16


def cost(counts: Tensor, kept: Tensor, images: int) -> float:
    """Bits moved for an image with one table, its entries included."""
    named = counts * kept
    frequencies = torch.from_numpy(scaled_frequencies(named.numpy(), float((counts - named).sum())))
    coded = (counts * code_lengths(frequencies[None])[0]).sum() / images
    return float(coded) + ENTRY_BITS * int(kept.sum())


def test_a_rare_tail_is_escaped_and_a_frequent_one_named() -> None:
    counts = torch.tensor([[0.0, 3, 900, 5000, 40, 2, 0, 1]], dtype=torch.float64)
    many = worth_naming(counts, images=1000, entry_bits=ENTRY_BITS)
    assert many.tolist() == [[False, False, False, True, False, False, False, False]]
    one = worth_naming(1000 * counts, images=1, entry_bits=ENTRY_BITS)
    assert one.tolist() == [[False, True, True, True, True, True, True, True]]


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=9).filter(any),
    st.sampled_from([1, 4, 50]),
)
def test_what_is_named_costs_about_the_least_of_all_ranges(row: list[int], images: int) -> None:
    counts = torch.tensor([row], dtype=torch.float64)
    kept = worth_naming(counts, images=images, entry_bits=ENTRY_BITS)[0]
    columns = torch.arange(len(row))
    ranges = [
        (columns >= first) & (columns <= last)
        for first in range(len(row))
        for last in range(first, len(row))
    ]
    least = min(cost(counts[0], r, images) for r in ranges if float((counts[0] * r).sum()) > 0)
    # Ends are chosen one after the other, and frequencies are rounded.
    assert cost(counts[0], kept, images) <= 1.1 * least + ENTRY_BITS


def test_tables_of_what_is_worth_an_entry_cost_less_with_their_symbols(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, images = np.random.default_rng(0), 50
    symbols = np.rint(rng.laplace(0, np.linspace(1, 9, 12)[:, None], (12, 4000))).astype(int)
    counts = np.stack([np.bincount(row + 120, minlength=241) for row in symbols])
    site = {"site": Histogram(torch.from_numpy(counts)[:, None], -120)}

    def moved() -> tuple[float, int]:
        fitted = fit_network_tables(site, images=images)
        return fitted.bits["site"] / images + fitted.tables.bits(), fitted.tables.bits()

    trimmed = moved()
    monkeypatch.setattr(
        network_tables, "worth_naming", lambda counts, **_: torch.ones_like(counts).bool()
    )
    whole = moved()
    assert trimmed[0] < whole[0]
    assert trimmed[1] < 0.7 * whole[1]
