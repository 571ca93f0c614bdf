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
    lanes, position = len(states), U(len(words))
    plain, entries_of_table, unseen = _1 << (_PRECISION - U(escape_bits)), U(size + 1), U(size)
    plain_inverse = 1.0 / np.float64(np.int64(plain))
    states[:] = _LOW
    component = np.empty(lanes, np.uint64)
    for first in range((rows - 1) // lanes * lanes, -1, -lanes):
        together = min(lanes, rows - first)
        group = symbols[first : first + together]
        for lane in range(U(together)):
            component[lane] = (first_row + first + np.int64(lane)) % len(table_of)
        for line in range(pixels // width - 1, -1, -1):
            begin = U(line * width)
            above = begin - U(width)  # of the first line it is not read
            for column in range(width - 1, -1, -1):
                at = begin + U(column)
                for lane in range(U(together)):
                    backwards = U(together - 1) - lane
                    context = SPREAD * LIMIT + LIMIT
                    if column > 0:
                        context += SPREAD * (_clamped(group[backwards, at - _1]) - LIMIT)
                    if line > 0:
                        context += _clamped(group[backwards, above + U(column)]) - LIMIT
                    base = U(table_of[component[backwards], U(context)]) * entries_of_table
                    entry = U(np.int64(group[backwards, at]) - lowest)
                    if entry >= unseen:  # below the lowest symbol it wraps around
                        return np.int64(-1)
                    state = states[backwards]
                    if frequencies[base + entry] == 0:  # decoded in the other order
                        words[position - _1] = state
                        state, emits = _after_encoding(state, plain, plain_inverse, entry * plain)
                        position -= emits
                        entry = unseen
                    place = base + entry
                    words[position - _1] = state
                    states[backwards], emits = _after_encoding(
                        state, frequencies[place], inverses[place], starts[place]
                    )
                    position -= emits
    return np.int64(position)


@numba.njit(cache=True, nogil=True)
def _decode_group(
    group, width, component, table_of, lowest, size, shift, ranges, entries, states, words, position
):
    """A group of rows. Returns the position, and how it went."""
    together, lines = U(len(group)), U(group.shape[1] // width)
    entries_of_table, unseen = U(size + 1), U(size)
    last = U(len(words) - (2 * len(states) + 1))
    left = np.empty(len(group), np.int64)
    for line in range(lines):
        begin = line * U(width)
        above = begin - U(width)  # of the first line it is not read
        left[:] = LIMIT
        for column in range(U(width)):
            for lane in range(together):
                context = SPREAD * left[lane] + LIMIT
                if line > _0:
                    context += _clamped(group[lane, above + column]) - LIMIT
                table = U(table_of[component[lane], U(context)])
                slot = states[lane] & _MASK
                entry = U(entries[table, slot])
                packed = ranges[table * entries_of_table + entry]
                state, refills = _after_decoding(states[lane], slot, packed, words[position])
                position += refills
                if entry == unseen:  # an escape: the plain index follows
                    slot = state & _MASK
                    entry = slot >> shift
                    packed = (_1 << shift) << U(16) | entry << shift
                    state, refills = _after_decoding(state, slot, packed, words[position])
                    position += refills
                    if entry >= unseen:
                        return position, OUT_OF_RANGE
                states[lane] = state
                symbol = np.int64(entry) + lowest
                group[lane, begin + column] = symbol
                left[lane] = _clamped(symbol)
            if position > last:
                return position, OVERRUN
    return position, OK


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
    rows, lanes = len(symbols), len(states)
    position, shift = _0, _PRECISION - U(escape_bits)
    component = np.empty(lanes, np.uint64)
    for first in range(0, rows, lanes):
        group = symbols[first : first + lanes]
        for lane in range(len(group)):
            component[lane] = (first_row + first + lane) % len(table_of)
        position, outcome = _decode_group(
            group,
            width,
            component,
            table_of,
            lowest,
            size,
            shift,
            ranges,
            entries,
            states,
            words,
            position,
        )
        if outcome != OK:
            return int(outcome)
    if position != U(len(words) - (2 * lanes + 1)):
        return LEFTOVER
    for lane in range(lanes):
        if states[lane] != _LOW:
            return LEFTOVER
    return OK
