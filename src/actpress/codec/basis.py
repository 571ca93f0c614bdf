"""Orthonormal channel transforms: KLT (PCA), DCT, Hadamard, identity."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.errors import CalibrationError
from actpress.plan import Transform


@dataclass(frozen=True)
class Basis:
    """An orthonormal change of coordinates of the channels, strongest component first.

    Attributes:
        vectors: rows are components, shape (c, c), float64.
        variances: of each component, shape (c,), float64, falling, in squared activation units.
    """

    vectors: Tensor
    variances: Tensor


def fit_basis(transform: Transform, covariance: Tensor) -> Basis:
    """Choose the vectors of a transform and order them by falling variance.

    PCA's signs are normalised (largest-magnitude entry positive), so that equal statistics give
    equal bytes; `learned` starts from PCA.

    Args:
        transform: which one.
        covariance: symmetric, positive semi-definite, shape (c, c), float64.

    Raises:
        CalibrationError: the matrix is not finite or not symmetric.
    """
    _check_covariance(covariance)
    if transform in (Transform.PCA, Transform.LEARNED):
        return _principal_components(covariance)
    matrix = _formula(transform, len(covariance))
    variances = torch.einsum("jc,cd,jd->j", matrix, covariance, matrix).clamp(min=0)
    order = torch.argsort(variances, descending=True, stable=True)
    return Basis(matrix[order], variances[order])


def _formula(transform: Transform, size: int) -> Tensor:
    if transform is Transform.DCT:
        return dct_matrix(size)
    if transform is Transform.HADAMARD:
        return hadamard_matrix(size)
    return torch.eye(size, dtype=torch.float64)


def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II, rows by rising frequency, shape (size, size), float64."""
    frequency = torch.arange(size, dtype=torch.float64)[:, None]
    position = torch.arange(size, dtype=torch.float64)[None, :]
    matrix = torch.cos(math.pi / size * (position + 0.5) * frequency) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def hadamard_matrix(size: int) -> Tensor:
    """The orthonormal Sylvester-Hadamard matrix, shape (size, size), float64.

    A size that is no power of two takes the largest power of two that divides it, block by block.
    """
    block = size & -size
    matrix = torch.ones(1, 1, dtype=torch.float64)
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    while len(matrix) < block:
        matrix = torch.kron(pair, matrix)
    return torch.kron(torch.eye(size // block, dtype=torch.float64), matrix / math.sqrt(block))


def _principal_components(covariance: Tensor) -> Basis:
    variances, columns = torch.linalg.eigh(covariance)
    vectors = columns.T.flip(0)
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    signs = torch.gather(vectors, 1, largest).sign()
    return Basis(vectors * signs, variances.flip(0).clamp(min=0))


def _check_covariance(covariance: Tensor) -> None:
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise CalibrationError(f"a covariance must be square, got shape {tuple(covariance.shape)}")
    if not torch.isfinite(covariance).all():
        raise CalibrationError("a covariance must be finite; check the calibration images")
    if not torch.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9):
        raise CalibrationError("a covariance must be symmetric")
