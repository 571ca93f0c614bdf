"""The compiled mixture is the plain one, and its gradients are what they should be."""

import pytest
import torch
from torch import Tensor

from actpress.kernels.mixture import Quantizers, gradients_reference, mix_quantized, mix_reference


def quantizers(components: int = 5) -> Quantizers:
    """Widths 0 to 3 around zero; the last component has levels on both sides of zero."""
    step = torch.rand(components, 4, generator=torch.Generator().manual_seed(3)) + 0.2
    centre = torch.zeros(components, 4)
    centre[-1] = 0.5
    levels = torch.tensor([0, 2, 4, 8]).expand(components, 4)
    low = -(levels // 2).float()
    return Quantizers(step, centre, low, low + levels - 1)


@pytest.fixture
def y() -> Tensor:
    return 2 * torch.randn(3, 5, 4, 7, generator=torch.Generator().manual_seed(1))


def weights(components: int = 5) -> Tensor:
    return torch.rand(components, 4, generator=torch.Generator().manual_seed(2)).softmax(1)


def test_compiled_loops_agree_with_the_definition(y: Tensor) -> None:
    flat = y.flatten(2).requires_grad_()
    table, mixture = quantizers(), weights().requires_grad_()
    table.step.requires_grad_()
    result = mix_quantized(flat, mixture, table)
    torch.testing.assert_close(result, mix_reference(flat, mixture, table))
    slopes = torch.randn(result.shape, generator=torch.Generator().manual_seed(4))
    result.backward(slopes)
    expected = gradients_reference(slopes, flat.detach(), mixture.detach(), table)
    for tensor, gradient in zip((flat, mixture, table.step), expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)


def test_one_quantizer_of_weight_one_is_plain_quantization(y: Tensor) -> None:
    table = quantizers()
    for index, (lowest, highest) in enumerate([(0, -1), (-1, 0), (-2, 1), (-4, 3)]):
        chosen = torch.zeros(5, 4)
        chosen[:, index] = 1
        result = mix_quantized(y, chosen, table)
        if index == 0:
            assert not result.any()
            continue
        step = table.step[:, index, None, None]
        q = (y[:, :4] / step[:4]).round().clamp(lowest, highest)
        torch.testing.assert_close(result[:, :4], q * step[:4])
        halves = result[:, 4] / step[4]
        assert (halves - halves.round()).abs().sub(0.5).abs().max() < 1e-5


def test_gradients_of_weights_and_steps_are_finite_differences(y: Tensor) -> None:
    """Exact for the weights; for steps where the rounding is frozen: inside, q - z is LSQ's."""
    table, mixture = quantizers(), weights().requires_grad_()
    mix_quantized(y, mixture, table).square().sum().backward()
    nudge = torch.zeros(5, 4)
    nudge[2, 3] = 1e-3
    with torch.no_grad():
        up = mix_quantized(y, mixture + nudge, table).square().sum()
        down = mix_quantized(y, mixture - nudge, table).square().sum()
    assert float(mixture.grad[2, 3]) == pytest.approx(float((up - down) / 2e-3), rel=2e-2)


def test_the_step_learns_from_clamped_values() -> None:
    """All of y far outside: the highest level follows the step, and y itself gets no gradient."""
    y = torch.full((1, 1, 6), 10.0, requires_grad=True)
    step = torch.ones(1, 1, requires_grad=True)
    table = Quantizers(step, torch.zeros(1, 1), torch.tensor([[-2.0]]), torch.tensor([[1.0]]))
    mix_quantized(y, torch.ones(1, 1), table).sum().backward()
    assert float(step.grad) == 6.0
    assert not y.grad.any()
