"""The code tables of a network: shared by all its sites, so that they cost next to nothing.

Components of all sites that are distributed alike form a class. A class has a table for each
context of a symbol's neighbours, from a pool that all classes draw from. A component needs nothing
but the number of its class:

    component --class_of (5 bits)--> class --table_of, by context--> table --> code lengths

Classes and tables are K-means clusters with the code length as the distance. How many there are is
decided by what they cost and save (`fit_network_tables`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from actpress.bitstream import FrequencyTables, scaled_frequencies
from actpress.codec.entropy.clusters import cluster, code_lengths, seen_range, worth_naming
from actpress.kernels import CONTEXTS

SIZES = ((4, 16), (8, 32), (16, 64), (32, 128), (64, 250))
"""Classes and tables that are tried, at most so many of each."""

ENTRY_BITS = 16
"""Of a frequency; a table says besides where it begins and ends."""

NAME_BITS = 8
"""Of the table of a class in a context, and of a component's class in a run folder."""


@dataclass(frozen=True)
class NetworkTables:
    """Static tables for all sites; column i of every table is the symbol `lowest + i`.

    Attributes:
        frequencies: of symbols, out of 2^12, shape (tables, levels), int64. What is missing from
            2^12 is the escape's; symbols of frequency 0 are coded by it and their plain index.
        lowest: symbol of the first column.
        table_of: table of each class in each context, shape (classes, contexts), uint8.
    """

    frequencies: Tensor
    lowest: int
    table_of: Tensor

    @property
    def highest(self) -> int:
        """Symbol of the last column."""
        return self.lowest + self.frequencies.shape[1] - 1

    @property
    def class_bits(self) -> int:
        """Bits that name the class of a component."""
        return (len(self.table_of) - 1).bit_length()

    def spans(self) -> tuple[Tensor, Tensor]:
        """First and last column of each table that has a frequency, shape (tables,), int64."""
        return seen_range(self.frequencies > 0)

    def bits(self) -> int:
        """What a device fetches once for all sites: entries, names, first and last symbols."""
        first, last = self.spans()
        entries = int((last - first + 1).sum()) + 2 * len(self.frequencies)
        return ENTRY_BITS * (entries + 2) + NAME_BITS * self.table_of.numel()

    @cached_property
    def coder_tables(self) -> FrequencyTables:
        """The same for the entropy coder, made once for all sites: caches hold them together."""
        return FrequencyTables.from_frequencies(self.frequencies.cpu().numpy(), self.lowest)

    def code_lengths_bits(self) -> Tensor:
        """Of every symbol under every table, escapes with their index, (tables, levels)."""
        return code_lengths(self.frequencies)


@dataclass(frozen=True)
class Histogram:
    """Symbols of one site that were counted on calibration images.

    Attributes:
        counts: by component, context and level, shape (k, contexts, levels), int64; contexts is 1
            where they were not told apart.
        lowest: symbol of the first column.
        weight: how often a stored bit of the site is moved.
    """

    counts: Tensor
    lowest: int
    weight: float = 1.0

    @property
    def told_apart(self) -> bool:
        """Whether its contexts are."""
        return self.counts.shape[1] > 1


@dataclass(frozen=True)
class FittedTables:
    """Tables, and what coding the counted symbols with them takes.

    Attributes:
        tables: of the network.
        class_of: class of each component by site, shape (k,), uint8.
        bits: by site, of all counted symbols.
    """

    tables: NetworkTables
    class_of: Mapping[str, Tensor]
    bits: Mapping[str, float]


def fit_network_tables(
    sites: Mapping[str, Histogram], *, images: int, span: tuple[int, int] | None = None
) -> FittedTables:
    """Choose classes and tables that take the fewest bits, their own included.

    Components whose contexts were not told apart have classes of their own.

    Args:
        sites: histograms by site, every component with symbols.
        images: that were counted; the tables' own bits weigh as much as those of one of them.
        span: lowest and highest symbol that may come to be coded; None is what was counted.
    """
    pools = [
        _Pool.of({name: site for name, site in sites.items() if site.told_apart is apart})
        for apart in (True, False)
        if any(site.told_apart is apart for site in sites.values())
    ]
    low = min(pool.lowest for pool in pools)
    high = max(pool.lowest + pool.counts.shape[2] - 1 for pool in pools)
    if span is not None:
        low, high = min(low, span[0]), max(high, span[1])
    levels = high - low + 1
    fits = (_fitted(pools, *size, lowest=low, levels=levels, images=images) for size in SIZES)
    best = min(fits, key=lambda fit: fit.cost(pools, images))
    class_of, bits = dict[str, Tensor](), dict[str, float]()
    for pool, own, spent in zip(pools, best.class_of, best.bits, strict=True):
        for name, part in zip(pool.names, own.split(pool.sizes), strict=True):
            class_of[name] = part.to(torch.uint8)
        for name, part in zip(pool.names, spent.split(pool.sizes), strict=True):
            bits[name] = float(part.sum())
    return FittedTables(
        best.tables, {name: class_of[name] for name in sites}, {name: bits[name] for name in sites}
    )


