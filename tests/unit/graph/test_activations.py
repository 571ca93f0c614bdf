"""Every activation is found, as a module, a function, a method or in place, and stays exact."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.graph import Graph
from actpress.plan import Placement


class ConvThen(nn.Module):
    """conv - act - conv."""

    def __init__(self, act: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3)
        self.act = act
        self.conv2 = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.conv1(x)))


MODULES = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "gelu": nn.GELU(),
    "leaky_relu": nn.LeakyReLU(0.1),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "hardsigmoid": nn.Hardsigmoid(),
    "prelu": nn.PReLU(3),
    "elu": nn.ELU(),
    "mish": nn.Mish(),
}
INPLACE_MODULES = {
    "relu": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(inplace=True),
    "silu": nn.SiLU(inplace=True),
    "hardswish": nn.Hardswish(inplace=True),
    "leaky_relu": nn.LeakyReLU(inplace=True),
    "hardsigmoid": nn.Hardsigmoid(inplace=True),
    "elu": nn.ELU(inplace=True),
    "mish": nn.Mish(inplace=True),
}
FUNCTIONS = [
    ("relu", F.relu),
    ("relu", torch.relu),
    ("relu", lambda x: x.relu()),
    ("relu6", F.relu6),
    ("silu", F.silu),
    ("hardswish", F.hardswish),
    ("gelu", F.gelu),
    ("leaky_relu", F.leaky_relu),
    ("sigmoid", torch.sigmoid),
    ("sigmoid", lambda x: x.sigmoid()),
    ("tanh", torch.tanh),
    ("tanh", lambda x: x.tanh()),
    ("hardsigmoid", F.hardsigmoid),
    ("prelu", lambda x: F.prelu(x, torch.tensor([0.5]))),
    ("elu", F.elu),
    ("mish", F.mish),
    ("clamp", lambda x: x.clamp(0, 1)),
]
INPLACE_FUNCTIONS = [
    ("relu", lambda x: F.relu(x, inplace=True)),
    ("relu", lambda x: F.relu(x, True)),
    ("relu", torch.relu_),
    ("relu", lambda x: x.relu_()),
    ("sigmoid", lambda x: x.sigmoid_()),
    ("tanh", torch.tanh_),
    ("leaky_relu", F.leaky_relu_),
    ("elu", lambda x: F.elu(x, inplace=True)),
    ("hardtanh", lambda x: F.hardtanh_(x, 0, 6)),
    ("clamp", lambda x: x.clamp_(min=0)),
]


def check(graph: Graph, activation: str, name: str) -> None:
    (site,) = graph.sites
    assert site.name == name
    assert site.activation == activation
    assert site.shape == (3, 6, 6)
    assert site.pre_node != site.post_node
    assert site.producer == "conv1"
    assert site.consumers == ("conv2",)
    assert site.encoder_folds_into(Placement.PRE_ACT) == "conv1"
    assert site.encoder_folds_into(Placement.POST_ACT) is None
    assert site.decoder_folds_into(Placement.PRE_ACT) == ()
    assert site.decoder_folds_into(Placement.POST_ACT) == ("conv2",)


@pytest.mark.parametrize("activation", MODULES)
def test_modules(activation: str, unchanged: Callable[..., Graph]) -> None:
    graph = unchanged(ConvThen(MODULES[activation]), torch.randn(2, 1, 8, 8))
    check(graph, activation, "act")


@pytest.mark.parametrize("activation", INPLACE_MODULES)
def test_inplace_modules(activation: str, unchanged: Callable[..., Graph]) -> None:
    model = ConvThen(INPLACE_MODULES[activation])
    graph = unchanged(model, torch.randn(2, 1, 8, 8))
    check(graph, activation, "act")
    assert graph.module("act").inplace is False
    assert model.act.inplace is True


@pytest.mark.parametrize(("activation", "function"), FUNCTIONS)
def test_functions_and_methods(
    activation: str, function: Callable[[Tensor], Tensor], unchanged: Callable[..., Graph]
) -> None:
    check(unchanged(ConvThen(function), torch.randn(2, 1, 8, 8)), activation, activation)


@pytest.mark.parametrize(("activation", "function"), INPLACE_FUNCTIONS)
def test_inplace_functions(
    activation: str, function: Callable[[Tensor], Tensor], unchanged: Callable[..., Graph]
) -> None:
    graph = unchanged(ConvThen(function), torch.randn(2, 1, 8, 8))
    check(graph, activation, activation)
    names = [str(getattr(n.target, "__name__", n.target)) for n in graph.eval_module.graph.nodes]
    assert not any(name.endswith("_") for name in names)
    assert not any(node.kwargs.get("inplace") for node in graph.eval_module.graph.nodes)
