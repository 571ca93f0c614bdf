"""What a transform is fitted to, what a fit gives, and the linear algebra that fits share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from actpress.errors import CalibrationError

METRIC_FLOOR = 10.0
"""Added to the eigenvalues of a metric of trace c: quantization errors are not small, and a large
error in a direction that looks insensitive at the operating point hurts all the same."""

MOST_DEVIATION = 1e18
"""Of the values of a channel from their mean; its square is within float32 with room for sums."""


@dataclass(frozen=True)
class Moments:
    """What calibration knows of the blocks of a site, with K = channels * block^2 values each.

    Attributes:
        covariance: symmetric, positive semi-definite, shape (K, K), float64.
        metric: sum of g g^T of the score gradients, shape (K, K), of any scale; None where it was
            not measured.
        channels: c.
        block: side of a block of pixels; 1 is pixel by pixel.
    """

    covariance: Tensor
    metric: Tensor | None
    channels: int
    block: int = 1


@dataclass(frozen=True)
class Basis:
    """A change of coordinates of the values of a block, strongest component first.

    Attributes:
        vectors: y = vectors @ x, rows are components, shape (K, K), float64 as a family fits them.
        variances: of each component, shape (K,), float64, falling.
        inverse: x = inverse @ y, shape (K, K); the transpose when the rows are orthonormal.
        factors: numbers that the family stores for the whole basis, by name; see `Family.stored`.
        rows: of each component in what the factors make, shape (K,), int64.
    """

    vectors: Tensor
    variances: Tensor
    inverse: Tensor
    factors: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    rows: Tensor | None = None

    def single(self) -> "Basis":
        """The same with matrices in float32, where many are kept; far finer than what is stored."""
        shared = self.inverse.data_ptr() == self.vectors.data_ptr()
        vectors = self.vectors.float()
        factors = {
            name: factor.float() if factor.is_floating_point() else factor
            for name, factor in self.factors.items()
        }
        inverse = vectors.T if shared else self.inverse.float()
        return Basis(vectors, self.variances, inverse, factors, self.rows)

    def select(self, components: Sequence[int]) -> "Basis":
        """These components alone, in this order: vectors (k, K), inverse (K, k)."""
        index = torch.tensor(components, dtype=torch.int64)
        rows = index if self.rows is None else self.rows[index]
        return Basis(
            self.vectors[index], self.variances[index], self.inverse[:, index], self.factors, rows
        )


def orthonormal(matrix: Tensor, moments: Moments, factors: Mapping[str, Tensor]) -> Basis:
    """A basis of orthonormal rows, shape (K, K), ordered by falling variance."""
    variances = torch.einsum("jc,cd,jd->j", matrix, moments.covariance, matrix).clamp(min=0)
    order = torch.argsort(variances, descending=True, stable=True)
    return Basis(matrix[order], variances[order], matrix[order].T, factors, order)


def principal_components(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors as rows by falling variance, shape (K, K), and the variances, shape (K,).

    Signs are normalised (largest-magnitude entry positive), so that equal statistics give equal
    bytes.
    """
    variances, columns = torch.linalg.eigh(covariance)
    vectors = columns.T.flip(0)
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    signs = torch.gather(vectors, 1, largest).sign()
    return vectors * signs, variances.flip(0).clamp(min=0)


def normalised_metric(moments: Moments) -> Tensor:
    """The metric scaled to trace K, which keeps components in activation units.

    A metric of zeros, that of a site which the prediction does not depend on, stays as it is: no
    direction matters more than another.

    Raises:
        CalibrationError: there is none, or it is not finite or not symmetric.
    """
    if moments.metric is None:
        raise CalibrationError(
            "this transform needs the Fisher information of the site; calibrate with it, or use pca"
        )
    check_symmetric("metric", moments.metric)
    largest = moments.metric.abs().max()
    if largest <= 0:
        return torch.zeros_like(moments.metric)
    metric = moments.metric / largest  # twice, since the scale of tiny ones alone would be infinite
    return metric * (len(metric) / metric.trace())


def check_covariance(covariance: Tensor) -> None:
    """Refuse a covariance that no basis can be fitted to.

    Raises:
        CalibrationError: it is not square, finite and symmetric, or searches, which square values
            in float32, would get infinite ones.
    """
    check_symmetric("covariance", covariance)
    deviation = math.sqrt(max(float(covariance.diagonal().max()), 0.0))
    if deviation > MOST_DEVIATION:
        raise CalibrationError(
            f"values deviate by {deviation:.1e} from their mean, too far to be squared in float32; "
            f"scale the weights so that values deviate by less than {MOST_DEVIATION:.0e}"
        )


def check_symmetric(name: str, matrix: Tensor) -> None:
    """Refuse a matrix that no basis can be fitted to.

    Raises:
        CalibrationError: it is not square, finite and symmetric.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise CalibrationError(f"a {name} must be square, got shape {tuple(matrix.shape)}")
    if not torch.isfinite(matrix).all():
        raise CalibrationError(f"a {name} must be finite; check the calibration images")
    if not torch.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9):
        raise CalibrationError(f"a {name} must be symmetric")