@dataclass(frozen=True)
class _Pool:
    """The components of some sites, over one range of symbols.

    Attributes:
        names: of the sites, `sizes` components each.
        counts: shape (m, contexts, levels), float32.
        lowest: symbol of the first column.
        weights: of each component's bits, shape (m,), float32.
    """

    names: list[str]
    sizes: list[int]
    counts: Tensor
    lowest: int
    weights: Tensor

    @classmethod
    def of(cls, sites: Mapping[str, Histogram]) -> "_Pool":
        histograms = list(sites.values())
        sizes = [len(site.counts) for site in histograms]
        lowest = min(site.lowest for site in histograms)
        highest = max(site.lowest + site.counts.shape[2] for site in histograms)
        like = histograms[0].counts
        counts = torch.zeros(sum(sizes), like.shape[1], highest - lowest, device=like.device)
        for part, site in zip(counts.split(sizes), histograms, strict=True):
            first = site.lowest - lowest
            part[..., first : first + site.counts.shape[2]] = site.counts
        weights = torch.tensor([site.weight for site in histograms], device=like.device)
        repeated = weights.float().repeat_interleave(torch.tensor(sizes, device=like.device))
        return cls(list(sites), sizes, counts, lowest, repeated)

    def summed(self, class_of: Tensor) -> Tensor:
        """Weighted counts of each class, shape (classes, contexts, levels), float64."""
        shape = int(class_of.max()) + 1, *self.counts.shape[1:]
        sums = torch.zeros(shape, device=class_of.device)
        weighted = self.counts * self.weights[:, None, None]
        return sums.index_add_(0, class_of, weighted).double()

    def bits(self, class_of: Tensor, table_of: Tensor, lengths: Tensor) -> Tensor:
        """Of each component's symbols, shape (m,), with code lengths over the pool's range."""
        contexts = self.counts.shape[1]
        spent = torch.empty(len(self.counts), dtype=torch.float64, device=self.counts.device)
        for number, names in enumerate(table_of.long()):
            members = class_of == number
            own = lengths[names[:contexts]].float()
            spent[members] = (self.counts[members] * own).sum((1, 2)).double()
        return spent


@dataclass(frozen=True)
class _Fit:
    """Tables of one size; `class_of` and `bits` by pool, for each of its components."""

    tables: NetworkTables
    class_of: list[Tensor]
    bits: list[Tensor]

    def cost(self, pools: list[_Pool], images: int) -> float:
        """Bits moved for an image, with all that names and holds the tables."""
        moved = sum(
            float(bits @ pool.weights.double()) for bits, pool in zip(self.bits, pools, strict=True)
        )
        components = sum(map(len, self.class_of))
        return moved / images + self.tables.bits() + self.tables.class_bits * components


def _fitted(
    pools: list[_Pool],
    most_classes: int,
    most_tables: int,
    *,
    lowest: int,
    levels: int,
    images: int,
) -> _Fit:
    class_of = [cluster(pool.counts * pool.weights[:, None, None], most_classes) for pool in pools]
    rows = torch.cat(
        [
            _in_range(pool.summed(own), pool.lowest - lowest, levels).flatten(0, 1)
            for pool, own in zip(pools, class_of, strict=True)
        ]
    )
    seen = rows.sum(1) > 0
    table = torch.full((len(rows),), -1, dtype=torch.int64, device=rows.device)
    table[seen] = cluster(rows[seen][:, None], most_tables)
    shared = torch.zeros(int(table.max()) + 1, levels, dtype=torch.float64, device=rows.device)
    shared.index_add_(0, table[seen], rows[seen])
    frequencies = _frequencies(shared, images)
    lengths = code_lengths(frequencies)
    names, first = list[Tensor](), 0
    for pool, own in zip(pools, class_of, strict=True):
        contexts = pool.counts.shape[1]
        count = int(own.max()) + 1
        part = slice(first, first + count * contexts)
        named = table[part].reshape(count, contexts)
        whole = rows[part].reshape(count, contexts, levels).sum(1)
        # What calibration never saw gets what suits the class as a whole.
        suiting = (whole @ lengths.T).argmin(1, keepdim=True)
        names.append(torch.where(named < 0, suiting, named).expand(count, CONTEXTS))
        first = part.stop
    bits = [
        pool.bits(own, named, lengths[:, pool.lowest - lowest :][:, : pool.counts.shape[2]])
        for pool, own, named in zip(pools, class_of, names, strict=True)
    ]
    offset = 0
    for index, own in enumerate(class_of):  # classes of all pools are numbered together
        class_of[index] = own + offset
        offset += len(names[index])
    table_of = torch.cat(names).to(torch.uint8).contiguous()
    return _Fit(NetworkTables(frequencies, lowest, table_of), class_of, bits)


def _in_range(counts: Tensor, first: int, levels: int) -> Tensor:
    """Counts (..., l) in a wider range of levels, from column `first` on."""
    wide = counts.new_zeros(*counts.shape[:-1], levels)
    wide[..., first : first + counts.shape[-1]] = counts
    return wide


def _frequencies(counts: Tensor, images: int) -> Tensor:
    """Counts (tables, levels) as frequencies out of 2^12, int64, of symbols worth an entry."""
    named = counts * worth_naming(counts, images=images, entry_bits=ENTRY_BITS)
    escaped = (counts - named).sum(1).tolist()
    rows = zip(named.cpu().numpy(), escaped, strict=True)
    scaled = [scaled_frequencies(row, outside) for row, outside in rows]
    return torch.from_numpy(np.stack(scaled)).to(counts.device)
