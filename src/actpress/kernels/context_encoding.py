"""Encoding with contexts, compiled; the coder's arithmetic is that of `rans_loops`.

A stream interleaves rows: in every group of as many rows as there are states, row j is coded by
state j, pixel by pixel. What a row's next symbol depends on is then known in time when it is
decoded, and the states of the group do not wait for each other: a vector holds them, and a step
codes one symbol of each row. Rows are brought side by side in blocks of lines that fit the
first-level cache. Where a group has fewer rows, or a stream fewer states, the other elements of the
vector stay idle. Each step waits for the one before, so two streams take steps by turns.

Escapes are rare. A step that meets one is done state by state.
"""

import numba
import numpy as np

from actpress.kernels.context_format import LIMIT, SPREAD
from actpress.kernels.rans_format import LOW, MAX_LANES, PRECISION
from actpress.kernels.row_blocks import begin_names, begin_rows, interleave_rows
from actpress.kernels.vectors import (
    bits_of,
    both,
    clamp,
    everywhere,
    gather_together,
    load,
    quotient,
    select,
    store,
    store_where,
)

U, W, S = np.uint64, np.uint32, np.int32
_1, _12, _16, _20 = U(1), U(PRECISION), U(16), U(20)
_MASK, _LOW = U((1 << PRECISION) - 1), U(LOW)
BLOCK = 512
"""Pixels of a row in a block, unless its lines are longer."""

SET_BITS = np.array([[mask >> lane & 1 for lane in range(MAX_LANES)] for mask in range(256)])
"""Whether a state is one of those that a mask means, by mask and state."""

COUNTS = SET_BITS.sum(1).astype(np.uint8)
"""How many a mask means."""

NUMBERS = np.arange(MAX_LANES, dtype=np.uint32)
"""Of the states of a vector."""

_order = np.argsort(SET_BITS, axis=1, kind="stable")
_ENDS = np.stack([2 * _order, 2 * _order + 1], 2).astype(np.uint8).reshape(-1)
"""Words that some of the states emit, behind all others, as `store_where` wants it, by mask."""


@numba.njit(cache=True, nogil=True)
def _after_encoding(state, frequency, start):
    """The state after a symbol, and whether its low word had to leave before (0 or 1)."""
    emits = U(state >= frequency << _20)
    state >>= emits << U(4)
    return state + start + state // frequency * (_MASK + _1 - frequency), emits


@numba.njit(cache=True, nogil=True)
def _encode_one_by_one(state, entry, together, size, plain, ranges, words, position):
    """A step with an escape. Returns the states and the position after it."""
    own, entries = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    store(own, 0, state)
    store(entries, 0, entry)
    for index in range(together):
        lane = U(together - 1 - index)
        at, before = U(entries[lane]), U(own[lane])
        packed = U(ranges[at])
        if packed < _LOW:  # an escape; decoded in the other order
            symbol = at % (size + _1)
            words[position - _1] = before
            before, emits = _after_encoding(before, plain, symbol * plain)
            position -= emits
            packed = U(ranges[at - symbol + size])
        words[position - _1] = before
        before, emits = _after_encoding(before, packed >> _16, packed & U(0xFFFF))
        own[lane] = before
        position -= emits
    return load(own, 0), position


@numba.njit(cache=True, nogil=True, inline="always")
def _look_up(lines, at, line_of, column, base, lowest, size, names, ranges):
    """Where the symbols at a place of a block stand in the flat tables, and what stands there."""
    over = load(lines, at - line_of)
    left = everywhere(W(0))
    if column > 0:
        left = load(lines, at - U(MAX_LANES))
    context = clamp(left, S(-LIMIT), S(LIMIT)) * W(SPREAD)
    context = base + context + clamp(over, S(-LIMIT), S(LIMIT))
    table = gather_together(names, context) >> W(PRECISION)
    entry = table * W(size + 1) + load(lines, at) - S(lowest)
    return entry, gather_together(ranges, entry)


@numba.njit(cache=True, nogil=True, inline="always")
def _encode_step(state, packed, active, words, position):
    """One symbol of every row, if none is an escape. Returns states and position."""
    frequency = packed >> W(16)
    emits = both(state >= (frequency << W(20)), active)
    mask = bits_of(emits)
    store_where(words, position - U(MAX_LANES), state, _ENDS, mask)
    rest = select(emits, state >> W(16), state)
    grown = quotient(rest, frequency) * (W(1 << PRECISION) - frequency)
    after = select(active, rest + (packed & W(0xFFFF)) + grown, state)
    return after, position - U(COUNTS[mask])


