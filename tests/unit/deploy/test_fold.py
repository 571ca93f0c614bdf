"""A folded network does what the frozen one does, with smaller layers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from actpress.calibration import calibrate
from actpress.deploy.fold import SiteFold, fold
from actpress.errors import ModelError
from actpress.graph import capture
from actpress.plan import GroupPlan, Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from tests.folding import assert_folds

PRE, POST = Placement.PRE_ACT, Placement.POST_ACT
Pressing = Callable[..., CompressedModel]


@pytest.fixture
def x() -> Tensor:
    """Images, shape (12, 3, 8, 8)."""
    return torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def pressing(x: Tensor) -> Pressing:
    """Press a network at some sites: `sites` says what is other than the defaults, by name."""

    def make(model: nn.Module, sites: dict[str, dict[str, object]]) -> CompressedModel:
        graph = capture(model.eval(), x[:2])
        plans = tuple(
            SitePlan.model_validate(
                {
                    "site": name,
                    "placement": PRE,
                    "transform": Transform.PCA,
                    "channels": graph.site(name).channels,
                    "rank": 3,
                    "step": 0.05,
                    **options,
                }
            )
            for name, options in sites.items()
        )
        places = {plan.site: plan.placement for plan in plans}
        blocks = {plan.site: plan.block for plan in plans}
        statistics = calibrate(graph, [x], places, blocks=blocks)
        plan = Plan(method="test", fingerprint=graph.fingerprint, sites=plans)
        pressed = press(graph, plan, statistics)
        fit_tables(pressed, [x])
        return pressed

    return make


def normed(channels: int) -> nn.BatchNorm2d:
    """Of no trivial statistics."""
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean = torch.randn(channels)
    norm.running_var = torch.rand(channels) + 0.5
    return norm


def head(channels: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4)


def dropped(kept: tuple[int, ...], channels: int) -> dict[str, object]:
    """The options of a site without a transform that keeps some of its channels."""
    others = tuple(j for j in range(channels) if j not in kept)
    groups = (
        GroupPlan(components=kept, bit_width=6, step=0.05),
        GroupPlan(components=others, bit_width=0, step=1.0),
    )
    return {
        "transform": Transform.IDENTITY,
        "placement": POST,
        "rank": len(kept),
        "groups": groups,
        "bit_width": 6,
    }


def test_an_encoder_goes_through_normalisation(pressing: Pressing, x: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), normed(8), nn.ReLU(), *head(8))
    pressed = pressing(network, {"2": {}})

    report = assert_folds(pressed, x)

    why = "decoder: it is read otherwise than by a dense layer"
    assert report.sites == (SiteFold("2", "0", (), decodes=True, why=why),)
    # Three outputs for eight, and no matrix of 3 x 8.
    assert report.weights_before - report.weights_after == 5 * 27 + 24
    assert report.macs_before - report.macs_after == 64 * (5 * 27 + 24)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fold(pressed)[0].modules())


@pytest.mark.parametrize("padding", [0, 1, "same"])
def test_a_decoder_meets_padding(pressing: Pressing, x: Tensor, padding: int | str) -> None:
    """The mean of a value after ReLU is far from the zeros that are padded."""
    reader = nn.Conv2d(8, 5, 3, padding=padding)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), reader, nn.ReLU(), *head(5))
    pressed = pressing(network, {"1": {"placement": POST}})

    report = assert_folds(pressed, x)

    assert report.sites[0].decoder == ("2",)
    assert not report.sites[0].decodes
    folded, _ = fold(pressed)
    assert folded.get_submodule("2").weight.shape == (5, 3 + (padding != 0), 3, 3)


def test_padding_of_other_values_needs_no_ones(pressing: Pressing, x: Tensor) -> None:
    reader = nn.Conv2d(8, 5, 3, padding=1, padding_mode="reflect")
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), reader, *head(5))
    pressed = pressing(network, {"1": {"placement": POST}})

    assert assert_folds(pressed, x).sites[0].decoder == ("2",)
    assert fold(pressed)[0].get_submodule("2").weight.shape == (5, 3, 3, 3)


def test_padding_by_a_layer_of_its_own(pressing: Pressing, x: Tensor) -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 5, 3, 2)
    pressed = pressing(nn.Sequential(*layers, *head(5)), {"1": {"placement": POST}})

    assert assert_folds(pressed, x).sites[0].decoder == ("3",)
    assert fold(pressed)[0].get_submodule("3").weight.shape == (5, 4, 3, 3)


class Padded(nn.Module):
    """Zeros about what it reads; after the pixels, `sides` may go on with channels."""

    def __init__(self, *sides: int) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.sides)


def test_blocks_are_not_read_through_padding_of_a_layer_before(
    pressing: Pressing,
) -> None:
    """Two pixels of zeros would be two blocks of them."""
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), Padded(2, 2, 2, 2)
    network = nn.Sequential(*layers, nn.Conv2d(8, 5, 3, padding=1), nn.ReLU(), *head(5))
    pressed = pressing(network, {"1": {"placement": POST, "block": 2}})

    with pytest.raises(ModelError, match="3 cannot read blocks of pixels"):
        fold(pressed, weights_may_grow=True)


def test_padding_that_moves_channels_is_no_padding_of_pixels(pressing: Pressing) -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), Padded(1, 1, 1, 1, 1, -1), nn.Conv2d(8, 5, 3)
    pressed = pressing(nn.Sequential(*layers, nn.ReLU(), *head(5)), {"1": {"placement": POST}})

    with pytest.raises(ModelError, match="it is read otherwise than by a dense layer"):
        fold(pressed)


@pytest.mark.parametrize("sides", [(-1, -1, -1, -1), (1, -1)])
def test_cropping_before_a_layer(pressing: Pressing, x: Tensor, sides: tuple[int, ...]) -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), Padded(*sides), nn.Conv2d(8, 5, 3)
    pressed = pressing(nn.Sequential(*layers, nn.ReLU(), *head(5)), {"1": {"placement": POST}})

    assert assert_folds(pressed, x).sites[0].decoder == ("3",)


def test_a_layer_takes_in_matrices_at_both_sides(pressing: Pressing, x: Tensor) -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), normed(6), nn.ReLU()
    pressed = pressing(nn.Sequential(*layers, *head(6)), {"1": {"placement": POST}, "4": {}})

    report = assert_folds(pressed, x)

    assert [(site.encoder, site.decoder) for site in report.sites] == [(None, ("2",)), ("2", ())]
    assert fold(pressed)[0].get_submodule("2").weight.shape == (3, 4, 3, 3)


class Shortcut(nn.Module):
    """The first value is read by two convolutions and, depending on `added`, an addition."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.added = added
        self.a, self.b, self.c = (nn.Conv2d(i, 6, 3, padding=1) for i in (3, 6, 6))
        self.d = nn.Conv2d(6, 6, 1)
        self.head = nn.Sequential(*head(6))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        y = F.relu(self.c(F.relu(self.b(x)))) + self.d(x)
        return self.head(y + x if self.added else y)


