"""The field's hardware coders, compiled: words in, bits out, the most significant bit first.

A word is an integer of `word_bits` bits in two's complement. Bits are written into an array of
bytes at a position that every function takes and returns; reading past the end gives zeros, and the
caller notices by the position.
"""

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)

ZERO_GROUP = 32
"""Words that share a bit map in zero-value compression."""

PLANE_BLOCK = 8
"""Words of a block in bit-plane compression: a base and seven differences."""

PLANE_SYMBOLS = PLANE_BLOCK - 1
ALL_ONES = (1 << PLANE_SYMBOLS) - 1
ONE = 1 << (PLANE_SYMBOLS - 1)
TWO_ONES = 0b11 << (PLANE_SYMBOLS - 2)
POSITION_BITS = 3


@_compiled
def _put(data, at, value, bits):
    for bit in range(bits - 1, -1, -1):
        data[at >> 3] |= ((value >> bit) & 1) << (7 - (at & 7))
        at += 1
    return at


@_compiled
def _get(data, at, bits):
    value = 0
    for _ in range(bits):
        octet = data[at >> 3] if at >> 3 < len(data) else 0
        value = value << 1 | (octet >> (7 - (at & 7))) & 1
        at += 1
    return value, at


@_compiled
def _signed(value, bits):
    return value - (1 << bits) if value >> (bits - 1) else value


@_compiled
def encode_zero_values(words: np.ndarray, word_bits: int, data: np.ndarray) -> int:
    """A map of 32 bits, set where a word is not zero, then those words; returns the bits written.

    Args:
        words: flat, int32.
        word_bits: bits of a word.
        data: zeros, uint8, with room for all words and maps.
    """
    at = 0
    for first in range(0, len(words), ZERO_GROUP):
        group = words[first : first + ZERO_GROUP]
        for word in group:
            at = _put(data, at, 1 if word else 0, 1)
        for word in group:
            if word:
                at = _put(data, at, word, word_bits)
    return at


@_compiled
def decode_zero_values(data: np.ndarray, word_bits: int, words: np.ndarray) -> int:
    """The inverse of `encode_zero_values`; fills `words`, returns the bits read."""
    at = 0
    for first in range(0, len(words), ZERO_GROUP):
        group = words[first : first + ZERO_GROUP]
        for index in range(len(group)):
            group[index], at = _get(data, at, 1)
        for index in range(len(group)):
            if group[index]:
                value, at = _get(data, at, word_bits)
                group[index] = _signed(value, word_bits)
    return at


@_compiled
def _put_zeros(words, index, run_bits, data, at):
    """0 and the length of the run of zeros at `index`, at most 2^run_bits of them."""
    run = 1
    while run < 1 << run_bits and index + run < len(words) and words[index + run] == 0:
        run += 1
    at = _put(data, at, 0, 1)
    return index + run, _put(data, at, run - 1, run_bits)


@_compiled
def encode_zero_runs(words: np.ndarray, word_bits: int, run_bits: int, data: np.ndarray) -> int:
    """1 and a word that is not zero, or 0 and the length of a run of zeros, less one.

    Args:
        words: flat, int32.
        word_bits: bits of a word; 0 writes only where words are not zero.
        run_bits: of a length.
        data: zeros, uint8, with room for all words.

    Returns:
        The bits written.
    """
    at = index = 0
    while index < len(words):
        if words[index]:
            at = _put(data, at, 1, 1)
            at = _put(data, at, words[index], word_bits)
            index += 1
        else:
            index, at = _put_zeros(words, index, run_bits, data, at)
    return at


@_compiled
def decode_zero_runs(data: np.ndarray, word_bits: int, run_bits: int, words: np.ndarray) -> int:
    """The inverse of `encode_zero_runs`; with word_bits = 0, ones stand where words belong."""
    at = index = 0
    while index < len(words):
        flag, at = _get(data, at, 1)
        if flag:
            value, at = _get(data, at, word_bits)
            words[index] = _signed(value, word_bits) if word_bits else 1
            index += 1
        else:
            run, at = _get(data, at, run_bits)
            stop = min(index + run + 1, len(words))
            words[index:stop] = 0
            index = stop
    return at


