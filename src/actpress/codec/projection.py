"""Projections: how values of a pixel, or of a block of pixels, become components and come back."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.codec.blocks import check_pixels, from_blocks
from actpress.codec.mixing import mix_channels
from actpress.codec.transform import (
    Basis,
    Family,
    Size,
    StoredFactors,
    as_stored,
    stored_bits,
)
from actpress.errors import CalibrationError
from actpress.settings import NumberBits


class Projection(Protocol):
    """What a codec needs of a projection; `step` (k,) is folded into both directions.

    Attributes:
        block: side of the square of pixels that is projected together, b; 1 is pixel by pixel.
        number_bits: of a stored number of a matrix.
    """

    block: int
    number_bits: NumberBits

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        """X (n, c, ...) -> components in units of their step, (n, k, ...), one per block."""

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        """Symbols (n, k, ...) -> x_hat (n, c, ...)."""

    def size(self) -> Size:
        """Numbers that are stored to run it, steps excluded, and its arithmetic."""

    def constant_bits(self) -> tuple[int, int]:
        """Bits of what the encoder subtracts, and of what the decoder adds."""


class IdentityProjection(nn.Module):
    """Every channel is its own component, or some of them are; the others are restored as zero.

    Args:
        channels: c.
        kept: which of them, rising; None keeps all.
    """

    block = 1
    number_bits = NumberBits.HALF
    kept: Tensor | None

    def __init__(self, channels: int, kept: Tensor | None = None) -> None:
        super().__init__()
        self.channels = channels
        if kept is not None and len(kept) == channels:
            kept = None
        self.register_buffer("kept", kept)

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        values = x if self.kept is None else x[:, self.kept]
        return values / per_component(step, values)

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        y_hat = q * per_component(step, q)
        if self.kept is None:
            return y_hat
        x_hat = y_hat.new_zeros(q.shape[0], self.channels, *q.shape[2:])
        x_hat[:, self.kept] = y_hat
        return x_hat

    def size(self) -> Size:
        return Size() if self.kept is None else Size(vectors=len(self.kept))

    def constant_bits(self) -> tuple[int, int]:
        return 0, 0


class LinearProjection(nn.Module):
    """y = E (x - mean), x_hat = D y_hat + offset, with x the c * b^2 values of a block of pixels.

    E, D, mean and offset are parameters, frozen until a method trains them. Outside of training
    they are exactly what the family's stored numbers stand for.

    Args:
        family: what is stored of E and D, and how they come of it.
        basis: where to start: the components that are kept (`Basis.select`).
        mean: of the values of a block, shape (c * b^2,); also the initial offset.
        block: b, see `as_blocks`.
        number_bits: of a stored number of a matrix.
    """

    def __init__(
        self,
        family: Family,
        basis: Basis,
        mean: Tensor,
        *,
        block: int = 1,
        number_bits: NumberBits = NumberBits.BYTE,
    ) -> None:
        super().__init__()
        stored = StoredFactors.of(family.stored(basis), number_bits)
        constant = as_stored(mean).float()
        self._set_up(family, stored, constant, constant, rank=len(basis.vectors), block=block)

    @torch.no_grad()
    def _set_up(
        self,
        family: Family,
        stored: StoredFactors,
        mean: Tensor,
        offset: Tensor,
        *,
        rank: int,
        block: int,
    ) -> None:
        values = len(mean)
        self.family, self.block, self.number_bits = family, block, stored.number_bits
        self.channels, self.rank = values // block**2, rank
        self.encoder = _frozen(torch.zeros(rank, values))
        self.decoder = _frozen(torch.zeros(values, rank))
        self.offset, self.mean = _frozen(offset.clone()), _frozen(mean.clone())
        self._restore(stored)

    @torch.no_grad()
    def round_to_stored(self) -> None:
        """Round every stored number, and make the matrices of them anew."""
        for tensor in (self.mean, self.offset):
            tensor.copy_(as_stored(tensor))
        self._restore(self.stored())

    def stored(self) -> StoredFactors:
        """The numbers of the matrices as they are stored; what may be trained is rounded anew."""
        if not self.family.trained:
            return self._stored
        free = {"encoder": self.encoder.detach(), "decoder": self.decoder.detach()}
        return StoredFactors.of(free, self.number_bits)

    def stored_constants(self) -> tuple[Tensor, Tensor]:
        """Mean and offset as they are stored, each shape (K,)."""
        return as_stored(self.mean.detach()), as_stored(self.offset.detach())

    @classmethod
    def of_stored(
        cls,
        family: Family,
        stored: StoredFactors,
        mean: Tensor,
        offset: Tensor,
        *,
        rank: int,
        block: int,
    ) -> "LinearProjection":
        """A projection of what a run folder holds.

        Raises:
            CalibrationError: the numbers make matrices of another shape.
        """
        projection = cls.__new__(cls)
        nn.Module.__init__(projection)
        cls._set_up(projection, family, stored, mean, offset, rank=rank, block=block)
        return projection

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        return encode_linear(x, self.encoder, self.mean, step, self.block)

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        return decode_linear(q, self.decoder, self.offset, step, self.block)

    def size(self) -> Size:
        return self.family.size(self.channels, self.block, self.rank)

    def constant_bits(self) -> tuple[int, int]:
        return stored_bits(self.mean), stored_bits(self.offset)

    def _restore(self, stored: StoredFactors) -> None:
        self._stored = stored
        encoder, decoder = self.family.matrices(stored.factors(), self.channels, self.block)
        if encoder.shape != self.encoder.shape or decoder.shape != self.decoder.shape:
            raise CalibrationError(
                f"the stored numbers of the transform {self.family.name} make an encoder of shape "
                f"{tuple(encoder.shape)}, expected {tuple(self.encoder.shape)}"
            )
        self.encoder.copy_(encoder)
        self.decoder.copy_(decoder)


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def encode_linear(x: Tensor, encoder: Tensor, mean: Tensor, step: Tensor, block: int = 1) -> Tensor:
    """E (x - mean) / step: x (n, c, ...), E (k, c * block^2), step (k,) -> (n, k, ...).

    Raises:
        PlanError: the pixels do not divide into blocks.
    """
    check_pixels(x, block)
    matrix = encoder / step[:, None]
    bias = -(matrix @ mean)
    if block == 1:
        return mix_channels(matrix, x, bias)
    # The same as cutting x into blocks first, without a copy of x.
    kernel = matrix.reshape(len(matrix), x.shape[1], block, block)
    return F.conv2d(x, kernel, bias, stride=block)


def decode_linear(
    q: Tensor, decoder: Tensor, offset: Tensor, step: Tensor, block: int = 1
) -> Tensor:
    """D (q * step) + offset: q (n, k, ...), D (c * block^2, k), step (k,) -> (n, c, ...).

    Convolutions round differently in different memory layouts. Symbols that come from bytes and
    symbols that the network just computed are therefore brought into one.
    """
    return from_blocks(mix_channels(decoder * step, pixel_by_pixel(q), offset), block)


def pixel_by_pixel(q: Tensor) -> Tensor:
    """Planes q (n, k, h, w) in channels_last; its strides, too, where sizes of 1 leave a choice."""
    if q.ndim != 4:
        return q
    _, k, h, w = q.shape
    if q.stride() == (h * w * k, 1, w * k, k):
        return q
    return q.clone(memory_format=torch.channels_last)


def per_component(values: Tensor, like: Tensor) -> Tensor:
    """One value per component, shape (k,), in type and shape to go with (n, k, ...)."""
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 2))
