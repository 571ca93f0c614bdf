"""How symbols lie in memory, and room for them: coders read and write them where they are."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actpress.errors import StreamError

MOST_SYMBOLS_PER_BYTE = 1 << 15
"""No table is more certain: -log2(4095 / 4096) bits a symbol are 22,700 symbols a byte."""

Symbols = NDArray[np.int32]
Numbers = NDArray[np.int32] | NDArray[np.float32]
"""Whole numbers; float32 holds all that a table has."""


@dataclass(frozen=True)
class Memory:
    """The memory of symbols, shape (n, k, ...), without gaps.

    Attributes:
        flat: all of it as int32, shape (n * k * p,); what is written there is in the symbols.
        step: from one pixel of a component to the next: 1, or k where components are neighbours.
        floats: whether the numbers are float32, of which `flat` has the bits.
    """

    flat: NDArray[np.int32]
    step: int
    floats: bool


def memory_of(symbols: Numbers) -> Memory:
    """The memory of symbols, shape (n, k, ...), or of a copy where it has gaps."""
    floats = symbols.dtype == np.float32
    bits = symbols.view(np.int32) if floats else symbols.astype(np.int32, copy=False)
    pixel_by_pixel = np.moveaxis(bits, 1, -1)
    if pixel_by_pixel.flags.c_contiguous and not bits.flags.c_contiguous:
        return Memory(pixel_by_pixel.reshape(-1), symbols.shape[1], floats)
    return Memory(np.ascontiguousarray(bits).reshape(-1), 1, floats)


def as_rows(symbols: Numbers) -> Symbols:
    """Symbols (n, k, ...) as rows (n * k, p), int32.

    Raises:
        StreamError: NaN or infinite values.
    """
    n, k, *spatial = symbols.shape
    if symbols.dtype == np.float32 and not np.isfinite(symbols).all():
        raise StreamError("NaN or infinite values are no symbols")
    return np.ascontiguousarray(symbols, np.int32).reshape(n * k, prod(spatial))


def room_for(payload: bytes | memoryview, shape: tuple[int, ...], out: Numbers | None) -> Numbers:
    """An array to decode into, made only if the payload can hold so many symbols.

    Raises:
        StreamError: it cannot, or `out` is not of that shape, int32 or float32, without gaps.
    """
    if prod(shape) > MOST_SYMBOLS_PER_BYTE * len(payload):
        raise StreamError(f"the payload is damaged: {len(payload)} bytes for {prod(shape)} symbols")
    if not prod(shape) and len(payload):
        raise StreamError("the payload is damaged: it has bytes, but no symbols")
    if out is None:
        return np.empty(shape, np.int32)
    if out.shape != shape or out.dtype not in {np.dtype("i4"), np.dtype("f4")} or _has_gaps(out):
        raise StreamError(
            f"`out` must be an array of shape {shape}, int32 or float32, contiguous or with "
            f"components as neighbours"
        )
    return out


def _has_gaps(array: NDArray[Any]) -> bool:
    return not (array.flags.c_contiguous or np.moveaxis(array, 1, -1).flags.c_contiguous)
