"""Sites say where their channels and images are, and codecs get them as (n, c, ...)."""

from collections.abc import Callable
from dataclasses import astuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from actpress.api import compress
from actpress.budget import Budget, View
from actpress.data.dataset import Dataset
from actpress.graph import Graph, capture, insert_codecs, site_values
from actpress.graph.arrangement import PLAIN, Arrangement, from_codec, to_codec
from actpress.methods import Settings
from actpress.plan import Placement
from actpress.splitting import split
from actpress.tune import TuneSettings
from tests.conftest import CLASSES

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    holdout_images=32,
    tune=TuneSettings(steps=2, batch_size=16, validate_every=2, validation_images=16),
)


@given(st.integers(2, 5), st.integers(1, 3), st.data())
def test_the_way_back_is_exact(rank: int, rows: int, data: st.DataObject) -> None:
    batch_axis, channel_axis = data.draw(st.permutations(range(rank)))[:2]
    arrangement = Arrangement(batch_axis, rows, channel_axis)
    sizes = [axis + 2 for axis in range(rank)]
    sizes[batch_axis] = 2 * rows
    x = torch.randn(sizes)

    given_ = to_codec(x, *astuple(arrangement))

    assert tuple(given_.shape) == arrangement.shape(tuple(sizes))
    assert given_.shape[:2] == (2, sizes[channel_axis])
    assert from_codec(given_, *astuple(arrangement)).equal(x)
    image = x.narrow(batch_axis, rows, rows)
    assert to_codec(image, *astuple(arrangement)).equal(given_[1:])


class Tokens(nn.Module):
    """A small vision transformer without attention: patches, norm, a block over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 12, 2, 2)
        self.start = nn.Parameter(torch.randn(1, 1, 12))
        self.norm = nn.LayerNorm(12)
        self.up, self.down = nn.Linear(12, 20), nn.Linear(20, 12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.down(nn.functional.gelu(self.up(self.norm(x))))
        return self.head(x[:, 0])


class ChannelsLast(nn.Module):
    """As ConvNeXt: a depthwise convolution, then linear layers over (n, h, w, c)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = nn.LayerNorm(6)
        self.up, self.down = nn.Linear(6, 10), nn.Linear(10, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.conv(x).permute(0, 2, 3, 1))
        y = self.down(self.up(y).relu()).permute(0, 3, 1, 2)
        return self.head((x + y).mean((2, 3)))


class Clip(nn.Module):
    """Four strips of an image as frames in the batch axis."""

    def __init__(self, *, images_first: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, CLASSES)
        self.images_first = images_first

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(x.shape[0] * 4, 1, 2, 8)
        x = self.b(self.a(x).relu()).relu().mean((2, 3))
        return self.head(x).reshape(-1, 4, CLASSES).mean(1)


class SequenceFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Linear(8, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x[:, 0].transpose(0, 1)).relu()
        return self.head(x).mean(0)


LAST_OF_3, LAST_OF_4 = Arrangement(channel_axis=2), Arrangement(channel_axis=3)
ARRANGEMENTS = [
    (Tokens, {"patches": PLAIN, "norm": LAST_OF_3, "gelu": LAST_OF_3, "add": LAST_OF_3}),
    (ChannelsLast, {"stem": PLAIN, "norm": LAST_OF_4, "relu": LAST_OF_4, "add": PLAIN}),
    (
        Clip,
        {"relu": Arrangement(rows=4), "relu#2": Arrangement(rows=4), "mean": Arrangement(rows=4)},
    ),
    (SequenceFirst, {"relu": Arrangement(batch_axis=1, channel_axis=2)}),
]
EXPECTED_SHAPES = {
    "Tokens": [(12, 4, 4), (12, 17), (20, 17), (12, 17)],
    "ChannelsLast": [(6, 8, 8), (6, 8, 8), (10, 8, 8), (6, 8, 8)],
    "Clip": [(6, 4, 2, 8), (6, 4, 2, 8), (6, 4)],
    "SequenceFirst": [(12, 8)],
}


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize(("kind", "expected"), ARRANGEMENTS)
def test_sites_say_where_their_channels_and_images_are(
    kind: type[nn.Module],
    expected: dict[str, Arrangement],
    batch: int,
    unchanged: Callable[..., Graph],
) -> None:
    graph = unchanged(kind(), torch.randn(batch, 1, 8, 8))

    sites = [site for site in graph.sites if site.name in expected]
    assert {site.name: site.arrangement for site in sites} == expected
    assert [site.shape for site in sites] == EXPECTED_SHAPES[kind.__name__]
    assert [site.channel_axis for site in sites] == [a.channel_axis for a in expected.values()]


@pytest.mark.parametrize("kind", [Tokens, ChannelsLast, Clip, SequenceFirst])
def test_codecs_and_observers_get_the_same_values(kind: type[nn.Module]) -> None:
    class Keep(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            self.value = x
            return x, torch.zeros(())

    images = torch.randn(3, 1, 8, 8)
    graph = capture(kind(), torch.randn(2, 1, 8, 8))
    codecs = {site.name: Keep() for site in graph.sites}
    placements = dict.fromkeys(codecs, Placement.POST_ACT)
    network = insert_codecs(graph, codecs, placements)
    network(images)

    for name, value in site_values(graph, images, placements):
        assert value.equal(codecs[name].value)
        assert tuple(value.shape) == (3, *graph.site(name).shape) == (3, *network.shapes[name])


@pytest.mark.parametrize("method", ["int8", "gdr", "cap", "codesign"])
@pytest.mark.parametrize("kind", [Tokens, ChannelsLast, Clip, SequenceFirst])
def test_every_method_compresses_them(kind: type[nn.Module], method: str, dataset: Dataset) -> None:
    network = kind().eval()
    result = compress(network, dataset, method=method, budget="5bits", settings=SMALL)
    pressed = result.model
    images = next(dataset.test.batches(8))[0]

    values = sum(site.values for site in capture(network, images[:2]).sites)
    assert sum(site.values for site in result.metrics.sites) == values
    assert result.metrics.agreement > 0.7
    *_, last = pressed.codecs
    head, tail = split(pressed, last)
    assert tail(head(images)).equal(pressed(images))


@pytest.mark.parametrize("view", View)
def test_vectors_and_maps_are_searched_in_both_views(dataset: Dataset, view: View) -> None:
    network = ChannelsLast().eval()
    budget = Budget.parse("5bits", view=view)

    result = compress(network, dataset, method="gdr", budget=budget, settings=SMALL)

    assert result.metrics.bits_per_value[view] <= 5.3
    assert result.metrics.agreement > 0.7
