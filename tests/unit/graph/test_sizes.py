"""Networks that are captured for other heights and widths than the example's."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import Graph, capture, insert_codecs
from actpress.plan import Placement
from actpress.settings import Capture

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Codec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


class Same(nn.Module):
    """Pads by the size, as TensorFlow does, and puts a coarse map on top of a fine one."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.norm, self.act = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.head = nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        need = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
        y = self.act(self.norm(self.down(F.pad(x, (0, need, 0, need)))))
        y = torch.cat([x, self.up(y)], 1)
        n, c, h, w = y.shape
        y = y.view(n, c, h * w).softmax(-1).view(n, c, h, w)
        return self.head(y).flatten(2).mean(-1)


class Assert(Same):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        return super().forward(x)


def plain() -> nn.Module:
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 2))


def assert_equal_to_the_bit(graph: Graph, model: nn.Module, sizes: list[tuple[int, ...]]) -> None:
    codecs = {site.name: Codec() for site in graph.sites}
    for placement in Placement:
        network = insert_codecs(graph, codecs, dict.fromkeys(codecs, placement))
        for images, *size in sizes:
            x = torch.randn(images, 3, *size)
            assert network(x.clone())[0].equal(model.eval()(x))


SIZES = [(1, 12, 12), (5, 16, 16), (2, 20, 44), (3, 64, 32)]


@pytest.mark.parametrize(
    ("model", "how"),
    [(plain(), how) for how in Capture] + [(Assert(), Capture.AUTO), (Assert(), Capture.EXPORT)],
)
def test_every_size_gives_what_the_network_gives(model: nn.Module, how: Capture) -> None:
    torch.manual_seed(0)
    graph = capture(model, IMAGES, how=how, any_size=True)

    assert len(graph.sites) >= 2
    assert_equal_to_the_bit(graph, model, SIZES)


def test_train_mode_takes_other_sizes_too() -> None:
    model = Assert()
    network = insert_codecs(capture(model, IMAGES, any_size=True), {}, {}).train()

    x = torch.randn(4, 3, 20, 28)
    assert network(x)[0].equal(model.train()(x))


def test_without_it_an_exported_network_has_the_size_of_its_example() -> None:
    model = Assert().eval()
    graph = capture(model, IMAGES)

    assert graph.captured is Capture.EXPORT
    with pytest.raises(RuntimeError):
        graph.eval_module(torch.randn(2, 3, 20, 44))


def test_sizes_that_a_trace_has_fixed_are_exported_or_refused() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.side = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), None

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            side = len(torch.zeros(12)) if isinstance(x, torch.fx.Proxy) else x.shape[2]
            return self.b(x[:, :, :side]).mean((2, 3))

    model = Fixed()
    with pytest.raises(ModelError, match=r"torch\.fx captured .* fixed: on images of shape \(2, 3"):
        capture(model, IMAGES, how=Capture.FX, any_size=True)
    graph = capture(model, IMAGES, any_size=True)
    assert graph.captured is Capture.EXPORT
    assert_equal_to_the_bit(graph, model, SIZES)


def test_a_branch_on_the_size_is_refused() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x).relu()
            return self.b(x if x.shape[-1] < 16 else -x)

    with pytest.raises(ModelError, match=r"does not give what the network gives"):
        capture(Branch(), IMAGES, how=Capture.EXPORT, any_size=True)
    with pytest.raises(ModelError, match=r"cannot trace .*; what torch\.export captured"):
        capture(Branch(), IMAGES, any_size=True)


def test_networks_and_examples_of_one_size_are_refused() -> None:
    fixed = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(288, 3))
    with pytest.raises(
        ModelError, match=r"itself takes no other size than .*\(2, 3, 12, 12\).*mat1"
    ):
        capture(fixed, IMAGES, any_size=True)
    with pytest.raises(ModelError, match="has no height and width"):
        capture(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.zeros(2, 4), any_size=True)


def test_rows_of_the_batch_that_depend_on_the_size_are_refused() -> None:
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            n, c, h, w = x.shape
            x = self.a(x.permute(0, 2, 1, 3).reshape(n * h, c, w)).relu().mean(2)
            return self.b(x).view(n, h, -1).mean(1)

    capture(Frames(), IMAGES)
    with pytest.raises(ModelError, match=r"site 'relu' stores 4 channels for each image of the ex"):
        capture(Frames(), IMAGES, any_size=True)
