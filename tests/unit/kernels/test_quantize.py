"""The fused quantizer is its definition, and its gradient that of the plain form."""

import pytest
import torch
from torch import Tensor

from actpress.kernels import quantize, quantize_reference
from tests.conftest import two_threads

SHAPES = [(3, 5, 7, 9), (2, 30, 16, 16), (4, 1, 1, 1), (1, 3, 6, 1), (5, 7), (2, 3, 11)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def case(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    z = 4 * torch.randn(shape, generator=generator, dtype=dtype)
    z[0, 0] = torch.tensor(0.5)  # ties go to even
    z[-1, -1] = 0.0
    low = torch.randint(-5, 1, (shape[1],), generator=generator, dtype=torch.int32)
    high = low + torch.randint(0, 8, (shape[1],), generator=generator, dtype=torch.int32)
    if len(shape) == 4:
        z = z.contiguous(memory_format=layout)
    return z, low, high


def plain(z: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Rounded straight through, by autograd: torch's clamp passes nothing outside."""
    beside = [-1, *[1] * (z.ndim - 2)]
    low, high = low.to(z.dtype).reshape(beside), high.to(z.dtype).reshape(beside)
    inside = torch.maximum(torch.minimum(z, high), low)
    rounded = torch.maximum(torch.minimum(z.round(), high), low)
    return inside + (rounded - inside).detach(), z.abs().mean(dim=(0, *range(2, z.ndim)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_symbols_and_magnitudes_are_those_of_the_definition(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    z, low, high = case(shape, layout, dtype)
    q, mean_abs = quantize(z, low, high)
    wanted, magnitude = quantize_reference(z, low.to(dtype), high.to(dtype))
    assert torch.equal(q, wanted)
    torch.testing.assert_close(mean_abs, magnitude)
    with two_threads():
        again, same = quantize(z, low, high)
    assert torch.equal(again, q)
    assert torch.equal(same, mean_abs)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_the_plain_form(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    z, low, high = case(shape, layout, torch.float64)
    weights = torch.randn(shape, dtype=torch.float64)
    of_mean = torch.randn(shape[1], dtype=torch.float64)
    gradients = []
    for form in (quantize, plain):
        leaf = z.clone().requires_grad_(True)
        q, mean_abs = form(leaf, low, high)
        ((q * weights).sum() + (mean_abs * of_mean).sum()).backward()
        gradients.append(leaf.grad)
    fused, wanted = gradients
    edge = torch.isin(z, torch.cat([low, high]).double())  # torch halves a gradient at a tie
    assert fused is not None
    assert wanted is not None
    torch.testing.assert_close(fused[~edge], wanted[~edge])


def test_nan_and_huge_values_are_not_hidden() -> None:
    z = torch.tensor([[float("nan"), 1e30, -1e30, float("inf")]])
    q, mean_abs = quantize(z, torch.full((4,), -8), torch.full((4,), 7))
    assert q[0, 0].isnan()
    assert q[0, 1:].tolist() == [7.0, -8.0, 7.0]
    assert mean_abs[0].isnan()