@_compiled
def _planes_of(block, word_bits, planes):
    """Bit planes of the seven differences, the highest (their sign) first."""
    for plane in range(word_bits + 1):
        bits = 0
        for index in range(1, PLANE_BLOCK):
            difference = block[index] - block[index - 1]
            bits = bits << 1 | (difference >> (word_bits - plane)) & 1
        planes[plane] = bits


@_compiled
def _put_plane(data, at, changed, bits):
    """One plane that is not zero after it was XORed with the one above (`changed`)."""
    if changed == ALL_ONES:
        return _put(data, at, 0b00000, 5)
    if bits == 0:
        return _put(data, at, 0b00001, 5)
    for first in range(PLANE_SYMBOLS):  # from the first difference, the highest bit
        if first < PLANE_SYMBOLS - 1 and changed == TWO_ONES >> first:
            at = _put(data, at, 0b00010, 5)
            return _put(data, at, first, POSITION_BITS)
        if changed == ONE >> first:
            at = _put(data, at, 0b00011, 5)
            return _put(data, at, first, POSITION_BITS)
    at = _put(data, at, 1, 1)
    return _put(data, at, changed, PLANE_SYMBOLS)


@_compiled
def encode_bit_planes(
    words: np.ndarray, word_bits: int, run_bits: int, data: np.ndarray, at: int
) -> int:
    """Blocks of eight words: the first as it is, then the bit planes of the differences.

    Planes are XORed with the one above, and zero planes are counted.

    Args:
        words: flat, int32, a multiple of eight.
        word_bits: bits of a word.
        run_bits: of the number of zero planes less two, ceil(log2(word_bits)).
        data: uint8, zeros from `at` on.
        at: first bit to write.

    Returns:
        The bit after the last.
    """
    planes = np.zeros(word_bits + 1, np.int64)
    for first in range(0, len(words), PLANE_BLOCK):
        block = words[first : first + PLANE_BLOCK]
        at = _put(data, at, block[0], word_bits)
        _planes_of(block, word_bits, planes)
        zeros = above = 0
        for plane in range(word_bits + 2):
            bits = planes[plane] if plane <= word_bits else 0
            changed = bits ^ above
            if plane <= word_bits and changed == 0:
                zeros += 1
                continue
            if zeros == 1:
                at = _put(data, at, 0b01, 2)
            elif zeros:
                at = _put(data, at, 0b001, 3)
                at = _put(data, at, zeros - 2, run_bits)
            zeros = 0
            if plane <= word_bits:
                at = _put_plane(data, at, changed, bits)
                above = bits
    return at


@_compiled
def _get_plane(data, at, above):
    """A plane that is not zero after the XOR, whose code does not begin with 01 or 001."""
    flag, at = _get(data, at, 1)
    if flag:
        changed, at = _get(data, at, PLANE_SYMBOLS)
        return above ^ changed, at
    code, at = _get(data, at, 4)
    if code == 0b0000:
        return above ^ ALL_ONES, at
    if code == 0b0001:
        return 0, at
    first, at = _get(data, at, POSITION_BITS)
    ones = TWO_ONES if code == 0b0010 else ONE
    return above ^ (ones >> first), at


@_compiled
def decode_bit_planes(
    data: np.ndarray, at: int, word_bits: int, run_bits: int, words: np.ndarray
) -> int:
    """The inverse of `encode_bit_planes`; fills `words`, returns the bit after the last."""
    differences = np.zeros(PLANE_BLOCK, np.int64)
    for first in range(0, len(words), PLANE_BLOCK):
        value, at = _get(data, at, word_bits)
        differences[:] = 0
        above = zeros = 0
        for _ in range(word_bits + 1):
            if zeros == 0:
                code, _skip = _get(data, at, 3)
                if code >> 1 == 0b01:
                    zeros, at = 1, at + 2
                elif code == 0b001:
                    zeros, at = _get(data, at + 3, run_bits)
                    zeros += 2
            if zeros:
                zeros -= 1
            else:
                above, at = _get_plane(data, at, above)
            for index in range(1, PLANE_BLOCK):
                bit = (above >> (PLANE_SYMBOLS - index)) & 1
                differences[index] = differences[index] << 1 | bit
        word = _signed(value, word_bits)
        words[first] = word
        for index in range(1, PLANE_BLOCK):
            word += _signed(differences[index], word_bits + 1)
            words[first + index] = word
    return at
