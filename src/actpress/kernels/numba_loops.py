"""The compiled loops; imported on first use, as numba takes a while to load."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import torch

from actpress.kernels.context_format import CONTEXTS, LIMIT, SPREAD

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

    Where one thread does it all, the outer loop is Python's: a process that has used OpenMP cannot
    be forked and go on, and those that load data are forked, with one thread. What only coded
    streams, and fitted no tables, can be.
    """
    if min(streams, torch.get_num_threads()) == 1:
        loop.py_func(*arguments)
        return
    with threads_of_torch():
        loop(*arguments)


@numba.njit(parallel=True, cache=True, nogil=True)
def count_channels_first(
    values: np.ndarray, inverse_step: np.ndarray, q_min: np.ndarray, counts: np.ndarray
) -> None:
    """Count `values` of shape (n, k, p) whose last axis is contiguous."""
    images, components, pixels = values.shape
    last = counts.shape[1] - 1
    for j in numba.prange(components):
        for i in range(images):
            for p in range(pixels):
                column = int(np.rint(values[i, j, p] * inverse_step[j])) - q_min[j]
                counts[j, min(max(column, 0), last)] += 1


@numba.njit(parallel=True, cache=True, nogil=True)
def count_channels_last(
    values: np.ndarray, inverse_step: np.ndarray, q_min: np.ndarray, counts: np.ndarray
) -> None:
    """Count `values` of shape (n, k, p) whose middle axis is contiguous."""
    images, components, pixels = values.shape
    last = counts.shape[1] - 1
    for half in numba.prange(2):  # components are split, so that no two threads share a row
        first, stop = half * components // 2, (half + 1) * components // 2
        for i in range(images):
            for p in range(pixels):
                for j in range(first, stop):
                    column = int(np.rint(values[i, j, p] * inverse_step[j])) - q_min[j]
                    counts[j, min(max(column, 0), last)] += 1


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
def count_contexts(planes: np.ndarray, lowest: int, counts: np.ndarray) -> None:
    """Count whole numbers of shape (n, k, h, w) by context into (k, CONTEXTS, levels)."""
    images, components, height, width = planes.shape
    levels, pixels = counts.shape[2], height * width
    for j in numba.prange(components):
        symbols, entries = np.empty(pixels, np.int32), np.empty(pixels, np.int32)
        near, other = np.empty(width + pixels, np.int32), np.zeros(CONTEXTS * levels, np.int64)
        table = counts[j].reshape(-1)
        for i in range(images):
            plane = planes[i, j].reshape(-1)
            for at in range(pixels):
                symbols[at] = np.int32(plane[at])
            enter_in_contexts(symbols, width, lowest, levels, near, entries)
            count_in_turn(entries, table, other)
        for at in range(len(table)):
            table[at] += other[at]
