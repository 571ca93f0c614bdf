"""All streams of an array of rows, compiled: the loops of one stream, several at a time."""

import numba
import numpy as np

from actpress.kernels.context_decoding import decode_two_in_contexts
from actpress.kernels.context_encoding import encode_two_in_contexts
from actpress.kernels.rans_format import LOW, READING_ROOM, WRITING_ROOM
from actpress.kernels.rans_loops import decode_stream, encode_stream


@numba.njit(parallel=True, cache=True, nogil=True)
def encode_streams(
    symbols: np.ndarray,
    edges: np.ndarray,
    table_of: np.ndarray,
    q_min: np.ndarray,
    offsets: np.ndarray,
    frequencies: np.ndarray,
    inverses: np.ndarray,
    starts: np.ndarray,
    escape_bits: np.ndarray,
    words: np.ndarray,
    word_edges: np.ndarray,
    states: np.ndarray,
    begins: np.ndarray,
) -> None:
    """Encode all streams of an array of rows with `encode_stream`, several at a time.

    Args:
        symbols: as there, of all streams.
        edges: first row of every stream, and the number of rows, shape (s + 1,).
        table_of: as there.
        q_min: as there.
        offsets: as there.
        frequencies: as there.
        inverses: as there.
        starts: as there.
        escape_bits: as there.
        words: of all streams.
        word_edges: where those of every stream begin, and where the last ones end, shape (s + 1,).
        states: of all streams, shape (s, lanes).
        begins: output: where each stream's words begin, or -1, shape (s,).
    """
    for stream in numba.prange(len(states)):
        first, last = edges[stream], edges[stream + 1]
        begin, end = word_edges[stream], word_edges[stream + 1]
        at = encode_stream(
            symbols[first:last],
            first,
            table_of,
            q_min,
            offsets,
            frequencies,
            inverses,
            starts,
            escape_bits,
            states.shape[1],
            words[begin:end],
            states[stream],
        )
        begins[stream] = begin + at if at >= 0 else at


@numba.njit(parallel=True, cache=True, nogil=True)
def decode_streams(
    words: np.ndarray,
    word_edges: np.ndarray,
    states: np.ndarray,
    edges: np.ndarray,
    table_of: np.ndarray,
    q_min: np.ndarray,
    sizes: np.ndarray,
    escape_bits: np.ndarray,
    offsets: np.ndarray,
    ranges: np.ndarray,
    entries: np.ndarray,
    symbols: np.ndarray,
    outcomes: np.ndarray,
) -> None:
    """Decode all streams of an array of rows with `decode_stream`, several at a time.

    Args:
        words: of all streams, each with the room that is asked for there.
        word_edges: as for `encode_streams`, the room included.
        states: as for `encode_streams`; changed.
        edges: as for `encode_streams`.
        table_of: as for `decode_stream`, like all that follow but the last.
        q_min: see there.
        sizes: see there.
        escape_bits: see there.
        offsets: see there.
        ranges: see there.
        entries: see there.
        symbols: output, of all streams.
        outcomes: output: what `decode_stream` returned for each, shape (s,).
    """
    for stream in numba.prange(len(states)):
        first, last = edges[stream], edges[stream + 1]
        outcomes[stream] = decode_stream(
            words[word_edges[stream] : word_edges[stream + 1]],
            states[stream],
            first,
            table_of,
            q_min,
            sizes,
            escape_bits,
            offsets,
            ranges,
            entries,
            states.shape[1],
            symbols[first:last],
        )


@numba.njit(parallel=True, cache=True, nogil=True)
def encode_streams_in_contexts(
    flat: np.ndarray,
    step: int,
    floats: bool,  # noqa: FBT001 - compiled loops take their arguments one by one
    pixels: int,
    width: int,
    edges: np.ndarray,
    bases: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    words: np.ndarray,
    word_edges: np.ndarray,
    states: np.ndarray,
    begins: np.ndarray,
) -> None:
    """Encode all streams with `encode_two_in_contexts`; `encode_streams` says how.

    Where their number is odd, the last one has an empty one beside it.
    """
    streams = len(states)
    for pair in numba.prange((streams + 1) // 2):
        one, other = 2 * pair, 2 * pair + 1
        own, begin = edges[one : one + 2], word_edges[one]
        if other < streams:
            more = edges[other : other + 2]
            more_words = words[word_edges[other] : word_edges[other + 1]]
            more_states = states[other]
        else:
            more = edges[streams:].repeat(2)
            more_words = np.empty(WRITING_ROOM, np.uint16)
            more_states = np.empty_like(states[one])
        at, more_at = encode_two_in_contexts(
            flat,
            step,
            floats,
            pixels,
            width,
            own,
            more,
            bases,
            lowest,
            size,
            escape_bits,
            ranges,
            words[begin : word_edges[one + 1]],
            more_words,
            states[one],
            more_states,
        )
        begins[one] = begin + at if at >= 0 else at
        if other < streams:
            begins[other] = word_edges[other] + more_at if more_at >= 0 else more_at


@numba.njit(parallel=True, cache=True, nogil=True)
def decode_streams_in_contexts(
    words: np.ndarray,
    word_edges: np.ndarray,
    states: np.ndarray,
    flat: np.ndarray,
    step: int,
    floats: bool,  # noqa: FBT001 - compiled loops take their arguments one by one
    pixels: int,
    width: int,
    edges: np.ndarray,
    bases: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    entries: np.ndarray,
    slots: np.ndarray,
    outcomes: np.ndarray,
) -> None:
    """Decode all streams with `decode_two_in_contexts`; `decode_streams` says how.

    Where their number is odd, the last one has an empty one beside it. `outcomes` has shape
    ((s + 1) // 2,).
    """
    streams = len(states)
    empty = np.full(states.shape[1], LOW, np.uint64)
    for pair in numba.prange(len(outcomes)):
        one, other = 2 * pair, min(2 * pair + 1, streams)
        more = np.array([edges[other], edges[min(other + 1, streams)]])
        from_word = word_edges[other] if other < streams else word_edges[streams] - READING_ROOM
        outcomes[pair] = decode_two_in_contexts(
            words[word_edges[one] : word_edges[one + 1]],
            words[from_word : word_edges[min(other + 1, streams)]],
            states[one],
            states[other] if other < streams else empty,
            flat,
            step,
            floats,
            pixels,
            width,
            edges[one : one + 2],
            more,
            bases,
            lowest,
            size,
            escape_bits,
            ranges,
            entries,
            slots,
        )
