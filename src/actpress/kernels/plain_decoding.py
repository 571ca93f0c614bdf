"""Decoding without contexts, compiled: the inverse of `rans_loops.encode_stream`, on vectors.

State j of eight codes every eighth symbol of a stream, whatever row it is in, so that a vector of
states gives eight neighbours in memory. Rows of a multiple of eight symbols are taken one by one,
others by eights, so that what is taken begins at the first state. Each step waits for the one
before, so two streams take steps by turns. What is left over, and streams of fewer states, are
decoded symbol by symbol, and so is a step with an escape.
"""

import numba
import numpy as np

from actpress.kernels.context_decoding import COUNTS, NUMBERS, PLACES
from actpress.kernels.rans_format import (
    LEFTOVER,
    LOW,
    MAX_LANES,
    OK,
    OUT_OF_RANGE,
    OVERRUN,
    PRECISION,
    READING_ROOM,
)
from actpress.kernels.rans_loops import _after_decoding, _decode_row
from actpress.kernels.vectors import (
    bits_of,
    both,
    gather,
    gather_together,
    load,
    load_where,
    select,
    store,
)

U, W = np.uint64, np.uint32
_0, _1, _12, _16 = U(0), U(1), U(PRECISION), U(16)
_MASK = U((1 << PRECISION) - 1)


@numba.njit(cache=True, nogil=True)
def _fill(fields, row, rows, each, table_of, sizes, q_min, offsets):
    """What is known of the symbols of some rows, `each` of them of every row.

    The table << 12, its size, its lowest symbol, and its offset in the flat table.
    """
    component = U(row) % U(len(table_of))
    at = _0
    for _ in range(rows):
        number = table_of[component]
        component = component + _1 if component + _1 < U(len(table_of)) else _0
        name, size, lowest = W(number << PRECISION), W(sizes[number]), W(q_min[number])
        offset = W(offsets[number])
        for pixel in range(each):
            fields[0, at + U(pixel)] = name
            fields[1, at + U(pixel)] = size
            fields[2, at + U(pixel)] = lowest
            fields[3, at + U(pixel)] = offset
        at += U(each)


@numba.njit(cache=True, nogil=True, inline="always")
def _decode_step(state, active, fields, at, slots, entries, ranges, words, position):
    """Eight symbols, if none is an escape: states and position after them, and the symbols."""
    slot = state & W((1 << PRECISION) - 1)
    if len(slots) > 0:
        packed = gather_together(slots, load(fields[0], at) | slot)
        entry, frequency = packed & W(0xFF), packed >> W(20)
        above = (packed >> W(8)) & W((1 << PRECISION) - 1)
    else:
        entry = gather(entries, load(fields[0], at) | slot)
        packed = gather(ranges, load(fields[3], at) + entry)
        frequency, above = packed >> W(16), slot - (packed & W(0xFFFF))
    after = frequency * (state >> W(PRECISION)) + above
    refills = both(after < W(LOW), active)
    mask = bits_of(refills)
    refilled = (after << W(16)) | load_where(words, position, PLACES, mask)
    after = select(active, select(refills, refilled, after), state)
    escaped = bits_of(both(entry >= load(fields[1], at), active))
    return after, position + U(COUNTS[mask]), entry + load(fields[2], at), escaped


@numba.njit(cache=True, nogil=True)
def _decode_one_by_one(state, lanes, fields, at, entries, ranges, escape_bits, words, position):
    """The same, escapes or not; and whether all escaped indices are those of a symbol."""
    own, found = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    store(own, 0, state)
    valid = True
    for lane in range(lanes):
        before, place = U(own[lane]), U(at) + U(lane)
        name, size = U(fields[0, place]), U(fields[1, place])
        slot = before & _MASK
        entry = U(entries[name | slot])
        packed = U(ranges[U(fields[3, place]) + entry])
        after, refills = _after_decoding(before, slot, packed, words[position])
        position += refills
        if entry == size:  # the plain index follows
            slot = after & _MASK
            shift = _12 - U(escape_bits[name >> _12])
            entry = slot >> shift
            packed = (_1 << shift) << _16 | entry << shift
            after, refills = _after_decoding(after, slot, packed, words[position])
            position += refills
            valid &= entry < size
        own[lane], found[lane] = after, W(entry) + fields[2, place]
    return load(own, 0), position, load(found, 0), valid


@numba.njit(cache=True, nogil=True)
def _decode_rest(words, position, end, states, first_row, row, table_of, tables, entries, symbols):
    """The rows of a stream from `row` on, symbol by symbol, and its end."""
    q_min, sizes, escape_bits, offsets, ranges = tables
    rows, pixels = symbols.shape
    for index in range(row, rows):
        number = table_of[(first_row + index) % len(table_of)]
        position, valid = _decode_row(
            symbols[index],
            np.int64(q_min[number]),
            U(escape_bits[number]),
            U(sizes[number]),
            ranges[offsets[number] : offsets[number + 1]],
            entries[number],
            len(states),
            U(index * pixels),
            states,
            words,
            position,
        )
        if not valid:
            return OUT_OF_RANGE
        if position > end:
            return OVERRUN
    if position != end:
        return LEFTOVER
    for lane in range(len(states)):
        if states[lane] != U(LOW):
            return LEFTOVER
    return OK


