"""Block-diagonal PCA: channels that are alike form clusters, and each has a PCA of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from actpress.codec.transform.basis import Basis, Moments, check_covariance, principal_components
from actpress.codec.transform.family import Factors, Size
from actpress.errors import CalibrationError

MOST = 16
"""Channels of a cluster, at most."""


@dataclass(frozen=True)
class BlockPcaFamily:
    """c / s clusters of s channels each; a component mixes the channels of one cluster."""

    name: str = "block_pca"
    fitted: bool = True
    needs_metric: bool = False
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        if block > 1:
            return "takes single pixels"
        if not 2 <= cluster_size(channels) < channels:
            return f"needs channels that divide into clusters of 2 to {MOST}"
        return None

    def fit(self, moments: Moments) -> Basis:
        check_covariance(moments.covariance)
        channels = moments.channels
        size = cluster_size(channels)
        order = _alike_together(moments.covariance)
        vectors = torch.zeros(channels, size, dtype=torch.float64)
        variances = torch.zeros(channels, dtype=torch.float64)
        for first in range(0, channels, size):
            own = order[first : first + size]
            part = slice(first, first + size)
            vectors[part], variances[part] = principal_components(moments.covariance[own][:, own])
        clusters = torch.arange(channels) // size
        by_variance = torch.argsort(variances, descending=True, stable=True)
        rows = _scattered(vectors, clusters, order, channels)[by_variance]
        factors = {"vectors": vectors, "clusters": clusters, "order": order}
        return Basis(rows, variances[by_variance], rows.T, factors, by_variance)

    def stored(self, basis: Basis) -> Factors:
        whole = basis.factors
        return {
            "vectors": whole["vectors"][basis.rows],
            "clusters": whole["clusters"][basis.rows],
            "order": whole["order"],
        }

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del block
        if len(factors["clusters"]) != len(factors["vectors"]):
            raise CalibrationError(
                f"{len(factors['vectors'])} vectors are of {len(factors['clusters'])} clusters"
            )
        encoder = _scattered(
            factors["vectors"].float(), factors["clusters"], factors["order"], channels
        )
        return encoder, encoder.T.contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        del block
        numbers = rank * cluster_size(channels)
        return Size(
            shared=numbers,
            shared_rows=rank,
            vectors=rank + channels,
            encoder_macs=numbers,
            decoder_macs=numbers,
        )


def cluster_size(channels: int) -> int:
    """The largest divisor up to `MOST` that leaves more than one cluster."""
    below = min(MOST, channels - 1)
    return max((size for size in range(1, below + 1) if channels % size == 0), default=1)


def _scattered(vectors: Tensor, clusters: Tensor, order: Tensor, channels: int) -> Tensor:
    """Rows (k, s) of clusters as rows (k, c) over all channels."""
    size = vectors.shape[1]
    columns = order[clusters[:, None] * size + torch.arange(size, device=order.device)]
    whole = vectors.new_zeros(len(vectors), channels)
    return whole.scatter_(1, columns, vectors)


def _alike_together(covariance: Tensor) -> Tensor:
    """An order of the channels in which correlated ones are neighbours, shape (c,), int64."""
    from scipy.cluster.hierarchy import leaves_list, linkage  # noqa: PLC0415 - loads slowly
    from scipy.spatial.distance import squareform  # noqa: PLC0415 - the same

    deviation = covariance.diagonal().clamp(min=1e-30).sqrt()
    distance = 1 - (covariance / torch.outer(deviation, deviation)).abs().clamp(max=1).numpy()
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    return torch.from_numpy(leaves_list(tree).astype(np.int64))


BLOCK_PCA = BlockPcaFamily()
