"""`squared_distance` compiled: one sum for each image."""

import numba
import numpy as np

TILE = 16
"""Pixels that are taken together: a cache line of a plane."""


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _row_distance(x, y):
    total = np.float32(0)
    for at in range(len(x)):
        difference = x[at] - y[at]
        total += difference * difference
    return total


@numba.njit(parallel=True, cache=True, nogil=True)
def distances(x: np.ndarray, y: np.ndarray, sums: np.ndarray) -> None:
    """Of rows, shape (n, m)."""
    for image in numba.prange(len(x)):
        sums[image] = _row_distance(x[image], y[image])


@numba.njit(parallel=True, cache=True, nogil=True)
def distances_by_pixel(x: np.ndarray, y: np.ndarray, sums: np.ndarray) -> None:
    """Of values, shape (n, p, c), that lie in memory in different orders."""
    _, pixels, channels = x.shape
    for image in numba.prange(len(x)):
        total = np.float32(0)
        for first in range(0, pixels, TILE):
            for channel in range(channels):
                part = np.float32(0)
                for pixel in range(first, min(first + TILE, pixels)):
                    difference = x[image, pixel, channel] - y[image, pixel, channel]
                    part += difference * difference
                total += part
        sums[image] = total
