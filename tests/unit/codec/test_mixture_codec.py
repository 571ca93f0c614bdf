"""Mixtures of bit-widths: gradients move widths, windows move with them, bits are counted."""

import pytest
import torch
from torch import Tensor

from actpress.budget import View
from actpress.codec import IdentityProjection, MixtureCodec, laplace_entropy_bits


def codec(view: View = View.FIXED, *, width: int = 4, **options: int | bool) -> MixtureCodec:
    """Two groups: components 0 and 1 of range 8, component 2 of range 1."""
    made = MixtureCodec(
        IdentityProjection(3),
        torch.tensor([0, 0, 1]),
        torch.tensor([3.0, 0.0]),
        torch.tensor([width, width]),
        view=view,
        **options,  # type: ignore[arg-type]
    )
    for parameter in made.parameters():
        parameter.requires_grad_()
    return made


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 5, 5, generator=generator) * torch.tensor([1.0, 2, 0.1])[:, None, None]


def test_the_window_is_centred_and_stays_between_0_and_8() -> None:
    assert codec(width=4).widths().tolist() == [[3, 4, 5]] * 2
    assert codec(width=0).widths().tolist() == [[0, 1, 2]] * 2
    assert codec(width=8).widths().tolist() == [[6, 7, 8]] * 2
    assert codec(width=8).chosen_widths().tolist() == [8, 8]
    assert codec(width=5, candidates=9).widths().tolist() == [list(range(9))] * 2


def test_a_decided_mixture_is_a_uniform_quantizer(x: Tensor) -> None:
    made = codec(width=3)
    made.temperature.fill_(1e-3)
    x_hat = made(x).x_hat
    step = torch.tensor([1.0, 1.0, 0.125])[:, None, None]
    levels = ((x / step - 0.5).round().clamp(-4, 3) + 0.5) * step
    torch.testing.assert_close(x_hat, levels)


def test_unsigned_levels_start_at_zero(x: Tensor) -> None:
    made = codec(width=2, signed=False)
    made.temperature.fill_(1e-3)
    step = torch.tensor([2.0, 2.0, 0.25])[:, None, None]
    torch.testing.assert_close(made(x.abs()).x_hat, (x.abs() / step).round().clamp(0, 3) * step)


def test_fixed_bits_are_the_weighted_widths(x: Tensor) -> None:
    made = codec()
    expected = (made.weights() * made.widths()).sum(1)
    bits = 25 * (2 * expected[0] + expected[1])
    torch.testing.assert_close(made(x).rate_bits, bits)
    with torch.no_grad():
        assert float(made(x).rate_bits) == 0.0


def test_entropy_bits_are_those_of_the_rounded_components(x: Tensor) -> None:
    made = codec(View.ENTROPY, width=1)
    made.temperature.fill_(1e-3)
    mean_abs = x.abs().mean(dim=(0, 2, 3)) / torch.tensor([4.0, 4.0, 0.5])
    torch.testing.assert_close(made(x).rate_bits, 25 * laplace_entropy_bits(mean_abs).sum())


@pytest.mark.parametrize("view", list(View))
def test_the_pull_of_bits_lowers_widths_and_that_of_errors_raises_them(
    x: Tensor, view: View
) -> None:
    made = codec(view)
    made(x).rate_bits.backward()
    assert (made.logits.grad[:, 2] > 0).all()
    assert (made.logits.grad[:, 0] < 0).all()
    made.zero_grad()
    (made(x).x_hat - x).square().sum().backward()
    assert (made.logits.grad[:, 2] < 0).all()
    assert made.log2_range.grad.isfinite().all()
    assert made.log2_range.grad.any()


@pytest.mark.parametrize(("weight", "path"), [(1.0, 0), (0.0, 8)])
def test_a_width_travels_as_far_as_its_gradient_takes_it(
    x: Tensor, weight: float, path: int
) -> None:
    """With only bits to pay, windows go down to nothing; with only errors, up to eight bits."""
    made = codec()
    optimizer = torch.optim.Adam([made.logits], lr=0.5)
    seen = [made.chosen_widths()]
    for _ in range(120):
        optimizer.zero_grad()
        x_hat, rate_bits = made(x)
        (weight * rate_bits / 75 + (1 - weight) * 1e4 * (x_hat - x).square().mean()).backward()
        optimizer.step()
        made.move_windows()
        seen.append(made.chosen_widths())
    assert seen[-1].tolist() == [path, path]
    steps = torch.stack(seen).diff(dim=0).abs()
    assert int(steps.max()) == 1  # never further than a neighbour


def test_what_enters_a_window_starts_with_the_weight_that_leaves() -> None:
    made = codec()
    made.logits.data = torch.tensor([[-4.0, 0.0, 3.0], [3.0, 0.0, -4.0]])
    assert made.move_windows().tolist() == [True, True]
    assert made.widths().tolist() == [[4, 5, 6], [2, 3, 4]]
    assert made.logits.tolist() == [[0.0, 3.0, -4.0], [-4.0, 3.0, 0.0]]
    assert made.chosen_widths().tolist() == [5, 3]
    assert not made.move_windows().any()


def test_a_state_loads_back(x: Tensor) -> None:
    made = codec()
    made.logits.data[0, 2] = 5.0
    made.move_windows()
    made.temperature.fill_(0.3)
    other = codec()
    other.load_state_dict(made.state_dict())
    torch.testing.assert_close(other(x).x_hat, made(x).x_hat)
    assert other.widths().equal(made.widths())
