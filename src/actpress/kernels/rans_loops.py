"""Range asymmetric numeral systems (rANS), compiled: integers in, words out.

Duda 2013, arXiv 1311.2540. A stream interleaves `lanes` states: symbol i is coded by state
i % lanes. A state x lives in [2^16, 2^32) and moves 16-bit words. With frequency f and start c of a
symbol in a table of sum 2^12:

    encode   while x >= f * 2^20: emit the low word;   x = (x // f) * 2^12 + x % f + c
    decode   slot = x % 2^12;  x = f * (x // 2^12) + slot - c;   while x < 2^16: append a word

The last frequency of a table is that of its escape, which is followed by the plain index.

There is no branch where nobody can predict it: a word is always written or read, and kept by moving
the position. Integers are unsigned, as an index that cannot be negative needs no check. A row whose
length is a multiple of eight goes through a loop that keeps eight states in registers, and so does
the encoding of eight rows of any other length, one after another; where there turns out to be an
escape, the loop that knows them does it again.
"""

import numba
import numpy as np

from actpress.kernels.rans_format import (
    LEFTOVER,
    LOW,
    MAX_LANES,
    OK,
    OUT_OF_RANGE,
    OVERRUN,
    PRECISION,
)

U = np.uint64
_0, _1, _4, _12, _16, _20 = U(0), U(1), U(4), U(PRECISION), U(16), U(20)
_MASK, _WORD, _LOW = U((1 << PRECISION) - 1), U(0xFFFF), U(LOW)


@numba.njit(cache=True, nogil=True)
def _after_encoding(state, frequency, inverse, start):
    """The state after a symbol, and whether its low word had to leave before (0 or 1).

    The quotient is exact: states are below 2^32, frequencies at most 2^12, float64 has 53 bits.
    """
    frequency = U(frequency)
    emits = U(state >= frequency << _20)
    state >>= emits << _4
    quotient = U(np.int64((np.float64(np.int64(state)) + 0.5) * inverse))
    return (quotient << _12) + (state - quotient * frequency) + U(start), emits


@numba.njit(cache=True, nogil=True)
def _after_decoding(state, slot, packed, word):
    """The state after a symbol, and whether it took in the next word (0 or 1)."""
    packed = U(packed)
    state = (packed >> _16) * (state >> _12) + (slot - (packed & _WORD))
    refills = U(state < _LOW)
    return (state << (refills << _4)) | (U(word) & (_0 - refills)), refills


@numba.njit(cache=True, nogil=True)
def _encode_row(line, lowest, bits, table, inverses, starts, lanes, index, states, words, position):
    """Any row, backwards; `index` is that of its last symbol plus one. Returns the position."""
    lane_mask = U(lanes - 1)
    escape = U(len(table) - 1)
    for pixel in range(len(line) - 1, -1, -1):
        index -= _1
        lane = index & lane_mask
        state = states[lane]
        entry = U(line[pixel] - lowest)
        if table[entry] == 0:  # decoded in the other order: escape, then index
            plain = _1 << (_12 - bits)
            words[position - _1] = state
            inverse = 1.0 / np.float64(np.int64(plain))
            state, emits = _after_encoding(state, plain, inverse, entry * plain)
            position -= emits
            entry = escape
        words[position - _1] = state
        states[lane], emits = _after_encoding(state, table[entry], inverses[entry], starts[entry])
        position -= emits
    return position