@numba.njit(cache=True, nogil=True)
def decode_two_streams(
    words: np.ndarray,
    more_words: np.ndarray,
    states: np.ndarray,
    more_states: np.ndarray,
    first_row: int,
    more_first_row: int,
    table_of: np.ndarray,
    q_min: np.ndarray,
    sizes: np.ndarray,
    escape_bits: np.ndarray,
    offsets: np.ndarray,
    ranges: np.ndarray,
    entries: np.ndarray,
    slots: np.ndarray,
    symbols: np.ndarray,
    more_symbols: np.ndarray,
) -> int:
    """Decode two streams into `symbols`, shape (rows, p), int32.

    Args:
        words: of the first stream, and room to read past them: 2 * p + 1, at least `READING_ROOM`.
        more_words: of the second stream.
        states: final states of the encoder, uint64; changed.
        more_states: of the second stream, as many.
        first_row: as for `encode_stream`.
        more_first_row: of the second stream.
        table_of: as there.
        q_min: as there.
        sizes: symbols of each table, escape not counted, shape (t,).
        escape_bits: as there.
        offsets: of each table's entries in the flat table, shape (t + 1,).
        ranges: flat table, frequency << 16 | start, uint32.
        entries: of `fill_lookup`.
        slots: of `FrequencyTables`, which may be empty.
        symbols: output of the first stream.
        more_symbols: of the second stream, which may have no rows.

    Returns:
        `OK`, `OVERRUN` (words are missing), `LEFTOVER` (too many words, or a wrong last state) or
        `OUT_OF_RANGE` (an escaped index beyond the range).
    """
    rows, pixels = symbols.shape
    together = 1 if pixels % MAX_LANES == 0 else MAX_LANES
    room = max(2 * pixels + 1, READING_ROOM)
    end, more_end = U(len(words) - room), U(len(more_words) - room)
    more_lanes = MAX_LANES if len(more_symbols) > 0 else 0
    taken = min(rows, len(more_symbols)) if more_lanes > 0 else rows
    taken = taken // together * together if len(states) == MAX_LANES else 0
    position, more_position = _0, _0
    if taken > 0:
        each = pixels if together > 1 else MAX_LANES
        stride = MAX_LANES if together > 1 else 0
        fields, more_fields = np.zeros((2, 4, together * each), np.uint32)
        flat, more_flat = symbols.reshape(-1), more_symbols.reshape(-1)
        of_slot, names = slots.reshape(-1), entries.reshape(-1)
        own = states.astype(np.uint32)
        state = load(own, 0)
        own[:] = more_states
        more_state = load(own, 0)
        active = load(NUMBERS, 0) < W(MAX_LANES)
        more_active = load(NUMBERS, 0) < W(more_lanes)
        for row in range(0, taken, together):
            _fill(fields, first_row + row, together, each, table_of, sizes, q_min, offsets)
            if more_lanes > 0:
                more_row = more_first_row + row
                _fill(more_fields, more_row, together, each, table_of, sizes, q_min, offsets)
            for step in range(together * pixels // MAX_LANES):
                at = step * stride
                after, reached, found, escaped = _decode_step(
                    state, active, fields, at, of_slot, names, ranges, words, position
                )
                more_after, more_reached, more_found, more_escaped = _decode_step(
                    more_state,
                    more_active,
                    more_fields,
                    at,
                    of_slot,
                    names,
                    ranges,
                    more_words,
                    more_position,
                )
                if escaped | more_escaped:
                    after, reached, found, valid = _decode_one_by_one(
                        state, MAX_LANES, fields, at, names, ranges, escape_bits, words, position
                    )
                    more_after, more_reached, more_found, more_valid = _decode_one_by_one(
                        more_state,
                        more_lanes,
                        more_fields,
                        at,
                        names,
                        ranges,
                        escape_bits,
                        more_words,
                        more_position,
                    )
                    if not (valid and more_valid):
                        return OUT_OF_RANGE
                state, position = after, reached
                more_state, more_position = more_after, more_reached
                place = U(row * pixels + step * MAX_LANES)
                store(flat, place, found)
                if more_lanes > 0:
                    store(more_flat, place, more_found)
                if position > end or more_position > more_end:
                    return OVERRUN
        store(own, 0, state)
        states[:] = own
        store(own, 0, more_state)
        more_states[:] = own
    tables = (q_min, sizes, escape_bits, offsets, ranges)
    outcome: int = _decode_rest(
        words, position, end, states, first_row, taken, table_of, tables, entries, symbols
    )
    if outcome == OK and more_lanes > 0:
        outcome = _decode_rest(
            more_words,
            more_position,
            more_end,
            more_states,
            more_first_row,
            taken,
            table_of,
            tables,
            entries,
            more_symbols,
        )
    return outcome
