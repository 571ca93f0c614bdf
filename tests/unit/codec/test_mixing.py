"""Matrices on the channel axis, and their gradients."""

import pytest
import torch

from actpress.codec import mixing
from actpress.codec.mixing import LARGE, gradients_in_bfloat16, mix_channels


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("sizes", [(3, 4), (LARGE, LARGE + 3), (LARGE, 20), (LARGE + 60, LARGE)])
def test_gradients_are_those_of_the_product(
    sizes: tuple[int, int], layout: torch.memory_format
) -> None:
    k, c = sizes
    gradients = []
    for form in ("convolution", "product"):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, c, 5, 7, generator=generator, dtype=torch.float64)
        x = x.contiguous(memory_format=layout).requires_grad_(True)
        matrix = torch.randn(k, c, generator=generator, dtype=torch.float64).requires_grad_(True)
        bias = torch.randn(k, generator=generator, dtype=torch.float64).requires_grad_(True)
        if form == "convolution":
            mixed = mix_channels(matrix, x, bias)
        else:
            mixed = torch.einsum("kc,nchw->nkhw", matrix, x) + bias[:, None, None]
        weights = torch.randn(mixed.shape, generator=generator, dtype=torch.float64)
        (mixed * weights).sum().backward()
        gradients.append([mixed, x.grad, matrix.grad, bias.grad])
    for own, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(own, wanted)


def gradients_of(
    x: torch.Tensor, matrix: torch.Tensor, *, allowed: bool | None
) -> list[torch.Tensor]:
    bias = torch.randn(len(matrix), generator=torch.Generator().manual_seed(1))
    leaves = [values.clone().requires_grad_(True) for values in (matrix, x, bias)]
    if allowed is None:
        mixed = mix_channels(*leaves)
    else:
        with gradients_in_bfloat16(allowed=allowed):
            mixed = mix_channels(*leaves)
    mixed.sin().sum().backward()
    return [mixed.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("side", [1, 9])
def test_gradients_in_bfloat16_are_near_and_values_are_the_same(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, matrix = torch.randn(4, LARGE, side, side), torch.randn(LARGE + 1, LARGE) / 7
    monkeypatch.setattr(mixing, "multiplies_bfloat16", lambda: True)
    exact = gradients_of(x, matrix, allowed=None)
    for own, wanted in zip(gradients_of(x, matrix, allowed=False), exact, strict=True):
        assert torch.equal(own, wanted)
    lower = gradients_of(x, matrix, allowed=True)
    assert torch.equal(lower[0], exact[0])
    assert not torch.equal(lower[1], exact[1])
    for own, wanted in zip(lower, exact, strict=True):
        assert own.dtype == torch.float32
        assert float((own - wanted).norm() / wanted.norm()) < 0.006
    monkeypatch.setattr(mixing, "multiplies_bfloat16", lambda: False)
    for own, wanted in zip(gradients_of(x, matrix, allowed=True), exact, strict=True):
        assert torch.equal(own, wanted)
