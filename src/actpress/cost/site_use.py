"""What one site makes a device store, move, fetch and compute for an inference."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from actpress.budget import REFERENCE_BITS


class Stored(Protocol):
    """A value that is stored once and read a number of times, such as a `Site`."""

    @property
    def values(self) -> int:
        """Original values per inference."""

    @property
    def reads(self) -> int:
        """Consumers."""


@dataclass(frozen=True)
class SiteUse:
    """One site under one view of its bits. Fetched means: read once per batch.

    Filled in the same way from a state that a search considers, from a codec, and from a row of
    metrics, so that all three have one price.

    Attributes:
        values: original values, c*h*w.
        reads: consumers; every one reads the whole value.
        stored_bits: per inference.
        parameter_bits: fetched numbers of the codec that no neighbour takes in: matrices, offsets,
            steps.
        index_bits: fetched to say which code table or symbol range each component has.
        credit_bits: by which weights of neighbours shrink where they take in a matrix; negative
            where they grow.
        macs: multiply-accumulates per inference of the codec that no neighbour takes in.
        credit_macs: by which those of neighbours become fewer; negative where they become more.
    """

    values: int
    reads: int
    stored_bits: float
    parameter_bits: float = 0.0
    index_bits: float = 0.0
    credit_bits: float = 0.0
    macs: float = 0.0
    credit_macs: float = 0.0

    @property
    def moved_bits(self) -> float:
        """One write, and a read for every consumer."""
        return (1 + self.reads) * self.stored_bits

    @property
    def fetched_bits(self) -> float:
        """Per batch. Smaller neighbours can pay for a codec, but never for activations."""
        return max(self.parameter_bits - self.credit_bits, 0.0) + self.index_bits

    @property
    def extra_macs(self) -> float:
        """Per inference. Smaller neighbours can pay for a codec here, too, and for nothing else."""
        return max(self.macs - self.credit_macs, 0.0)

    @classmethod
    def uncompressed(cls, site: Stored) -> "SiteUse":
        """The site as it is without a codec, at 8 bits a value."""
        return cls(site.values, site.reads, float(REFERENCE_BITS * site.values))


def total_use(uses: Iterable[SiteUse]) -> tuple[float, float, float]:
    """Bits moved, bits fetched and multiply-accumulates of several sites together."""
    parts = [(use.moved_bits, use.fetched_bits, use.extra_macs) for use in uses]
    moved, fetched, macs = (
        (sum(column) for column in zip(*parts, strict=True)) if parts else (0,) * 3
    )
    return float(moved), float(fetched), float(macs)
