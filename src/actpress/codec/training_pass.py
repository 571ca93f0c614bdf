"""A codec with a linear projection as training runs it: one function with its own gradient."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.codec.blocks import as_blocks, from_blocks
from actpress.codec.projection import LinearProjection
from actpress.kernels import pass_gradients, quantize_pixels

WHOLE_VECTOR = 16
"""Components are left out of products by so many."""

_training: ContextVar[bool] = ContextVar("actpress_training", default=False)
_lower: ContextVar[bool] = ContextVar("actpress_gradients_in_bfloat16", default=False)


@contextmanager
def in_training() -> Iterator[None]:
    """What is computed in the block serves training alone: values may differ by rounding."""
    token = _training.set(True)
    try:
        yield
    finally:
        _training.reset(token)


@contextmanager
def gradients_in_bfloat16(*, allowed: bool = True) -> Iterator[None]:
    """In what is computed in the block, gradients pass matrices in bfloat16, values in float32.

    Where the processor has no instructions that multiply matrices of bfloat16, nothing changes.
    """
    token = _lower.set(allowed and multiplies_bfloat16())
    try:
        yield
    finally:
        _lower.reset(token)


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor has matrices of bfloat16 (AMX), which are several times faster."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


class Passed(NamedTuple):
    """What came of a value.

    Attributes:
        x_hat: shape (n, c, ...).
        y_hat: restored components, shape (n, k, ...), without a gradient.
        mean_abs: E|y| / step of each component, shape (k,).
    """

    x_hat: Tensor
    y_hat: Tensor
    mean_abs: Tensor


def trains_compiled(projection: object, x: Tensor, step: Tensor) -> bool:
    """Whether `pass_in_training` is for them: training wants a gradient, of values on the CPU.

    Torch's compiler makes loops of its own.
    """
    if torch.compiler.is_compiling() or not (_training.get() and torch.is_grad_enabled()):
        return False
    if not isinstance(projection, LinearProjection):
        return False
    learning = any(each.requires_grad for each in (x, step, *projection.parameters()))
    return learning and x.device.type == "cpu" and x.numel() > 0


def pass_in_training(
    x: Tensor, projection: LinearProjection, step: Tensor, q_min: Tensor, q_max: Tensor
) -> Passed:
    """Encode, quantize and decode x, shape (n, c, ...), not empty, on the CPU.

    The same as `LinearProjection.encode`, `quantize` and `LinearProjection.decode` up to rounding.
    Steps are not multiplied into matrices, components that have one symbol only are left out of
    products that they do not change, and no gradient is computed that nobody needs.
    """
    pixels = as_blocks(x, projection.block).movedim(1, -1).contiguous()
    bounds = torch.stack([q_min, q_max]).to(x.dtype)
    own = projection.encoder, projection.mean, projection.decoder, projection.offset
    passed = _Pass.apply(pixels, *own, step, bounds)  # type: ignore[no-untyped-call]
    x_hat, y_hat, mean_abs = cast(tuple[Tensor, Tensor, Tensor], passed)
    x_hat = from_blocks(x_hat.movedim(-1, 1), projection.block)
    return Passed(x_hat, y_hat.movedim(-1, 1), mean_abs)


class _Pass(torch.autograd.Function):
    """y = Q(E (x - mean)), x_hat = D y + offset, channels last.

    With g the gradient of E (x - mean), that of E is sum g (x - mean)^T, over all pixels, of which
    only sums of g x^T and g are taken. E|z|, with z = E (x - mean) / step, depends on a step by
    -E|z| / step.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd functions take their tensors one by one
        ctx: Any,
        x: Tensor,
        encoder: Tensor,
        mean: Tensor,
        decoder: Tensor,
        offset: Tensor,
        step: Tensor,
        bounds: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        w = _product(x, encoder, -(encoder @ mean))
        y, mean_abs = quantize_pixels(_images(w), bounds, step)
        y = y.reshape(w.shape)
        coded = _first(bounds.any(0))
        x_hat = _product(y[..., :coded], decoder[:, :coded], offset)
        ctx.save_for_backward(x, encoder, mean, decoder, step, bounds, w, y, mean_abs)
        ctx.lower = _lower.get() and x.dtype == torch.float32
        ctx.coded = coded
        ctx.mark_non_differentiable(y)
        ctx.set_materialize_grads(False)
        return x_hat, y, mean_abs

    @staticmethod
    def backward(
        ctx: Any, of_x_hat: Tensor | None, _: None, of_mean_abs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x, encoder, mean, decoder, step, bounds, w, y, mean_abs = ctx.saved_tensors
        needs_x, needs_encoder, needs_mean, needs_decoder, needs_offset, needs_step, _ = (
            ctx.needs_input_grad
        )
        of_x = of_encoder = of_mean = of_decoder = of_offset = of_step = None
        of_x_hat = torch.zeros_like(x) if of_x_hat is None else of_x_hat.contiguous()
        of_mean_abs = torch.zeros_like(step) if of_mean_abs is None else of_mean_abs
        product = _product_in_bfloat16 if ctx.lower else _product
        if needs_offset:
            of_offset = of_x_hat.flatten(0, -2).sum(0)
        if needs_decoder:
            of_decoder = torch.zeros_like(decoder)
            _outer_sum(of_x_hat, y[..., : ctx.coded], of_decoder[:, : ctx.coded], lower=ctx.lower)
        if not (needs_x or needs_encoder or needs_mean or needs_step):
            return None, None, None, of_decoder, of_offset, None, None
        moved = max(ctx.coded, _first(of_mean_abs != 0))
        of_w = product(of_x_hat, decoder[:, :moved].t())
        sums = pass_gradients(_images(w), bounds, step, _images(of_w), of_mean_abs)
        step_sums, total = sums
        if needs_step:
            of_step = F.pad(step_sums, (0, len(step) - moved)) - of_mean_abs * mean_abs / step
        if needs_mean:
            of_mean = -(total @ encoder[:moved])
        if needs_encoder:
            of_encoder = torch.zeros_like(encoder)
            _outer_sum(of_w, x, of_encoder[:moved], lower=ctx.lower)
            of_encoder[:moved].addr_(total, mean, alpha=-1)
        if needs_x:
            of_x = product(of_w, encoder[:moved].t())
        return of_x, of_encoder, of_mean, of_decoder, of_offset, of_step, None


def _product(x: Tensor, matrix: Tensor, bias: Tensor | None = None) -> Tensor:
    """Matrix (k, c) times the last axis of x (n, ..., c); contiguous.

    With many pixels convolutions are the faster product; with fewer than channels they spend their
    time on laying out the matrix.
    """
    many = x.numel() >= x.shape[-1] ** 2
    if x.ndim == 4 and many and x.is_contiguous():
        planes = F.conv2d(x.permute(0, 3, 1, 2), matrix[:, :, None, None], bias)
        return planes.permute(0, 2, 3, 1).contiguous()
    return F.linear(x, matrix, bias)


def _product_in_bfloat16(x: Tensor, matrix: Tensor) -> Tensor:
    return F.linear(x.bfloat16(), matrix.bfloat16()).to(x.dtype)


def _outer_sum(left: Tensor, right: Tensor, out: Tensor, *, lower: bool) -> None:
    """Sum over all pixels of the products of left (n, ..., a) and right (n, ..., b) into (a, b)."""
    rows, columns = left.flatten(0, -2).t(), right.flatten(0, -2)
    if lower:
        out.copy_(rows.bfloat16() @ columns.bfloat16())
    else:
        torch.mm(rows, columns, out=out)


def _images(values: Tensor) -> Tensor:
    """Values (n, ..., k), contiguous, as (n, p, k)."""
    return values.reshape(len(values), -1, values.shape[-1])


def _first(used: Tensor) -> int:
    """How many components hold all that are used, shape (k,), bool; by whole vectors."""
    last = int(used.nonzero().max()) + 1 if used.any() else 1
    return min(len(used), -(-last // WHOLE_VECTOR) * WHOLE_VECTOR)