@numba.njit(cache=True, nogil=True)
def encode_two_in_contexts(
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
    words: np.ndarray,
    more_words: np.ndarray,
    states: np.ndarray,
    more_states: np.ndarray,
) -> tuple[np.int64, np.int64]:
    """Encode two streams backwards into the ends of their `words`; return where they begin.

    Args:
        flat: the numbers of all rows, int32 or the bits of float32; row r belongs to component
            r % k.
        step: from one pixel of a row to the next, see `row_blocks`.
        floats: whether they are float32.
        pixels: of a row.
        width: symbols of one line of a plane; `pixels` is a multiple of it.
        edges: first row of the first stream, and of what follows it, shape (2,).
        more_edges: of the second stream, which comes later and may have no rows.
        bases: table of each component in each context, times 2^12, shape (k, contexts), uint32.
        lowest: symbol of the first entry of every table.
        size: symbols of every table; entry `size` is the escape.
        escape_bits: of an index after an escape.
        ranges: flat tables of size + 1 entries, frequency << 16 | sum of those before, uint32.
        words: uint16, at least two entries per symbol, and `WRITING_ROOM`.
        more_words: of the second stream.
        states: final states, shape (lanes,), uint64.
        more_states: of the second stream, as many.

    Returns:
        Index of the first word of either, or -1 for a symbol that is outside of the tables.
    """
    lanes, components = len(states), len(bases)
    rows, more_rows = edges[1] - edges[0], more_edges[1] - more_edges[0]
    position, more_position = U(len(words)), U(len(more_words))
    names = bases.reshape(-1)
    plain = _1 << (_12 - U(escape_bits))
    begins, contexts = np.empty(MAX_LANES, np.uint32), np.empty(MAX_LANES, np.uint32)
    own = np.full(MAX_LANES, LOW, np.uint32)
    lines_of_block, line_of = max(BLOCK // width, 1), U(width * MAX_LANES)
    lines, more_lines = np.zeros((2, (lines_of_block + 1) * width * MAX_LANES), np.int32)
    state, more_state = load(own, 0), load(own, 0)
    for first in range((max(rows, more_rows) - 1) // lanes * lanes, -1, -lanes):
        together = min(max(rows - first, 0), lanes)
        more_together = min(max(more_rows - first, 0), lanes)
        active, more_active = load(NUMBERS, 0) < W(together), load(NUMBERS, 0) < W(more_together)
        row, more_row = edges[0] + first, more_edges[0] + first
        begin_names(contexts, row, components)
        base = load(contexts, 0) + W(LIMIT * (SPREAD + 1))
        begin_names(contexts, more_row, components)
        more_base = load(contexts, 0) + W(LIMIT * (SPREAD + 1))
        last = pixels // width
        while last > 0:
            # The block's lines and the one above them.
            begin = max(last - lines_of_block, 0)
            above = 1 if begin > 0 else 0
            if above == 0:
                lines[:line_of] = 0
                more_lines[:line_of] = 0
            room = (1 - above) * line_of
            taken = (last - begin + above) * width
            pixel = (begin - above) * width
            begin_rows(begins, row, edges[1] - 1, pixel, pixels, components, step)
            far = interleave_rows(flat, begins, step, floats, taken, lines[room:], lowest)
            begin_rows(begins, more_row, more_edges[1] - 1, pixel, pixels, components, step)
            more_far = interleave_rows(flat, begins, step, floats, taken, more_lines[room:], lowest)
            if bits_of(far >= W(size)) or bits_of(more_far >= W(size)):
                return np.int64(-1), np.int64(-1)
            for line in range(last - begin, 0, -1):
                for column in range(width - 1, -1, -1):
                    at = U((line * width + column) * MAX_LANES)
                    entry, packed = _look_up(
                        lines, at, line_of, column, base, lowest, size, names, ranges
                    )
                    more_entry, more_packed = _look_up(
                        more_lines, at, line_of, column, more_base, lowest, size, names, ranges
                    )
                    escapes = bits_of(both(packed < W(LOW), active))
                    if escapes | bits_of(both(more_packed < W(LOW), more_active)):
                        state, position = _encode_one_by_one(
                            state, entry, together, U(size), plain, ranges, words, position
                        )
                        more_state, more_position = _encode_one_by_one(
                            more_state,
                            more_entry,
                            more_together,
                            U(size),
                            plain,
                            ranges,
                            more_words,
                            more_position,
                        )
                        continue
                    state, position = _encode_step(state, packed, active, words, position)
                    more_state, more_position = _encode_step(
                        more_state, more_packed, more_active, more_words, more_position
                    )
            last = begin
    store(own, 0, state)
    states[:] = own[:lanes]
    store(own, 0, more_state)
    more_states[:] = own[:lanes]
    return np.int64(position), np.int64(more_position)
