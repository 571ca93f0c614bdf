"""Rows of symbols, eight at a time, between memory and blocks where they lie side by side.

A row holds the symbols of one component of one image. In memory it is a plane without gaps, or,
where components are neighbours (`channels_last`), every k-th number of an image. Numbers are int32,
or float32 with whole values, of which the loops see the bits.
"""

from typing import Any

import numba
import numpy as np

from actpress.kernels.context_format import CONTEXTS
from actpress.kernels.rans_format import MAX_LANES
from actpress.kernels.vectors import (
    as_floats,
    everywhere,
    gather,
    interleave,
    largest,
    load,
    separate,
    store,
    whole_numbers,
)

U, W, S = np.uint64, np.uint32, np.int32
_0, _1 = U(0), U(1)


@numba.njit(cache=True, nogil=True)
def begin_names(contexts: np.ndarray, row: int, components: int) -> None:
    """Where the names of tables of eight rows from `row` on begin."""
    component = U(row) % U(components)
    for lane in range(MAX_LANES):
        contexts[lane] = component * U(CONTEXTS)
        component = component + _1 if component + _1 < U(components) else _0


@numba.njit(cache=True, nogil=True)
def begin_rows(
    begins: np.ndarray,
    row: int,
    last_row: int,
    pixel: int,
    pixels: int,
    components: int,
    step: int,
) -> None:
    """Where eight rows from `row` on begin, from their `pixel` on; rows end with `last_row`.

    Args:
        begins: output, uint32.
        row: the first; where there are not as many, the last one stands for those that lack.
        last_row: see above.
        pixel: see above.
        pixels: of a row.
        components: rows of an image, k.
        step: from one pixel of a row to the next: 1, or k where components are neighbours.
    """
    for lane in range(MAX_LANES):
        own = min(row + lane, last_row)
        begin = own * pixels
        if step > 1:
            begin = own // components * components * pixels + own % components
        begins[lane] = begin + pixel * step


@numba.njit(cache=True, nogil=True)
def _are_neighbours(begins):
    apart = W(0)
    for lane in range(1, MAX_LANES):
        apart |= begins[lane] - begins[0] - W(lane)
    return apart == 0


@numba.njit(cache=True, nogil=True)
def interleave_rows(
    flat: np.ndarray,
    begins: np.ndarray,
    step: int,
    floats: bool,  # noqa: FBT001 - compiled loops take their arguments one by one
    pixels: int,
    lines: np.ndarray,
    lowest: int,
) -> Any:
    """The first pixels of eight rows, side by side in `lines`. Returns how far they are apart.

    That is the largest element less `lowest`, as unsigned numbers.
    """
    at, farthest = load(begins, 0), everywhere(W(0))
    if step > 1 and _are_neighbours(begins):
        first = U(begins[0])
        for pixel in range(pixels):
            store(lines, pixel * MAX_LANES, load(flat, first + U(pixel) * U(step)))
    else:
        whole = pixels if pixels >= MAX_LANES and step == 1 else 0
        for chunk in range(0, whole, MAX_LANES):
            pixel = min(chunk, whole - MAX_LANES)  # the last ones overlap
            interleave(flat, at + W(pixel), lines, pixel * MAX_LANES)
        for pixel in range(whole, pixels):
            store(lines, pixel * MAX_LANES, gather(flat, at + W(pixel * step)))
    for pixel in range(pixels):
        symbols = load(lines, pixel * MAX_LANES)
        if floats:
            symbols = whole_numbers(symbols)
            store(lines, pixel * MAX_LANES, symbols)
        farthest = largest(farthest, symbols - S(lowest))
    return farthest


@numba.njit(cache=True, nogil=True)
def separate_rows(
    lines: np.ndarray,
    pixels: int,
    flat: np.ndarray,
    begins: np.ndarray,
    step: int,
    floats: bool,  # noqa: FBT001 - see above
    together: int,
) -> None:
    """The inverse, into the first rows of a group; `lines` may change."""
    at = load(begins, 0)
    if floats:
        for pixel in range(pixels):
            store(lines, pixel * MAX_LANES, as_floats(load(lines, pixel * MAX_LANES)))
    if together == MAX_LANES and step > 1 and _are_neighbours(begins):
        first = U(begins[0])
        for pixel in range(pixels):
            store(flat, first + U(pixel) * U(step), load(lines, pixel * MAX_LANES))
        return
    whole = pixels if pixels >= MAX_LANES and step == 1 and together == MAX_LANES else 0
    for chunk in range(0, whole, MAX_LANES):
        pixel = min(chunk, whole - MAX_LANES)
        separate(lines, pixel * MAX_LANES, flat, at + W(pixel))
    for lane in range(together if whole == 0 else 0):
        for pixel in range(pixels):
            flat[U(begins[lane]) + U(pixel) * U(step)] = lines[U(pixel * MAX_LANES + lane)]
