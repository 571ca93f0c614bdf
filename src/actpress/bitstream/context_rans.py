"""The entropy coder with contexts: the table of a symbol depends on its neighbours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actpress.bitstream.rans import (
    WORDS_PER_SYMBOL,
    Symbols,
    as_rows,
    check_names,
    encoded,
    opened,
    room_for,
)
from actpress.bitstream.streams import read_streams, write_streams
from actpress.bitstream.tables import FrequencyTables
from actpress.errors import StreamError
from actpress.kernels.context_format import CONTEXTS


@dataclass(frozen=True)
class ContextCoder:
    """Codes the symbols of one site, with a table per component and context.

    The context is that of `kernels.contexts`: the symbols on the left and above, each clamped to
    -2..2. Payload and streams are laid out as by `RansCoder`, but a stream interleaves rows instead
    of symbols of one row: state j codes row j of every group of rows, so that a symbol is known
    before the one on its right is decoded.

    Attributes:
        tables: shared, all of them for the same symbols.
        table_of: table of each component in each context, shape (k, contexts), uint8.
        threads: streams coded at a time.
    """

    tables: FrequencyTables
    table_of: NDArray[np.uint8]
    threads: int = 1

    def __post_init__(self) -> None:
        """Compiled loops do not check their indices.

        Raises:
            StreamError: tables for different symbols, or names of tables that there are not.
        """
        alike = len(set(self.tables.q_min.tolist())) == len(set(self.tables.sizes.tolist())) == 1
        if not alike or self.table_of.ndim != 2 or self.table_of.shape[1] != CONTEXTS:
            raise StreamError(
                f"coding in context takes tables for one range of symbols and {CONTEXTS} names per "
                f"component; got names of shape {self.table_of.shape}"
            )
        check_names(self.table_of, self.tables)

    @property
    def components(self) -> int:
        """K."""
        return len(self.table_of)

    def encode(self, symbols: Symbols) -> bytes:
        """Bytes of symbols, shape (n, k, h, w), int32.

        Raises:
            StreamError: k is not that of the tables, or a symbol is outside of its range.
        """
        check_planes(symbols.shape)
        rows, width = as_rows(symbols, self.components), symbols.shape[-1]
        if not rows.size:
            return b""

        def encode(first: int, last: int, lanes: int) -> bytes:
            return self._encode_rows(rows[first:last], width, first, lanes)

        return write_streams(rows.shape, encode, threads=self.threads)

    def decode(
        self, payload: bytes | memoryview, shape: tuple[int, ...], out: Symbols | None = None
    ) -> Symbols:
        """The symbols again; arguments and errors as for `RansCoder.decode`, shape (n, k, h, w)."""
        check_planes(shape)
        symbols = room_for(payload, shape, self.components, out)
        rows, width = as_rows(symbols, self.components), shape[-1]

        def decode(part: memoryview, first: int, last: int, lanes: int) -> int:
            return self._decode_rows(part, rows[first:last], width, first, lanes)

        if rows.size:
            read_streams(payload, rows.shape, decode, threads=self.threads)
        return symbols

    def _encode_rows(self, rows: Symbols, width: int, first_row: int, lanes: int) -> bytes:
        from actpress.kernels.context_loops import encode_in_contexts  # noqa: PLC0415 - numba

        tables = self.tables
        words = np.empty(WORDS_PER_SYMBOL * rows.size + 1, "<u2")
        states = np.empty(lanes, np.uint64)
        begin = encode_in_contexts(
            rows,
            width,
            first_row,
            self.table_of,
            int(tables.q_min[0]),
            int(tables.sizes[0]),
            int(tables.escape_bits[0]),
            tables.ranges,
            tables.frequencies,
            tables.inverses,
            tables.starts,
            words,
            states,
        )
        return encoded(words, states, int(begin))

    def _decode_rows(
        self, part: memoryview, rows: Symbols, width: int, first_row: int, lanes: int
    ) -> int:
        from actpress.kernels.context_loops import decode_in_contexts  # noqa: PLC0415 - numba

        tables = self.tables
        states, words = opened(part, lanes, room=WORDS_PER_SYMBOL * lanes + 1)
        return int(
            decode_in_contexts(
                words,
                states,
                width,
                first_row,
                self.table_of,
                int(tables.q_min[0]),
                int(tables.sizes[0]),
                int(tables.escape_bits[0]),
                tables.ranges,
                tables.entries,
                rows,
            )
        )


def check_planes(shape: tuple[int, ...]) -> None:
    """Refuse symbols that are not planes."""
    if len(shape) != 4:
        raise StreamError(f"coding in context takes symbols of shape (n, k, h, w), got {shape}")
