"""Where a network can be split, what would be sent there, and what the head would compute."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from torch import Tensor

from actpress.bitstream.container import framing_bytes
from actpress.errors import ModelError
from actpress.graph import macs_per_image
from actpress.pressing import CompressedModel
from actpress.splitting import Head, split


@dataclass(frozen=True)
class Cut:
    """One place where a network can be split.

    Attributes:
        at: site after which it is cut.
        sites: whose values are sent.
        sent_bytes: of one image as a stream of its own, headers included, by the entropy of the
            images that the run was tested on.
        head_macs: multiply-accumulates of the head per image, codecs included.
    """

    at: str
    sites: tuple[str, ...]
    sent_bytes: int
    head_macs: int


def cut_at(pressed: CompressedModel, at: str, site_bits: Mapping[str, float], x: Tensor) -> Cut:
    """What a split after a site means.

    Args:
        pressed: the network.
        at: name of a site of its plan.
        site_bits: entropy-coded bits of each site per image.
        x: a batch, to count operations on.

    Raises:
        ModelError: the network cannot be cut there.
    """
    head, _ = split(pressed, at)
    bits = sum(site_bits[name] for name in head.sites)
    framing = len(head.header.to_bytes()) + framing_bytes(1)
    return Cut(at, head.sites, ceil(bits / 8) + framing, _head_macs(head, x))


def possible_cuts(pressed: CompressedModel, site_bits: Mapping[str, float], x: Tensor) -> list[Cut]:
    """Every site after which the network can be cut, in the plan's order; see `cut_at`."""
    found = []
    for name in pressed.codecs:
        try:
            found.append(cut_at(pressed, name, site_bits, x))
        except ModelError:  # the tail would need the network's input
            continue
    return found


def _head_macs(head: Head, x: Tensor) -> int:
    """Of the head's module and of the encoders whose symbols are sent."""
    total = macs_per_image(head.module, x)
    for name in head.sites:
        codec, shape = head.pressed.codecs[name], head.pressed.network.shapes[name]
        total += codec.projection.size().encoder_macs * prod(codec.symbol_shape(shape)[1:])
    return total
