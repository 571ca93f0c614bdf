"""Which code table each symbol gets: few tables, shared by components and contexts that are alike.

A table per component and context would take a little fewer bits and cost many times more to fetch;
contexts that are rare would also be fitted to too few symbols.
"""

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from actpress.codec.rate import code_lengths_bits
from actpress.kernels import CONTEXTS, count_in_contexts

MOST_TABLES = 32
"""Of one site."""

WORTHWHILE = 0.03
"""Contexts are used where they save at least this share of a site's bits."""

MOST_CONTEXT_LEVELS = 512
"""Sites with more levels than this have counts per component only."""

ROUNDS = 8
"""Of reassigning histograms to tables."""

SMOOTHING = 0.02
"""Count that every level has besides, while tables are compared."""


class CodeTables(NamedTuple):
    """The static tables of one site.

    Attributes:
        counts: of calibration symbols, shape (tables, levels), int64.
        table_of: table of each component in each context, shape (k, contexts), uint8; contexts is 1
            where they do not pay.
    """

    counts: Tensor
    table_of: Tensor

    def widths(self) -> Tensor:
        """Levels from the first to the last that each table has seen, shape (tables,), int64."""
        first, last = seen_range(self.counts > 0)
        return last - first + 1

    def code_lengths_bits(self) -> Tensor:
        """Ideal code length by component, context and level, shape (k, contexts, levels)."""
        return code_lengths_bits(self.counts)[self.table_of.long()]


def fit_code_tables(counts: Tensor) -> tuple[CodeTables, float]:
    """Tables for counts, and the bits that coding the counted symbols with them takes.

    Args:
        counts: of symbols by component, context and level, shape (k, contexts, levels), int64;
            every component has symbols. With more than one context, both ways are tried.
    """
    plain = counts.sum(1, keepdim=True)
    tables, bits = _fit(plain)
    if counts.shape[1] == 1:
        return tables, bits
    with_contexts, fewer_bits = _fit(counts)
    if fewer_bits < (1 - WORTHWHILE) * bits:
        return with_contexts, fewer_bits
    return tables, bits


def seen_range(seen: Tensor) -> tuple[Tensor, Tensor]:
    """First and last column that is true in each row, shape (rows,), int64."""
    columns = torch.arange(seen.shape[1], device=seen.device)
    first = torch.where(seen, columns, seen.shape[1]).amin(1)
    return first, torch.where(seen, columns, -1).amax(1)


def coded_bits(q: Tensor) -> float:
    """Bits of symbols, shape (n, k, ...), under tables fitted to themselves."""
    return fit_code_tables(_counts(q))[1]


def context_share(q: Tensor) -> float:
    """The same over the bits of tables without contexts; 1 where contexts are not used."""
    counts = _counts(q)
    plain_bits = _fit(counts.sum(1, keepdim=True))[1]
    if counts.shape[1] == 1 or not plain_bits:
        return 1.0
    share = _fit(counts)[1] / plain_bits
    return share if share < 1 - WORTHWHILE else 1.0


def _counts(q: Tensor) -> Tensor:
    lowest, highest = int(q.min()), int(q.max())
    levels = highest - lowest + 1
    counts = q.new_zeros(q.shape[1], contexts_for(q, levels), levels, dtype=torch.int64)
    count_in_contexts(q, lowest, counts)
    return counts


def contexts_for(q: Tensor, levels: int) -> int:
    """Contexts that are worth counting: none without neighbours, or with very many levels."""
    return CONTEXTS if prod(q.shape[2:]) > 1 and levels <= MOST_CONTEXT_LEVELS else 1


def _fit(counts: Tensor) -> tuple[CodeTables, float]:
    components, contexts, levels = counts.shape
    histograms = counts.reshape(-1, levels).double()
    seen = histograms.sum(1) > 0
    table = torch.zeros(len(histograms), dtype=torch.int64, device=counts.device)
    table[seen] = cluster(histograms[seen], MOST_TABLES)
    shared = torch.zeros(int(table.max()) + 1, levels, dtype=torch.int64, device=counts.device)
    shared.index_add_(0, table, counts.reshape(-1, levels))
    if not seen.all():  # contexts that calibration never saw: what suits the component as a whole
        whole = counts.sum(1).double() @ -_log2_shares(shared.double()).T
        table = torch.where(seen, table, whole.argmin(1).repeat_interleave(contexts))
    tables = CodeTables(shared, table.reshape(components, contexts).to(torch.uint8))
    return tables, float((counts * tables.code_lengths_bits()).sum())


def cluster(histograms: Tensor, most: int) -> Tensor:
    """Assign histograms to at most so many tables, so that coding them takes few bits.

    K-means with the code length as the distance: it starts from the largest histogram and, one by
    one, the one that the tables so far suit worst.

    Args:
        histograms: counts, shape (m, levels), float64, none empty.
        most: tables.

    Returns:
        Table of each histogram, shape (m,), int64, numbered without gaps.
    """
    if len(histograms) <= most:
        return torch.arange(len(histograms), device=histograms.device)
    logs = _log2_shares(histograms)
    own_bits = -(histograms * logs).sum(1)
    chosen = [int(histograms.sum(1).argmax())]
    excess = -(histograms @ logs[chosen[0]]) - own_bits
    while len(chosen) < most and float(excess.max()) > 0:
        chosen.append(int(excess.argmax()))
        excess = torch.minimum(excess, -(histograms @ logs[chosen[-1]]) - own_bits)
    centres = logs[chosen]
    table = (histograms @ centres.T).argmax(1)
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, table, histograms)
        centres = torch.where(sums.sum(1, keepdim=True) > 0, _log2_shares(sums), centres)
        before, table = table, (histograms @ centres.T).argmax(1)
        if table.equal(before):
            break
    numbered: Tensor = table.unique(return_inverse=True)[1]
    return numbered


def _log2_shares(histograms: Tensor) -> Tensor:
    smooth = histograms + SMOOTHING
    return torch.log2(smooth / smooth.sum(1, keepdim=True))
