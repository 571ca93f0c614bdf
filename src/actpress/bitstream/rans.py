"""The entropy coder: symbols to bytes and back with static tables, by interleaved rANS."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actpress.bitstream.tables import FrequencyTables
from actpress.errors import StreamError
from actpress.kernels.rans_format import LEFTOVER, LOW, MAX_LANES, OK, OVERRUN

STREAM_SYMBOLS = 1 << 16
"""Symbols from which a second stream pays: about so many go into each."""

MAX_STREAMS = 64
WORDS_PER_SYMBOL = 2
"""At most: an escape and its plain index emit one word each."""

MOST_SYMBOLS_PER_BYTE = 1 << 15
"""No table is more certain: -log2(4095 / 4096) bits a symbol are 22,700 symbols a byte."""

Symbols = NDArray[np.int32]
T = TypeVar("T")


@dataclass(frozen=True)
class RansCoder:
    """Codes the symbols of one site.

    ```
    payload = words in stream 0 .. s-2 (uint32 each) | stream 0 | .. | stream s-1
    stream  = states (uint32 each) | words (uint16 each), little-endian
    ```

    Rows (image by image, component by component) are split evenly over the streams, which know
    nothing of each other. The numbers of streams and states follow from the shape alone.

    Attributes:
        tables: of the components.
        threads: streams coded at a time.
    """

    tables: FrequencyTables
    threads: int = 1

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols, shape (n, k, p), int32.

        Raises:
            StreamError: k is not that of the tables, or a symbol is outside of its range.
        """
        rows = self._rows(symbols)
        if not rows.size:
            return b""
        bounds = stream_bounds(rows.shape)
        lanes = lanes_of(rows.shape)
        parts = self._each(
            [lambda a=a, b=b: self._encode_rows(rows[a:b], a, lanes) for a, b in bounds]  # type: ignore[misc]
        )
        lengths = [(len(part) - 4 * lanes) // 2 for part in parts[:-1]]
        return np.array(lengths, "<u4").tobytes() + b"".join(parts)

    def decode(
        self,
        payload: bytes | memoryview,
        shape: tuple[int, int, int],
        out: Symbols | None = None,
    ) -> Symbols:
        """The symbols again.

        Args:
            payload: what `encode` returned.
            shape: (n, k, p).
            out: array of that shape, int32, contiguous, to be filled; None makes one. Besides it,
                little more than the payload's size is allocated.

        Raises:
            StreamError: the payload is damaged, or of another shape or other tables.
        """
        self._check_components(shape[1])
        if prod(shape) > MOST_SYMBOLS_PER_BYTE * len(payload):  # before anything is allocated
            raise StreamError(
                f"the payload is damaged: {len(payload)} bytes for {prod(shape)} symbols"
            )
        symbols = np.empty(shape, np.int32) if out is None else out
        rows = self._rows(symbols)
        if not rows.size:
            if len(payload):
                raise StreamError("the payload is damaged: it has bytes, but no symbols")
            return symbols
        bounds = stream_bounds(rows.shape)
        lanes = lanes_of(rows.shape)
        parts = _split(memoryview(payload).cast("B"), len(bounds), lanes)
        self._each(
            [
                lambda a=a, b=b, part=part: self._decode_rows(part, rows[a:b], a, lanes)  # type: ignore[misc]
                for (a, b), part in zip(bounds, parts, strict=True)
            ]
        )
        return symbols

    def _rows(self, symbols: Symbols) -> Symbols:
        n, k, p = symbols.shape
        self._check_components(k)
        return np.ascontiguousarray(symbols, np.int32).reshape(n * k, p)

    def _check_components(self, k: int) -> None:
        if k != self.tables.components:
            raise StreamError(
                f"got symbols of {k} components for tables of {self.tables.components}"
            )

    def _encode_rows(self, rows: Symbols, first_row: int, lanes: int) -> bytes:
        from actpress.kernels.rans_loops import encode_stream  # noqa: PLC0415 - numba loads slowly

        tables = self.tables
        words = np.empty(WORDS_PER_SYMBOL * rows.size + 1, "<u2")
        states = np.empty(lanes, np.uint64)
        begin = encode_stream(
            rows,
            first_row,
            tables.components,
            tables.q_min,
            tables.offsets,
            tables.frequencies,
            tables.inverses,
            tables.starts,
            tables.escape_bits,
            lanes,
            words,
            states,
        )
        if begin < 0:
            raise StreamError("a symbol is outside of the range of its component's table")
        return states.astype("<u4").tobytes() + words[begin:].tobytes()

    def _decode_rows(self, part: memoryview, rows: Symbols, first_row: int, lanes: int) -> None:
        from actpress.kernels.rans_loops import decode_stream  # noqa: PLC0415 - numba loads slowly

        tables = self.tables
        states = np.frombuffer(part[: 4 * lanes], "<u4").astype(np.uint64)
        if (states < LOW).any():
            raise StreamError("the payload is damaged: a coder state is out of bounds")
        room = np.zeros(WORDS_PER_SYMBOL * rows.shape[1] + 1, np.uint16)
        outcome = decode_stream(
            np.concatenate([np.frombuffer(part[4 * lanes :], "<u2"), room]),
            states,
            first_row,
            tables.components,
            tables.q_min,
            tables.sizes,
            tables.escape_bits,
            tables.offsets,
            tables.ranges,
            tables.entries,
            lanes,
            rows,
        )
        if outcome != OK:
            what = {OVERRUN: "it ends too early", LEFTOVER: "it does not end where it should"}
            raise StreamError(
                f"the payload is damaged: {what.get(outcome, 'a symbol is out of its range')}"
            )

    def _each(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        if self.threads == 1 or len(tasks) == 1:
            return [task() for task in tasks]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda task: task(), tasks))


def stream_bounds(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last row of every stream of an array of rows, shape (rows, p)."""
    rows, pixels = shape
    streams = max(min(rows, MAX_STREAMS, rows * pixels // STREAM_SYMBOLS), 1)
    edges = [rows * index // streams for index in range(streams + 1)]
    return list(pairwise(edges))


def lanes_of(shape: tuple[int, ...]) -> int:
    """States of a stream, a power of two: few where four bytes each would show."""
    symbols = shape[0] * shape[1]
    return min(1 << max((symbols // 512).bit_length() - 1, 0), MAX_LANES)


def _split(payload: memoryview, streams: int, lanes: int) -> list[memoryview]:
    """The bytes of each stream; lengths are checked before anything is read."""
    head = 4 * (streams - 1)
    if len(payload) < head + 4 * lanes * streams or (len(payload) - head) % 2:
        raise StreamError(f"the payload is damaged: it has {len(payload)} bytes, too few or odd")
    lengths = np.frombuffer(payload[:head], "<u4").astype(np.int64) * 2 + 4 * lanes
    ends = head + np.cumsum(lengths)
    last = int(ends[-1]) if streams > 1 else head
    if last + 4 * lanes > len(payload):
        raise StreamError("the payload is damaged: its streams reach beyond its end")
    edges = [head, *ends.tolist(), len(payload)]
    return [payload[a:b] for a, b in pairwise(edges)]
