"""The law of rewriting: codecs that change nothing change no output, whatever the network."""

from collections.abc import Callable, Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.graph import capture, insert_codecs, site_values
from actpress.plan import Placement

CHANNELS = 4

STEPS: dict[str, Callable[["Block", Tensor], Tensor]] = {
    "conv": lambda block, x: block.conv(x),
    "again": lambda block, x: block.conv(block.conv(x)),
    "depthwise": lambda block, x: block.depthwise(x),
    "norm": lambda block, x: block.norm(x),
    "relu": lambda _, x: F.relu(x),
    "relu in place": lambda block, x: block.relu(x.clone()),
    "swish": lambda _, x: x * torch.sigmoid(x),
    "residual": lambda block, x: x + block.conv(x).relu_(),
    "residual in place": lambda block, x: block.conv(x).add_(x),
    "squeeze": lambda block, x: x * torch.sigmoid(block.conv(x.mean((2, 3), keepdim=True))),
    "cat": lambda block, x: torch.cat([x[:, :2], block.conv(x)[:, 2:]], 1),
    "chunk": lambda block, x: torch.cat(block.conv(x).chunk(2, 1)[::-1], 1),
    "pool": lambda _, x: F.max_pool2d(x, 3, 1, 1),
    "dropout": lambda block, x: F.dropout(x, 0.5, training=block.training),
    "stochastic depth": lambda block, x: x + _dropped(block.conv(x), training=block.training),
    "shuffle": lambda _, x: F.channel_shuffle(x, 2),
}


def _dropped(x: Tensor, *, training: bool) -> Tensor:
    if not training:
        return x
    return x * torch.rand([x.shape[0], 1, 1, 1]).add_(0.5).floor_()


class Block(nn.Module):
    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return STEPS[self.step](self, x)


class IdentityCodec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def network(steps: Sequence[str]) -> nn.Module:
    stem, head = nn.Conv2d(1, CHANNELS, 3, padding=1), nn.Linear(CHANNELS, 3)
    pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(stem, *(Block(step) for step in steps), *pool, head)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=6),
    placement=st.sampled_from(Placement),
    training=st.booleans(),
    seed=st.integers(0, 100),
)
def test_identity_codecs_change_nothing(
    steps: list[str],
    placement: Placement,
    training: bool,  # noqa: FBT001
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model, x = network(steps), torch.randn(2, 1, 5, 5)
    graph = capture(model, x)
    codecs = {site.name: IdentityCodec() for site in graph.sites}
    rewritten = insert_codecs(graph, codecs, dict.fromkeys(codecs, placement))

    torch.manual_seed(seed)
    expected = model.train(training)(x)
    torch.manual_seed(seed)
    output, rates = rewritten.train(training)(x)

    assert isinstance(output, Tensor)
    assert output.equal(expected)
    assert len(rates) == len(graph.sites) == len({site.pre_node for site in graph.sites})


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=6))
def test_a_codec_sees_what_an_observer_saw(steps: list[str]) -> None:
    class Recorder(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x.double().sum()

    torch.manual_seed(0)
    x = torch.randn(2, 1, 5, 5)
    graph = capture(network(steps), x)
    codecs = {site.name: Recorder() for site in graph.sites}
    places = dict.fromkeys(codecs, Placement.POST_ACT)

    _, rates = insert_codecs(graph, codecs, places)(x)

    seen = {name: value.double().sum() for name, value in site_values(graph, x, places)}
    assert all(rate.equal(seen[name]) for name, rate in zip(codecs, rates, strict=True))
