"""Clusters of histograms that one code table suits, by the code length."""

import torch
from torch import Tensor

from actpress.kernels.rans_format import PRECISION

ROUNDS = 12
"""Of reassigning histograms to clusters."""

END_ROUNDS = 3
"""Of choosing a table's last symbol, and then its first."""

SMOOTHING = 0.02
"""Count that every level has besides, while clusters are compared."""


def cluster(histograms: Tensor, most: int) -> Tensor:
    """Assign histograms to at most so many clusters, so that coding them takes few bits.

    K-means with the code length as the distance: it starts from the largest histogram and, one by
    one, the one that the clusters so far suit worst.

    Args:
        histograms: counts, shape (m, contexts, levels), none empty; a cluster has a distribution
            over levels for each context.
        most: clusters.

    Returns:
        Cluster of each histogram, shape (m,), int64, numbered without gaps.
    """
    if len(histograms) <= most:
        return torch.arange(len(histograms), device=histograms.device)
    flat = histograms.float().flatten(1)
    own_bits = -(flat * _logs(histograms).flatten(1)).sum(1)
    chosen = [int(flat.sum(1).argmax())]
    excess = _bits(flat, histograms[chosen[-1:]])[:, 0] - own_bits
    while len(chosen) < most and float(excess.max()) > 0:
        chosen.append(int(excess.argmax()))
        excess = torch.minimum(excess, _bits(flat, histograms[chosen[-1:]])[:, 0] - own_bits)
    centres = histograms[chosen].float()
    assigned = _bits(flat, centres).argmin(1)
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, assigned, histograms.float())
        centres = torch.where(sums.sum((1, 2), keepdim=True) > 0, sums, centres)
        before, assigned = assigned, _bits(flat, centres).argmin(1)
        if assigned.equal(before):
            break
    numbered: Tensor = assigned.unique(return_inverse=True)[1]
    return numbered


def code_lengths(frequencies: Tensor) -> Tensor:
    """Bits of every symbol under tables of frequencies out of 2^12; see `NetworkTables`.

    A symbol of frequency 0 costs the escape, and its index among the levels.

    Args:
        frequencies: shape (tables, levels), int64; each row adds up to less than 2^12.

    Returns:
        Shape (tables, levels), float64.
    """
    escape = 2**PRECISION - frequencies.sum(1, keepdim=True)
    index_bits = (frequencies.shape[1] - 1).bit_length()
    seen = PRECISION - torch.log2(frequencies.clamp(min=1).double())
    return torch.where(frequencies > 0, seen, PRECISION - torch.log2(escape.double()) + index_bits)


def worth_naming(counts: Tensor, *, images: int, entry_bits: int) -> Tensor:
    """Where a table's own entries save more bits than they take.

    A table names all symbols from its first to its last. Each costs an entry, also one far out that
    few images hold; without it, it is escaped.

    Args:
        counts: of symbols, shape (tables, levels), float64, none of the rows empty.
        images: that were counted; entries weigh as much as the symbols of one of them.
        entry_bits: of an entry.

    Returns:
        Shape (tables, levels), true from each table's first to its last symbol.
    """
    first = last = torch.ones_like(counts, dtype=torch.bool)
    for _ in range(END_ROUNDS):
        last = _up_to(counts * first, counts, images, entry_bits)
        first = _up_to((counts * last).flip(1), counts.flip(1), images, entry_bits).flip(1)
    return first & last


def _up_to(counts: Tensor, whole: Tensor, images: int, entry_bits: int) -> Tensor:
    """Up to the last symbol that pays, and never less than up to the most frequent.

    Args:
        counts: of symbols that may be named.
        whole: counts of all symbols.
        images: see `worth_naming`.
        entry_bits: see `worth_naming`.
    """
    total = whole.sum(1, keepdim=True)
    index_bits = (counts.shape[1] - 1).bit_length()
    named, distinct = counts.cumsum(1), (counts > 0).cumsum(1)
    escaped = total - named + distinct  # as `scaled_frequencies` weighs them
    coded = _self_information(total + distinct) - _self_information(escaped)
    coded = coded - _self_information(counts).cumsum(1) + (total - named) * index_bits
    columns = torch.arange(counts.shape[1], device=counts.device)
    cost = coded / images + entry_bits * columns
    cost = cost.masked_fill(columns < counts.argmax(1, keepdim=True), torch.inf)
    return columns <= cost.argmin(1, keepdim=True)


def _self_information(counts: Tensor) -> Tensor:
    return counts * counts.clamp(min=1e-300).log2()


def seen_range(seen: Tensor) -> tuple[Tensor, Tensor]:
    """First and last column that is true in each row, shape (rows,), int64."""
    columns = torch.arange(seen.shape[1], device=seen.device)
    first = torch.where(seen, columns, seen.shape[1]).amin(1)
    return first, torch.where(seen, columns, -1).amax(1)


def _bits(flat: Tensor, centres: Tensor) -> Tensor:
    """Of every histogram under every centre, shape (m, centres)."""
    return -(flat @ _logs(centres).flatten(1).T)


def _logs(histograms: Tensor) -> Tensor:
    smooth = histograms.float() + SMOOTHING
    return torch.log2(smooth / smooth.sum(-1, keepdim=True))
