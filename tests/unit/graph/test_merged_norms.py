"""Normalisation taken in by convolutions gives the same network."""

import copy

import torch
from torch import Tensor, nn

from actpress.graph import capture, with_merged_norms


class Norms(nn.Module):
    """Pairs that merge (`first`, `deep`), and such that must not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.deep, self.deep_norm = nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4)
        self.read_twice, self.its_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.of_batch = nn.Conv2d(4, 4, 1)
        self.batch_norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.called_twice, self.alone = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.first(x)).relu()
        x = self.deep_norm(self.deep(x))
        raw = self.read_twice(x)
        x = self.its_norm(raw) + raw
        x = self.batch_norm(self.of_batch(x))
        return self.alone(self.called_twice(self.called_twice(x))).mean((2, 3))


def example() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network = Norms()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    network(torch.randn(8, 3, 9, 9))  # statistics of its own
    return network.eval(), torch.randn(2, 3, 9, 9)


def test_outputs_and_gradients_are_those_of_the_network_and_it_stays_as_it_is() -> None:
    network, x = example()
    module = capture(network, x).eval_module.requires_grad_(False)
    before = copy.deepcopy(module)
    merged = with_merged_norms(module)
    gradients = []
    for form in (module, merged):
        leaf = x.clone().requires_grad_(True)
        output = form(leaf)
        output.square().sum().backward()
        gradients.append((output, leaf.grad))
    for own, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(module(x), before(x))
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])


def test_only_norms_that_alone_read_a_convolution_are_gone() -> None:
    network, x = example()
    called = {
        str(node.target) for node in with_merged_norms(capture(network, x).eval_module).graph.nodes
    }
    assert {"first_norm", "deep_norm"}.isdisjoint(called)
    assert {"its_norm", "batch_norm", "alone"} <= called


def test_what_is_not_merged_is_shared() -> None:
    network, x = example()
    module = capture(network, x).eval_module
    merged = with_merged_norms(module)
    assert merged.get_submodule("called_twice") is module.get_submodule("called_twice")
    assert merged.get_submodule("first") is not module.get_submodule("first")
