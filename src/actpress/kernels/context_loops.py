"""rANS with contexts, compiled; the coder's arithmetic is that of `rans_loops`.

A stream interleaves rows: in every group of as many rows as there are states, row j is coded by
state j, pixel by pixel. What a row's next symbol depends on is then known in time, and the states
of the group do not wait for each other.
"""

import numba
import numpy as np

from actpress.kernels.context_format import CONTEXTS, LIMIT, SPREAD
from actpress.kernels.rans_format import (
    LEFTOVER,
    LOW,
    MAX_LANES,
    OK,
    OUT_OF_RANGE,
    OVERRUN,
    PRECISION,
)
from actpress.kernels.rans_loops import (
    _after_decoding,
    _after_encoding,
    _encode_row_of_eights,
    _extremes,
)

U = np.uint64
_0, _1 = U(0), U(1)
_MIDDLE = U(SPREAD * LIMIT)
_MASK, _LOW, _PRECISION = U((1 << PRECISION) - 1), U(LOW), U(PRECISION)


@numba.njit(cache=True, nogil=True)
def _clamp_entries(size, lowest):
    """What each symbol of the tables is to its neighbours, 0 .. SPREAD - 1."""
    clamped_of = np.empty(size, np.uint8)
    for entry in range(size):
        clamped_of[entry] = min(max(entry + lowest, -LIMIT), LIMIT) + LIMIT
    return clamped_of


@numba.njit(cache=True, nogil=True)
def _look_up(group, width, component, table_of, lowest, entries_of_table, flat):
    """Where each symbol of a group of eight rows stands in the flat tables, the rows interleaved.

    Nothing here waits for a coder's state, and every step is the same for all symbols.
    """
    pixels = group.shape[1]
    clamped = np.empty(pixels, np.int32)
    for lane in range(MAX_LANES):
        row, names = group[lane], table_of[component[lane]]
        for at in range(pixels):
            clamped[at] = min(max(row[at], -LIMIT), LIMIT) + LIMIT
        for begin in range(0, pixels, width):
            for column in range(width):
                at = begin + column
                left = clamped[at - 1] if column > 0 else LIMIT
                above = clamped[at - width] if begin > 0 else LIMIT
                table = np.int32(names[SPREAD * left + above])
                flat[at * MAX_LANES + lane] = table * entries_of_table + row[at] - lowest


