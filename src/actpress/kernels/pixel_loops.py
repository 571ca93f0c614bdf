"""`pixel_quantizing` compiled: images one after another, components of a pixel are neighbours.

Inner loops run over some components, or over all of some pixels, and write one array each, so that
they become vector instructions.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from actpress.kernels.numba_loops import run_streams
from actpress.kernels.quantize_loops import MAGIC, _slope, _symbol

TOGETHER = 512
"""Values that are taken together, whole pixels: what is needed of them stays in the first cache."""

MOST_PIXELS = 16
"""Of these, so that their values are whole vectors, whatever the number of components."""


def forward(w: Tensor, bounds: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """See `pixel_quantizing.quantize_pixels`."""
    n, _, k = w.shape
    y = torch.empty_like(w)
    grid = _repeated(_pixels_together(k), *bounds.unbind(), step, 1 / step)
    sums = torch.zeros(n, grid.shape[1], dtype=w.dtype)
    arrays = grid.numpy(), MAGIC[w.dtype], y.numpy(), sums.numpy()
    run_streams(_quantize_images, n, w.detach().numpy(), *arrays)
    means = sums.reshape(-1, k).sum(0) / (w.numel() // k)
    return y, means


def backward(
    w: Tensor, bounds: Tensor, step: Tensor, slopes: Tensor, of_mean: Tensor
) -> tuple[Tensor, Tensor]:
    """See `pixel_quantizing.pass_gradients`."""
    n, p, a = slopes.shape
    w = w.detach()[..., :a].contiguous()
    inverse = 1 / step
    share = of_mean * inverse / (n * p)
    values = (each[:a] for each in (*bounds.unbind(), inverse, share))
    grid = _repeated(_pixels_together(a), *values)
    sums = torch.zeros(n, 2, grid.shape[1], dtype=w.dtype)
    arrays = grid.numpy(), MAGIC[w.dtype], slopes.numpy(), sums.numpy()
    run_streams(_pass_images, n, w.numpy(), *arrays)
    of_step, total = sums.sum(0).reshape(2, -1, a).sum(1)
    return of_step, total


def _pixels_together(components: int) -> int:
    return max(1, min(MOST_PIXELS, TOGETHER // components))


def _repeated(pixels: int, *values: Tensor) -> Tensor:
    """Values of each component for some pixels, shape (len(values), pixels * k)."""
    return torch.stack([each.detach() for each in values]).repeat(1, pixels)


@numba.njit(cache=True, nogil=True)
def _restore(w, low, high, step, inverse, magic, y):
    for at in range(len(w)):
        y[at] = _symbol(w[at] * inverse[at], low[at], high[at], magic) * step[at]


@numba.njit(cache=True, nogil=True)
def _add_magnitudes(w, inverse, sums):
    for at in range(len(w)):
        sums[at] += abs(w[at] * inverse[at])


@numba.njit(cache=True, nogil=True)
def _add_of_step(w, low, high, inverse, magic, slopes, sums):
    """What restoring contributes to the gradient of a step, as LSQ has it."""
    for at in range(len(w)):
        z = w[at] * inverse[at]
        q = _symbol(z, low[at], high[at], magic)
        moved = q - z if (z >= low[at]) & (z <= high[at]) else q
        sums[at] += moved * slopes[at]


@numba.njit(cache=True, nogil=True)
def _pass(w, low, high, inverse, share, slopes):
    for at in range(len(w)):
        z = w[at] * inverse[at]
        slopes[at] = _slope(z, low[at], high[at], slopes[at], share[at])


@numba.njit(cache=True, nogil=True)
def _add(values, sums):
    for at in range(len(values)):
        sums[at] += values[at]


@numba.njit(cache=True, nogil=True)
def _quantize(w, grid, magic, y, sums):
    _restore(w, grid[0], grid[1], grid[2], grid[3], magic, y)
    _add_magnitudes(w, grid[3], sums)


@numba.njit(cache=True, nogil=True)
def _pass_and_add(w, grid, magic, slopes, sums):
    _add_of_step(w, grid[0], grid[1], grid[2], magic, slopes, sums[0])
    _pass(w, grid[0], grid[1], grid[2], grid[3], slopes)
    _add(slopes, sums[1])


@numba.njit(parallel=True, cache=True, nogil=True)
def _quantize_images(
    w: np.ndarray, grid: np.ndarray, magic: float, y: np.ndarray, sums: np.ndarray
) -> None:
    """`forward` of all images."""
    together = grid.shape[1]
    for image in numba.prange(len(w)):
        flat, out = w[image].reshape(-1), y[image].reshape(-1)
        for begin in range(0, len(flat), together):
            end = min(begin + together, len(flat))
            _quantize(flat[begin:end], grid, magic, out[begin:end], sums[image])


@numba.njit(parallel=True, cache=True, nogil=True)
def _pass_images(
    w: np.ndarray, grid: np.ndarray, magic: float, slopes: np.ndarray, sums: np.ndarray
) -> None:
    """`backward` of all images."""
    together = grid.shape[1]
    for image in numba.prange(len(w)):
        flat, out = w[image].reshape(-1), slopes[image].reshape(-1)
        for begin in range(0, len(flat), together):
            end = min(begin + together, len(flat))
            _pass_and_add(flat[begin:end], grid, magic, out[begin:end], sums[image])