@pytest.mark.parametrize("added", [False, True])
def test_each_reader_folds_for_itself(pressing: Pressing, x: Tensor, added: bool) -> None:  # noqa: FBT001
    pressed = pressing(Shortcut(added=added), {"relu": {"placement": POST}})

    (site,) = assert_folds(pressed, x).sites

    assert set(site.decoder) == {"b", "d"}
    assert site.decodes is added
    names = [str(node.target) for node in fold(pressed)[0].graph.nodes]
    assert ("codecs.relu.decode" in names) is added


def test_blocks_of_pixels_fold_where_they_cost_less(pressing: Pressing, x: Tensor) -> None:
    """A kernel of 4 x 4 at stride 2 in place of four of 3 x 3 and a matrix."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *head(8))
    blocks = {"block": 2, "rank": 4}
    pressed = pressing(network, {"1": blocks})

    assert assert_folds(pressed, x).sites[0].encoder == "0"
    layer = fold(pressed)[0].get_submodule("0")
    assert (layer.weight.shape, layer.stride) == ((4, 3, 4, 4), (2, 2))


def test_weights_grow_only_where_that_is_asked_for(pressing: Pressing, x: Tensor) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), *head(16)
    )
    blocks = {"block": 2, "rank": 6, "placement": POST, "number_bits": 4}
    pressed = pressing(network, {"1": blocks})

    with pytest.raises(ModelError, match=r"2 would take more weights or arithmetic"):
        fold(pressed)
    report = assert_folds(pressed, x, weights_may_grow=True)

    assert report.sites[0].decoder == ("2",)
    assert report.weights_after > report.weights_before
    assert report.macs_after < report.macs_before


def test_dropped_channels_are_neither_computed_nor_read(pressing: Pressing, x: Tensor) -> None:
    """Choosing channels goes past any activation; steps go past those that scale."""
    for activation in (nn.ReLU(), nn.SiLU()):
        layers = nn.Conv2d(3, 8, 3), normed(8), activation, nn.Conv2d(8, 5, 3, padding=1)
        pressed = pressing(nn.Sequential(*layers, *head(5)), {"2": dropped((1, 4, 6), 8)})

        (site,) = assert_folds(pressed, x).sites

        assert (site.encoder, site.decoder, site.decodes) == ("0", ("3",), False)
        folded, _ = fold(pressed)
        assert folded.get_submodule("0").weight.shape == (3, 3, 3, 3)
        assert folded.get_submodule("3").weight.shape == (5, 3, 3, 3)
        kept = "codecs.2.encode" in dict(folded.named_modules())
        assert kept is isinstance(activation, nn.SiLU)
        assert ("steps" in site.why) is kept


def test_steps_alone_fold_into_layers_with_groups(pressing: Pressing, x: Tensor) -> None:
    layers = nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, groups=6)
    plan = {"transform": Transform.IDENTITY, "placement": POST, "rank": 6}
    pressed = pressing(nn.Sequential(*layers, *head(6)), {"1": plan})

    (site,) = assert_folds(pressed, x).sites

    assert (site.encoder, site.decoder, site.why) == ("0", ("2",), "")
    symbols: list[Tensor] = []
    folded, _ = fold(pressed)
    folded.get_submodule("2").register_forward_hook(lambda _, given, __: symbols.append(given[0]))
    folded(x)
    assert symbols[0].equal(symbols[0].round()), "the layer reads the stored integers"


def test_transposed_and_one_dimensional_layers(pressing: Pressing, x: Tensor) -> None:
    up = nn.ConvTranspose2d(8, 5, 3, stride=2, padding=1, output_padding=1)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), up, nn.ReLU(), nn.Flatten(2), nn.Conv1d(5, 7, 3)
    network = nn.Sequential(*layers, nn.ReLU(), nn.Conv1d(7, 4, 5, padding=2), nn.Flatten())
    pressed = pressing(network, {"1": {"placement": POST}, "3": {}, "6": {"placement": POST}})

    report = assert_folds(pressed, x)

    assert [(site.encoder, site.decoder) for site in report.sites] == [
        (None, ("2",)),
        ("2", ()),
        (None, ("7",)),
    ]


def test_functions_with_weights_of_a_module_fold(pressing: Pressing, x: Tensor) -> None:
    class Same(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias, self.stride)

    network = nn.Sequential(Same(3, 8, 3), nn.ReLU(), Same(8, 5, 3), *head(5))
    pressed = pressing(network, {"1": {"placement": POST}})

    assert assert_folds(pressed, x).sites[0].decoder == ("2",)


def hooked(layer: nn.Conv2d) -> nn.Conv2d:
    layer.register_forward_hook(lambda _, __, output: output.clamp(max=1))
    return layer


def hooked_before(layer: nn.Conv2d) -> nn.Conv2d:
    layer.register_forward_pre_hook(lambda _, given: (given[0] * 2,))
    return layer


def shadowed(layer: nn.Conv2d) -> nn.Conv2d:
    layer.forward = lambda x: F.conv2d(x, layer.weight).clamp(max=1)  # type: ignore[method-assign]
    return layer


@pytest.mark.filterwarnings("ignore:kept whole")  # a parametrization is a module in a layer
@pytest.mark.parametrize("make", [hooked, hooked_before, shadowed, parametrizations.weight_norm])
def test_layers_that_do_more_than_apply_their_weight_stay(
    pressing: Pressing, x: Tensor, make: Callable[[nn.Conv2d], nn.Module]
) -> None:
    def network(layer: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), layer, *head(5))

    plain = pressing(network(nn.Conv2d(8, 5, 3)), {"1": {"placement": POST}})
    assert assert_folds(plain, x).sites[0].decoder == ("2",)
    special = pressing(network(make(nn.Conv2d(8, 5, 3))), {"1": {"placement": POST}})
    with pytest.raises(ModelError, match="nothing of this network folds"):
        fold(special)


def test_weights_that_are_used_twice_stay(pressing: Pressing) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
            self.c.weight = self.b.weight
            self.head = nn.Sequential(*head(8))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.c(F.relu(self.b(F.relu(self.a(x))))))

    pressed = pressing(Tied(), {"relu": {"placement": POST}})
    with pytest.raises(ModelError, match="nothing of this network folds"):
        fold(pressed)


def test_nothing_folds_is_refused_with_sites_and_reasons(pressing: Pressing) -> None:
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, groups=2)
    network = nn.Sequential(*layers, nn.SiLU(), *head(6))
    pressed = pressing(network, {"1": {"placement": POST}, "4": {}})

    with pytest.raises(ModelError) as caught:
        fold(pressed)

    assert str(caught.value) == (
        "nothing of this network folds: 1 (encoder: an activation follows 0, decoder: it is read "
        "otherwise than by a dense layer); 4 (encoder: 3 has groups of channels, decoder: it is "
        "read otherwise than by a dense layer); use freeze instead"
    )


def test_other_networks_are_refused() -> None:
    with pytest.raises(ModelError, match="expected a compressed network"):
        fold(nn.Linear(1, 1))  # type: ignore[arg-type]


def test_folding_leaves_the_compressed_network_alone(pressing: Pressing, x: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), normed(8), nn.ReLU(), *head(8))
    pressed = pressing(network, {"2": {}})
    with torch.no_grad():
        before = pressed(x)
        for tensor in fold(pressed)[0].state_dict().values():
            tensor.zero_()
        assert pressed(x).equal(before)


def test_a_folded_network_takes_other_sizes(pressing: Pressing) -> None:
    """Padding is exact at any size, also where a layer reads blocks of pixels."""
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU(), *head(6)
    sites = {"1": {"placement": POST, "block": 2, "rank": 4}, "3": {}}
    pressed = pressing(nn.Sequential(*layers), sites)
    larger = torch.randn(2, 3, 20, 12)

    report = assert_folds(pressed, larger, weights_may_grow=True)
    assert (report.sites[0].decoder, report.sites[1].encoder) == (("2",), "2")


def test_who_asks_for_the_number_of_images_needs_no_decoder(pressing: Pressing, x: Tensor) -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x))
            return self.fc(x.view(x.size(0), -1))

    pressed = pressing(Viewed(), {"relu": {"placement": POST}})

    (site,) = assert_folds(pressed, x).sites
    assert (site.decoder, site.decodes) == (("fc",), False)
    assert "codecs.relu.decode" not in dict(fold(pressed)[0].named_modules())
