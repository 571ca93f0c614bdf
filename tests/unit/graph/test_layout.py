"""A network sees its values as they would lie in memory without codecs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.calibration import calibrate
from actpress.graph import RewrittenNetwork, capture, insert_codecs
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import fit_tables, press
from actpress.splitting import split

IMAGE = torch.randn(2, 3, 8, 8)


class ChannelsLast(nn.Module):
    """Exact, but what it gives lies in memory as projections leave it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x_hat = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        return x_hat, torch.zeros(())


class Head(nn.Module):
    """Flattens in the way that is given."""

    def __init__(self, flatten: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
        self.linear = nn.Linear(64, 5)
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flatten(self.b(F.relu(self.a(x))).relu()))


def with_codecs(model: nn.Module, example: Tensor) -> RewrittenNetwork:
    graph = capture(model, example)
    names = [site.name for site in graph.sites]
    codecs = {name: ChannelsLast() for name in names}
    return insert_codecs(graph, codecs, dict.fromkeys(names, Placement.POST_ACT))


class Strided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.as_strided((x.shape[0], 64), (64, 1))


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(-1, 64),
        lambda x: x.view(x.size(0), 64),
        lambda x: x.unflatten(1, (2, 2)).flatten(1),
        nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Unflatten(2, (1, 2)), nn.Flatten()),
        lambda x: x.permute(0, 2, 3, 1).contiguous().view(-1, 64),
        Strided(),
        nn.Flatten(),
    ],
)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_an_exact_codec_changes_no_output(
    flatten: Callable[[Tensor], Tensor], memory: torch.memory_format
) -> None:
    example = IMAGE.contiguous(memory_format=memory)
    model = Head(flatten).eval().to(memory_format=memory)
    try:
        expected = model(example)
    except RuntimeError:
        pytest.skip("the network itself needs another layout")

    assert with_codecs(model, example)(example)[0].allclose(expected, atol=1e-6)


def test_a_map_that_is_returned_lies_as_the_network_leaves_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)).eval()

    output = with_codecs(model, IMAGE)(IMAGE)[0]

    assert output.stride() == model(IMAGE).stride()
    assert output.view(2, -1).shape == (2, 64)


def test_layers_that_cannot_see_it_get_no_copy() -> None:
    model = Head(nn.Flatten()).eval()
    network = with_codecs(model, IMAGE)

    names = [node.name for node in network.eval_module.graph.nodes]
    assert not any("in_layout" in name for name in names)


def test_a_projection_may_be_viewed_also_behind_a_cut() -> None:
    model = Head(lambda x: x.view(-1, 64)).eval()
    graph = capture(model, IMAGE)
    placements = dict.fromkeys(("relu", "relu#2"), Placement.PRE_ACT)
    statistics = calibrate(graph, [torch.randn(64, 3, 8, 8)], placements)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.PRE_ACT,
            transform=Transform.PCA,
            channels=site.channels,
            rank=3,
            step=0.05,
            bit_width=8,
        )
        for site in graph.sites
    )
    plan = Plan(method="test", fingerprint=graph.fingerprint, sites=sites)
    pressed = press(graph, plan, statistics)

    fit_tables(pressed, [torch.randn(64, 3, 8, 8)])
    expected = pressed(IMAGE)

    for site in ("relu", "relu#2"):
        head, tail = split(pressed, site)
        assert tail(head(IMAGE)).equal(expected)
