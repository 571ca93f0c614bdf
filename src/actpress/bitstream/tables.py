"""Static frequency tables in fixed point: the only model that encoder and decoder share."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actpress.errors import StreamError
from actpress.kernels.rans_format import PRECISION

MAX_RANGE = (1 << PRECISION) // 2
"""Symbols between the lowest and the highest of a component, at most."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class FrequencyTables:
    """Tables of symbols, for a component each or shared; frequencies of a table sum to 2^12.

    A symbol that calibration never saw has frequency zero and is coded as an escape, a table's
    last entry, followed by its index in plain bits.

    Attributes:
        q_min: lowest symbol of each table, shape (t,), int32.
        offsets: first entry of each table in the flat arrays, shape (t + 1,), int64.
        frequencies: shape (entries,), uint16.
        inverses: 1 / frequency, zero for frequency zero, shape (entries,), float64.
        starts: sum of the frequencies before, within the table, shape (entries,), uint16.
        escape_bits: of the plain index after an escape, shape (t,), int64.
        sizes: symbols of each table, its escape not counted, shape (t,), int64.
        ranges: frequency << 16 | start, shape (entries,), uint32.
        entries: of `fill_lookup`, shape (t, 2^12), uint8 if no table has more than 256 entries.
    """

    q_min: NDArray[np.int32]
    offsets: Ints
    frequencies: NDArray[np.uint16]
    inverses: NDArray[np.float64] = field(init=False, repr=False)
    starts: NDArray[np.uint16] = field(init=False, repr=False)
    escape_bits: Ints = field(init=False, repr=False)
    sizes: Ints = field(init=False, repr=False)
    ranges: NDArray[np.uint32] = field(init=False, repr=False)
    entries: NDArray[np.uint8] | NDArray[np.uint16] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from actpress.kernels.rans_loops import fill_lookup  # noqa: PLC0415 - numba loads slowly

        sizes = np.diff(self.offsets)
        ends = np.cumsum(self.frequencies, dtype=np.int64)
        starts = ends - self.frequencies
        base = np.repeat(starts[self.offsets[:-1]], sizes)
        own_starts = (starts - base).astype(np.uint16)
        smallest = np.min_scalar_type(int(sizes.max()) - 1)  # bytes, where they suffice
        entries = np.empty((len(self.q_min), 1 << PRECISION), smallest)
        fill_lookup(self.offsets, self.frequencies, entries)
        inverses = np.zeros(len(self.frequencies))
        np.divide(1.0, self.frequencies, out=inverses, where=self.frequencies > 0)
        object.__setattr__(self, "inverses", inverses)
        object.__setattr__(self, "starts", own_starts)
        object.__setattr__(self, "escape_bits", _index_bits(sizes - 1))
        object.__setattr__(self, "sizes", sizes - 1)
        ranges = self.frequencies.astype(np.uint32) << 16 | own_starts
        object.__setattr__(self, "ranges", ranges)
        object.__setattr__(self, "entries", entries)

    @classmethod
    def from_counts(cls, counts: Ints, q_min: Ints, q_max: Ints) -> Self:
        """Fit tables to calibration counts.

        A component with d distinct symbols gives its escape the weight d, as the entropy view does.

        Args:
            counts: shape (k, levels), column i holding the symbol q_min + i; >= 0.
            q_min: lowest symbol of each component, shape (k,).
            q_max: highest symbol of each component, shape (k,).

        Raises:
            StreamError: a component without a symbol, or with more than `MAX_RANGE` of them.
        """
        sizes = np.asarray(q_max, np.int64) - np.asarray(q_min, np.int64) + 1
        if len(sizes) == 0 or sizes.min() < 1 or sizes.max() > MAX_RANGE:
            raise StreamError(
                f"a code table has {sizes.max(initial=0)} levels; entropy coding takes 1 to "
                f"{MAX_RANGE}; use a coarser step or a smaller bit-width"
            )
        rows = [_scaled(row[:size]) for row, size in zip(counts, sizes, strict=True)]
        offsets = np.concatenate([[0], np.cumsum(sizes + 1)]).astype(np.int64)
        return cls(np.asarray(q_min, np.int32), offsets, np.concatenate(rows).astype(np.uint16))

    @classmethod
    def from_shared_counts(cls, counts: Ints, lowest: int) -> Self:
        """Fit tables that all begin at the same symbol.

        Args:
            counts: shape (tables, levels), column i holding the symbol lowest + i; >= 0.
            lowest: see there.

        Raises:
            StreamError: as for `from_counts`.
        """
        count, levels = counts.shape
        return cls.from_counts(counts, np.full(count, lowest), np.full(count, lowest + levels - 1))

    @classmethod
    def from_frequencies(cls, frequencies: Ints, lowest: int) -> Self:
        """Tables of given frequencies that all begin at the same symbol.

        Args:
            frequencies: of symbols, out of 2^12, shape (tables, levels); the rest is the escape's.
            lowest: symbol of the first column.

        Raises:
            StreamError: too many levels, or frequencies that leave nothing for the escape.
        """
        count, levels = frequencies.shape
        escapes = (1 << PRECISION) - frequencies.sum(1, keepdims=True)
        if not 1 <= levels <= MAX_RANGE or frequencies.min() < 0 or escapes.min() < 1:
            raise StreamError(
                f"code tables have {levels} levels and leave {escapes.min(initial=0)} of "
                f"{1 << PRECISION} for escapes; expected 1 to {MAX_RANGE} levels and at least 1"
            )
        entries = np.concatenate([frequencies, escapes], axis=1).astype(np.uint16)
        offsets = np.arange(count + 1, dtype=np.int64) * (levels + 1)
        return cls(np.full(count, lowest, np.int32), offsets, entries.ravel())

    @cached_property
    def slots(self) -> NDArray[np.uint32]:
        """All that decoding a slot needs at once, shape (t, 2^12); empty if entries need 9 bits.

        frequency << 20 | slot - start << 8 | entry. Frequencies are below 2^12, as the escape has
        one too.
        """
        if self.entries.dtype != np.uint8:
            return np.empty((0, 0), np.uint32)
        entries = self.entries.astype(np.uint32)
        ranges = self.ranges[entries + self.offsets[:-1, None]]
        above = np.arange(1 << PRECISION, dtype=np.uint32) - (ranges & 0xFFFF)
        slots: NDArray[np.uint32] = ranges >> 16 << 20 | above << 8 | entries
        return slots

    def __len__(self) -> int:
        return len(self.q_min)

    def code_lengths_bits(self, component: int) -> NDArray[np.float64]:
        """Bits of every symbol of a component from q_min up, escapes with their index."""
        entries = self.frequencies[self.offsets[component] : self.offsets[component + 1]]
        lengths = PRECISION - np.log2(np.maximum(entries, 1), dtype=np.float64)
        escaped = lengths[-1] + self.escape_bits[component]
        return np.where(entries[:-1] > 0, lengths[:-1], escaped)


