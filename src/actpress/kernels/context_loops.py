"""rANS with contexts, compiled; the coder's arithmetic is that of `rans_loops`.

A stream interleaves rows: in every group of as many rows as there are states, row j is coded by
state j, pixel by pixel. What a row's next symbol depends on is then known in time, and the states
of the group do not wait for each other: a vector holds them, and a step codes one symbol of each
row. Rows are transposed in blocks of lines that fit the first-level cache. Where a group has fewer
rows, or a stream fewer states, the other elements of the vector stay idle.

Escapes are rare. A step that meets one is done state by state.
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
    READING_ROOM,
)
from actpress.kernels.rans_loops import _after_decoding
from actpress.kernels.vectors import (
    bits_of,
    both,
    clamp,
    everywhere,
    gather,
    interleave,
    largest,
    load,
    load_where,
    quotient,
    select,
    separate,
    store,
    store_where,
)

U, W, S = np.uint64, np.uint32, np.int32
_0, _1, _3, _12, _16, _20 = U(0), U(1), U(3), U(PRECISION), U(16), U(20)
_MASK, _LOW = U((1 << PRECISION) - 1), U(LOW)
_BLOCK = 512
"""Pixels of a row in a block, unless its lines are longer."""

_set_bits = np.array([[mask >> lane & 1 for lane in range(MAX_LANES)] for mask in range(256)])
_words_before = _set_bits.cumsum(1) - _set_bits
_PLACES = np.stack([2 * _words_before, 2 * _words_before + 1], 2).astype(np.uint8).reshape(-1)
"""Where the words that some of the states take in stand, as `load_where` wants it, by mask."""

_order = np.argsort(_set_bits, axis=1, kind="stable")
_ENDS = np.stack([2 * _order, 2 * _order + 1], 2).astype(np.uint8).reshape(-1)
"""Words that some of the states emit, behind all others, as `store_where` wants it, by mask."""

_COUNTS = _set_bits.sum(1).astype(np.uint8)
_NUMBERS = np.arange(MAX_LANES, dtype=np.uint32)


@numba.njit(cache=True, nogil=True)
def _begin_names(contexts, row, components):
    """Where the names of tables of eight rows from `row` on begin."""
    component = U(row) % U(components)
    for lane in range(MAX_LANES):
        contexts[lane] = component * U(CONTEXTS)
        component = component + _1 if component + _1 < U(components) else _0


@numba.njit(cache=True, nogil=True)
def _interleave_rows(flat, begins, pixels, lines, lowest):
    """The first pixels of eight rows, side by side in `lines`. Returns how far they are apart.

    That is the largest element less `lowest`, as unsigned numbers.
    """
    at, farthest = load(begins, 0), everywhere(W(0))
    whole = pixels if pixels >= MAX_LANES else 0
    for step in range(0, whole, MAX_LANES):
        pixel = min(step, whole - MAX_LANES)  # the last ones overlap
        interleave(flat, at + W(pixel), lines, pixel * MAX_LANES)
    for pixel in range(whole, pixels):
        store(lines, pixel * MAX_LANES, gather(flat, at + W(pixel)))
    for pixel in range(pixels):
        farthest = largest(farthest, load(lines, pixel * MAX_LANES) - S(lowest))
    return farthest


@numba.njit(cache=True, nogil=True)
def _separate_rows(lines, pixels, flat, begins, together):
    """The inverse, into the first rows of a group."""
    whole = pixels if pixels >= MAX_LANES and together == MAX_LANES else 0
    at = load(begins, 0)
    for step in range(0, whole, MAX_LANES):
        pixel = min(step, whole - MAX_LANES)
        separate(lines, pixel * MAX_LANES, flat, at + W(pixel))
    for lane in range(together if whole == 0 else 0):
        for pixel in range(pixels):
            flat[U(begins[lane]) + U(pixel)] = lines[U(pixel * MAX_LANES + lane)]


@numba.njit(cache=True, nogil=True)
def _after_encoding(state, frequency, start):
    """The state after a symbol, and whether its low word had to leave before (0 or 1)."""
    emits = U(state >= frequency << _20)
    state >>= emits << U(4)
    return state + start + state // frequency * (_MASK + _1 - frequency), emits


@numba.njit(cache=True, nogil=True)
def _encode_one_by_one(entries, together, size, plain, ranges, own, words, position):
    """A step with an escape: flat `entries` of the rows, `own` states. Returns the position."""
    for index in range(together):
        lane = U(together - 1 - index)
        entry, state = U(entries[lane]), U(own[lane])
        packed = U(ranges[entry])
        if packed < _LOW:  # an escape; decoded in the other order
            symbol = entry % (size + _1)
            words[position - _1] = state
            state, emits = _after_encoding(state, plain, symbol * plain)
            position -= emits
            packed = U(ranges[entry - symbol + size])
        words[position - _1] = state
        state, emits = _after_encoding(state, packed >> _16, packed & U(0xFFFF))
        own[lane] = state
        position -= emits
    return position


@numba.njit(cache=True, nogil=True)
def encode_in_contexts(
    symbols: np.ndarray,
    width: int,
    first_row: int,
    bases: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    words: np.ndarray,
    states: np.ndarray,
) -> np.int64:
    """Encode rows backwards into the end of `words`; return where they begin.

    Args:
        symbols: shape (rows, p), int32; row r belongs to component (first_row + r) % k.
        width: symbols of one line of a plane; p is a multiple of it.
        first_row: see above.
        bases: table of each component in each context, times 2^12, shape (k, contexts), uint32.
        lowest: symbol of the first entry of every table.
        size: symbols of every table; entry `size` is the escape.
        escape_bits: of an index after an escape.
        ranges: flat tables of size + 1 entries, frequency << 16 | sum of those before, uint32.
        words: uint16, at least 2 * symbols.size + `WRITING_ROOM` entries.
        states: final states, shape (lanes,), uint64.

    Returns:
        Index of the first word, or -1 for a symbol that is outside of the tables.
    """
    rows, pixels = symbols.shape
    lanes, position = len(states), U(len(words))
    flat, names = symbols.reshape(-1), bases.reshape(-1)
    plain = _1 << (_12 - U(escape_bits))
    own = np.full(MAX_LANES, LOW, np.uint32)
    begins, contexts = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    entries = np.empty(MAX_LANES, np.uint32)
    lines_of_block = max(_BLOCK // width, 1)
    lines = np.zeros((lines_of_block + 1) * width * MAX_LANES, np.int32)
    state = load(own, 0)
    for first in range((rows - 1) // lanes * lanes, -1, -lanes):
        together = min(lanes, rows - first)
        active = load(_NUMBERS, 0) < W(together)
        _begin_names(contexts, first_row + first, len(bases))
        base = load(contexts, 0) + W(LIMIT * (SPREAD + 1))
        last = pixels // width
        while last > 0:
            # The block's lines and the one above them.
            begin = max(last - lines_of_block, 0)
            above = 1 if begin > 0 else 0
            for lane in range(MAX_LANES):
                row = first + (lane if lane < together else 0)
                begins[lane] = row * pixels + (begin - above) * width
            if above == 0:
                lines[: width * MAX_LANES] = 0
            into = lines[(1 - above) * width * MAX_LANES :]
            taken = (last - begin + above) * width
            farthest = _interleave_rows(flat, begins, taken, into, lowest)
            if bits_of(farthest >= W(size)):
                return np.int64(-1)
            for line in range(last - begin, 0, -1):
                for column in range(width - 1, -1, -1):
                    at = U((line * width + column) * MAX_LANES)
                    over = load(lines, at - U(width * MAX_LANES))
                    left = everywhere(W(0))
                    if column > 0:
                        left = load(lines, at - U(MAX_LANES))
                    context = clamp(left, S(-LIMIT), S(LIMIT)) * W(SPREAD)
                    context = base + context + clamp(over, S(-LIMIT), S(LIMIT))
                    table = gather(names, context) >> W(PRECISION)
                    entry = table * W(size + 1) + load(lines, at) - S(lowest)
                    packed = gather(ranges, entry)
                    if bits_of(both(packed < W(LOW), active)):
                        store(own, 0, state)
                        store(entries, 0, entry)
                        position = _encode_one_by_one(
                            entries, together, U(size), plain, ranges, own, words, position
                        )
                        state = load(own, 0)
                        continue
                    frequency = packed >> W(16)
                    emits = both(state >= (frequency << W(20)), active)
                    mask = bits_of(emits)
                    store_where(words, position - U(MAX_LANES), state, _ENDS, mask)
                    rest = select(emits, state >> W(16), state)
                    grown = quotient(rest, frequency) * (W(1 << PRECISION) - frequency)
                    state = select(active, rest + (packed & W(0xFFFF)) + grown, state)
                    position -= U(_COUNTS[mask])
            last = begin
    store(own, 0, state)
    states[:] = own[:lanes]
    return np.int64(position)


@numba.njit(cache=True, nogil=True, inline="always")
def _decode_step(state, context, active, names, entries, ranges, size, words, position):
    """One symbol of every row, if none is an escape.

    Returns:
        The states and the position after it, the entries, the tables (times 2^12), and whether
        there was an escape.
    """
    table = gather(names, context)
    slot = state & W((1 << PRECISION) - 1)
    entry = gather(entries, table | slot)
    packed = gather(ranges, (table >> W(PRECISION)) * W(size + 1) + entry)
    after = (packed >> W(16)) * (state >> W(PRECISION)) + slot - (packed & W(0xFFFF))
    refills = both(after < W(LOW), active)
    mask = bits_of(refills)
    refilled = (after << W(16)) | load_where(words, position, _PLACES, mask)
    after = select(active, select(refills, refilled, after), state)
    escaped = bits_of(both(entry >= W(size), active))
    return after, position + U(_COUNTS[mask]), entry, table, escaped


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
def _fill_begins(begins, first, pixels, begin):
    """Where eight rows from `first` on begin, from their pixel `begin` on."""
    for lane in range(MAX_LANES):
        begins[lane] = (first + lane) * pixels + begin


@numba.njit(cache=True, nogil=True)
def decode_two_in_contexts(
    words: np.ndarray,
    more_words: np.ndarray,
    states: np.ndarray,
    more_states: np.ndarray,
    width: int,
    first_row: int,
    more_first_row: int,
    bases: np.ndarray,
    lowest: int,
    size: int,
    escape_bits: int,
    ranges: np.ndarray,
    entries: np.ndarray,
    symbols: np.ndarray,
    more_symbols: np.ndarray,
) -> int:
    """Decode two streams, a step of either by turns, so that one goes on while the other waits.

    The inverse of `encode_in_contexts`. A stream may have no rows; it has its final states then.

    Args:
        words: of the first stream, and room to read past them: `READING_ROOM` more.
        more_words: of the second stream.
        states: final states of the encoder, uint64.
        more_states: of the second stream, as many.
        width: as there.
        first_row: as there.
        more_first_row: of the second stream.
        bases: as there.
        lowest: as there.
        size: as there.
        escape_bits: as there.
        ranges: as there.
        entries: of `fill_lookup`.
        symbols: output of the first stream, shape (rows, p), int32.
        more_symbols: of the second stream.

    Returns:
        A constant of `rans_format`: `OK`, or what is wrong in either stream.
    """
    rows, pixels = symbols.shape
    more_rows = len(more_symbols)
    lanes = len(states)
    position, more_position, shift = _0, _0, _12 - U(escape_bits)
    end, more_end = U(len(words) - READING_ROOM), U(len(more_words) - READING_ROOM)
    names, lookup = bases.reshape(-1), entries.reshape(-1)
    flat, more_flat = symbols.reshape(-1), more_symbols.reshape(-1)
    own, begins = np.full(MAX_LANES, LOW, np.uint32), np.empty(MAX_LANES, np.uint32)
    contexts, more_contexts = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    above, more_above = np.empty((2, width * MAX_LANES), np.uint8)
    lines_of_block = max(_BLOCK // width, 1)
    lines, more_lines = np.empty((2, lines_of_block * width * MAX_LANES), np.int32)
    own[:lanes] = states
    state = load(own, 0)
    own[:lanes] = more_states
    more_state = load(own, 0)
    for first in range(0, max(rows, more_rows), lanes):
        together = min(max(rows - first, 0), lanes)
        more_together = min(max(more_rows - first, 0), lanes)
        active, more_active = load(_NUMBERS, 0) < W(together), load(_NUMBERS, 0) < W(more_together)
        _begin_names(contexts, first_row + first, len(bases))
        _begin_names(more_contexts, more_first_row + first, len(bases))
        base, more_base = load(contexts, 0), load(more_contexts, 0)
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
                        state, context, active, names, lookup, ranges, size, words, position
                    )
                    context = more_base + more_left * W(SPREAD) + load(more_above, over)
                    more_after, more_reached, more_entry, more_table, more_escaped = _decode_step(
                        more_state,
                        context,
                        more_active,
                        names,
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
            _fill_begins(begins, first, pixels, first_line * width)
            _separate_rows(lines, block * width, flat, begins, together)
            _separate_rows(more_lines, block * width, more_flat, begins, more_together)
    ended = both(state < W(LOW + 1), more_state < W(LOW + 1))  # no state is ever lower
    ended_where_they_should = position == end and more_position == more_end
    return OK if ended_where_they_should and bits_of(ended) == U(255) else LEFTOVER
