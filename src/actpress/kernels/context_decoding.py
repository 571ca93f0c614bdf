"""Decoding with contexts, compiled: the inverse of `context_encoding`, which says how rows go."""

import numba
import numpy as np

from actpress.kernels.context_encoding import BLOCK, COUNTS, NUMBERS, SET_BITS
from actpress.kernels.context_format import LIMIT, SPREAD
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
from actpress.kernels.rans_loops import _after_decoding
from actpress.kernels.row_blocks import begin_names, begin_rows, separate_rows
from actpress.kernels.vectors import (
    bits_of,
    both,
    clamp,
    everywhere,
    gather,
    load,
    load_where,
    select,
    store,
)

U, W, S = np.uint64, np.uint32, np.int32
_0, _1, _12, _16 = U(0), U(1), U(PRECISION), U(16)
_MASK = U((1 << PRECISION) - 1)

_words_before = SET_BITS.cumsum(1) - SET_BITS
PLACES = np.stack([2 * _words_before, 2 * _words_before + 1], 2).astype(np.uint8).reshape(-1)
"""Where the words that some of the states take in stand, as `load_where` wants it, by mask."""


@numba.njit(cache=True, nogil=True, inline="always")
def _look_up(table, slot, slots, entries, ranges, size):
    """Entry and frequency of slots of tables (times 2^12), and how far they are above its start."""
    if len(slots) > 0:
        packed = gather(slots, table | slot)
        above = (packed >> W(8)) & W((1 << PRECISION) - 1)
        return packed & W(0xFF), packed >> W(20), above
    entry = gather(entries, table | slot)
    packed = gather(ranges, (table >> W(PRECISION)) * W(size + 1) + entry)
    return entry, packed >> W(16), slot - (packed & W(0xFFFF))


@numba.njit(cache=True, nogil=True, inline="always")
def _decode_step(state, context, active, names, slots, entries, ranges, size, words, position):
    """One symbol of every row, if none is an escape.

    Returns:
        The states and the position after it, the entries, the tables (times 2^12), and whether
        there was an escape.
    """
    table = gather(names, context)
    slot = state & W((1 << PRECISION) - 1)
    entry, frequency, above = _look_up(table, slot, slots, entries, ranges, size)
    after = frequency * (state >> W(PRECISION)) + above
    refills = both(after < W(LOW), active)
    mask = bits_of(refills)
    refilled = (after << W(16)) | load_where(words, position, PLACES, mask)
    after = select(active, select(refills, refilled, after), state)
    escaped = bits_of(both(entry >= W(size), active))
    return after, position + U(COUNTS[mask]), entry, table, escaped


@numba.njit(cache=True, nogil=True)
def _decode_one_by_one(state, table, together, lookup, ranges, size, shift, words, position):
    """The same, escapes or not, state by state.

    Returns:
        The states and the position after it, the entries, and whether all escaped indices are
        those of a symbol.
    """
    own, found = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    store(own, 0, state)
    store(found, 0, table)
    size, valid = U(size), True
    for lane in range(together):
        before, at = U(own[lane]), U(found[lane])
        slot = before & _MASK
        entry = U(lookup[at | slot])
        packed = ranges[(at >> _12) * (size + _1) + entry]
        after, refills = _after_decoding(before, slot, packed, words[position])
        position += refills
        if entry == size:  # the plain index follows
            slot = after & _MASK
            entry = slot >> shift
            packed = (_1 << shift) << _16 | entry << shift
            after, refills = _after_decoding(after, slot, packed, words[position])
            position += refills
            valid &= entry < size
        own[lane], found[lane] = after, entry
    return load(own, 0), position, load(found, 0), valid


