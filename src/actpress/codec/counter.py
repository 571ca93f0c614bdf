"""Counting symbols: a probe that code tables are fitted from, and bits are counted with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import fsum, prod

import torch
from torch import Tensor

from actpress.codec.entropy import seen_range
from actpress.codec.passing import seen_by
from actpress.codec.site_codec import SiteCodec, all_finite
from actpress.errors import CalibrationError
from actpress.kernels import CONTEXTS, count_in_contexts, squared_distance
from actpress.team import ALONE, Team

MOST_CONTEXT_LEVELS = 128
"""Sites with more levels than this have counts per component only."""


class SymbolCounter:
    """A probe that counts the symbols and the squared error of one codec, `name` in messages.

    With tables fitted it counts by the contexts that these tell apart, and the symbols that the
    codec may have; without, by all contexts, and the symbols that occur.

    Attributes:
        lowest: symbol of the first column.
        counts: shape (k, contexts, levels), int64; columns are added as symbols need them.
        squared_errors: sum over the values of each batch.
        values: original values seen.
    """

    def __init__(self, codec: SiteCodec, name: str) -> None:
        self.name = name
        self.squared_errors: list[float] = []
        self.values = 0
        self.lowest = 0
        self.counts = torch.zeros(codec.rank, 0, 0, dtype=torch.int64, device=codec.step.device)
        if codec.tables is not None:
            self.lowest, highest = codec.symbol_range()
            shape = codec.rank, codec.table_of.shape[1], highest - self.lowest + 1
            self.counts = self.counts.new_zeros(shape)

    def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        """Add one batch."""
        if not codec.has_tables:
            self._make_room(q)
        count_in_contexts(q, self.lowest, self.counts)
        self.squared_errors.append(squared_distance(x, x_hat))
        self.values += x.numel()

    def _make_room(self, q: Tensor) -> None:
        """Columns for the symbols of a batch; contexts are given up where that makes too many."""
        if not q.numel():
            return
        if not all_finite(q):
            raise CalibrationError(
                f"site {self.name}: NaN or infinite values; check the images and the weights"
            )
        lowest, highest = int(q.min()), int(q.max())
        self._widen(lowest, highest - lowest + 1, contexts_for(q, highest - lowest + 1))

    def _widen(self, lowest: int, levels: int, contexts: int) -> None:
        """Have columns for so many levels from the lowest on, in at most so many contexts."""
        before, own = self.counts, self.counts.shape[2]
        highest = lowest + levels - 1
        if own:
            lowest = min(lowest, self.lowest)
            highest = max(highest, self.lowest + own - 1)
        levels = highest - lowest + 1
        if levels > MOST_CONTEXT_LEVELS:
            contexts = 1
        if levels == own:
            return
        if own and contexts < before.shape[1]:
            before = before.sum(1, keepdim=True)
        contexts = before.shape[1] if own else contexts
        self.counts = before.new_zeros(len(before), contexts, levels)
        if own:
            offset = self.lowest - lowest
            self.counts[..., offset : offset + own] = before
        self.lowest = lowest

    @property
    def squared_error(self) -> float:
        """Sum over all values, the same in whichever order batches came."""
        return fsum(self.squared_errors)

    def add(self, other: "SymbolCounter") -> None:
        """Count what another counter of the same codec has seen, as if this one had seen it."""
        if not other.values:
            return
        self._widen(other.lowest, other.counts.shape[2], other.counts.shape[1])
        counts = other.counts.to(self.counts.device)
        if counts.shape[1] > self.counts.shape[1]:
            counts = counts.sum(1, keepdim=True)
        offset = other.lowest - self.lowest
        self.counts[..., offset : offset + counts.shape[2]] += counts
        self.squared_errors += other.squared_errors
        self.values += other.values

    def seen(self) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, with q_min and q_max per component of the symbols that occurred."""
        first, last = seen_range(self.counts.sum(1) > 0)
        return self.counts, self.lowest + first, self.lowest + last

    def check_seen(self) -> None:
        """Refuse to have counted nothing.

        Raises:
            CalibrationError: no images.
        """
        if self.values == 0:
            raise CalibrationError(
                f"site {self.name} saw no images; give at least one batch, to the network as it "
                f"was before torch.compile"
            )


def contexts_for(q: Tensor, levels: int) -> int:
    """Contexts that are worth counting: none without neighbours, or with very many levels."""
    return CONTEXTS if prod(q.shape[2:]) > 1 and levels <= MOST_CONTEXT_LEVELS else 1


@contextmanager
def counting(
    codecs: Mapping[str, SiteCodec], *, team: Team = ALONE
) -> Iterator[Mapping[str, SymbolCounter]]:
    """Count the symbols of every codec, by site name, in this thread while the block runs.

    At its end those that the processes of a team have counted are added up.

    Raises:
        CalibrationError: nothing came by at a site: there were no images, or a compiled network.
    """
    counters = {name: SymbolCounter(codec, name) for name, codec in codecs.items()}
    with seen_by({codec: counters[name] for name, codec in codecs.items()}):
        yield counters
    for counter in counters.values():
        for rank, other in enumerate(team.gathered(counter)):
            if rank != team.rank:
                counter.add(other)
        counter.check_seen()
