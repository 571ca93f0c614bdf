"""What is stored of a codec's quantizers: few steps and widths, and which one a component has."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STEPS_PER_OCTAVE = 8
"""Steps of a site that differ are rounded to so many values an octave."""

WIDEST = 16
"""Bits of a symbol, at most."""

STEP_BITS, WIDTH_BITS, LOWEST_BITS = 16, 8, 16


def stored_step(step: Tensor) -> Tensor:
    """What a step is stored as in 16 bits: the nearest bfloat16 number that is not smaller.

    Args:
        step: positive, any shape, float32 or float64; the result is float32.
    """
    nearest = step.bfloat16()
    above = torch.nextafter(nearest, torch.full_like(nearest, torch.inf))
    return torch.where(nearest.to(step.dtype) < step, above, nearest).float()


def on_grid(step: Tensor) -> Tensor:
    """Steps of a site as they are stored, shape (k,): as they are if equal, else few values.

    Args:
        step: positive, shape (k,).
    """
    if len(step) < 2 or bool((step == step[0]).all()):
        return stored_step(step)
    octaves = torch.round(step.double().log2() * STEPS_PER_OCTAVE) / STEPS_PER_OCTAVE
    return stored_step(torch.exp2(octaves))


def packed_ranges(q_min: Tensor, q_max: Tensor, *, alike: bool) -> tuple[Tensor, Tensor]:
    """The narrowest ranges of whole bit-widths, as `ranges_of` makes them, that hold given ones.

    Args:
        q_min: lowest symbol of each component, shape (k,).
        q_max: highest symbol of each component, shape (k,).
        alike: whether all components get one width.

    Returns:
        q_min and q_max, each shape (k,), int32.
    """
    lowest = int(q_min.amin().clamp(max=0))
    centred = torch.full_like(q_min, WIDEST, dtype=torch.int64)
    for width in range(WIDEST, -1, -1):
        low = max(lowest, -_half(width))
        fits = (low <= q_min) & (q_max <= low + 2**width - 1)
        centred = torch.where(fits, width, centred)
    from_lowest = widths_of(torch.full_like(q_max, lowest), q_max.clamp(min=0))
    narrowest = int(torch.minimum(centred, from_lowest).amax())
    for widest in range(narrowest, WIDEST + 2):
        widths = centred.clamp(max=widest)
        if alike:
            widths = torch.full_like(widths, widest)
        ranges = ranges_of(widths, lowest)
        if ((ranges[0] <= q_min) & (q_max <= ranges[1])).all():
            return ranges
    raise AssertionError("a plan bounds symbols to 16 bits")


def ranges_of(widths: Tensor, lowest: int) -> tuple[Tensor, Tensor]:
    """Symbol ranges of bit-widths, shape (k,), int32; the same rule on both sides of a file.

    A range of b bits begins at -2^(b - 1), or at the lowest symbol of the site where that is
    higher: zero after a ReLU. Components of the largest width begin at the lowest symbol where
    their range then still holds zero.

    Args:
        widths: in bits, shape (k,); 0 is the symbol zero alone.
        lowest: of the site, at most 0.
    """
    levels = 2 ** widths.long()
    halves = torch.where(widths > 0, levels // 2, 0)
    centred = torch.maximum(-halves, torch.full_like(halves, lowest))
    whole = (widths == widths.amax()) & (lowest + levels > 0)
    q_min = torch.where(whole, lowest, centred)
    return q_min.int(), (q_min + levels - 1).int()


def _half(width: int) -> int:
    return 2 ** (width - 1) if width else 0


def widths_of(q_min: Tensor, q_max: Tensor) -> Tensor:
    """Bits that plain packing needs per symbol of a component, shape (k,), int64."""
    levels = (q_max.long() - q_min.long() + 1).double()
    return torch.ceil(torch.log2(levels) - 1e-9).long()


@dataclass(frozen=True)
class Quantizers:
    """Steps and widths of a site as they are stored.

    Attributes:
        steps: of each quantizer, shape (p,), bfloat16.
        widths: of each quantizer, in bits, shape (p,), uint8.
        quantizer_of: of each component, shape (k,), int64.
        lowest: symbol that no range goes below, at most 0.
    """

    steps: Tensor
    widths: Tensor
    quantizer_of: Tensor
    lowest: int

    @classmethod
    def of(cls, step: Tensor, q_min: Tensor, q_max: Tensor) -> "Quantizers":
        """Collect what differs between components; exact for steps and ranges that are stored."""
        pairs = torch.stack([step.double(), widths_of(q_min, q_max).double()], dim=1)
        distinct, quantizer_of = pairs.unique(dim=0, return_inverse=True)
        steps, widths = distinct.T.contiguous()
        lowest = int(q_min.amin().clamp(max=0)) if len(q_min) else 0
        return cls(steps.bfloat16(), widths.to(torch.uint8), quantizer_of, lowest)

    def bits(self) -> int:
        """Of everything stored: the quantizers, which one each component has, the lowest symbol."""
        return quantizer_bits(len(self.quantizer_of), len(self.steps))

    def step(self) -> Tensor:
        """Of each component, shape (k,), float32."""
        return self.steps.float()[self.quantizer_of]

    def ranges(self) -> tuple[Tensor, Tensor]:
        """q_min and q_max of each component, shape (k,), int32."""
        return ranges_of(self.widths[self.quantizer_of], self.lowest)


def quantizer_bits(components: int, quantizers: int) -> int:
    """Bits of so many quantizers, and of which one each component has."""
    each = STEP_BITS + WIDTH_BITS
    return LOWEST_BITS + quantizers * each + index_bits(components, quantizers)


def index_bits(count: int, choices: int) -> int:
    """Bits of so many indices, packed, in whole bytes."""
    return 8 * (-(-count * (choices - 1).bit_length() // 8))


def pack_indices(indices: Tensor, choices: int) -> Tensor:
    """Indices below `choices`, shape (k,), as `index_bits` / 8 bytes, shape (b,), uint8."""
    width = (choices - 1).bit_length()
    bits = (indices.cpu().numpy()[:, None] >> np.arange(width)[::-1]) & 1
    return torch.from_numpy(np.packbits(bits.astype(np.uint8)))


def unpack_indices(packed: Tensor, count: int, choices: int) -> Tensor:
    """The inverse of `pack_indices`, shape (count,), int64."""
    width = (choices - 1).bit_length()
    bits = np.unpackbits(packed.cpu().numpy(), count=count * width).reshape(count, width)
    weights = 1 << np.arange(width)[::-1]
    return torch.from_numpy((bits.astype(np.int64) * weights).sum(1))
