"""A projection as two affine maps around the rounding, bit for bit as it computes them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec import LinearProjection, SiteCodec
from actpress.errors import ModelError


@dataclass(frozen=True)
class Maps:
    """z = encoder x + encoder_bias, x_hat = decoder q + decoder_bias, steps included.

    x is a block of c * b^2 values, q its k symbols.

    Attributes:
        encoder: shape (k, c * b^2).
        encoder_bias: shape (k,).
        decoder: shape (c * b^2, k).
        decoder_bias: shape (c * b^2,).
        block: b.
    """

    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    decoder_bias: Tensor
    block: int

    @property
    def rank(self) -> int:
        """Components, k."""
        return len(self.encoder)

    @property
    def channels(self) -> int:
        """Channels of the value, c."""
        return len(self.decoder) // self.block**2


@torch.no_grad()
def maps_of(codec: SiteCodec) -> Maps:
    """The two maps of a codec with matrices, as it is now.

    Raises:
        ModelError: the projection is of a kind that is not known here.
    """
    projection, step = codec.projection, codec.step
    if not isinstance(projection, LinearProjection):
        raise ModelError(
            f"a projection of type {type(projection).__name__} cannot be frozen; expected "
            f"IdentityProjection or LinearProjection"
        )
    encoder = projection.encoder / step[:, None]
    return Maps(
        encoder,
        -(encoder @ projection.mean),
        projection.decoder * step,
        projection.offset,
        projection.block,
    )
