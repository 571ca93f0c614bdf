"""The compiled loops; imported on first use, as numba takes a while to load."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
import torch

from actpress.kernels.context_format import LIMIT, SPREAD

_turn = threading.Lock()
os.register_at_fork(
    before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_turn.release
)


@contextmanager
def threads_of_torch() -> Iterator[None]:
    """Run compiled loops on as many threads as torch uses, and leave torch's number as it was.

    Numba's OpenMP layer shares torch's pool: starting it would set torch to all cores. Its own
    layer, where there is no OpenMP, ends a process in which two threads use it: they take turns.
    """
    threads = torch.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    with _turn:
        numba.set_num_threads(min(threads, most))
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def run_streams(loop: Any, streams: int, *arguments: object) -> None:
    """Run a compiled loop over streams on torch's threads.

    Where one thread does it all, the loop is compiled without threads: a process that has used
    OpenMP cannot be forked and go on, and those that load data are forked, with one thread. What
    only coded streams, and fitted no tables, can be.
    """
    if min(streams, torch.get_num_threads()) == 1:
        _on_one_thread(loop)(*arguments)
        return
    with threads_of_torch():
        loop(*arguments)


@cache
def _on_one_thread(loop: Any) -> Any:
    """The same loop; on disk it is kept under a name of its own."""
    of_many = loop.py_func
    code = of_many.__code__
    of_one = FunctionType(code, of_many.__globals__, f"{of_many.__name__}_on_one_thread")
    of_one.__module__, of_one.__qualname__ = of_many.__module__, of_one.__name__
    return numba.njit(cache=True, nogil=True)(of_one)


@numba.njit(cache=True, nogil=True)
def count_patterns(patterns: np.ndarray, shift: int, counts: np.ndarray) -> None:
    """Count int32 bit patterns of shape (m,) by their bits from `shift` up."""
    mask = len(counts) - 1
    for pattern in patterns:
        counts[(pattern >> shift) & mask] += 1


@numba.njit(cache=True, nogil=True)
def enter_in_contexts(
    symbols: np.ndarray,
    width: int,
    lowest: int,
    levels: int,
    near: np.ndarray,
    entries: np.ndarray,
) -> None:
    """Where each symbol of a plane is counted in a flat table of (CONTEXTS, levels).

    Every step is the same for all symbols, so that they go through it several at a time.

    Args:
        symbols: line after line, int32.
        width: of a line.
        lowest: symbol of the first column; those outside of the table are put in the first or last.
        levels: columns.
        near: room for `width` more int32 than symbols.
        entries: output, int32.
    """
    first, last = np.int32(lowest), np.int32(lowest + levels - 1)
    near[:width] = LIMIT
    for at in range(len(symbols)):
        near[width + at] = min(max(symbols[at], np.int32(-LIMIT)), np.int32(LIMIT)) + LIMIT
    for at in range(len(symbols)):
        context = SPREAD * near[width + at - 1] + near[at]
        entries[at] = context * levels + min(max(symbols[at], first), last) - first
    for at in range(0, len(symbols), width):
        context = SPREAD * LIMIT + near[at]
        entries[at] = context * levels + min(max(symbols[at], first), last) - first


@numba.njit(cache=True, nogil=True)
def count_in_turn(entries: np.ndarray, table: np.ndarray, other: np.ndarray) -> None:
    """Count in two tables in turn: an entry often comes twice, and would wait for itself."""
    even = len(entries) // 2 * 2
    for at in range(0, even, 2):
        table[entries[at]] += 1
        other[entries[at + 1]] += 1
    if even < len(entries):
        table[entries[even]] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def count_contexts(pixels: np.ndarray, block: int, lowest: int, counts: np.ndarray) -> None:
    """Count whole numbers of shape (n, h, w, k) by context into (k, CONTEXTS or 1, levels).

    Neighbours in memory belong to different components and so to different counters: no addition
    waits for the one before, and what they are added to is found by vector instructions. Threads
    take `block` components each.
    """
    images, height, width, components = pixels.shape
    _, contexts, levels = counts.shape
    for part in numba.prange((components + block - 1) // block):
        first, stop = part * block, min((part + 1) * block, components)
        counters = np.zeros((stop - first) * contexts * levels, np.uint32)
        begins = (np.arange(stop - first) * contexts * levels).astype(np.int32)
        if contexts > 1:
            begins += np.int32((SPREAD + 1) * LIMIT * levels)
        at, left = np.empty(stop - first, np.int32), np.empty(stop - first, np.int32)
        above = np.empty((width, stop - first), np.int32)
        weight = np.int32(levels if contexts > 1 else 0)
        for i in range(images):
            above[:] = 0
            for y in range(height):
                left[:] = 0
                for x in range(width):
                    row = pixels[i, y, x, first:stop]
                    _find_counters(row, lowest, levels, weight, begins, left, above[x], at)
                    for j in range(len(at)):
                        counters[np.uint32(at[j])] += np.uint32(1)
        own = counts[first:stop].reshape(-1)
        for index in range(len(own)):
            own[index] += counters[index]


@numba.njit(cache=True, nogil=True)
def _find_counters(  # noqa: PLR0917 - compiled loops take their arrays one by one
    row: np.ndarray,
    lowest: int,
    levels: int,
    weight: np.int32,
    begins: np.ndarray,
    left: np.ndarray,
    above: np.ndarray,
    at: np.ndarray,
) -> None:
    """Where the symbols of a pixel are counted; they become the neighbours of the next ones."""
    last, low = np.int32(levels - 1), np.int32(lowest)
    far, limit, spread = np.float32(1 << 30), np.int32(LIMIT), np.int32(SPREAD)
    for j in range(len(row)):
        symbol = np.int32(min(max(row[j], -far), far))
        column = min(max(symbol - low, np.int32(0)), last)
        at[j] = begins[j] + (spread * left[j] + above[j]) * weight + column
        clamped = min(max(symbol, -limit), limit)
        left[j], above[j] = clamped, clamped
