"""Transforms that need no numbers: the DCT and the Hadamard transform over channels."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec.transform.basis import Basis, Moments, check_covariance, orthonormal
from actpress.codec.transform.family import Factors, Size


@dataclass(frozen=True)
class FormulaFamily:
    """Orthonormal rows that a formula gives; stored is only which of them are kept."""

    name: str
    matrix: Callable[[int], Tensor]
    macs_per_value: Callable[[int], int]
    fitted: bool = False
    needs_metric: bool = False
    trained: bool = False

    def refuses(self, channels: int, block: int) -> str | None:
        del channels
        return "takes single pixels" if block > 1 else None

    def fit(self, moments: Moments) -> Basis:
        check_covariance(moments.covariance)
        return orthonormal(self.matrix(len(moments.covariance)), moments, {})

    def stored(self, basis: Basis) -> Factors:
        assert basis.rows is not None, "`orthonormal` says which rows these are"
        return {"rows": basis.rows}

    def matrices(self, factors: Factors, channels: int, block: int) -> tuple[Tensor, Tensor]:
        del block
        encoder = self.matrix(channels)[factors["rows"].cpu()].float().to(factors["rows"].device)
        return encoder, encoder.T.contiguous()

    def size(self, channels: int, block: int, rank: int) -> Size:
        del block
        macs = channels * self.macs_per_value(channels)
        return Size(vectors=rank, encoder_macs=macs, decoder_macs=macs)


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


def _butterflies(size: int) -> int:
    """Additions per value of the fast Hadamard transform."""
    return (size & -size).bit_length() - 1


DCT = FormulaFamily("dct", dct_matrix, lambda size: size)
HADAMARD = FormulaFamily("hadamard", hadamard_matrix, _butterflies)
