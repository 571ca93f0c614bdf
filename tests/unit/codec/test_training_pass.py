"""The codec as training runs it is the plain one, and so are its gradients."""

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from actpress.codec import Basis, LinearProjection, family_of, gradients_in_bfloat16, training_pass
from actpress.codec.training_pass import Passed, pass_in_training
from actpress.kernels import quantize
from actpress.plan import Transform
from tests.conftest import two_threads

Pass = Callable[[Tensor, LinearProjection, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Case = tuple[Tensor, LinearProjection, Tensor, Tensor, Tensor]

SHAPES = [(3, 20, 6, 4), (2, 70, 2, 2), (2, 40, 5, 7), (5, 33), (2, 18, 9), (1, 4, 1, 1)]
"""With more and with fewer pixels than channels."""


def case(shape: tuple[int, ...], *, block: int = 1, coded: int | None = None) -> Case:
    """A value, a projection of full rank, and its quantizer; the first components are `coded`."""
    generator = torch.Generator().manual_seed(sum(shape))

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator, dtype=torch.float64)

    c = shape[1] * block**2
    basis = Basis(torch.eye(c), torch.ones(c), torch.eye(c))
    projection = LinearProjection(family_of(Transform.LEARNED), basis, torch.zeros(c), block=block)
    for parameter in projection.parameters():
        parameter.data = normal(*parameter.shape) / c**0.5
    step = 0.3 + torch.rand(c, generator=generator, dtype=torch.float64)
    low, high = torch.full((c,), -2), torch.full((c,), 1)
    if coded is not None:
        low[coded:], high[coded:] = 0, 0
    return 2 * normal(*shape), projection, step, low, high


def plainly(
    x: Tensor, projection: LinearProjection, step: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    q, mean_abs = quantize(projection.encode(x, step), low, high)
    return projection.decode(q, step), mean_abs


def fused(
    x: Tensor, projection: LinearProjection, step: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    passed = pass_in_training(x, projection, step, low, high)
    return passed.x_hat, passed.mean_abs


def results(form: Pass, given: Case, learning: str, *, rated: slice | None) -> list[Tensor]:
    """Outputs, and gradients of what learns, with a loss of the value and of some rates."""
    x, projection, step, low, high = given
    own = dict(projection.named_parameters())
    leaves = {"x": x.clone(), "step": nn.Parameter(step.clone()), **own}
    for name, leaf in leaves.items():
        leaf.requires_grad_(name in learning.split())
        leaf.grad = None
    x_hat, mean_abs = form(leaves["x"], projection, leaves["step"], low, high)
    loss = x_hat.sin().sum()
    if rated is not None:
        loss = loss + mean_abs[rated].square().sum()
    loss.backward()
    return [x_hat, mean_abs, *(leaf.grad for leaf in leaves.values() if leaf.grad is not None)]


@pytest.mark.parametrize("coded", [None, 17, 1, 0])
@pytest.mark.parametrize("rated", [None, slice(0, 1), slice(None)])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_plain_form(
    shape: tuple[int, ...], rated: slice | None, coded: int | None
) -> None:
    given = case(shape, coded=coded)
    learning = "x step encoder decoder mean offset"
    wanted = results(plainly, given, learning, rated=rated)
    found = results(fused, given, learning, rated=rated)
    assert len(found) == 8
    for own, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, plain)
    with two_threads():
        again = results(fused, given, learning, rated=rated)
    for own, same in zip(found, again, strict=True):
        torch.testing.assert_close(own, same)


@pytest.mark.parametrize("learning", ["x", "encoder", "decoder offset", "step", "mean"])
def test_only_what_learns_gets_a_gradient(learning: str) -> None:
    given = case(SHAPES[0])
    wanted = results(plainly, given, learning, rated=slice(None))
    found = results(fused, given, learning, rated=slice(None))
    assert len(found) == 2 + len(learning.split())
    for own, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, plain)


def test_blocks_of_pixels_pass_likewise() -> None:
    given = case((2, 5, 6, 8), block=2)
    learning = "x step encoder decoder mean offset"
    wanted = results(plainly, given, learning, rated=slice(None))
    for own, plain in zip(results(fused, given, learning, rated=slice(None)), wanted, strict=True):
        torch.testing.assert_close(own, plain)


def test_components_are_whole_numbers_of_steps() -> None:
    x, projection, step, low, high = case(SHAPES[0])
    passed: Passed = pass_in_training(x, projection, step, low, high)
    q = passed.y_hat / step[:, None, None]
    torch.testing.assert_close(q, q.round())
    assert not passed.y_hat.requires_grad


def in_float32(given: Case) -> Case:
    x, projection, step, low, high = given
    return x.float(), cast(LinearProjection, projection.float()), step.float(), low, high


@pytest.mark.parametrize("shape", [(4, 48, 9, 9), (4, 48, 1, 1)])
def test_gradients_in_bfloat16_are_near_and_values_are_the_same(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, learning = in_float32(case(shape)), "x encoder decoder"
    exact = results(fused, given, learning, rated=None)
    monkeypatch.setattr(training_pass, "multiplies_bfloat16", lambda: True)
    with gradients_in_bfloat16():
        lower = results(fused, given, learning, rated=None)
    assert torch.equal(lower[0], exact[0])
    assert not torch.equal(lower[2], exact[2])
    for own, wanted in zip(lower, exact, strict=True):
        assert own.dtype == torch.float32
        assert float((own - wanted).detach().norm() / wanted.detach().norm()) < 0.01
    monkeypatch.setattr(training_pass, "multiplies_bfloat16", lambda: False)
    with gradients_in_bfloat16():
        same = results(fused, given, learning, rated=None)
    for own, wanted in zip(same, exact, strict=True):
        assert torch.equal(own, wanted)
