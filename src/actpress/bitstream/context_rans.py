"""The entropy coder with contexts: the table of a symbol depends on its neighbours."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actpress.bitstream.memory import Numbers, memory_of, room_for
from actpress.bitstream.rans import check_components, check_names
from actpress.bitstream.streams import Streams, check_outcomes
from actpress.bitstream.tables import FrequencyTables
from actpress.errors import StreamError
from actpress.kernels.context_format import CONTEXTS
from actpress.kernels.rans_format import PRECISION, READING_ROOM


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
    """

    tables: FrequencyTables
    table_of: NDArray[np.uint8]
    _bases: NDArray[np.uint32] = field(init=False, repr=False)
    """Where the table of each component in each context begins among `entries` of the tables."""

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
        object.__setattr__(self, "_bases", self.table_of.astype(np.uint32) << PRECISION)

    @property
    def components(self) -> int:
        """K."""
        return len(self.table_of)

    def encode(self, symbols: Numbers) -> bytes:
        """Bytes of symbols, shape (n, k, h, w), int32, or whole numbers in float32.

        They are read as they lie in memory, plane by plane or pixel by pixel (`channels_last`).

        Raises:
            StreamError: k is not that of the tables, or a symbol is outside of its range.
        """
        from actpress.kernels import numba_loops, stream_loops  # noqa: PLC0415 - loads slowly

        check_planes(symbols.shape)
        n, k, height, width = symbols.shape
        check_components(k, self.components)
        if not symbols.size:
            return b""
        memory, tables = memory_of(symbols), self.tables
        streams = Streams.to_fill((n * k, height * width))
        begins = np.empty(len(streams.states), np.int64)
        numba_loops.run_streams(
            stream_loops.encode_streams_in_contexts,
            (len(begins) + 1) // 2,
            memory.flat,
            memory.step,
            memory.floats,
            height * width,
            width,
            streams.edges,
            self._bases,
            int(tables.q_min[0]),
            int(tables.sizes[0]),
            int(tables.escape_bits[0]),
            tables.ranges,
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
            shape: (n, k, h, w).
            out: array of that shape, to be filled as it lies in memory; see `encode`.

        Raises:
            StreamError: as for `RansCoder.decode`.
        """
        from actpress.kernels import numba_loops, stream_loops  # noqa: PLC0415 - loads slowly

        check_planes(shape)
        n, k, height, width = shape
        check_components(k, self.components)
        symbols, tables = room_for(payload, shape, out), self.tables
        if not symbols.size:
            return symbols
        memory = memory_of(symbols)
        streams = Streams.opened(payload, (n * k, height * width), room=READING_ROOM)
        outcomes = np.empty((len(streams.states) + 1) // 2, np.int64)
        numba_loops.run_streams(
            stream_loops.decode_streams_in_contexts,
            len(outcomes),
            streams.words,
            streams.word_edges,
            streams.states,
            memory.flat,
            memory.step,
            memory.floats,
            height * width,
            width,
            streams.edges,
            self._bases,
            int(tables.q_min[0]),
            int(tables.sizes[0]),
            int(tables.escape_bits[0]),
            tables.ranges,
            tables.entries,
            tables.slots,
            outcomes,
        )
        check_outcomes(outcomes)
        return symbols


def check_planes(shape: tuple[int, ...]) -> None:
    """Refuse symbols that are not planes."""
    if len(shape) != 4:
        raise StreamError(f"coding in context takes symbols of shape (n, k, h, w), got {shape}")
