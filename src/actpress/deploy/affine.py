"""What exporters know of a codec: two affine maps and the symbol ranges between them.

The maps are read off a codec by what it does to unit vectors, in float64, so that no exporter
depends on how a transform is stored or computed.
"""

import copy
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actpress.codec import SiteCodec

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class AffineCodec:
    """Symbols q = clip(round(E x + e), q_min, q_max), values x_hat = D q + d, for every block.

    The K = c * b^2 values of a block are ordered by channel, row and column.

    Attributes:
        channels: c.
        block: side b of the square of pixels that is taken together.
        encoder, encoder_bias: E of shape (k, K) and e of shape (k,), in steps.
        decoder, decoder_bias: D of shape (K, k) and d of shape (K,), in activation units.
        q_min, q_max: of each component, shape (k,).
        step: where symbol i is channel i divided by its step, these steps, shape (c,); else None.
    """

    channels: int
    block: int
    encoder: FloatArray
    encoder_bias: FloatArray
    decoder: FloatArray
    decoder_bias: FloatArray
    q_min: IntArray
    q_max: IntArray
    step: FloatArray | None

    @property
    def widths(self) -> IntArray:
        """Bits of each component under plain packing, shape (k,); 0 where a single symbol is."""
        return np.array([int(levels).bit_length() for levels in self.q_max - self.q_min])


@torch.no_grad()
def affine_codec(codec: SiteCodec, channels: int) -> AffineCodec:
    """Read the two maps off a codec of values with `channels` channels."""
    block, rank = codec.block, codec.rank
    projection = copy.deepcopy(codec.projection).double().cpu()
    step = codec.step.detach().double().cpu()
    values = channels * block**2
    shape = (channels, block, block)
    vectors = torch.cat([torch.zeros(1, values), torch.eye(values)]).double()
    symbols = torch.cat([torch.zeros(1, rank), torch.eye(rank)]).double()[:, :, None, None]
    encoded = projection.encode(vectors.reshape(-1, *shape), step).flatten(1)
    decoded = projection.decode(symbols, step).flatten(1)
    encoder, encoder_bias = _map_of(encoded)
    decoder, decoder_bias = _map_of(decoded)
    by_channel = values == rank and _is_diagonal(encoder) and not (encoder_bias.any())
    return AffineCodec(
        channels=channels,
        block=block,
        encoder=encoder,
        encoder_bias=encoder_bias,
        decoder=decoder,
        decoder_bias=decoder_bias,
        q_min=codec.q_min.cpu().numpy().astype(np.int64),
        q_max=codec.q_max.cpu().numpy().astype(np.int64),
        step=step.float().numpy() if by_channel and not decoder_bias.any() else None,
    )


def components(codec: SiteCodec, x: Tensor) -> Tensor:
    """What a codec rounds to symbols, (n, c, ...) -> (n, k, ...), in steps."""
    return cast(Tensor, codec.projection.encode(x, codec.step))


def _map_of(images: Tensor) -> tuple[FloatArray, FloatArray]:
    """Matrix and constant of the map that gave `images` of zero and the unit vectors."""
    constant = images[0]
    return (images[1:] - constant).T.float().numpy().copy(), constant.float().numpy().copy()


def _is_diagonal(matrix: FloatArray) -> bool:
    return not np.any(matrix - np.diag(np.diag(matrix)))