@numba.njit(cache=True, nogil=True)
def _encode_row_of_eights(line, lowest, table, inverses, starts, states, words, position):
    """A row of eights, backwards. Returns the position, and whether it met an escape."""
    s0, s1, s2, s3, s4, s5, s6, s7 = states
    escaped = False
    for block in range(len(line) // MAX_LANES - 1, -1, -1):
        at = U(block) << U(3)
        entry = U(line[at + U(7)] - lowest)
        words[position - _1] = s7
        s7, emits = _after_encoding(s7, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(6)] - lowest)
        words[position - _1] = s6
        s6, emits = _after_encoding(s6, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(5)] - lowest)
        words[position - _1] = s5
        s5, emits = _after_encoding(s5, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(4)] - lowest)
        words[position - _1] = s4
        s4, emits = _after_encoding(s4, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(3)] - lowest)
        words[position - _1] = s3
        s3, emits = _after_encoding(s3, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(2)] - lowest)
        words[position - _1] = s2
        s2, emits = _after_encoding(s2, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at + U(1)] - lowest)
        words[position - _1] = s1
        s1, emits = _after_encoding(s1, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
        entry = U(line[at] - lowest)
        words[position - _1] = s0
        s0, emits = _after_encoding(s0, table[entry], inverses[entry], starts[entry])
        position -= emits
        escaped |= table[entry] == 0
    if not escaped:
        states[0], states[1], states[2], states[3] = s0, s1, s2, s3
        states[4], states[5], states[6], states[7] = s4, s5, s6, s7
    return position, escaped


@numba.njit(cache=True, nogil=True)
def _extremes(symbols):
    """Smallest and largest symbol of a row."""
    smallest, largest = symbols[0], symbols[0]
    for pixel in range(len(symbols)):
        smallest, largest = min(smallest, symbols[pixel]), max(largest, symbols[pixel])
    return smallest, largest


@numba.njit(cache=True, nogil=True)
def _fits_every_table(symbols, q_min, offsets):
    """Whether every symbol is in the range of every table: then no row needs to be looked at."""
    smallest, largest = _extremes(symbols.reshape(-1))
    for number in range(len(q_min)):
        symbols_of_table = offsets[number + 1] - offsets[number] - 1
        if smallest < q_min[number] or largest - q_min[number] >= symbols_of_table:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _look_up(group, first_row, table_of, q_min, offsets, flat):
    """Where each symbol of a group of rows stands in the flat tables."""
    pixels = group.shape[1]
    for row in range(len(group)):
        number = table_of[(first_row + row) % len(table_of)]
        shift = np.int32(offsets[number] - q_min[number])
        for pixel in range(pixels):
            flat[row * pixels + pixel] = group[row, pixel] + shift


@numba.njit(cache=True, nogil=True)
def encode_stream(
    symbols: np.ndarray,
    first_row: int,
    table_of: np.ndarray,
    q_min: np.ndarray,
    offsets: np.ndarray,
    frequencies: np.ndarray,
    inverses: np.ndarray,
    starts: np.ndarray,
    escape_bits: np.ndarray,
    lanes: int,
    words: np.ndarray,
    states: np.ndarray,
) -> np.int64:
    """Encode rows backwards into the end of `words`; return where they begin.

    Args:
        symbols: shape (rows, p), int32; row r belongs to component (first_row + r) % k.
        first_row: see above.
        table_of: table of each component, shape (k,), int64.
        q_min: lowest symbol per table, shape (t,).
        offsets: of each table's entries in the flat tables, shape (t + 1,).
        frequencies: flat tables; a table's last entry is its escape.
        inverses: 1 / frequency.
        starts: sum of the frequencies before.
        escape_bits: of an index after an escape, shape (t,).
        lanes: interleaved states, a power of two.
        words: uint16, at least 2 * symbols.size + 1 entries.
        states: final states, shape (lanes,), uint64.

    Returns:
        Index of the first word, or -1 for a symbol that is outside of its component's range.
    """
    rows, pixels = symbols.shape
    position = U(len(words))
    states[:lanes] = _LOW
    together = 1 if pixels % MAX_LANES == 0 else MAX_LANES
    flat = np.empty(together * pixels if together > 1 else 0, np.int32)
    in_every_range = _fits_every_table(symbols, q_min, offsets)
    for first in range((rows - 1) // together * together, -1, -together):
        stop = min(first + together, rows)
        if not in_every_range:
            for row in range(first, stop):
                number = table_of[(first_row + row) % len(table_of)]
                smallest, largest = _extremes(symbols[row])
                known = offsets[number + 1] - offsets[number] - 1
                if smallest < q_min[number] or largest - q_min[number] >= known:
                    return np.int64(-1)
        reached, escaped = position, True
        if lanes == MAX_LANES and together == 1:
            number = table_of[(first_row + first) % len(table_of)]
            begin, end = offsets[number], offsets[number + 1]
            reached, escaped = _encode_row_of_eights(
                symbols[first],
                np.int64(q_min[number]),
                frequencies[begin:end],
                inverses[begin:end],
                starts[begin:end],
                states,
                words,
                position,
            )
        elif lanes == MAX_LANES and stop - first == together:
            _look_up(symbols[first:stop], first_row + first, table_of, q_min, offsets, flat)
            reached, escaped = _encode_row_of_eights(
                flat, 0, frequencies, inverses, starts, states, words, position
            )
        if not escaped:
            position = reached
            continue
        for row in range(stop - 1, first - 1, -1):
            number = table_of[(first_row + row) % len(table_of)]
            begin, end = offsets[number], offsets[number + 1]
            position = _encode_row(
                symbols[row],
                np.int64(q_min[number]),
                U(escape_bits[number]),
                frequencies[begin:end],
                inverses[begin:end],
                starts[begin:end],
                lanes,
                U((row + 1) * pixels),
                states,
                words,
                position,
            )
    return np.int64(position)


@numba.njit(cache=True, nogil=True)
def _decode_row(line, lowest, bits, size, table, names, lanes, index, states, words, position):
    """Any row; `index` is that of its first symbol. Returns the position, and if it is valid."""
    lane_mask = U(lanes - 1)
    width = _12 - bits
    for pixel in range(len(line)):
        lane = index & lane_mask
        index += _1
        slot = states[lane] & _MASK
        entry = U(names[slot])
        state, refills = _after_decoding(states[lane], slot, table[entry], words[position])
        position += refills
        if entry == size:  # an escape: the plain index follows
            slot = state & _MASK
            entry = slot >> width
            plain = _1 << width
            packed = plain << _16 | entry * plain
            state, refills = _after_decoding(state, slot, packed, words[position])
            position += refills
            if entry >= size:
                return position, False
        states[lane] = state
        line[pixel] = np.int64(entry) + lowest
    return position, True


@numba.njit(cache=True, nogil=True)
def _decode_row_of_eights(line, lowest, size, table, names, states, words, position):
    """A row of eights. Returns the position, and whether it met an escape."""
    s0, s1, s2, s3, s4, s5, s6, s7 = states
    escaped = False
    for block in range(len(line) // MAX_LANES):
        at = U(block) << U(3)
        slot = s0 & _MASK
        entry = names[slot]
        s0, refills = _after_decoding(s0, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at] = entry + lowest
        slot = s1 & _MASK
        entry = names[slot]
        s1, refills = _after_decoding(s1, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(1)] = entry + lowest
        slot = s2 & _MASK
        entry = names[slot]
        s2, refills = _after_decoding(s2, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(2)] = entry + lowest
        slot = s3 & _MASK
        entry = names[slot]
        s3, refills = _after_decoding(s3, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(3)] = entry + lowest
        slot = s4 & _MASK
        entry = names[slot]
        s4, refills = _after_decoding(s4, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(4)] = entry + lowest
        slot = s5 & _MASK
        entry = names[slot]
        s5, refills = _after_decoding(s5, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(5)] = entry + lowest
        slot = s6 & _MASK
        entry = names[slot]
        s6, refills = _after_decoding(s6, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(6)] = entry + lowest
        slot = s7 & _MASK
        entry = names[slot]
        s7, refills = _after_decoding(s7, slot, table[entry], words[position])
        position += refills
        escaped |= entry == size
        line[at + U(7)] = entry + lowest
    if not escaped:
        states[0], states[1], states[2], states[3] = s0, s1, s2, s3
        states[4], states[5], states[6], states[7] = s4, s5, s6, s7
    return position, escaped


@numba.njit(cache=True, nogil=True)
def decode_stream(
    words: np.ndarray,
    states: np.ndarray,
    first_row: int,
    table_of: np.ndarray,
    q_min: np.ndarray,
    sizes: np.ndarray,
    escape_bits: np.ndarray,
    offsets: np.ndarray,
    ranges: np.ndarray,
    entries: np.ndarray,
    lanes: int,
    symbols: np.ndarray,
) -> int:
    """Decode into `symbols`, shape (rows, p), int32; the inverse of `encode_stream`.

    Args:
        words: of the stream, and room to read past them while a row is decoded: 2 * p + 1 more.
        states: final states of the encoder, uint64; changed.
        first_row: as there.
        table_of: as there.
        q_min: as there.
        sizes: symbols of each table, escape not counted, shape (t,).
        escape_bits: as there.
        offsets: of each table's entries in the flat table, shape (t + 1,).
        ranges: flat table, frequency << 16 | start, uint32.
        entries: of `fill_lookup`.
        lanes: as there.
        symbols: output.

    Returns:
        `OK`, `OVERRUN` (words are missing), `LEFTOVER` (too many words, or a wrong last state) or
        `OUT_OF_RANGE` (an escaped index beyond the range).
    """
    rows, pixels = symbols.shape
    last = U(len(words) - (2 * pixels + 1))
    position = _0
    index = _0
    of_eights = lanes == MAX_LANES and pixels % MAX_LANES == 0
    component = first_row % len(table_of)
    for row in range(rows):
        number = table_of[component]
        component = component + 1 if component + 1 < len(table_of) else 0
        lowest = np.int64(q_min[number])
        size = sizes[number]
        line, names = symbols[row], entries[number]
        table = ranges[offsets[number] : offsets[number + 1]]
        reached, escaped = position, not of_eights
        if of_eights:
            reached, escaped = _decode_row_of_eights(
                line, lowest, size, table, names, states, words, position
            )
        if escaped:
            bits = U(escape_bits[number])
            reached, valid = _decode_row(
                line, lowest, bits, U(size), table, names, lanes, index, states, words, position
            )
            if not valid:
                return OUT_OF_RANGE
        position = reached
        index += U(pixels)
        if position > last:
            return OVERRUN
    if position != last:
        return LEFTOVER
    for lane in range(lanes):
        if states[lane] != _LOW:
            return LEFTOVER
    return OK


@numba.njit(cache=True, nogil=True)
def fill_lookup(offsets: np.ndarray, frequencies: np.ndarray, entries: np.ndarray) -> None:
    """Which entry each slot of each table belongs to.

    A byte or two a slot and no more: components take turns row by row, so that tables compete
    for the nearest cache, and what else decoding needs stands once per entry.

    Args:
        offsets: of each table's entries, shape (t + 1,).
        frequencies: flat, summing to 2^12 per table.
        entries: output, shape (t, 2^12), uint8 or uint16.
    """
    for number in range(len(entries)):
        slot = 0
        for entry in range(offsets[number + 1] - offsets[number]):
            stop = slot + frequencies[offsets[number] + entry]
            entries[number, slot:stop] = entry
            slot = stop
