"""The entropy coder without contexts: symbols to bytes and back, by interleaved rANS."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actpress.bitstream.memory import Numbers, as_rows, room_for
from actpress.bitstream.streams import WORDS_PER_SYMBOL, Streams, check_outcomes
from actpress.bitstream.tables import FrequencyTables
from actpress.errors import StreamError


@dataclass(frozen=True)
class RansCoder:
    """Codes the symbols of one site, one table per component.

    ```
    payload = words in stream 0 .. s-2 (uint32 each) | stream 0 | .. | stream s-1
    stream  = states (uint32 each) | words (uint16 each), little-endian
    ```

    Rows (image by image, component by component) are split evenly over the streams, which know
    nothing of each other. The numbers of streams and states follow from the shape alone.

    Attributes:
        tables: of the components.
        table_of: table of each component, shape (k,); None is a table for each, in order.
    """

    tables: FrequencyTables
    table_of: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Compiled loops do not check their indices.

        Raises:
            StreamError: names of tables that there are not.
        """
        if self.table_of is not None:
            check_names(self.table_of, self.tables)

    @property
    def components(self) -> int:
        """K."""
        return len(self.tables if self.table_of is None else self.table_of)

    def encode(self, symbols: Numbers) -> bytes:
        """Bytes of symbols, shape (n, k, ...), int32, or whole numbers in float32.

        Raises:
            StreamError: k is not that of the tables, or a symbol is outside of its range.
        """
        from actpress.kernels import numba_loops, stream_loops  # noqa: PLC0415 - numba loads slowly

        check_components(symbols.shape[1], self.components)
        rows, tables = as_rows(symbols), self.tables
        if not rows.size:
            return b""
        streams = Streams.to_fill(rows.shape)
        begins = np.empty(len(streams.states), np.int64)
        numba_loops.run_streams(
            stream_loops.encode_streams,
            len(streams.states),
            rows,
            streams.edges,
            self._names(),
            tables.q_min,
            tables.offsets,
            tables.frequencies,
            tables.inverses,
            tables.starts,
            tables.escape_bits,
            streams.words,
            streams.word_edges,
            streams.states,
            begins,
        )
        return streams.payload(begins)

    def decode(
        self, payload: bytes | memoryview, shape: tuple[int, ...], out: Numbers | None = None
    ) -> Numbers:
        """The symbols again.

        Args:
            payload: what `encode` returned.
            shape: (n, k, ...).
            out: array of that shape to be filled, int32 or float32, contiguous or with components
                as neighbours; None makes one. Besides it, the payload's size is allocated, and room
                of two words for each symbol of a row in every stream: at most as much again as the
                array, and once more where that is not contiguous int32.

        Raises:
            StreamError: the payload is damaged, or of another shape or other tables.
        """
        from actpress.kernels import numba_loops, stream_loops  # noqa: PLC0415 - numba loads slowly

        check_components(shape[1], self.components)
        symbols, tables = room_for(payload, shape, out), self.tables
        if not symbols.size:
            return symbols
        direct = symbols.dtype == np.int32 and symbols.flags.c_contiguous
        rows = as_rows(symbols if direct else np.empty(shape, np.int32))
        streams = Streams.opened(payload, rows.shape, room=WORDS_PER_SYMBOL * rows.shape[1] + 1)
        outcomes = np.empty(len(streams.states), np.int64)
        numba_loops.run_streams(
            stream_loops.decode_streams,
            len(streams.states),
            streams.words,
            streams.word_edges,
            streams.states,
            streams.edges,
            self._names(),
            tables.q_min,
            tables.sizes,
            tables.escape_bits,
            tables.offsets,
            tables.ranges,
            tables.entries,
            rows,
            outcomes,
        )
        check_outcomes(outcomes)
        if not direct:
            symbols[...] = rows.reshape(shape)
        return symbols

    def _names(self) -> NDArray[np.int64]:
        if self.table_of is None:
            return np.arange(len(self.tables))
        return self.table_of.astype(np.int64)


def check_components(k: int, components: int) -> None:
    """Refuse symbols of another number of components than the tables have."""
    if k != components:
        raise StreamError(f"got symbols of {k} components for tables of {components}")


def check_names(table_of: NDArray[np.uint8], tables: FrequencyTables) -> None:
    """Refuse names of tables that there are not."""
    if not table_of.size or table_of.max() >= len(tables):
        raise StreamError(
            f"a component's table is number {table_of.max(initial=0)}, but there are {len(tables)}"
        )
