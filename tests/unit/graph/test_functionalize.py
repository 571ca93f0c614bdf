"""Programs that overwrite values give the same outputs when nothing is overwritten."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import Graph, capture
from actpress.settings import Capture


class Program(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 4, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.conv(x), self.head))


def add_in_place(y: Tensor, layer: nn.Module) -> Tensor:
    alias = y
    y += layer(y)
    return alias * y


def multiply_method_without_result(y: Tensor, layer: nn.Module) -> Tensor:
    z = layer(y)
    y.mul_(z)
    return y + z


def pre_activation_shortcut(y: Tensor, layer: nn.Module) -> Tensor:
    shortcut = y
    y = F.relu(y, inplace=True)
    return layer(y) + shortcut


def chain(y: Tensor, layer: nn.Module) -> Tensor:
    y -= layer(y)
    y *= 2
    y /= 3
    return y.add_(1).relu_()


def counter_beside(y: Tensor, layer: nn.Module) -> Tensor:
    n = y.size(1)
    before = n
    n += 1
    return layer(y) * (n - before) + before


def noise_in_place(y: Tensor, layer: nn.Module) -> Tensor:
    mask = torch.empty([y.shape[0], 1, 1, 1]).bernoulli_(0.5)
    noise = torch.empty_like(y).uniform_(0, 1)
    return layer(y) * mask + noise


def chunks(y: Tensor, layer: nn.Module) -> Tensor:
    a, b = layer(y).chunk(2, 1)
    return torch.cat([a, b.sigmoid()], 1)


def dropout_in_place(y: Tensor, layer: nn.Module) -> Tensor:
    y = F.dropout(layer(y), inplace=True, training=False)
    y = F.hardswish(y, inplace=True)
    return F.dropout(y, inplace=True, training=False) + layer(y)


def view_of_an_identity_in_place(y: Tensor, layer: nn.Module) -> Tensor:
    y = F.dropout(layer(y), inplace=True, training=False)
    return layer(y.transpose(2, 3)) + y.transpose(2, 3)


PROGRAMS = [
    dropout_in_place,
    view_of_an_identity_in_place,
    add_in_place,
    multiply_method_without_result,
    pre_activation_shortcut,
    chain,
    counter_beside,
    noise_in_place,
    chunks,
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_outputs_are_equal(program: Callable[..., Tensor], unchanged: Callable[..., Graph]) -> None:
    unchanged(Program(program), torch.randn(2, 1, 6, 6))


def test_the_captured_input_is_not_overwritten() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x.sub_(0.5)
            return self.conv(x).relu()

    example = torch.ones(1, 1, 4, 4)
    graph = capture(Centred(), example)
    graph.eval_module(example)

    assert example.eq(1).all()


def test_a_view_that_is_overwritten_is_refused() -> None:
    def program(y: Tensor, layer: nn.Module) -> Tensor:
        y.view(-1).relu_()
        return layer(y)

    with pytest.raises(ModelError, match=r"relu overwrites a view of the value .* out of place"):
        capture(Program(program), torch.randn(1, 1, 4, 4), how=Capture.FX)


def test_in_place_dropout_between_layers(unchanged: Callable[..., Graph]) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 16),
        nn.Hardswish(inplace=True),
        nn.Dropout(0.2, inplace=True),
        nn.Linear(16, 3),
    )
    graph = unchanged(model, torch.randn(2, 1, 6, 6))

    assert [site.name for site in graph.sites] == ["0", "1", "4"]
    (dropped,) = [node for node in graph.train_module.graph.nodes if node.target == "5"]
    assert [user.target for user in dropped.users] == ["6"]


def test_dropout_in_place_on_a_view_that_is_read_again_is_refused() -> None:
    def program(y: Tensor, layer: nn.Module) -> Tensor:
        F.dropout(y.view(-1), inplace=True)
        return layer(y)

    with pytest.raises(ModelError, match=r"dropout overwrites a view of the value .* out of place"):
        capture(Program(program), torch.randn(1, 1, 4, 4), how=Capture.FX)


def test_a_view_that_is_overwritten_last_is_fine(unchanged: Callable[..., Graph]) -> None:
    def program(y: Tensor, layer: nn.Module) -> Tensor:
        return layer(y).transpose(2, 3).relu_()

    unchanged(Program(program), torch.randn(1, 1, 4, 4))
