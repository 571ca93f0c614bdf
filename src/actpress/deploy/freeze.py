"""A compressed network as a plain one: codecs become ordinary layers with fixed weights."""

import torch
from torch import Tensor, fx, nn

from actpress.codec import IdentityProjection, SiteCodec
from actpress.deploy.layers import DivideChannels, MixChannels, MultiplyChannels, RoundClamp, frozen
from actpress.deploy.maps import Maps, maps_of
from actpress.errors import ModelError
from actpress.graph.lowering import lower
from actpress.pressing import CompressedModel

ENCODE, QUANTIZE, DECODE = "encode", "quantize", "decode"


def freeze(model: CompressedModel) -> fx.GraphModule:
    """A plain network that gives what the compressed one gives in eval mode, bit for bit.

    Rates, probes, transports and code tables are gone, and kernels are divided by their steps once.
    Every site is three modules: `codecs.SITE.encode`, `.quantize` and `.decode`, of which the
    middle one gives the integers that are stored.

    Args:
        model: from `press`, `compress` or `load_run`; stays as it is and shares nothing.

    Raises:
        ModelError: it is no compressed network.
    """
    if not isinstance(model, CompressedModel):
        raise ModelError(
            f"expected a compressed network, as compress(...).model and load_run give it, got "
            f"{type(model).__name__}; compress it first"
        )
    codecs = model.codecs
    return lower(model.network, lambda site, axes: _parts(codecs[site], axes))


def _parts(codec: SiteCodec, axes: int) -> dict[str, nn.Module]:
    dtype = codec.step.dtype
    linear = not isinstance(codec.projection, IdentityProjection)
    quantize = RoundClamp(
        codec.q_min.to(dtype),
        codec.q_max.to(dtype),
        axes=axes,
        pixel_by_pixel=linear and axes == 4,
    )
    if not linear:
        encode, decode = _scaling(codec, axes)
    else:
        maps = maps_of(codec)
        encode, decode = _encoder(maps, axes), _decoder(maps, axes)
    return {ENCODE: encode, QUANTIZE: quantize, DECODE: decode}


def _scaling(codec: SiteCodec, axes: int) -> tuple[nn.Module, nn.Module]:
    kept, step = codec.projection.kept, codec.step.detach().clone()
    if kept is None:
        return DivideChannels(step, None, axes=axes), MultiplyChannels(step, None, axes=axes)
    position = torch.full((codec.projection.channels,), len(kept), device=kept.device)
    position[kept] = torch.arange(len(kept), device=kept.device)
    return (
        DivideChannels(step, kept.clone(), axes=axes),
        MultiplyChannels(step, position, axes=axes),
    )


def _encoder(maps: Maps, axes: int) -> nn.Module:
    if axes != 4:
        return _mixing(maps.encoder, maps.encoder_bias, axes)
    kernel = maps.encoder.reshape(maps.rank, maps.channels, maps.block, maps.block)
    return _convolution(kernel, maps.encoder_bias, stride=maps.block)


def _decoder(maps: Maps, axes: int) -> nn.Module:
    if axes != 4:
        return _mixing(maps.decoder, maps.decoder_bias, axes)
    mix = _convolution(maps.decoder[:, :, None, None], maps.decoder_bias)
    return mix if maps.block == 1 else nn.Sequential(mix, nn.PixelShuffle(maps.block))


def _mixing(matrix: Tensor, bias: Tensor, axes: int) -> nn.Module:
    if axes != 2:
        return MixChannels(matrix, bias)
    with torch.device("meta"):
        layer = nn.Linear(matrix.shape[1], matrix.shape[0])
    layer.weight, layer.bias = frozen(matrix), frozen(bias)
    return layer


def _convolution(kernel: Tensor, bias: Tensor, stride: int = 1) -> nn.Module:
    rank, channels, side, _ = kernel.shape
    with torch.device("meta"):
        layer = nn.Conv2d(channels, rank, side, stride)
    layer.weight, layer.bias = frozen(kernel), frozen(bias)
    return layer
