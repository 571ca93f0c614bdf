"""The numbers of a projection as they are stored: few bits with a scale per row, or 16 bits."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec.transform.family import Factors, Size
from actpress.settings import NumberBits

NUMBER_BITS = 16
"""Of vectors, indices and scales."""


@dataclass(frozen=True)
class StoredFactors:
    """What a run folder holds of a family's factors, and what it stands for.

    Attributes:
        number_bits: of a number of a matrix.
        numbers: matrices as integers, shape (r, s), int8; in half precision with 16 bits. Vectors
            in half precision, indices as int16.
        scales: of the rows of each matrix, shape (r,), bfloat16; none with 16 bits.
    """

    number_bits: NumberBits
    numbers: Mapping[str, Tensor]
    scales: Mapping[str, Tensor]

    @classmethod
    def of(cls, factors: Factors, number_bits: NumberBits) -> "StoredFactors":
        """Round factors to what is stored."""
        numbers, scales = {}, {}
        for name, factor in factors.items():
            if not factor.is_floating_point():
                numbers[name] = factor.to(torch.int16)
            elif factor.ndim == 1 or number_bits is NumberBits.HALF:
                numbers[name] = as_stored(factor)
            else:
                numbers[name], scales[name] = quantize_rows(factor, number_bits)
        return cls(number_bits, numbers, scales)

    def factors(self) -> Factors:
        """The factors that are stored, exactly: float32, or int64 for indices."""
        return {name: self._factor(name) for name in self.numbers}

    def bits(self) -> int:
        """Of everything stored, as long as the run folder's bytes."""
        return sum(map(self._bits, self.numbers))

    def _factor(self, name: str) -> Tensor:
        number = self.numbers[name]
        if name in self.scales:
            return number.float() * self.scales[name].float()[:, None]
        return number.float() if number.is_floating_point() else number.long()

    def _bits(self, name: str) -> int:
        number = self.numbers[name]
        if name not in self.scales:
            return 8 * number.nbytes
        return matrix_bits(number.numel(), len(number), self.number_bits)


def quantize_rows(matrix: Tensor, number_bits: NumberBits) -> tuple[Tensor, Tensor]:
    """Symmetric integers with a scale per row: matrix is about numbers * scales.

    The scale of a row is the bfloat16 number nearest to the one at which its largest entry is the
    largest integer, which that entry then is, at most half a step off. So what was rounded once
    stays as it is when it is rounded again, as when it is saved. A product of both is exact in
    float32.

    Args:
        matrix: shape (r, s), finite.
        number_bits: 4 or 8 bits.

    Returns:
        numbers (r, s), int8, and scales (r,), bfloat16, positive.
    """
    most = 2 ** (number_bits - 1) - 1
    scales = (matrix.float().abs().amax(1).clamp(min=1e-30) / most).bfloat16()
    numbers = torch.round(matrix.float() / scales.float()[:, None]).clamp(-most, most)
    return numbers.to(torch.int8), scales


def as_stored(values: Tensor) -> Tensor:
    """Numbers in half precision, or whole in float32 where one is beyond its range."""
    beyond = values.abs().max() > torch.finfo(torch.half).max if values.numel() else False
    return values.float() if beyond else values.half()


def stored_bits(values: Tensor) -> int:
    """Bits that numbers take in storage."""
    return 8 * as_stored(values).nbytes


def matrix_bits(numbers: int, rows: int, number_bits: NumberBits) -> int:
    """Bits of a matrix with its scales; a row takes whole bytes."""
    if number_bits is NumberBits.HALF:
        return NUMBER_BITS * numbers
    if not rows:
        return 0
    row_bytes = -(-numbers // rows * number_bits // 8)
    return rows * (8 * row_bytes + NUMBER_BITS)


def unfolded_bits(
    size: Size,
    number_bits: NumberBits,
    *,
    mean_bits: int,
    offset_bits: int,
    encoder: bool,
    decoder: bool,
) -> int:
    """Bits that a device must fetch where neighbours take in what they can.

    Args:
        size: numbers of the projection.
        number_bits: of a number of a matrix.
        mean_bits: what the encoder subtracts.
        offset_bits: what the decoder adds.
        encoder: whether the encoder stays, and is not part of the layer before.
        decoder: whether the decoder stays, and is not part of the layers after.
    """
    bits = 0
    if encoder:
        bits += matrix_bits(size.encoder, size.encoder_rows, number_bits) + mean_bits
    if decoder:
        bits += matrix_bits(size.decoder, size.decoder_rows, number_bits) + offset_bits
    if encoder or decoder:
        bits += matrix_bits(size.shared, size.shared_rows, number_bits) + NUMBER_BITS * size.vectors
    return bits
