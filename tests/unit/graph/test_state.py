"""What forward keeps between calls, and the autocast it enters."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import Graph, capture, insert_codecs
from actpress.settings import Capture

IMAGE = torch.randn(2, 1, 6, 6)


class Streaming(nn.Module):
    """Mixes in the mean of what came before, in the way that is given."""

    def __init__(self, write: Callable[["Streaming", Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.register_buffer("state", torch.zeros(2, 1, 1))
        self.register_buffer("calls", torch.zeros(()))
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        return self.write(self, self.conv(x))


def copied(net: Streaming, x: Tensor) -> Tensor:
    y = x + net.state
    net.state.copy_(x.mean((0, 2, 3))[:, None, None])
    return y


def in_a_view(net: Streaming, x: Tensor) -> Tensor:
    net.state.view(-1).mul_(x.mean((0, 2, 3)))
    return x + net.state


def counted(net: Streaming, x: Tensor) -> Tensor:
    net.calls += 1
    return x * net.calls


def reassigned(net: Streaming, x: Tensor) -> Tensor:
    net.calls = net.calls + 1
    return x / net.calls


def network(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 1, 1), layer, nn.ReLU(), nn.Conv2d(2, 2, 1)).eval()


@pytest.mark.parametrize(
    ("write", "buffer"),
    [(copied, "state"), (in_a_view, "state"), (counted, "calls"), (reassigned, "calls")],
)
def test_a_buffer_that_outputs_depend_on_is_named(
    write: Callable[[Streaming, Tensor], Tensor], buffer: str
) -> None:
    told = rf"module '1' writes to '1\.{buffer}' in its forward.* leaves=\['1'\]"
    with pytest.raises(ModelError, match=told):
        capture(network(Streaming(write)), IMAGE)


@pytest.mark.parametrize("write", [copied, in_a_view, counted, reassigned])
def test_a_leaf_keeps_its_state(write: Callable[[Streaming, Tensor], Tensor]) -> None:
    model = network(Streaming(write))
    captured = insert_codecs(capture(model, IMAGE, leaves=["1"]), {}, {})

    for _ in range(3):
        x = torch.randn(2, 1, 6, 6)
        assert captured(x)[0].equal(model(x))


def test_a_counter_that_nothing_reads_is_harmless() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.cat([x, -x], 1)

    model = network(Counting())
    assert capture(model, IMAGE).eval_module(IMAGE).equal(model(IMAGE))


def test_a_state_that_only_training_writes_refuses_only_training() -> None:
    def averaged(net: Streaming, x: Tensor) -> Tensor:
        if net.training:
            net.state.mul_(0.9).add_(x.mean((0, 2, 3))[:, None, None], alpha=0.1)
        return x - net.state

    model = network(Streaming(averaged))
    captured = insert_codecs(capture(model, IMAGE), {}, {})

    assert captured(IMAGE)[0].equal(model(IMAGE))
    with pytest.raises(ModelError, match=r"no train mode: module '1' writes to '1\.state'"):
        captured.train()


def test_what_forward_leaves_in_attributes_is_taken_out_again() -> None:
    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.all = None, ["first"]

        def forward(self, x: Tensor) -> Tensor:
            self.last, self.pair = x, (x, x)
            self.all.append(x)
            return torch.cat([x, -x], 1)

    graph = capture(network(Remembering()), IMAGE)

    layer = graph.module("1")
    assert layer.last is None
    assert layer.all == ["first"]
    assert not hasattr(layer, "pair")


class OwnNorm(nn.BatchNorm2d):
    """As timm's BatchNormAct2d: a subclass whose Python is traced."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training
        )


OwnNorm.__module__ = "timm.layers.norm_act"


def test_the_captured_state_is_whole() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), OwnNorm(2), nn.ReLU(), nn.Conv2d(2, 2, 1)).eval()
    model[1].num_batches_tracked.fill_(7)
    model[1].register_buffer("scratch", torch.ones(1), persistent=False)
    graph = capture(model, IMAGE)
    network_ = insert_codecs(graph, {}, {})

    for module in (graph.eval_module, graph.train_module, network_.eval_module):
        state = module.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(value.equal(state[key]) for key, value in model.state_dict().items())


class Cast(nn.Module):
    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__()
        self.conv, self.enabled = nn.Conv2d(1, 2, 1), enabled

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.enabled):
            x = self.conv(x)
        return x.float()


def test_autocast_in_forward_is_named() -> None:
    told = r"module '1' enters torch\.autocast \(torch\.bfloat16 on cpu\).*leaves=\['1'\]"
    with pytest.raises(ModelError, match=told):
        capture(network(Cast()), IMAGE, how=Capture.FX)
    with pytest.raises(ModelError, match=r"the network itself enters torch\.autocast"):
        capture(Cast(), IMAGE, how=Capture.FX)


def test_autocast_stays_in_a_leaf() -> None:
    model = network(Cast())
    model[2] = nn.Identity()
    captured = insert_codecs(capture(model, IMAGE, leaves=["1"]), {}, {})

    assert captured(IMAGE)[0].equal(model(IMAGE))
    assert not model(IMAGE).equal(model[3](model[1].conv(model[0](IMAGE))))


def test_autocast_that_is_off_is_no_autocast(unchanged: Callable[..., Graph]) -> None:
    unchanged(network(Cast(enabled=False)), IMAGE)


class StochasticDepth(nn.Module):
    """As torchvision's and timm's, which branch on the number of axes in training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        shape = [x.shape[0]] + [1] * (x.ndim - 1)
        return x * torch.empty(shape).bernoulli_(0.5)


DropPath = type("DropPath", (StochasticDepth,), {})


@pytest.mark.parametrize("kind", [StochasticDepth, DropPath])
def test_stochastic_depth_stores_nothing(
    kind: type[nn.Module], unchanged: Callable[..., Graph]
) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
            self.drop = kind()

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.c(x + self.drop(self.b(x)))

    graph = unchanged(Block(), IMAGE)

    assert [site.name for site in graph.sites] == ["a", "add"]
    assert graph.site("add").producer == "b"
    assert graph.no_train_mode == ""


class Rep(nn.Module):
    """As RepVGG: two branches in training, one convolution in use."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.wide_norm = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.narrow, self.narrow_norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
        self.merged: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.merged is not None:
            return self.merged(x).relu()
        return (self.wide_norm(self.wide(x)) + self.narrow_norm(self.narrow(x))).relu()

    def reparameterize(self) -> None:
        self.merged = nn.Conv2d(2, 2, 3, padding=1)
        del self.wide, self.wide_norm, self.narrow, self.narrow_norm


def test_branches_that_are_not_merged_are_told() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sequential(Rep(), Rep()), nn.Conv2d(2, 2, 1))

    told = (
        r"2 blocks have branches .*: '1\.0', '1\.1'; what .* \(reparameterize\(\) of each block\)"
    )
    with pytest.warns(UserWarning, match=told):
        before = capture(model, IMAGE)
    for block in model[1]:
        block.reparameterize()

    assert len(before.sites) == 5
    assert len(capture(model, IMAGE).sites) == 3
