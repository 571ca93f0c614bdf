"""`quantize` compiled: images one after another, in the layout that they have.

Components are rows of pixels, or neighbours (`channels_last`). Either way the inner loop runs along
memory, without a branch, so that it becomes vector instructions.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from actpress.kernels.numba_loops import run_streams

MAGIC = {torch.float32: np.float32(1.5 * 2**23), torch.float64: np.float64(1.5 * 2**52)}
"""Added and taken away again, it rounds to the nearest whole number, ties to even. Numbers that are
too large for that stay larger than any symbol."""


TILE = 16
"""Pixels whose components are taken together where they are neighbours: so many are whole vectors,
whatever the number of components."""


def forward(z: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """Symbols of z (n, k, ...), and E|z| (k,); bounds (2, k) in the type of z."""
    values, last = _rows(z)
    q = torch.empty_like(values)
    tiles = TILE if last else 1
    sums = torch.zeros(len(z), tiles * z.shape[1], dtype=z.dtype)
    low, high = bounds.repeat(1, tiles).numpy()
    arrays = values.numpy(), low, high, MAGIC[z.dtype], q.numpy(), sums.numpy()
    run_streams(_quantize_images, len(z), *arrays, last)
    means = sums.reshape(-1, z.shape[1]).sum(0) / (z.numel() // z.shape[1])
    return _as_shape(q, z, last=last), means


def backward(z: Tensor, bounds: Tensor, of_q: Tensor, of_mean: Tensor) -> Tensor:
    """Gradient of z; see `quantize.gradient_reference`."""
    values, last = _rows(z)
    slopes = _in_layout(of_q, last=last)
    tiles = TILE if last else 1
    low, high = bounds.repeat(1, tiles).numpy()
    share = (of_mean / (z.numel() // z.shape[1])).repeat(tiles).numpy()
    of_z = torch.empty_like(values)
    arrays = values.numpy(), low, high, slopes.numpy(), share, of_z.numpy()
    run_streams(_slope_images, len(z), *arrays, last)
    return _as_shape(of_z, z, last=last)


def _rows(z: Tensor) -> tuple[Tensor, bool]:
    """Z as (n, p, k) if its components are neighbours, else as (n, k, p)."""
    z = z.detach()
    last = z.ndim == 4 and not z.is_contiguous() and _is_last(z)
    return _in_layout(z, last=last), last


def _is_last(z: Tensor) -> bool:
    return z.is_contiguous(memory_format=torch.channels_last)


def _in_layout(values: Tensor, *, last: bool) -> Tensor:
    if last:
        return values.permute(0, 2, 3, 1).contiguous().flatten(1, 2)
    return values.contiguous().reshape(values.shape[0], values.shape[1], -1)


def _as_shape(rows: Tensor, z: Tensor, *, last: bool) -> Tensor:
    if last:
        return rows.reshape(z.shape[0], *z.shape[2:], z.shape[1]).permute(0, 3, 1, 2)
    return rows.reshape(z.shape)


@numba.njit(cache=True, nogil=True)
def _symbol(z, low, high, magic):
    """NaN stays NaN."""
    rounded = (z + magic) - magic
    rounded = min(rounded, high)
    return max(rounded, low)


@numba.njit(cache=True, nogil=True)
def _slope(z, low, high, of_q, share):
    passed = of_q if (z >= low) & (z <= high) else of_q * 0
    signed = -share if z < 0 else share
    return passed + (z if z == 0 else signed)  # NaN passes nothing but the share


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _quantize_row(z, low, high, magic, q):
    """The pixels of a component. Returns the sum of their magnitudes."""
    total = magic * 0
    for pixel in range(len(z)):
        q[pixel] = _symbol(z[pixel], low, high, magic)
        total += abs(z[pixel])
    return total


@numba.njit(cache=True, nogil=True)
def _slope_row(z, low, high, of_q, share, of_z):
    for pixel in range(len(z)):
        of_z[pixel] = _slope(z[pixel], low, high, of_q[pixel], share)


@numba.njit(cache=True, nogil=True)
def _quantize_tile(z, low, high, magic, q, sums):
    """The components of some pixels, one after another."""
    for value in range(len(z)):
        q[value] = _symbol(z[value], low[value], high[value], magic)
    for value in range(len(z)):
        sums[value] += abs(z[value])


@numba.njit(cache=True, nogil=True)
def _slope_tile(z, low, high, of_q, share, of_z):
    for value in range(len(z)):
        of_z[value] = _slope(z[value], low[value], high[value], of_q[value], share[value])


@numba.njit(cache=True, nogil=True)
def _quantize_image(values, low, high, magic, q, sums, tiled):
    if not tiled:
        for j in range(len(values)):
            sums[j] = _quantize_row(values[j], low[j], high[j], magic, q[j])
        return
    flat, out = values.reshape(-1), q.reshape(-1)
    for begin in range(0, len(flat), len(low)):
        end = min(begin + len(low), len(flat))
        _quantize_tile(flat[begin:end], low, high, magic, out[begin:end], sums)


@numba.njit(cache=True, nogil=True)
def _slope_image(values, low, high, of_q, share, of_z, tiled):
    if not tiled:
        for j in range(len(values)):
            _slope_row(values[j], low[j], high[j], of_q[j], share[j], of_z[j])
        return
    flat, slopes, out = values.reshape(-1), of_q.reshape(-1), of_z.reshape(-1)
    for begin in range(0, len(flat), len(low)):
        end = min(begin + len(low), len(flat))
        _slope_tile(flat[begin:end], low, high, slopes[begin:end], share, out[begin:end])


@numba.njit(parallel=True, cache=True, nogil=True)
def _quantize_images(
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    magic: float,
    q: np.ndarray,
    sums: np.ndarray,
    tiled: bool,  # noqa: FBT001 - compiled loops take their arguments one by one
) -> None:
    """`forward` of all images."""
    for image in numba.prange(len(values)):
        _quantize_image(values[image], low, high, magic, q[image], sums[image], tiled)


@numba.njit(parallel=True, cache=True, nogil=True)
def _slope_images(
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    of_q: np.ndarray,
    share: np.ndarray,
    of_z: np.ndarray,
    tiled: bool,  # noqa: FBT001 - see above
) -> None:
    """`backward` of all images."""
    for image in numba.prange(len(values)):
        _slope_image(values[image], low, high, of_q[image], share, of_z[image], tiled)
