"""Channel transforms: KLT (PCA), also in a metric, DCT, Hadamard, identity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.errors import CalibrationError
from actpress.plan import Transform

METRIC_FLOOR = 10.0
"""Added to the eigenvalues of a metric of trace c: quantization errors are not small, and a large
error in a direction that looks insensitive at the operating point hurts all the same."""

MOST_DEVIATION = 1e18
"""Of the values of a channel from their mean; its square is within float32 with room for sums."""


@dataclass(frozen=True)
class Basis:
    """A change of coordinates of the channels, strongest component first.

    Attributes:
        vectors: y = vectors @ x, rows are components, shape (c, c), float64.
        variances: of each component, shape (c,), float64, falling.
        inverse: x = inverse @ y, shape (c, c); the transpose when the rows are orthonormal.
    """

    vectors: Tensor
    variances: Tensor
    inverse: Tensor

    def select(self, components: Sequence[int]) -> "Basis":
        """These components alone, in this order: vectors (k, c), inverse (c, k)."""
        index = torch.tensor(components, dtype=torch.int64)
        return Basis(self.vectors[index], self.variances[index], self.inverse[:, index])


def fit_basis(transform: Transform, covariance: Tensor, metric: Tensor | None = None) -> Basis:
    """Choose the vectors of a transform and order them by falling variance.

    PCA's signs are normalised (largest-magnitude entry positive), so that equal statistics give
    equal bytes.

    Args:
        transform: which one; `learned` is fitted like `fisher_pca` with a metric, else like `pca`.
        covariance: symmetric, positive semi-definite, shape (c, c), float64.
        metric: for `fisher_pca`, symmetric, positive semi-definite, shape (c, c), of any scale.

    Raises:
        CalibrationError: a matrix is not finite or not symmetric, a variance is beyond float32, or
            the metric is missing.
    """
    _check_symmetric("covariance", covariance)
    _check_in_float32(covariance)
    if transform is Transform.FISHER_PCA and metric is None:
        raise CalibrationError(
            "fisher_pca needs the Fisher information of the site; calibrate with it, or use pca"
        )
    if transform in (Transform.FISHER_PCA, Transform.LEARNED) and metric is not None:
        return _principal_components_in(metric, covariance)
    if transform in (Transform.PCA, Transform.LEARNED):
        return _principal_components(covariance)
    matrix = _formula(transform, len(covariance))
    variances = torch.einsum("jc,cd,jd->j", matrix, covariance, matrix).clamp(min=0)
    order = torch.argsort(variances, descending=True, stable=True)
    return Basis(matrix[order], variances[order], matrix[order].T)


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
    vectors = vectors * signs
    return Basis(vectors, variances.flip(0).clamp(min=0), vectors.T)


def _principal_components_in(metric: Tensor, covariance: Tensor) -> Basis:
    """PCA of M^(1/2) x: a uniform error of its components is uniform in the metric M.

    M is scaled to trace c, which keeps components in activation units, and lifted by METRIC_FLOOR,
    since directions without influence in a finite sample may still have some. A metric of zeros,
    that of a site which the prediction does not depend on, is lifted alone: all directions are
    alike.
    """
    _check_symmetric("metric", metric)
    largest = metric.abs().max()
    if largest > 0:  # twice, since the scale of tiny metrics alone would be infinite
        metric = metric / largest
        metric = metric * (len(metric) / metric.trace())
    scales, directions = torch.linalg.eigh(metric)
    root = (scales.clamp(min=0) + METRIC_FLOOR).sqrt()
    forward = (directions * root) @ directions.T
    backward = (directions / root) @ directions.T
    rotation = _principal_components(forward @ covariance @ forward)
    return Basis(rotation.vectors @ forward, rotation.variances, backward @ rotation.inverse)


def _check_in_float32(covariance: Tensor) -> None:
    """Refuse values whose squares, which the searches compute with, would be infinite."""
    deviation = math.sqrt(max(float(covariance.diagonal().max()), 0.0))
    if deviation > MOST_DEVIATION:
        raise CalibrationError(
            f"values deviate by {deviation:.1e} from their mean, too far to be squared in float32; "
            f"scale the weights so that values deviate by less than {MOST_DEVIATION:.0e}"
        )


def _check_symmetric(name: str, matrix: Tensor) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise CalibrationError(f"a {name} must be square, got shape {tuple(matrix.shape)}")
    if not torch.isfinite(matrix).all():
        raise CalibrationError(f"a {name} must be finite; check the calibration images")
    if not torch.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9):
        raise CalibrationError(f"a {name} must be symmetric")
