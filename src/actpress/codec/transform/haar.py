"""The Haar transform over the pixels of a block, times PCA over the channels.

Both factors are small where the PCA of whole blocks would be a matrix of (c b^2)^2 numbers: what is
stored is one matrix of at most c x c, whatever the block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec.transform.basis import (
    Basis,
    Moments,
    check_covariance,
    orthonormal,
    principal_components,
)
from actpress.codec.transform.family import Factors, Size


@dataclass(frozen=True)
class HaarPcaFamily:
    """Component i * b^2 + band is band of principal component i; E = (P kron W)[rows]."""

    name: str = "haar_pca"
    fitted: bool = True
    needs_metric: bool = False
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        del channels
        if block < 2 or block & (block - 1):
            return "takes blocks of 2, 4 or 8 pixels a side"
        return None

    def fit(self, moments: Moments) -> Basis:
        check_covariance(moments.covariance)
        pixels = moments.block**2
        # (c, p, c, p) -> the covariance of channels, added up over the pixels of a block.
        parts = moments.covariance.reshape(moments.channels, pixels, moments.channels, pixels)
        vectors, _ = principal_components(torch.einsum("ipjp->ij", parts))
        whole = torch.kron(vectors, haar_matrix(moments.block))
        return orthonormal(whole, moments, {"vectors": vectors})

    def stored(self, basis: Basis) -> Factors:
        assert basis.rows is not None, "`orthonormal` says which rows these are"
        vectors = basis.factors["vectors"]
        pixels = basis.vectors.shape[1] // vectors.shape[1]
        used, position = (basis.rows // pixels).unique(return_inverse=True)
        return {"vectors": vectors[used], "rows": position * pixels + basis.rows % pixels}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del channels
        vectors = factors["vectors"].float()
        bands = haar_matrix(block).float().to(vectors.device)
        encoder = torch.kron(vectors, bands)[factors["rows"]]
        return encoder, encoder.T.contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        rows = min(rank, channels)
        macs = rows * channels * block**2 + rank * 2 * (block.bit_length() - 1)
        return Size(
            shared=rows * channels,
            shared_rows=rows,
            vectors=rank,
            encoder_macs=macs,
            decoder_macs=macs,
        )


def haar_matrix(side: int) -> Tensor:
    """The orthonormal two-dimensional Haar transform of a block, shape (side^2, side^2), float64.

    Row r * side + s is the product of row r over the rows of the block and row s over its columns.
    """
    line = torch.ones(1, 1, dtype=torch.float64)
    while len(line) < side:
        size = len(line)
        scale = torch.kron(line, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
        detail = torch.kron(
            torch.eye(size, dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
        )
        line = torch.cat([scale, detail])
        line = line / line.norm(dim=1, keepdim=True)
    return torch.kron(line, line)


HAAR_PCA = HaarPcaFamily()
