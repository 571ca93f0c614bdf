"""Bit packing for CUDA, in Triton; the layout is that of `pack_format`.

One program packs or unpacks one block: a full one as a tile of 32 rows and 32 lanes, another one as
8 rows and up to 128 lanes. Bytes are written and read one by one, as runs begin at any of them.

Nothing is fused or approximated that would change a result: division is rounded to nearest, and
so is the sum that rounds to an integer (adding 1.5 * 2^23 leaves no fraction bits).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from actpress.kernels.pack_format import BLOCK, PART_BLOCKS, REST_ROWS, ROWS, parts_of

CODES, FULL, REST = tl.constexpr(BLOCK), tl.constexpr(ROWS), tl.constexpr(REST_ROWS)
ROUNDER = tl.constexpr(1.5 * 2**23)


def pack_parts(
    x: Tensor,
    step: Tensor,
    low: Tensor,
    high: Tensor,
    bit_widths: tuple[int, ...],
    packed: Tensor,
) -> None:
    """Quantize and pack into `packed`; arguments as of `pack_loops.pack_parts`, on one device.

    Args:
        x: shape (n, k, ...), contiguous.
        step: shape (k,).
        low: shape (k,), float32.
        high: shape (k,), float32.
        bit_widths: k numbers of 0 to 8.
        packed: shape (n, bytes), contiguous.
    """
    n, k, *spatial = x.shape
    positions = torch.Size(spatial).numel()
    parts = torch.from_numpy(parts_of(bit_widths, n, positions)).to(x.device)
    if len(parts):
        _pack_block[len(parts), PART_BLOCKS](x, step, low, high, parts, packed, positions, k)


def unpack_parts(
    packed: Tensor, step: Tensor, low: Tensor, bit_widths: tuple[int, ...], x: Tensor
) -> None:
    """The inverse of `pack_parts`, up to quantization; fills `x`."""
    n, k, *spatial = x.shape
    positions = torch.Size(spatial).numel()
    parts = torch.from_numpy(parts_of(bit_widths, n, positions)).to(x.device)
    if len(parts):
        _unpack_block[len(parts), PART_BLOCKS](packed, step, low, parts, x, positions, k)


@triton.jit
def _pack_block(x, step, low, high, parts, packed, positions, components):
    part = parts + 4 * tl.program_id(0)
    begin = tl.program_id(1) * CODES
    size = tl.minimum(tl.load(part + 1) - begin, CODES)
    width = tl.load(part + 3)
    symbol = tl.load(part) + begin
    target = packed + tl.load(part + 2) + begin // 8 * width
    if size == CODES:
        _pack(x, step, low, high, target, positions, components, symbol, size, width, FULL)
    elif size > 0:
        _pack(x, step, low, high, target, positions, components, symbol, size, width, REST)


@triton.jit
def _pack(
    x, step, low, high, target, positions, components, symbol, size, width, rows: tl.constexpr
):
    lanes = (size + rows - 1) // rows
    row, lane = tl.arange(0, rows)[:, None], tl.arange(0, CODES // rows)[None, :]
    index = row * lanes + lane
    inside = (lane < lanes) & (index < size)
    component = ((symbol + index) // positions) % components
    value = tl.load(x + symbol + index, mask=inside, other=0.0)
    lowest = tl.load(low + component, mask=inside, other=0.0)
    highest = tl.load(high + component, mask=inside, other=0.0)
    q = tl.div_rn(value, tl.load(step + component, mask=inside, other=1.0))
    q = tl.where(q > lowest, q, lowest)  # a comparison with NaN is false
    q = tl.where(q < highest, q, highest)
    q = (q + ROUNDER) - ROUNDER
    codes = tl.where(inside, (q - lowest).to(tl.int64), 0)
    for word in range(width):
        shift = width * row - rows * word
        above = codes << tl.minimum(tl.maximum(shift, 0), rows)
        below = codes >> tl.minimum(tl.maximum(-shift, 0), rows)
        bits = tl.sum(tl.where(shift >= 0, above, below), axis=0)[None, :]
        first = (word * lanes + lane) * (rows // 8)
        for byte in tl.static_range(rows // 8):
            tl.store(target + first + byte, (bits >> 8 * byte & 255).to(tl.uint8), lane < lanes)


@triton.jit
def _unpack_block(packed, step, low, parts, x, positions, components):
    part = parts + 4 * tl.program_id(0)
    begin = tl.program_id(1) * CODES
    size = tl.minimum(tl.load(part + 1) - begin, CODES)
    width = tl.load(part + 3)
    symbol = tl.load(part) + begin
    source = packed + tl.load(part + 2) + begin // 8 * width
    if size == CODES:
        _unpack(source, step, low, x, positions, components, symbol, size, width, FULL)
    elif size > 0:
        _unpack(source, step, low, x, positions, components, symbol, size, width, REST)


@triton.jit
def _unpack(source, step, low, x, positions, components, symbol, size, width, rows: tl.constexpr):
    lanes = (size + rows - 1) // rows
    row, lane = tl.arange(0, rows)[:, None], tl.arange(0, CODES // rows)[None, :]
    index = row * lanes + lane
    inside = (lane < lanes) & (index < size)
    byte = width * row // 8  # of the lane's number, the first that has bits of the code
    codes = _number_byte(source, byte, width, lanes, lane, inside, rows)
    codes |= _number_byte(source, byte + 1, width, lanes, lane, inside, rows) << 8
    codes = (codes >> (width * row % 8)) & ((1 << width) - 1)
    component = ((symbol + index) // positions) % components
    lowest = tl.load(low + component, mask=inside, other=0.0)
    factor = tl.load(step + component, mask=inside, other=1.0)
    tl.store(x + symbol + index, (codes.to(tl.float32) + lowest) * factor, mask=inside)


@triton.jit
def _number_byte(source, byte, width, lanes, lane, inside, rows: tl.constexpr):
    """A byte of the number of a lane, zero beyond its end."""
    size = rows // 8  # of a word
    offset = (byte // size * lanes + lane) * size + byte % size
    return tl.load(source + offset, mask=inside & (byte < width * size), other=0).to(tl.int64)
