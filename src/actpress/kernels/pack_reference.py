"""Bit packing in plain torch, on any device: slow, and what the fast kernels must reproduce."""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.kernels.pack_format import BLOCK, LANES, REST_ROWS, ROWS, run_bytes, runs


def symbol_bounds(q_min: Tensor, q_max: Tensor, bit_widths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Lowest and highest symbol that is packed, both of shape (k,), float32."""
    highest = q_min + 2 ** torch.tensor(bit_widths, device=q_min.device) - 1
    return q_min.float(), torch.minimum(q_max, highest).float()


def quantize_pack_reference(
    x: Tensor, step: Tensor, q_min: Tensor, q_max: Tensor, bit_widths: Sequence[int]
) -> Tensor:
    """The bytes of x, shape (n, bytes); arguments as of `quantize_pack`."""
    low, high = (bound[:, None] for bound in symbol_bounds(q_min, q_max, bit_widths))
    q = torch.round(x.reshape(*x.shape[:2], prod(x.shape[2:])) / step[:, None])
    q = torch.where(q > low, q, low)  # a comparison with NaN is false
    codes = (torch.where(q < high, q, high) - low).int()
    parts, first = [], 0
    for components, width in runs(bit_widths):
        run = codes[:, first : first + components].flatten(1)
        parts += [
            _pack_block(run[:, begin : begin + size], width, rows, lanes)
            for begin, size, rows, lanes in _blocks(run.shape[1])
        ]
        first += components
    return torch.cat([codes.new_empty(len(x), 0, dtype=torch.uint8), *parts], 1)


def unpack_dequantize_reference(
    packed: Tensor, step: Tensor, q_min: Tensor, bit_widths: Sequence[int], positions: int
) -> Tensor:
    """The values of packed bytes, shape (n, k, positions); arguments as of `unpack_dequantize`."""
    parts, first = [], 0
    for components, width in runs(bit_widths):
        count = components * positions
        for begin, size, rows, lanes in _blocks(count):
            start = first + run_bytes(begin, width)
            block = packed[:, start : start + run_bytes(size, width)]
            parts.append(_unpack_block(block, width, rows, lanes)[:, :size])
        first += run_bytes(count, width)
    codes = torch.cat([packed.new_empty(len(packed), 0), *parts], 1).float()
    q = codes.reshape(len(packed), len(step), positions) + q_min[:, None].float()
    return q * step[:, None]


def _blocks(count: int) -> Iterator[tuple[int, int, int, int]]:
    """First code, number of codes, rows and lanes of every block of a run."""
    for begin in range(0, count, BLOCK):
        size = min(count - begin, BLOCK)
        full = size == BLOCK
        yield begin, size, *((ROWS, LANES) if full else (REST_ROWS, -(-size // REST_ROWS)))


def _pack_block(codes: Tensor, width: int, rows: int, lanes: int) -> Tensor:
    """Codes of a block, shape (n, m) -> its bytes, shape (n, width * lanes * rows / 8), uint8."""
    padded = F.pad(codes, (0, rows * lanes - codes.shape[1])).unflatten(1, (rows, lanes))
    bits = padded[..., None] >> torch.arange(width, device=codes.device) & 1
    numbers = bits.transpose(1, 2).reshape(len(codes), lanes, width, rows // 8, 8)
    octets: Tensor = (numbers << torch.arange(8, device=codes.device)).sum(-1)
    return octets.transpose(1, 2).flatten(1).to(torch.uint8)


def _unpack_block(packed: Tensor, width: int, rows: int, lanes: int) -> Tensor:
    """The inverse of `_pack_block`: bytes of a block -> its codes, shape (n, rows * lanes)."""
    octets = packed.reshape(len(packed), width, lanes, rows // 8).transpose(1, 2)
    bits = octets[..., None] >> torch.arange(8, device=packed.device) & 1
    numbers = bits.reshape(len(packed), lanes, rows, width)
    codes: Tensor = (numbers << torch.arange(width, device=packed.device)).sum(-1)
    return codes.transpose(1, 2).flatten(1)
