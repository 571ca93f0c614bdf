"""A frozen network gives, bit for bit, what the compressed one gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actpress.calibration import calibrate
from actpress.deploy.freeze import freeze
from actpress.errors import ModelError
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press

MakePressed = Callable[..., CompressedModel]


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA, Transform.HADAMARD])
@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("rank", [5, 8])
def test_a_frozen_network_is_the_compressed_one(
    make_pressed: MakePressed,
    images: Tensor,
    transform: Transform,
    placement: Placement,
    rank: int,
) -> None:
    pressed = make_pressed(transform, placement=placement, rank=rank)
    frozen = freeze(pressed)

    with torch.no_grad():
        assert frozen(images).equal(pressed(images))


def test_maps_of_one_pixel_are_equal_too(images: Tensor) -> None:
    """Convolutions round differently in other strides, of which sizes of 1 leave a choice."""
    network = nn.Sequential(
        nn.Conv2d(1, 96, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(96, 64, 1), nn.Flatten()
    )
    graph = capture(network.eval(), images[:2])
    placements = {site.name: Placement.PRE_ACT for site in graph.sites}
    statistics = calibrate(graph, [images], placements)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.PRE_ACT,
            transform=Transform.PCA,
            channels=site.channels,
            rank=site.channels // 2,
            step=0.01,
        )
        for site in graph.sites
    )
    plan = Plan(method="test", fingerprint=graph.fingerprint, sites=sites)
    pressed = press(graph, plan, statistics)
    fit_tables(pressed, [images])

    with torch.no_grad():
        assert freeze(pressed)(images).equal(pressed(images))


def test_symbols_are_the_output_of_quantize(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA, rank=4)
    seen: dict[str, Tensor] = {}
    frozen = freeze(pressed)
    path = pressed.network.codec_paths["relu"]
    frozen.get_submodule(f"{path}.quantize").register_forward_hook(
        lambda _, x, q: seen.update(z=x[0], q=q)
    )
    stored = {}
    pressed.codecs["relu"].register_forward_hook(lambda codec, x, _: stored.update(x=x[0]))

    with torch.no_grad():
        frozen(images), pressed(images)

    assert seen["q"].int().equal(pressed.codecs["relu"].encode(stored["x"]))


def test_nothing_of_the_codecs_is_left(make_pressed: MakePressed) -> None:
    pressed = make_pressed(Transform.PCA)
    frozen = freeze(pressed)
    kinds = {type(module).__module__.partition(".")[0] for module in frozen.modules()}
    own = {type(module).__name__ for module in frozen.modules() if "actpress" in str(type(module))}

    assert kinds <= {"torch", "actpress"}
    assert own == {"RoundClamp"}
    assert not any(
        parameter.requires_grad for path, parameter in frozen.named_parameters() if "codecs" in path
    )


def test_freezing_shares_nothing(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA)
    with torch.no_grad():
        expected = pressed(images)
        for tensor in freeze(pressed).state_dict().values():
            tensor.zero_()
        assert pressed(images).equal(expected)


def test_other_networks_are_refused(model: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"expected a compressed network.*got Tiny"):
        freeze(model)  # type: ignore[arg-type]
