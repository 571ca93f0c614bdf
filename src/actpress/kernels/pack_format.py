"""How packed symbols lie in memory: the definition that every implementation follows.

Symbols have shape (n, k, p). The *code* of a symbol is its distance from the lowest one of its
component, in b bits, 0 <= b <= 8. Within an image, neighbouring components of equal width form a
*run*; images, and runs within them, follow one another, each starting at a byte.

A run is cut into blocks of 1024 codes in row-major order, of R = 32 rows and L = 32 lanes each.
What remains, m < 1024 codes, is one block more, of R = 8 rows and L = ceil(m / 8) lanes, filled up
with zeros. Code i of a block is in row floor(i / L) and lane i mod L. The codes of a lane form a
number of b R bits, which is stored as b words of R bits:

    number of lane l = sum over the rows r of code[r L + l] * 2^(b r)
    word j L + l of the block = floor(number of lane l / 2^(R j)) mod 2^R,   j = 0 .. b - 1

Words are little-endian. A block of 1024 codes has 128 b bytes, the last one b L: at most b - 1 are
lost at the end of a run, and what b = 0 drops takes none. Lanes lie side by side (the vertical
layout of Lemire and Boytsov 2015, arXiv 1209.2137), so that vector units shift rows of codes by
constants and never move a code from lane to lane.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

MAX_WIDTH = 8
"""Bits of a code, at most."""

ROWS, LANES = 32, 32
BLOCK = ROWS * LANES
REST_ROWS = 8
"""Rows of a block that is not full."""

MAX_SYMBOL = 1 << 22
"""Symbols are at most this in magnitude: rounding to them is exact in float32."""

PART_BLOCKS = 32
"""Blocks that one thread takes at a time."""

Parts = NDArray[np.int64]


def run_bytes(codes: int, bit_width: int) -> int:
    """Bytes of a run of so many codes of one width."""
    return -(-codes // REST_ROWS) * bit_width


def packed_bytes(bit_widths: Sequence[int], positions: int) -> int:
    """Bytes of one image.

    Args:
        bit_widths: of every component, k numbers of 0 to 8.
        positions: symbols per component, p.
    """
    return sum(run_bytes(rows * positions, width) for rows, width in runs(bit_widths))


def runs(bit_widths: Sequence[int]) -> list[tuple[int, int]]:
    """Components and width of every run."""
    return [(len(list(run)), width) for width, run in groupby(bit_widths)]


@lru_cache(maxsize=256)
def parts_of(bit_widths: tuple[int, ...], images: int, positions: int) -> Parts:
    """The work of packing or unpacking, in parts that know nothing of each other.

    Args:
        bit_widths: of every component, k numbers of 0 to 8.
        images: n.
        positions: symbols per component, p.

    Returns:
        One row per part, shape (parts, 4): its first symbol in row-major order, its number of
        symbols, its first byte, its width in bits. Every part is whole blocks of one run.
    """
    parts = []
    symbol = byte = 0
    for rows, width in runs(bit_widths):
        stop = symbol + rows * positions
        for first in range(symbol, stop, PART_BLOCKS * BLOCK):
            count = min(stop - first, PART_BLOCKS * BLOCK)
            parts.append((first, count, byte, width))
            byte += run_bytes(count, width)
        symbol = stop
    one = np.array(parts, np.int64).reshape(-1, 4)
    step = np.array([symbol, 0, byte, 0], np.int64)
    return np.concatenate([one + image * step for image in range(images)] or [one[:0]])
