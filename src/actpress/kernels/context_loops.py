"""rANS with contexts, compiled; the coder's arithmetic is that of `rans_loops`.

A stream interleaves rows: in every group of as many rows as there are states, row j is coded by
state j, pixel by pixel. What a row's next symbol depends on is then known in time, and the states
of the group do not wait for each other.
"""

import numba
import numpy as np

from actpress.kernels.context_format import LIMIT, SPREAD
from actpress.kernels.rans_format import LEFTOVER, LOW, OK, OUT_OF_RANGE, OVERRUN, PRECISION
from actpress.kernels.rans_loops import _after_decoding, _after_encoding

U = np.uint64
_0, _1 = U(0), U(1)
_MASK, _LOW, _PRECISION = U((1 << PRECISION) - 1), U(LOW), U(PRECISION)


@numba.njit(cache=True, nogil=True, inline="always")
def _clamped(symbol):
    return min(max(symbol, -LIMIT), LIMIT) + LIMIT


@numba.njit(cache=True, nogil=True)
def _context(line, pixel, column, width):
    """Of a pixel: from the symbol on its left and the one above, zero outside of the plane."""
    left = _clamped(line[pixel - 1]) if column > 0 else LIMIT
    above = _clamped(line[pixel - width]) if pixel >= width else LIMIT
    return SPREAD * left + above


@numba.njit(cache=True, nogil=True)
def encode_in_contexts(
    symbols: np.ndarray,
    width: int,
    first_row: int,
    table_of: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    frequencies: np.ndarray,
    inverses: np.ndarray,
    starts: np.ndarray,
    words: np.ndarray,
    states: np.ndarray,
) -> np.int64:
    """Encode rows backwards into the end of `words`; return where they begin.

    Args:
        symbols: shape (rows, p), int32; row r belongs to component (first_row + r) % k.
        width: symbols of one line of a plane; p is a multiple of it.
        first_row: see above.
        table_of: table of each component in each context, shape (k, contexts).
        lowest: symbol of the first entry of every table.
        size: symbols of every table; entry `size` is the escape.
        escape_bits: of an index after an escape.
        frequencies: flat tables of size + 1 entries.
        inverses: 1 / frequency.
        starts: sum of the frequencies before, within the table.
        words: uint16, at least 2 * symbols.size + 1 entries.
        states: final states, shape (lanes,), uint64.

    Returns:
        Index of the first word, or -1 for a symbol that is outside of the tables.
    """
    rows, pixels = symbols.shape
    lanes, position, plain = len(states), U(len(words)), _1 << (_PRECISION - U(escape_bits))
    plain_inverse = 1.0 / np.float64(np.int64(plain))
    states[:] = _LOW
    groups = (rows + lanes - 1) // lanes
    for group in range(groups - 1, -1, -1):
        first = group * lanes
        together = min(lanes, rows - first)
        for pixel in range(pixels - 1, -1, -1):
            column = pixel % width
            for lane in range(together - 1, -1, -1):
                line = symbols[first + lane]
                names = table_of[(first_row + first + lane) % len(table_of)]
                base = np.int64(names[_context(line, pixel, column, width)]) * (size + 1)
                entry = line[pixel] - lowest
                if entry < 0 or entry >= size:
                    return np.int64(-1)
                state = states[lane]
                if frequencies[base + entry] == 0:  # decoded in the other order: escape, then index
                    words[position - _1] = state
                    state, emits = _after_encoding(state, plain, plain_inverse, U(entry) * plain)
                    position -= emits
                    entry = size
                at = base + entry
                words[position - _1] = state
                state, emits = _after_encoding(state, frequencies[at], inverses[at], starts[at])
                position -= emits
                states[lane] = state
    return np.int64(position)


@numba.njit(cache=True, nogil=True)
def decode_in_contexts(
    words: np.ndarray,
    states: np.ndarray,
    width: int,
    first_row: int,
    table_of: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    entries: np.ndarray,
    symbols: np.ndarray,
) -> int:
    """Decode into `symbols`, shape (rows, p), int32; the inverse of `encode_in_contexts`.

    Args:
        words: of the stream, and room to read past them: 2 * lanes + 1 more.
        states: final states of the encoder, uint64; changed.
        width: as there.
        first_row: as there.
        table_of: as there.
        lowest: as there.
        size: as there.
        escape_bits: as there.
        ranges: flat tables, frequency << 16 | start, uint32.
        entries: of `fill_lookup`.
        symbols: output.

    Returns:
        A constant of `rans_format`: `OK`, or what is wrong.
    """
    rows, pixels = symbols.shape
    lanes = len(states)
    last = U(len(words) - (2 * lanes + 1))
    position, shift = _0, _PRECISION - U(escape_bits)
    plain = _1 << shift
    for first in range(0, rows, lanes):
        together = min(lanes, rows - first)
        for pixel in range(pixels):
            column = pixel % width
            for lane in range(together):
                line = symbols[first + lane]
                names = table_of[(first_row + first + lane) % len(table_of)]
                table = np.int64(names[_context(line, pixel, column, width)])
                slot = states[lane] & _MASK
                entry = np.int64(entries[table, slot])
                packed = ranges[table * (size + 1) + entry]
                state, refills = _after_decoding(states[lane], slot, packed, words[position])
                position += refills
                if entry == size:  # an escape: the plain index follows
                    slot = state & _MASK
                    entry = np.int64(slot >> shift)
                    packed = plain << U(16) | U(entry) * plain
                    state, refills = _after_decoding(state, slot, packed, words[position])
                    position += refills
                    if entry >= size:
                        return OUT_OF_RANGE
                states[lane] = state
                line[pixel] = entry + lowest
            if position > last:
                return OVERRUN
    if position != last:
        return LEFTOVER
    for lane in range(lanes):
        if states[lane] != _LOW:
            return LEFTOVER
    return OK