@numba.njit(cache=True, nogil=True)
def _encode_group(
    group,
    width,
    component,
    table_of,
    lowest,
    clamped_of,
    escape_bits,
    ranges,
    inverses,
    states,
    words,
    position,
):
    """Any group of rows, backwards. Returns the position."""
    together = U(len(group))
    plain, unseen = _1 << (_PRECISION - U(escape_bits)), U(len(clamped_of))
    plain_inverse = 1.0 / np.float64(np.int64(plain))
    for line in range(group.shape[1] // width - 1, -1, -1):
        begin = U(line * width)
        for column in range(width - 1, -1, -1):
            at = begin + U(column)
            for index in range(together):
                lane = together - _1 - index
                left, above = _MIDDLE, U(LIMIT)
                if column > 0:
                    left = U(SPREAD) * U(clamped_of[U(group[lane, at - _1] - lowest)])
                if line > 0:
                    above = U(clamped_of[U(group[lane, at - U(width)] - lowest)])
                base = U(table_of[component[lane], left + above]) * (unseen + _1)
                entry = U(group[lane, at] - lowest)
                state, packed = states[lane], U(ranges[base + entry])
                if packed >> U(16) == _0:  # an escape; decoded in the other order
                    words[position - _1] = state
                    state, emits = _after_encoding(state, plain, plain_inverse, entry * plain)
                    position -= emits
                    entry = unseen
                    packed = U(ranges[base + entry])
                words[position - _1] = state
                states[lane], emits = _after_encoding(
                    state, packed >> U(16), inverses[base + entry], packed & U(0xFFFF)
                )
                position -= emits
    return position


@numba.njit(cache=True, nogil=True)
def encode_in_contexts(
    symbols: np.ndarray,
    width: int,
    first_row: int,
    table_of: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
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
        ranges: flat tables of size + 1 entries, frequency << 16 | sum of those before, uint32.
        frequencies: the same tables' frequencies.
        inverses: 1 / frequency.
        starts: sum of the frequencies before.
        words: uint16, at least 2 * symbols.size + 1 entries.
        states: final states, shape (lanes,), uint64.

    Returns:
        Index of the first word, or -1 for a symbol that is outside of the tables.
    """
    rows, pixels = symbols.shape
    lanes, position = len(states), U(len(words))
    smallest, largest = _extremes(symbols.reshape(-1))
    if smallest < lowest or largest >= lowest + size:
        return np.int64(-1)
    states[:] = _LOW
    clamped_of = _clamp_entries(size, lowest)
    component = np.empty(lanes, np.uint64)
    flat = np.empty(MAX_LANES * pixels if lanes == MAX_LANES else 0, np.int32)
    for first in range((rows - 1) // lanes * lanes, -1, -lanes):
        group = symbols[first : first + lanes]
        for lane in range(len(group)):
            component[lane] = (first_row + first + lane) % len(table_of)
        reached, escaped = position, True
        if len(group) == MAX_LANES:
            _look_up(group, width, component, table_of, lowest, size + 1, flat)
            reached, escaped = _encode_row_of_eights(
                flat, 0, frequencies, inverses, starts, states, words, position
            )
        if not escaped:
            position = reached
            continue
        position = _encode_group(
            group,
            width,
            component,
            table_of,
            lowest,
            clamped_of,
            escape_bits,
            ranges,
            inverses,
            states,
            words,
            position,
        )
    return np.int64(position)


@numba.njit(cache=True, nogil=True)
def _decode_group(
    flat,
    begins,
    names,
    of_component,
    lowest,
    clamped_of,
    shift,
    shape,
    ranges,
    entries,
    states,
    words,
    position,
):
    """A group of rows. Returns the position, and how it went."""
    together = U(len(begins))
    lines, width = shape
    unseen = U(len(clamped_of))
    entries_of_table = unseen + _1
    last = U(len(words) - (2 * len(states) + 1))
    left = np.empty(len(begins), np.uint64)
    above = np.full(len(begins) * np.int64(width), LIMIT, np.uint8)
    for line in range(lines):
        begin = line * width
        left[:] = _MIDDLE
        for column in range(width):
            for lane in range(together):
                over = lane * width + column
                table = U(names[of_component[lane] + left[lane] + U(above[over])])
                slot = states[lane] & _MASK
                entry = U(entries[(table << _PRECISION) | slot])
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
                flat[begins[lane] + begin + column] = np.int64(entry) + lowest
                above[over] = clamped_of[entry]
                left[lane] = U(SPREAD) * U(clamped_of[entry])
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
        ranges: as there.
        entries: of `fill_lookup`.
        symbols: output.

    Returns:
        A constant of `rans_format`: `OK`, or what is wrong.
    """
    rows, pixels = symbols.shape
    lanes = len(states)
    position, shift = _0, _PRECISION - U(escape_bits)
    flat, names, lookup = symbols.reshape(-1), table_of.reshape(-1), entries.reshape(-1)
    shape = U(pixels // width), U(width)
    clamped_of = _clamp_entries(size, lowest)
    begins, of_component = np.empty(lanes, np.uint64), np.empty(lanes, np.uint64)
    for first in range(0, rows, lanes):
        together = min(lanes, rows - first)
        for lane in range(together):
            begins[lane] = (first + lane) * pixels
            of_component[lane] = (first_row + first + lane) % len(table_of) * CONTEXTS
        position, outcome = _decode_group(
            flat,
            begins[:together],
            names,
            of_component,
            lowest,
            clamped_of,
            shift,
            shape,
            ranges,
            lookup,
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
