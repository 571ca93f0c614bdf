"""Quantizing components with many steps at once, compiled: errors, and symbols in contexts."""

import numba
import numpy as np

from actpress.kernels.context_format import CONTEXTS
from actpress.kernels.numba_loops import count_in_turn, enter_in_contexts

SUMS = {"reassoc", "nsz", "contract"}
"""Sums of a plane may be made in any order, so that several values are added at a time."""


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def _quantize(values, pull, step, symbols):
    """Round one plane; returns the squared error, and the error weighed by `pull`."""
    squared, pulled = np.float32(0), np.float32(0)
    for at in range(len(values)):
        q = np.rint(values[at] / step)
        error = values[at] - q * step
        squared += error * error
        pulled += pull[at] * error
        symbols[at] = np.int32(q)
    return squared, pulled


@numba.njit(cache=True, nogil=True, fastmath=SUMS)
def _drop(values, pull):
    """The same of a plane that is not kept."""
    squared, pulled = np.float32(0), np.float32(0)
    for at in range(len(values)):
        squared += values[at] * values[at]
        pulled += pull[at] * values[at]
    return squared, pulled


@numba.njit(cache=True, nogil=True)
def _count(symbols, width, lowest, levels, contexts, near, entries, table, other):
    """Count one plane in two tables."""
    if contexts == CONTEXTS:
        enter_in_contexts(symbols, width, lowest, levels, near, entries)
    else:
        for at in range(len(symbols)):
            entries[at] = symbols[at] - lowest
    count_in_turn(entries, table, other)


@numba.njit(cache=True, nogil=True)
def _tally_component(
    y,
    pull,
    width,
    steps,
    ranks,
    own,
    lowest,
    levels,
    contexts,
    counted,
    begins,
    squared,
    pulled,
    counts,
):
    """All states of the component `own`; y and pull come whole, as rows without gaps."""
    images, _, pixels = y.shape
    symbols, entries = np.empty(pixels, np.int32), np.empty(pixels, np.int32)
    near = np.empty(width + pixels, np.int32)
    dropped, lost = -1, 0.0  # the first state without the component, and what all of them lose
    for state in range(len(ranks)):
        if own >= ranks[state]:
            if dropped < 0:
                dropped = state
                for i in range(images):
                    error, pulled[state, i] = _drop(y[i, own], pull[i, own])
                    lost += error
            pulled[state] = pulled[dropped]
            squared[state] += lost
            continue
        size = contexts[state] * levels[state]
        begin = begins[state] + own * size
        table, other = counts[begin : begin + size], np.zeros(size, np.int32)
        for i in range(images):
            error, drawn = _quantize(y[i, own], pull[i, own], steps[state], symbols)
            pulled[state, i] = drawn
            squared[state] += error
            if size > 0 and i < counted:
                _count(
                    symbols,
                    width,
                    lowest[state],
                    levels[state],
                    contexts[state],
                    near,
                    entries,
                    table,
                    other,
                )
        for at in range(size):
            table[at] += other[at]


@numba.njit(parallel=True, cache=True, nogil=True)
def tally_states(
    y: np.ndarray,
    pull: np.ndarray,
    width: int,
    steps: np.ndarray,
    ranks: np.ndarray,
    lowest: np.ndarray,
    levels: np.ndarray,
    contexts: np.ndarray,
    counted: int,
    begins: np.ndarray,
    squared: np.ndarray,
    pulled: np.ndarray,
    counts: np.ndarray,
) -> None:
    """See `actpress.kernels.tally`, whose arguments these are.

    Args:
        y: shape (n, k, p).
        pull: likewise.
        width: symbols of one line of a plane.
        steps: shape (k, states).
        ranks: shape (states,).
        lowest: symbol of the first column, by state.
        levels: columns by state; 0 where nothing is counted.
        contexts: by state.
        counted: images whose symbols are counted, the first ones.
        begins: of each state's counts in the flat `counts`.
        squared: shape (k, states), float64, added to.
        pulled: shape (k, states, n), float64, overwritten.
        counts: int32, added to.
    """
    for j in numba.prange(y.shape[1]):
        _tally_component(
            y,
            pull,
            width,
            steps[j],
            ranks,
            j,
            lowest,
            levels,
            contexts,
            counted,
            begins,
            squared[j],
            pulled[j],
            counts,
        )
