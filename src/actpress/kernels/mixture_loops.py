"""Mixtures of quantizers, compiled; `mixture` has the definition.

A table of shape (5, k, K) holds, for each component and quantizer: weight, step, centre, low, high.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from actpress.kernels.numba_loops import threads_of_torch


def forward(y: Tensor, table: Tensor) -> Tensor:
    """The mixture of y (n, k, p)."""
    mixed = torch.empty_like(y, memory_format=torch.contiguous_format)
    with threads_of_torch():
        _forward(y.contiguous().numpy(), table.numpy(), mixed.numpy())
    return mixed


def backward(gradient: Tensor, y: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of y (n, k, p), weights (k, K) and steps (k, K)."""
    of_y = torch.empty_like(y, memory_format=torch.contiguous_format)
    of_table = torch.empty(2, *table.shape[1:])
    with threads_of_torch():
        _backward(
            gradient.contiguous().numpy(),
            y.contiguous().numpy(),
            table.numpy(),
            of_y.numpy(),
            of_table.numpy(),
        )
    return of_y, of_table[0], of_table[1]


@numba.njit(parallel=True, cache=True, nogil=True)
def _forward(y: np.ndarray, table: np.ndarray, mixed: np.ndarray) -> None:
    images, components, pixels = y.shape
    for j in numba.prange(components):
        for n in range(images):
            row, out = y[n, j], mixed[n, j]
            for p in range(pixels):
                out[p] = np.float32(0)
            for i in range(table.shape[2]):
                weight, step, centre, low, high = table[:, j, i]
                if low > high:
                    continue
                for p in range(pixels):
                    q = min(max(np.rint(row[p] / step - centre), low), high)
                    out[p] += weight * (q + centre) * step


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _backward(
    gradient: np.ndarray, y: np.ndarray, table: np.ndarray, of_y: np.ndarray, of_table: np.ndarray
) -> None:
    images, components, pixels = y.shape
    for j in numba.prange(components):
        of_table[:, j] = np.float32(0)
        for n in range(images):
            row, slopes, out = y[n, j], gradient[n, j], of_y[n, j]
            for p in range(pixels):
                out[p] = np.float32(0)
            for i in range(table.shape[2]):
                weight, step, centre, low, high = table[:, j, i]
                if low > high:
                    continue
                of_weight = of_step = np.float32(0)
                for p in range(pixels):
                    z = row[p] / step - centre
                    rounded = np.rint(z)
                    q = min(max(rounded, low), high)
                    inside = np.float32(q == rounded)
                    out[p] += slopes[p] * weight * inside
                    of_weight += slopes[p] * (q + centre)
                    of_step += slopes[p] * (q + centre - inside * (z + centre))
                of_table[0, j, i] += of_weight * step
                of_table[1, j, i] += of_step * weight
