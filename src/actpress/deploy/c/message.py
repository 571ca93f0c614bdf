"""What the head of a network in C sends, as a stream that its tail reads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from actpress.codec import IdentityProjection, SiteCodec
from actpress.deploy.integer import IntegerMap, IntegerNetwork
from actpress.deploy.integer.arithmetic import Array
from actpress.deploy.memory import layout_of, unpacked
from actpress.errors import StreamError
from actpress.splitting import Head


def stream_of(head: Head, network: IntegerNetwork, messages: Sequence[bytes]) -> bytes:
    """One frame with the symbols of images.

    Args:
        head: in PyTorch, which knows the codecs of the maps that are sent.
        network: that was exported, from `head_of`.
        messages: of one image each, NET_OUTPUTS bytes.

    Raises:
        StreamError: a message is of another size.
    """
    maps = {each.name: each for each in network.maps}
    sizes = [layout_of(maps[name]).size_bytes for name in network.sent]
    for message in messages:
        if len(message) != sum(sizes):
            raise StreamError(f"a message of {len(message)} bytes, expected {sum(sizes)}")
    ends = np.cumsum([0, *sizes])
    symbols = {}
    for name, begin, end in zip(network.sent, ends[:-1], ends[1:], strict=True):
        parts = [message[begin:end] for message in messages]
        codes = np.stack([unpacked(part, maps[name]) for part in parts])
        shape = head.pressed.network.shapes[name]
        symbols[name] = _symbols(codes, maps[name], head.pressed.codecs[name], shape)
    return head.from_symbols(symbols)


def _symbols(codes: Array, stored: IntegerMap, codec: SiteCodec, shape: Sequence[int]) -> Tensor:
    """Codes (n, h, w, channels) as symbols (n, k, ...) of a site of shape (c, ...)."""
    own = codes + stored.q_min
    if stored.order is not None:
        own = own[..., np.argsort(stored.order)]
    symbols = torch.from_numpy(own).permute(0, 3, 1, 2).to(torch.int32)
    projection = codec.projection
    if isinstance(projection, IdentityProjection) and projection.kept is not None:
        symbols = symbols[:, projection.kept]  # dropped channels are of no bits, but no symbols
    return symbols.reshape(len(codes), *codec.symbol_shape(shape))
