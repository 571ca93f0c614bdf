"""Learning rates in quantization steps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from actpress.codec import SiteCodec
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from actpress.tune import TuneSettings, learned_parameters

MakePressed = Callable[..., CompressedModel]
SETTINGS = TuneSettings(encoder_lr=1e-3, decoder_lr=2e-3)


def rates(pressed: CompressedModel, images: Tensor) -> dict[int, float]:
    """Peak learning rate by the identity of the parameter."""
    learned = learned_parameters(pressed, SETTINGS, images)
    return {id(p): group.peak_lr for group in learned for p in group.parameters}


def moved_by_a_step_of_adam(
    codec: SiteCodec, x: Tensor, rate: dict[int, float]
) -> tuple[float, float]:
    """RMS movement of components in steps, and of restored values in what one symbol changes."""
    generator = torch.Generator().manual_seed(0)
    projection = codec.projection

    def nudged(parameter: Tensor) -> Tensor:
        signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
        return rate[id(parameter)] * signs

    centred = (x - projection.mean[:, None, None]).flatten(2)
    component = (nudged(projection.encoder) @ centred) / codec.step[:, None]
    y_hat = codec.encode(x).flatten(2) * codec.step[:, None]
    restored = nudged(projection.decoder) @ y_hat
    one_symbol = (projection.decoder * codec.step).square().sum(1).mean().sqrt()
    return (
        float(component.square().mean().sqrt()),
        float(restored.square().mean().sqrt() / one_symbol),
    )


@pytest.mark.parametrize("coarseness", [0.1, 1.0])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_an_update_moves_symbols_and_values_by_the_rate(
    make_pressed: MakePressed, images: Tensor, coarseness: float, scale: float
) -> None:
    """Whatever the size of the values, of the matrices' entries, and of the steps."""
    pressed = make_pressed(Transform.LEARNED, rank=4, coarseness=coarseness)
    codec, seen = pressed.codecs["relu"], []
    codec.projection.encoder.mul_(scale)
    codec.projection.decoder.div_(scale)
    codec.step.mul_(scale)
    hook = codec.register_forward_hook(lambda _codec, given, _out: seen.append(given[0]))
    with torch.no_grad():
        pressed.eval()(images[:32])
    hook.remove()

    component, value = moved_by_a_step_of_adam(codec, seen[0], rates(pressed, images[:32]))

    assert component == pytest.approx(SETTINGS.encoder_lr, rel=0.5)
    assert value == pytest.approx(SETTINGS.decoder_lr, rel=0.5)


def test_a_site_without_a_symbol_keeps_its_rates_in_bounds(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed(Transform.LEARNED, coarseness=1e4)
    found = rates(pressed, torch.zeros_like(images[:8]))
    for codec in pressed.codecs.values():
        for parameter in (codec.projection.encoder, codec.projection.decoder):
            assert 0 < found[id(parameter)] <= 0.11 * float(parameter.square().mean().sqrt())
