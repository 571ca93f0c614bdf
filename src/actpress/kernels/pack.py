"""Bit packing with the quantizer fused in, as torch operators: float32 to bytes and back.

`actpress::quantize_pack` and `actpress::unpack_dequantize` fill a tensor that they are given, so
that nothing is allocated twice; the functions here make one of the right size. Whoever calls the
operators, they check every size and type before they read or write. `pack_format` defines the
layout and `pack_reference` the result; the CPU runs `pack_loops`, CUDA `pack_triton`.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from actpress.errors import StreamError
from actpress.kernels.pack_format import MAX_SYMBOL, MAX_WIDTH, packed_bytes, parts_of
from actpress.kernels.pack_reference import symbol_bounds

STEPS, SYMBOLS = (torch.float32,), (torch.int32, torch.int64)
"""Types that are taken."""


def bit_widths_of(q_min: Tensor, q_max: Tensor) -> tuple[int, ...]:
    """Bits that tell the symbols of each component apart: 0 if there is only one.

    Args:
        q_min: lowest symbol of each component, shape (k,), integers.
        q_max: highest symbol of each component, shape (k,), integers.

    Raises:
        StreamError: more than 256 symbols, none, or some beyond 2^22 in magnitude.
    """
    widths = []
    for low, high in zip(q_min.tolist(), q_max.tolist(), strict=True):
        width = (high - low).bit_length()
        if low > high or width > MAX_WIDTH or max(-low, high) > MAX_SYMBOL:
            raise StreamError(
                f"a component has symbols {low} to {high}; packing takes 1 to {2**MAX_WIDTH} of "
                f"them, at most {MAX_SYMBOL} in magnitude; use a coarser step"
            )
        widths.append(width)
    return tuple(widths)


def quantize_pack(
    x: Tensor,
    step: Tensor,
    q_min: Tensor,
    q_max: Tensor,
    bit_widths: Sequence[int],
    out: Tensor | None = None,
) -> Tensor:
    """Quantize and pack: clamp(round(x / step), q_min, q_max) in `bit_widths` bits each.

    Rounding is half to even, as in `SiteCodec`; NaN becomes the lowest symbol. A symbol that its
    width cannot hold, beyond q_min + 2^width - 1, is clamped too.

    Args:
        x: shape (n, k, ...), float32.
        step: of each component, shape (k,), float32, positive.
        q_min: lowest symbol of each component, shape (k,), int32, at most 2^22 in magnitude.
        q_max: highest symbol of each component, shape (k,), int32.
        bit_widths: k numbers of 0 to 8, such as those of `bit_widths_of`.
        out: contiguous tensor to fill, of the result's shape and type; None makes one.

    Returns:
        The bytes of every image as `pack_format` defines them, shape (n, bytes), uint8.

    Raises:
        StreamError: a type, shape or width that does not fit.
    """
    _check_components(x, bit_widths, step, q_min, q_max)
    shape = (x.shape[0], packed_bytes(bit_widths, prod(x.shape[2:])))
    packed = x.new_empty(shape, dtype=torch.uint8) if out is None else out
    torch.ops.actpress.quantize_pack(x, step, q_min, q_max, bit_widths, packed)
    return packed


def unpack_dequantize(
    packed: Tensor,
    step: Tensor,
    q_min: Tensor,
    bit_widths: Sequence[int],
    spatial: Sequence[int],
    out: Tensor | None = None,
) -> Tensor:
    """Unpack and dequantize: symbol * step.

    Args:
        packed: of `quantize_pack`, shape (n, bytes), uint8.
        step: as there.
        q_min: as there.
        bit_widths: as there.
        spatial: axes after the components.
        out: contiguous tensor to fill, of the result's shape and type; None makes one.

    Returns:
        Values of shape (n, k, *spatial), float32.

    Raises:
        StreamError: a type, shape, width or number of bytes that does not fit.
    """
    shape = (packed.shape[0], len(bit_widths), *spatial)
    _check_packed(packed, shape, bit_widths)
    x = packed.new_empty(shape, dtype=torch.float32) if out is None else out
    _check_filled(x, shape, torch.float32, packed.device)
    torch.ops.actpress.unpack_dequantize(packed, step, q_min, bit_widths, x)
    return x


@torch.library.custom_op("actpress::quantize_pack", mutates_args=("packed",), device_types="cpu")
def _quantize_pack(
    x: Tensor,
    step: Tensor,
    q_min: Tensor,
    q_max: Tensor,
    bit_widths: Sequence[int],
    packed: Tensor,
) -> None:
    from actpress.kernels import numba_loops, pack_loops  # noqa: PLC0415 - numba loads slowly

    _check_pack(x, step, q_min, q_max, bit_widths, packed)
    positions = prod(x.shape[2:])
    low, high = symbol_bounds(q_min, q_max, bit_widths)
    with numba_loops.threads_of_torch():
        pack_loops.pack_parts(
            x.detach().reshape(-1).numpy(),
            positions,
            step.detach().numpy(),
            low.numpy(),
            high.numpy(),
            parts_of(tuple(bit_widths), len(x), positions),
            packed.view(-1).numpy(),
        )


@torch.library.custom_op("actpress::unpack_dequantize", mutates_args=("x",), device_types="cpu")
def _unpack_dequantize(
    packed: Tensor, step: Tensor, q_min: Tensor, bit_widths: Sequence[int], x: Tensor
) -> None:
    from actpress.kernels import numba_loops, pack_loops  # noqa: PLC0415 - numba loads slowly

    _check_unpack(packed, step, q_min, bit_widths, x)
    positions = prod(x.shape[2:])
    with numba_loops.threads_of_torch():
        pack_loops.unpack_parts(
            packed.reshape(-1).numpy(),
            positions,
            step.detach().numpy(),
            q_min.float().numpy(),
            parts_of(tuple(bit_widths), len(x), positions),
            x.view(-1).numpy(),
        )


@_quantize_pack.register_kernel("cuda")
def _quantize_pack_cuda(
    x: Tensor,
    step: Tensor,
    q_min: Tensor,
    q_max: Tensor,
    bit_widths: Sequence[int],
    packed: Tensor,
) -> None:
    from actpress.kernels import pack_triton  # noqa: PLC0415 - only where there is a GPU

    _check_pack(x, step, q_min, q_max, bit_widths, packed)
    low, high = symbol_bounds(q_min, q_max, bit_widths)
    pack_triton.pack_parts(x.contiguous(), step.contiguous(), low, high, tuple(bit_widths), packed)


@_unpack_dequantize.register_kernel("cuda")
def _unpack_dequantize_cuda(
    packed: Tensor, step: Tensor, q_min: Tensor, bit_widths: Sequence[int], x: Tensor
) -> None:
    from actpress.kernels import pack_triton  # noqa: PLC0415 - only where there is a GPU

    _check_unpack(packed, step, q_min, bit_widths, x)
    low = q_min.float().contiguous()
    pack_triton.unpack_parts(packed.contiguous(), step.contiguous(), low, tuple(bit_widths), x)


@_quantize_pack.register_fake
def _(*tensors: object) -> None:
    """Nothing but `packed` changes, and not in shape."""


@_unpack_dequantize.register_fake
def _(*tensors: object) -> None:
    """Nothing but `x` changes, and not in shape."""


def _check_pack(
    x: Tensor,
    step: Tensor,
    q_min: Tensor,
    q_max: Tensor,
    bit_widths: Sequence[int],
    packed: Tensor,
) -> None:
    """Refuse what `quantize_pack` would read or write beyond."""
    _check_components(x, bit_widths, step, q_min, q_max)
    shape = (x.shape[0], packed_bytes(bit_widths, prod(x.shape[2:])))
    _check_filled(packed, shape, torch.uint8, x.device)


def _check_unpack(
    packed: Tensor, step: Tensor, q_min: Tensor, bit_widths: Sequence[int], x: Tensor
) -> None:
    """Refuse what `unpack_dequantize` would read or write beyond."""
    _check_components(x, bit_widths, step, q_min)
    _check_packed(packed, tuple(x.shape), bit_widths)
    _check_filled(x, tuple(x.shape), torch.float32, packed.device)


def _check_components(x: Tensor, bit_widths: Sequence[int], step: Tensor, *symbols: Tensor) -> None:
    if x.dtype != torch.float32 or x.ndim < 2:
        raise StreamError(
            f"got values of shape {tuple(x.shape)}, {x.dtype}; expected (n, k, ...), torch.float32"
        )
    _check_widths(bit_widths)
    k = x.shape[1]
    for tensor, types in ((step, STEPS), *((each, SYMBOLS) for each in symbols)):
        if tensor.shape != (k,) or tensor.dtype not in types or len(bit_widths) != k:
            raise StreamError(
                f"got steps or symbols of shape {tuple(tensor.shape)}, {tensor.dtype}, and "
                f"{len(bit_widths)} widths, for values of {k} components; expected ({k},), "
                f"{types[0]}"
            )
        if tensor.device != x.device:
            raise StreamError(
                f"steps and symbols are on {tensor.device}, the values on {x.device}; move them "
                f"there (Packing.of makes them where its codec is)"
            )


def _check_widths(bit_widths: Sequence[int]) -> None:
    if not all(0 <= width <= MAX_WIDTH for width in bit_widths):
        raise StreamError(f"got widths {sorted(set(bit_widths))}; expected 0 to {MAX_WIDTH}")


def _check_packed(packed: Tensor, shape: tuple[int, ...], bit_widths: Sequence[int]) -> None:
    """Compare packed symbols with the shape of their values."""
    _check_widths(bit_widths)
    expected = (shape[0], packed_bytes(bit_widths, prod(shape[2:])))
    if packed.dtype != torch.uint8 or packed.shape != expected:
        raise StreamError(
            f"got packed symbols of shape {tuple(packed.shape)}, {packed.dtype}; expected "
            f"{expected}, torch.uint8, for values of shape {shape}"
        )


def _check_filled(
    out: Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> None:
    """Refuse an output that is not exactly what will be written."""
    fits = out.shape == shape and out.dtype == dtype and out.device == device
    if not fits or not out.is_contiguous():
        raise StreamError(
            f"the output has shape {tuple(out.shape)}, {out.dtype}, on {out.device}; expected "
            f"{shape}, {dtype}, contiguous, on {device}"
        )
