"""Projections: how values of a pixel, or of a block of pixels, become components and come back."""

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.codec.basis import Basis
from actpress.codec.blocks import check_pixels, from_blocks


class Projection(Protocol):
    """What a codec needs of a projection; `step` (k,) is folded into both directions.

    Attributes:
        block: side of the square of pixels that is projected together, b; 1 is pixel by pixel.
    """

    block: int

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        """X (n, c, ...) -> components in units of their step, (n, k, ...), one per block."""

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        """Symbols (n, k, ...) -> x_hat (n, c, ...)."""

    def parameter_count(self) -> int:
        """Numbers of 16 bits that must be stored to run it, steps excluded."""

    def macs_per_block(self) -> tuple[int, int]:
        """Multiply-accumulates per block of encoder and decoder."""


class IdentityProjection(nn.Module):
    """Every channel is its own component."""

    block = 1

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        return x / per_component(step, x)

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        return q * per_component(step, q)

    def parameter_count(self) -> int:
        return 0

    def macs_per_block(self) -> tuple[int, int]:
        return 0, 0


class LinearProjection(nn.Module):
    """y = E (x - mean), x_hat = D y_hat + offset, with x the c * b^2 values of a block of pixels.

    E, D, mean and offset are parameters, frozen until a method trains them. Outside of training
    their values are kept as they are stored and counted: representable in half precision, or, where
    a value is beyond its range, in float32.

    Args:
        basis: where to start: E is its first `rank` vectors, D those of its inverse.
        mean: of the values of a block, shape (c * b^2,); also the initial offset.
        rank: components kept.
        block: b, see `as_blocks`.
        stored: whether E and D must be stored (False for DCT and Hadamard, which are formulas).
    """

    def __init__(
        self, basis: Basis, mean: Tensor, rank: int, *, block: int = 1, stored: bool = True
    ) -> None:
        super().__init__()
        self.block = block
        encoder, decoder = basis.vectors[:rank].float(), basis.inverse[:, :rank].float()
        self.encoder = nn.Parameter(encoder.clone(), requires_grad=False)
        self.decoder = nn.Parameter(decoder.contiguous(), requires_grad=False)
        self.offset = nn.Parameter(mean.float().clone(), requires_grad=False)
        self.mean = nn.Parameter(mean.float().clone(), requires_grad=False)
        self.stored = stored
        self.round_to_half()

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round every stored number to the nearest value of `stored_dtype`."""
        for tensor in (self.encoder, self.decoder, self.offset, self.mean):
            tensor.copy_(tensor.to(stored_dtype(tensor)))

    def encode(self, x: Tensor, step: Tensor) -> Tensor:
        return encode_linear(x, self.encoder, self.mean, step, self.block)

    def decode(self, q: Tensor, step: Tensor) -> Tensor:
        return decode_linear(q, self.decoder, self.offset, step, self.block)

    def parameter_count(self) -> int:
        matrices = (self.encoder, self.decoder) if self.stored else ()
        stored = (*matrices, self.mean, self.offset)
        return sum(stored_numbers(tensor) for tensor in stored)

    def macs_per_block(self) -> tuple[int, int]:
        return self.encoder.numel(), self.decoder.numel()


def stored_dtype(tensor: Tensor) -> torch.dtype:
    """How a tensor of a projection is stored: as float16, or whole where a value exceeds it."""
    beyond = tensor.abs().max() > torch.finfo(torch.float16).max if tensor.numel() else False
    return torch.float32 if beyond else torch.float16


def stored_numbers(tensor: Tensor) -> int:
    """Numbers of 16 bits that a tensor of a projection takes in storage."""
    return tensor.numel() * stored_dtype(tensor).itemsize // torch.float16.itemsize


def encode_linear(x: Tensor, encoder: Tensor, mean: Tensor, step: Tensor, block: int = 1) -> Tensor:
    """E (x - mean) / step: x (n, c, ...), E (k, c * block^2), step (k,) -> (n, k, ...).

    Raises:
        PlanError: the pixels do not divide into blocks.
    """
    check_pixels(x, block)
    matrix = encoder / step[:, None]
    bias = -(matrix @ mean)
    if block == 1:
        return _mix(matrix, x, bias)
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
    return from_blocks(_mix(decoder * step, _pixel_by_pixel(q), offset), block)


def _mix(matrix: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """Multiply the channel axis (axis 1) of x by a matrix and add a bias."""
    if x.ndim == 4:
        return F.conv2d(x, matrix[:, :, None, None], bias)
    if x.ndim == 2:
        return F.linear(x, matrix, bias)
    mixed = F.conv1d(x.flatten(2), matrix[:, :, None], bias)
    return cast(Tensor, mixed.unflatten(2, x.shape[2:]))


def _pixel_by_pixel(q: Tensor) -> Tensor:
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