@numba.njit(cache=True, nogil=True)
def decode_two_in_contexts(
    words: np.ndarray,
    more_words: np.ndarray,
    states: np.ndarray,
    more_states: np.ndarray,
    flat: np.ndarray,
    step: int,
    floats: bool,  # noqa: FBT001 - compiled loops take their arguments one by one
    pixels: int,
    width: int,
    edges: np.ndarray,
    more_edges: np.ndarray,
    bases: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    entries: np.ndarray,
    slots: np.ndarray,
) -> int:
    """Decode two streams, a step of either by turns, so that one goes on while the other waits.

    The inverse of `encode_two_in_contexts`. A stream without rows has its final states.

    Args:
        words: of the first stream, and room to read past them: `READING_ROOM` more.
        more_words: of the second stream.
        states: final states of the encoder, uint64.
        more_states: of the second stream, as many.
        flat: output, the numbers of all rows.
        step: as there.
        floats: as there.
        pixels: as there.
        width: as there.
        edges: as there.
        more_edges: as there.
        bases: as there.
        lowest: as there.
        size: as there.
        escape_bits: as there.
        ranges: as there.
        entries: of `fill_lookup`.
        slots: of `FrequencyTables`, which may be empty.

    Returns:
        A constant of `rans_format`: `OK`, or what is wrong in either stream.
    """
    rows, more_rows = edges[1] - edges[0], more_edges[1] - more_edges[0]
    lanes, components = len(states), len(bases)
    position, more_position, shift = _0, _0, _12 - U(escape_bits)
    end, more_end = U(len(words) - READING_ROOM), U(len(more_words) - READING_ROOM)
    names, lookup, of_slot = bases.reshape(-1), entries.reshape(-1), slots.reshape(-1)
    own, begins = np.full(MAX_LANES, LOW, np.uint32), np.empty(MAX_LANES, np.uint32)
    contexts = np.empty(MAX_LANES, np.uint32)
    above, more_above = np.empty((2, width * MAX_LANES), np.uint8)
    lines_of_block = max(BLOCK // width, 1)
    lines, more_lines = np.empty((2, lines_of_block * width * MAX_LANES), np.int32)
    own[:lanes] = states
    state = load(own, 0)
    own[:lanes] = more_states
    more_state = load(own, 0)
    for first in range(0, max(rows, more_rows), lanes):
        together = min(max(rows - first, 0), lanes)
        more_together = min(max(more_rows - first, 0), lanes)
        active, more_active = load(NUMBERS, 0) < W(together), load(NUMBERS, 0) < W(more_together)
        row, more_row = edges[0] + first, more_edges[0] + first
        begin_names(contexts, row, components)
        base = load(contexts, 0)
        begin_names(contexts, more_row, components)
        more_base = load(contexts, 0)
        above[:], more_above[:] = LIMIT, LIMIT
        for first_line in range(0, pixels // width, lines_of_block):
            block = min(pixels // width - first_line, lines_of_block)
            for line in range(block):
                left = everywhere(W(LIMIT))
                more_left = left
                for column in range(width):
                    over, at = U(column * MAX_LANES), U((line * width + column) * MAX_LANES)
                    context = base + left * W(SPREAD) + load(above, over)
                    after, reached, entry, table, escaped = _decode_step(
                        state,
                        context,
                        active,
                        names,
                        of_slot,
                        lookup,
                        ranges,
                        size,
                        words,
                        position,
                    )
                    context = more_base + more_left * W(SPREAD) + load(more_above, over)
                    more_after, more_reached, more_entry, more_table, more_escaped = _decode_step(
                        more_state,
                        context,
                        more_active,
                        names,
                        of_slot,
                        lookup,
                        ranges,
                        size,
                        more_words,
                        more_position,
                    )
                    if escaped | more_escaped:
                        after, reached, entry, valid = _decode_one_by_one(
                            state, table, together, lookup, ranges, size, shift, words, position
                        )
                        more_after, more_reached, more_entry, more_valid = _decode_one_by_one(
                            more_state,
                            more_table,
                            more_together,
                            lookup,
                            ranges,
                            size,
                            shift,
                            more_words,
                            more_position,
                        )
                        if not (valid and more_valid):
                            return OUT_OF_RANGE
                    state, position = after, reached
                    more_state, more_position = more_after, more_reached
                    entry, more_entry = entry + S(lowest), more_entry + S(lowest)
                    store(lines, at, entry)
                    store(more_lines, at, more_entry)
                    left = clamp(entry, S(-LIMIT), S(LIMIT)) + W(LIMIT)
                    more_left = clamp(more_entry, S(-LIMIT), S(LIMIT)) + W(LIMIT)
                    store(above, over, left)
                    store(more_above, over, more_left)
                    if position > end or more_position > more_end:
                        return OVERRUN
            pixel, taken = first_line * width, block * width
            begin_rows(begins, row, edges[1] - 1, pixel, pixels, components, step)
            separate_rows(lines, taken, flat, begins, step, floats, together)
            begin_rows(begins, more_row, more_edges[1] - 1, pixel, pixels, components, step)
            separate_rows(more_lines, taken, flat, begins, step, floats, more_together)
    ended = both(state < W(LOW + 1), more_state < W(LOW + 1))  # no state is ever lower
    ended_where_they_should = position == end and more_position == more_end
    return OK if ended_where_they_should and bits_of(ended) == U(255) else LEFTOVER
