"""Bit packing, compiled for the CPU; the layout is that of `pack_format`.

A block is quantized into one int32 per code, then rows of codes are shifted into rows of words. For
every width there is a loop of its own: only shifts by constants become vector instructions. The
compiler unrolls the loops over words and rows up to a size that 5, 6 and 7 bits exceed, where codes
cross words; their lower and upper words are done apart.
"""

import numba
import numpy as np

from actpress.kernels.pack_format import BLOCK, LANES, REST_ROWS, ROWS

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
"""Without Python's check for division by zero, which would keep the loops from vector units."""

I = np.int32  # noqa: E741 - as the literature abbreviates integers
SPLIT = 3
"""Word at which the loops of 5, 6 and 7 bits are cut in two."""


def _gather_of(width: int, first: int, stop: int):
    """The loop that fills rows first .. stop - 1 of words from the codes, shape (1024,)."""

    @_compiled
    def gather(codes, words):
        for lane in range(LANES):
            for word in range(first, stop):
                bits = I(0)
                for row in range(ROWS * word // width, -(-ROWS * (word + 1) // width)):
                    shift = width * row - ROWS * word
                    if shift >= 0:
                        bits = I(bits | I(codes[row * LANES + lane] << I(shift)))
                    else:
                        bits = I(bits | I(codes[row * LANES + lane] >> I(-shift)))
                words[word * LANES + lane] = bits

    return gather


def _scatter_of(width: int, first: int, stop: int):
    """The loop that takes the codes which begin in rows first .. stop - 1 of words out of them."""
    mask = I(2**width - 1)

    @_compiled
    def scatter(words, codes):
        for lane in range(LANES):
            for word in range(first, stop):
                bits = words[word * LANES + lane]
                for row in range(-(-ROWS * word // width), -(-ROWS * (word + 1) // width)):
                    shift = width * row - ROWS * word
                    code = I(bits >> I(shift))
                    if shift + width > ROWS:
                        code = I(code & I((1 << (ROWS - shift)) - 1))  # the sign was shifted in
                        code = I(code | I(words[(word + 1) * LANES + lane] << I(ROWS - shift)))
                    codes[row * LANES + lane] = I(code & mask)

    return scatter


_gather_1, _gather_2, _gather_3, _gather_4, _gather_8 = (
    _gather_of(width, 0, width) for width in (1, 2, 3, 4, 8)
)
_gather_5, _gather_6, _gather_7 = (_gather_of(width, 0, SPLIT) for width in (5, 6, 7))
_gather_upper_5, _gather_upper_6, _gather_upper_7 = (
    _gather_of(width, SPLIT, width) for width in (5, 6, 7)
)
_scatter_1, _scatter_2, _scatter_3, _scatter_4, _scatter_8 = (
    _scatter_of(width, 0, width) for width in (1, 2, 3, 4, 8)
)
_scatter_5, _scatter_6, _scatter_7 = (_scatter_of(width, 0, SPLIT) for width in (5, 6, 7))
_scatter_upper_5, _scatter_upper_6, _scatter_upper_7 = (
    _scatter_of(width, SPLIT, width) for width in (5, 6, 7)
)


@_compiled
def _gather(width, codes, words):
    """Codes of a full block to its words, shape (32 * width,)."""
    if width == 1:
        _gather_1(codes, words)
    elif width == 2:
        _gather_2(codes, words)
    elif width == 3:
        _gather_3(codes, words)
    elif width == 4:
        _gather_4(codes, words)
    elif width == 5:
        _gather_5(codes, words)
        _gather_upper_5(codes, words)
    elif width == 6:
        _gather_6(codes, words)
        _gather_upper_6(codes, words)
    elif width == 7:
        _gather_7(codes, words)
        _gather_upper_7(codes, words)
    elif width == 8:
        _gather_8(codes, words)


@_compiled
def _scatter(width, words, codes):
    """Words of a full block to its codes."""
    if width == 1:
        _scatter_1(words, codes)
    elif width == 2:
        _scatter_2(words, codes)
    elif width == 3:
        _scatter_3(words, codes)
    elif width == 4:
        _scatter_4(words, codes)
    elif width == 5:
        _scatter_5(words, codes)
        _scatter_upper_5(words, codes)
    elif width == 6:
        _scatter_6(words, codes)
        _scatter_upper_6(words, codes)
    elif width == 7:
        _scatter_7(words, codes)
        _scatter_upper_7(words, codes)
    elif width == 8:
        _scatter_8(words, codes)


@_compiled
def _gather_rest(width, codes, packed):
    """Codes of a block that is not full, padded with zeros, to its bytes."""
    lanes = len(codes) // REST_ROWS
    for lane in range(lanes):
        number = np.uint64(0)
        for row in range(REST_ROWS):
            number |= np.uint64(codes[row * lanes + lane]) << np.uint64(width * row)
        for byte in range(width):
            packed[byte * lanes + lane] = np.uint8(number >> np.uint64(8 * byte))


@_compiled
def _scatter_rest(width, packed, codes):
    """The inverse of `_gather_rest`."""
    lanes = len(codes) // REST_ROWS
    mask = np.uint64((1 << width) - 1)
    for lane in range(lanes):
        number = np.uint64(0)
        for byte in range(width):
            number |= np.uint64(packed[byte * lanes + lane]) << np.uint64(8 * byte)
        for row in range(REST_ROWS):
            codes[row * lanes + lane] = I(number >> np.uint64(width * row) & mask)


@_compiled
def _quantize(values, step, low, high, codes):
    for index in range(len(values)):
        q = np.rint(values[index] / step)
        q = q if q > low else low  # noqa: FURB136 - so that NaN becomes the lowest symbol
        q = q if q < high else high  # noqa: FURB136 - the same instruction in both directions
        codes[index] = I(q - low)


@_compiled
def _dequantize(codes, step, low, values):
    for index in range(len(values)):
        values[index] = (np.float32(codes[index]) + low) * step


@_compiled
def _copy(source, target):
    """Assigning a slice would ask whether the two overlap, and copy byte by byte."""
    for index in range(len(target)):
        target[index] = source[index]


@_compiled
def _pack_block(values, begin, size, positions, step, low, high, width, scratch, packed):
    """Values begin .. begin + size - 1 to the bytes of their block; scratch holds two blocks."""
    codes, words = scratch[0, : -(-size // REST_ROWS) * REST_ROWS], scratch[1, : LANES * width]
    done = 0
    while done < size:  # one row after another
        row, at = divmod(begin + done, positions)
        stop = min(done + positions - at, size)
        j = row % len(step)
        _quantize(values[begin + done : begin + stop], step[j], low[j], high[j], codes[done:stop])
        done = stop
    codes[size:] = 0
    if size == BLOCK:
        _gather(width, codes, words)
        _copy(words.view(np.uint8), packed)
    else:
        _gather_rest(width, codes, packed)


@_compiled
def _unpack_block(packed, begin, size, positions, step, low, width, scratch, values):
    """The inverse of `_pack_block`, up to quantization."""
    codes, words = scratch[0, : -(-size // REST_ROWS) * REST_ROWS], scratch[1, : LANES * width]
    if size == BLOCK:
        _copy(packed, words.view(np.uint8))
        _scatter(width, words, codes)
    else:
        _scatter_rest(width, packed, codes)
    done = 0
    while done < size:
        row, at = divmod(begin + done, positions)
        stop = min(done + positions - at, size)
        j = row % len(step)
        _dequantize(codes[done:stop], step[j], low[j], values[begin + done : begin + stop])
        done = stop


@numba.njit(parallel=True, cache=True, nogil=True)
def pack_parts(
    values: np.ndarray,
    positions: int,
    step: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    parts: np.ndarray,
    packed: np.ndarray,
) -> None:
    """Quantize and pack.

    Args:
        values: flat, n * k * p numbers, float32.
        positions: p.
        step: of each component, shape (k,), float32.
        low: lowest symbol of each component, shape (k,), float32.
        high: highest symbol of each component, less than low + 2^width, shape (k,), float32.
        parts: of `parts_of`.
        packed: output, uint8.
    """
    for part in numba.prange(len(parts)):
        first, count, byte, width = parts[part]
        scratch = np.zeros((2, BLOCK), I)
        for done in range(0, count if width else 0, BLOCK):
            size = min(BLOCK, count - done)
            more = -(-size // 8) * width
            block = packed[byte : byte + more]
            begin = first + done
            _pack_block(values, begin, size, positions, step, low, high, width, scratch, block)
            byte += more


@numba.njit(parallel=True, cache=True, nogil=True)
def unpack_parts(
    packed: np.ndarray,
    positions: int,
    step: np.ndarray,
    low: np.ndarray,
    parts: np.ndarray,
    values: np.ndarray,
) -> None:
    """The inverse of `pack_parts`, up to quantization; fills `values`."""
    for part in numba.prange(len(parts)):
        first, count, byte, width = parts[part]
        scratch = np.zeros((2, BLOCK), I)  # codes of dropped components are zero
        for done in range(0, count, BLOCK):
            size = min(BLOCK, count - done)
            more = -(-size // 8) * width
            block = packed[byte : byte + more]
            begin = first + done
            _unpack_block(block, begin, size, positions, step, low, width, scratch, values)
            byte += more