def scaled_frequencies(counts: Ints | NDArray[np.float64], escaped: float = 0.0) -> Ints:
    """Frequencies of the symbols of one table, out of 2^12; what is left is its escape's.

    Args:
        counts: of symbols, shape (levels,), >= 0.
        escaped: count of symbols that the table is not to name.

    Raises:
        StreamError: a table without a symbol.
    """
    return _scaled(counts, escaped)[:-1]


def _scaled(counts: Ints | NDArray[np.float64], escaped: float = 0.0) -> Ints:
    """Frequencies of the symbols and the escape, summing to 2^12, at least 1 for what was seen.

    Starts from the proportional shares and moves single units to where they save the most bits.
    """
    total = 1 << PRECISION
    named = np.count_nonzero(counts)
    weights = np.append(counts, named + escaped).astype(np.float64)
    if named == 0:
        raise StreamError("a component has no calibration symbols; calibrate with more images")
    seen = int(np.count_nonzero(weights))
    share = weights * (total / weights.sum())
    scaled = np.where(weights > 0, np.maximum(np.floor(share), 1), 0).astype(np.int64)
    while (missing := total - int(scaled.sum())) != 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            if missing > 0:
                gain = np.where(weights > 0, weights * np.log2((scaled + 1) / scaled), -np.inf)
                scaled[np.argsort(-gain, kind="stable")[: min(missing, seen)]] += 1
            else:
                loss = np.where(scaled > 1, weights * np.log2(scaled / (scaled - 1)), np.inf)
                scaled[int(np.argmin(loss))] -= 1
    return scaled


def _index_bits(levels: Ints) -> Ints:
    return np.ceil(np.log2(np.maximum(levels, 1)) - 1e-9).astype(np.int64)
