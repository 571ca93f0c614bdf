"""PCA over all values of a block: orthonormal, or in the metric of the Fisher information."""

from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec.transform.basis import (
    METRIC_FLOOR,
    Basis,
    Moments,
    check_covariance,
    normalised_metric,
    principal_components,
)
from actpress.codec.transform.family import Factors, Size


@dataclass(frozen=True)
class PcaFamily:
    """Eigenvectors of the covariance; the decoder is the transpose, so one matrix is stored."""

    name: str = "pca"
    fitted: bool = True
    needs_metric: bool = False
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        del channels, block
        return None

    def fit(self, moments: Moments) -> Basis:
        check_covariance(moments.covariance)
        vectors, variances = principal_components(moments.covariance)
        return Basis(vectors, variances, vectors.T)

    def stored(self, basis: Basis) -> Factors:
        return {"vectors": basis.vectors}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del channels, block
        vectors = factors["vectors"].float()
        return vectors, vectors.T.contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        numbers = rank * channels * block**2
        return Size(shared=numbers, shared_rows=rank, encoder_macs=numbers, decoder_macs=numbers)


@dataclass(frozen=True)
class ScaledPcaFamily:
    """PCA of values scaled by the root of their own Fisher information.

    A uniform error of the components is uniform in a metric without products of two values, which a
    vector of scales describes: E = V S, D = S^-1 V^T.
    """

    name: str = "scaled_pca"
    fitted: bool = True
    needs_metric: bool = True
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        del channels, block
        return None

    def fit(self, moments: Moments) -> Basis:
        check_covariance(moments.covariance)
        # Powers of two, so that what is stored is exact; 1 where all are alike, which is PCA.
        octaves = torch.round(torch.log2(_scales(moments)))
        scale = torch.exp2(octaves - octaves.min())
        vectors, variances = principal_components(moments.covariance * torch.outer(scale, scale))
        factors = {"scale": scale, "vectors": vectors}
        return Basis(vectors * scale, variances, vectors.T / scale[:, None], factors)

    def stored(self, basis: Basis) -> Factors:
        scale = basis.factors["scale"]
        return {"scale": scale, "vectors": basis.vectors / scale}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del channels, block
        scale, vectors = factors["scale"].float(), factors["vectors"].float()
        return vectors * scale, (vectors.T / scale[:, None]).contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        values = channels * block**2
        numbers = rank * values
        return Size(
            shared=numbers,
            shared_rows=rank,
            vectors=values,
            encoder_macs=numbers + values,
            decoder_macs=numbers + values,
        )


@dataclass(frozen=True)
class MatrixPairFamily:
    """An encoder and a decoder of their own.

    `fisher_pca` is PCA of M^(1/2) x, with M the Fisher information lifted by `METRIC_FLOOR`, since
    directions without influence in a finite sample may still have some. `learned` starts from it,
    or from PCA where there is no M, and may be trained; `learned_pca` starts from PCA, in whose
    units the steps of a plan then are.
    """

    name: str
    trained: bool
    needs_metric: bool = False
    uses_metric: bool = True
    fitted: bool = True

    def refuses(self, channels: int, block: int) -> str | None:
        del channels, block
        return None

    def fit(self, moments: Moments) -> Basis:
        if not self.uses_metric or (moments.metric is None and not self.needs_metric):
            return PcaFamily().fit(moments)
        check_covariance(moments.covariance)
        scales, directions = torch.linalg.eigh(normalised_metric(moments))
        root = (scales.clamp(min=0) + METRIC_FLOOR).sqrt()
        forward = (directions * root) @ directions.T
        backward = (directions / root) @ directions.T
        vectors, variances = principal_components(forward @ moments.covariance @ forward)
        return Basis(vectors @ forward, variances, backward @ vectors.T)

    def stored(self, basis: Basis) -> Factors:
        return {"encoder": basis.vectors, "decoder": basis.inverse}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del channels, block
        return factors["encoder"].float(), factors["decoder"].float()

    def size(self, channels: int, block: int, rank: int) -> Size:
        values = channels * block**2
        numbers = rank * values
        return Size(
            encoder=numbers,
            decoder=numbers,
            encoder_rows=rank,
            decoder_rows=values,
            encoder_macs=numbers,
            decoder_macs=numbers,
        )


def _scales(moments: Moments) -> Tensor:
    return (normalised_metric(moments).diagonal().clamp(min=0) + METRIC_FLOOR).sqrt()


PCA = PcaFamily()
SCALED_PCA = ScaledPcaFamily()
FISHER_PCA = MatrixPairFamily("fisher_pca", trained=False, needs_metric=True)
LEARNED = MatrixPairFamily("learned", trained=True)
LEARNED_PCA = MatrixPairFamily("learned_pca", trained=True, uses_metric=False)
