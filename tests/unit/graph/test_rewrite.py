"""Codecs reach every reader of a value and nothing else; the result is an ordinary module."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import Graph, capture, insert_codecs
from actpress.plan import Placement


class AddOne(nn.Module):
    """Visible in the output: x_hat = x + 1, and a rate that counts values."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.weight, torch.tensor(float(x.numel()))


class Shortcut(nn.Module):
    """Both readers of `a` must read the codec's value; train and eval mode differ."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 1, 1)
        self.b = nn.Conv2d(1, 1, 1)
        self.c = nn.Conv2d(1, 1, 1)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("var", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        y = self.b(x) + x
        y = F.batch_norm(y, self.mean, self.var, training=self.training)
        return self.c(y)


IMAGE = torch.linspace(-1, 1, 32).view(2, 1, 4, 4)
PRE, POST = Placement.PRE_ACT, Placement.POST_ACT


@pytest.fixture
def graph() -> Graph:
    torch.manual_seed(0)
    return capture(Shortcut(), IMAGE)


@pytest.mark.parametrize("placement", Placement)
def test_every_reader_reads_x_hat(graph: Graph, placement: Placement) -> None:
    network = insert_codecs(graph, {"relu": AddOne()}, {"relu": placement})

    output, (rate,) = network(IMAGE)

    root = graph.root
    stored = root.a(IMAGE)
    stored = (stored + 1).relu() if placement is PRE else stored.relu() + 1
    y = F.batch_norm(root.b(stored) + stored, root.mean, root.var)
    assert output.equal(root.c(y))
    assert rate == 32


def test_rates_come_in_the_order_of_the_mapping(graph: Graph) -> None:
    class Rate(nn.Module):
        def __init__(self, bits: float) -> None:
            super().__init__()
            self.bits = bits

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, torch.tensor(self.bits)

    codecs = {"batch_norm": Rate(1.0), "relu": Rate(2.0)}
    network = insert_codecs(graph, codecs, {"relu": PRE, "batch_norm": PRE})

    _, rates = network(IMAGE)

    assert [float(rate) for rate in rates] == [1.0, 2.0]
    assert list(network.codecs) == ["batch_norm", "relu"]
    assert network.codecs["relu"] is codecs["relu"]


def test_the_graph_stays_untouched_by_training(graph: Graph) -> None:
    before = {key: value.clone() for key, value in graph.root.state_dict().items()}
    nodes = len(graph.eval_module.graph.nodes)
    network = insert_codecs(graph, {"relu": AddOne()}, {"relu": PRE}).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    network(IMAGE)[0].pow(3).sum().backward()
    optimizer.step()

    assert not network.codecs["relu"].weight.equal(torch.ones(()))
    assert all(value.equal(before[key]) for key, value in graph.root.state_dict().items())
    assert len(graph.eval_module.graph.nodes) == nodes


def test_both_modes_share_weights_buffers_and_codecs_after_a_move_and_a_copy(graph: Graph) -> None:
    network = insert_codecs(graph, {"relu": AddOne()}, {"relu": PRE})

    moved = copy.deepcopy(network).to(torch.float64).train()
    moved(IMAGE.double())

    assert moved.eval_module is not moved.train_module
    assert moved.eval_module.mean is moved.train_module.mean
    assert not moved.eval_module.mean.eq(0).all()
    assert moved.eval_module.b is moved.train_module.b
    assert moved.codecs["relu"] is moved.train_module.get_submodule("codecs.relu")
    assert network.eval_module.mean.eq(0).all()


def test_one_trace_is_registered_once() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    network = insert_codecs(capture(model, IMAGE), {"1": AddOne()}, {"1": POST})

    assert network.train_module is network.eval_module
    assert len(network.state_dict()) == len(model.state_dict()) + 1
    assert copy.deepcopy(network).train(mode=True)(IMAGE)[0].shape == (2, 2, 4, 4)


def test_inserted_nodes_know_their_shape(graph: Graph) -> None:
    network = insert_codecs(graph, {"relu": AddOne()}, {"relu": PRE})

    (relu,) = [node for node in network.eval_module.graph.nodes if node.name == "relu"]
    (x_hat,) = relu.all_input_nodes

    assert tuple(x_hat.meta["tensor_meta"].shape) == (2, 1, 4, 4)


def test_modules_that_the_network_freezes_stay_frozen() -> None:
    class FrozenNorm(nn.Sequential):
        def train(self, mode: bool = True) -> "FrozenNorm":  # noqa: FBT001, FBT002
            super().train(mode)
            self[1].eval()
            return self

    model = FrozenNorm(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1))
    network = insert_codecs(capture(model, IMAGE), {"2": AddOne()}, {"2": PRE}).train()

    modules = dict(network.eval_module.named_modules())
    assert not modules["1"].training
    assert modules["0"].training


def test_names_that_differ_in_punctuation_only_get_their_own_codec() -> None:
    model = nn.Module()
    model.a = nn.ModuleDict({"b": nn.Conv2d(1, 1, 1)})
    model.a_b = nn.Conv2d(1, 1, 1)
    model.c = nn.Conv2d(1, 1, 1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.a_b, self.c = model.a, model.a_b, model.c

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.a_b(self.a["b"](x)))

    codecs = {"a.b": AddOne(), "a_b": AddOne()}
    network = insert_codecs(capture(Net(), IMAGE), codecs, {"a.b": PRE, "a_b": PRE})

    assert network.codecs["a.b"] is codecs["a.b"]
    assert network.codecs["a_b"] is codecs["a_b"]


def test_unknown_and_unplaced_sites_are_refused(graph: Graph) -> None:
    with pytest.raises(ModelError, match="no site 'rellu'; near names: 'relu'"):
        insert_codecs(graph, {"rellu": AddOne()}, {"rellu": PRE})
    with pytest.raises(ModelError, match="'relu' has a codec but no placement"):
        insert_codecs(graph, {"relu": AddOne()}, {})


class WithHead(nn.Module):
    """A head of train mode alone, and a layer that both modes share."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.head(x) if self.training else x


def test_weights_are_stored_once_whichever_graphs_were_made() -> None:
    graph = capture(WithHead(), IMAGE)
    early, late = (insert_codecs(graph, {}, {}) for _ in range(2))
    before = {name: tensor.clone() for name, tensor in early.state_dict().items()}
    late.train()
    with torch.no_grad():
        for parameter in late.parameters():
            parameter.add_(1)
    after = late.state_dict()
    assert before.keys() < after.keys()
    assert {name.rpartition("head.")[2] for name in after.keys() - before} == {"weight", "bias"}

    early.load_state_dict(after)
    assert all(tensor.equal(after[name]) for name, tensor in early.state_dict().items())
    assert early.train()(IMAGE)[0].equal(late(IMAGE)[0])
    early.load_state_dict(before)
    assert early.train_module.a.weight.equal(before["eval_module.a.weight"])
    assert early.train_module.head.weight.equal(after["_own_train_module.head.weight"])
    nested = nn.Sequential(early)
    nested.load_state_dict({f"0.{name}": tensor for name, tensor in after.items()})
    assert early.state_dict().keys() == after.keys() == {n[2:] for n in nested.state_dict()}
    with pytest.raises(RuntimeError, match="Missing key"):
        early.load_state_dict({})
