"""Matrices on the channel axis, and their gradients."""

import pytest
import torch

from actpress.codec.mixing import mix_channels


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("sizes", [(3, 4), (48, 51), (48, 20)])
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
