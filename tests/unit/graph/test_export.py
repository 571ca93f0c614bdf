"""Networks through torch.export: the same graph as through torch.fx, and those that fx refuses."""

import pickle
import re
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.graph import Graph, Site, capture, insert_codecs
from actpress.graph.exported import NotExportableError
from actpress.plan import Placement
from actpress.settings import Capture

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def exported(model: nn.Module, *inputs: Tensor, leaves: tuple[str, ...] = ()) -> Graph:
    return capture(model, inputs or IMAGES, leaves=leaves, how=Capture.EXPORT)


class Codec(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(())


def assert_equal_to_the_bit(model: nn.Module, graph: Graph) -> None:
    """With a codec that changes nothing at every site, for one image and for five."""
    model.eval()
    for images in (1, 5):
        inputs = tuple(torch.randn(images, *x.shape[1:]) for x in graph.example)
        expected = model(*(x.clone() for x in inputs))
        for placement in Placement:
            codecs = {site.name: Codec() for site in graph.sites}
            network = insert_codecs(graph, codecs, dict.fromkeys(codecs, placement))
            output, _ = network(*inputs)
            torch.testing.assert_close(output, expected, rtol=0, atol=0)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.act(self.norm(self.conv(x)))
        return F.hardswish(x)


class Usual(nn.Module):
    """What both ways can capture."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.drop = nn.Dropout(0.2)
        self.blocks = nn.Sequential(Block(8), nn.Identity(), Block(8))
        self.down, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.deconv = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.gate, self.own = nn.Conv2d(8, 8, 1), nn.Parameter(torch.randn(8, 8, 1, 1))
        self.pool, self.flat, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.drop(self.stem(x)).relu())
        a, b = x.chunk(2, 1)
        x = torch.cat([F.silu(b), a], 1)
        y = self.deconv(F.pad(self.down(x), (0, 1, 0, 1)))[:, :, :6, 0:6]
        x = self.up(self.down(x)) * self.gate(x.mean((2, 3), keepdim=True)).sigmoid() + y
        x = torch.cat([self.pool(x), self.pool(F.conv2d(x, self.own))], 1)
        return self.head(self.flat(x).view(x.size(0), -1))


class Tokens(nn.Module):
    """Channels last: a linear layer over maps, and tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.mlp = (
            nn.Conv2d(3, 8, 4, stride=4),
            nn.LayerNorm(8),
            nn.Linear(8, 8),
        )
        self.mix, self.head = nn.Linear(9, 9), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = F.gelu(self.mlp(self.norm(x))) + x
        x = x.flatten(1, 2)
        return self.head(self.mix(x.transpose(1, 2)).transpose(1, 2).mean(1))


class Clip(nn.Module):
    """(n, c, t) to (n, c), by way of frames in the batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.permute(0, 2, 1, 3).reshape(n * h, c, w)
        x = self.norm(self.conv(x)).relu().mean(2)
        return self.head(self.head(x).tanh()).view(n, h, -1).mean(1)


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)
        self.pool, self.head = nn.AdaptiveAvgPool3d(1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.pool(self.norm(self.conv(x.unsqueeze(2).repeat(1, 1, 3, 1, 1))).relu())
        return {"out": self.head(x.flatten(1)).relu(), "features": x}


def without_names(site: Site) -> Site:
    """A site without what depends on how nodes are called."""
    return replace(site, pre_node="", post_node="")


@pytest.mark.parametrize("kind", [Usual, Tokens, Clip, Volume])
def test_sites_are_those_of_fx(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = kind()

    traced, graph = capture(model, IMAGES, how=Capture.FX), exported(model)

    assert (traced.captured, graph.captured) == (Capture.FX, Capture.EXPORT)
    assert [without_names(s) for s in graph.sites] == [without_names(s) for s in traced.sites]
    assert_equal_to_the_bit(model, graph)


def in_place_dropout() -> nn.Module:
    """As in torchvision's MobileNetV3 and EfficientNet."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop, self.b = (
                nn.Conv2d(3, 4, 1),
                nn.Dropout(0.2, True),
                nn.Conv2d(4, 4, 1),
            )

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1] == 3, "colour images"
            y = self.conv(x)
            self.drop(y)
            y += 1
            return self.b(y)

    return Net()


class ListOfParts(nn.Module):
    """As in YOLO's C2f: parts, appended to by a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(16, 4, 1)
        self.blocks = nn.ModuleList(Block(4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.last(torch.cat(parts, 1))


class MixedKernels(nn.Module):
    """As in MixNet: each part of the channels has a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)
        self.parts = nn.ModuleList(nn.Conv2d(4, 4, k, padding=k // 2) for k in (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 3
        x = F.silu(self.first(x), inplace=True)
        parts = [part(y) for part, y in zip(self.parts, torch.split(x, [4, 4], 1), strict=True)]
        return self.last(torch.cat(parts, 1))


class SamePadding(nn.Module):
    """As in timm's layers with padding of TensorFlow's form, which depends on the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        need = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - int(x.shape[-1]), 0)
        if need > 0:
            x = F.pad(x, (need // 2, need - need // 2) * 2)
        x = self.conv(x).relu()
        return self.head(x if x.shape[-1] < 8 else F.max_pool2d(x, 2))


class Slices(nn.Module):
    """Written to by slices, and through views."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x[:, :2] = x[:, 2:].relu()
        x.flatten(2).mul_(2)
        return self.b(x)


@pytest.mark.parametrize(
    ("model", "sites"),
    [
        (in_place_dropout(), ["add"]),
        (ListOfParts(), ["first", "blocks.0.hardswish", "blocks.1.hardswish"]),
        (SamePadding(), ["relu"]),
        (MixedKernels(), ["silu", "parts.0", "parts.1"]),
    ],
)
def test_what_shapes_decide_is_captured(model: nn.Module, sites: list[str]) -> None:
    torch.manual_seed(0)
    graph = capture(model, IMAGES)

    assert graph.captured is Capture.EXPORT
    assert [site.name for site in graph.sites] == sites
    assert_equal_to_the_bit(model, graph)


def test_what_is_written_through_views_is_captured() -> None:
    torch.manual_seed(0)
    model = Slices()
    graph = capture(model, IMAGES)

    assert graph.captured is Capture.EXPORT
    assert graph.sites[0].name == "a"
    assert_equal_to_the_bit(model, graph)
    before = IMAGES.clone()
    graph.eval_module(IMAGES)
    assert IMAGES.equal(before)


def test_the_example_may_be_one_image_and_the_model_stays_as_it_is() -> None:
    model = SamePadding().train()
    model.last = None

    graph = capture(model, IMAGES[:1])

    assert model.training
    assert not model.conv._forward_hooks
    assert not graph.root.conv._forward_hooks
    assert_equal_to_the_bit(model, graph)


class Trained(nn.Module):
    """What train mode does otherwise: statistics, dropout, depth, and a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.norm = SamePadding(), nn.BatchNorm2d(2)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.3, inplace=True)
        self.own = nn.BatchNorm2d(4, affine=False)
        self.mid, self.head = nn.Conv2d(2, 4, 1), nn.Linear(4, 3)
        self.second = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.drop(self.act(self.norm(self.same(x))))
        y = F.batch_norm(
            self.mid(x), self.own.running_mean, self.own.running_var, training=self.training
        ).relu()
        y = F.dropout(y, 0.2, self.training)
        if self.training:
            y = y * torch.bernoulli(torch.full((y.shape[0], 1, 1, 1), 0.9))
        out = self.head(y.mean((2, 3)))
        return (out, self.second(self.second.weight.mean() * y)) if self.training else out


def test_train_mode_is_exported_when_it_is_asked_for() -> None:
    torch.manual_seed(0)
    model = Trained()
    graph = exported(model)
    assert "mode" not in vars(graph.training), "nobody has asked"
    codecs = {site.name: Codec() for site in graph.sites}
    network = insert_codecs(graph, codecs, dict.fromkeys(codecs, Placement.POST_ACT))
    before = dict(network.state_dict())
    assert not any("second" in key for key in before)

    for step in range(2):
        torch.manual_seed(step)
        expected = model.train()(IMAGES)
        torch.manual_seed(step)
        output, rates = network.train()(IMAGES)
        assert len(rates) == len(graph.sites) > 2
        for ours, own in zip(output, expected, strict=True):
            assert ours.equal(own)
    assert network.eval()(IMAGES)[0].equal(model.eval()(IMAGES)), "with the statistics of training"
    output[0].sum().backward()
    assert network.eval_module.head.weight.grad.abs().sum() > 0
    assert all(network.state_dict()[key].shape == value.shape for key, value in before.items())
    assert graph.eval_module(IMAGES).ne(model(IMAGES)).any(), "the graph stays as it is"


def test_modes_that_do_not_differ_are_one() -> None:
    graph = exported(nn.Sequential(Block(3), nn.Dropout(), nn.Conv2d(3, 2, 1)))

    assert graph.train_module is graph.eval_module
    assert insert_codecs(graph, {}, {}).train()(IMAGES)[0].requires_grad


def test_a_train_mode_that_cannot_be_exported_is_refused_where_it_is_used() -> None:
    class Schedule(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if not self.training or x.mean() > 0 else -x

    model = nn.Sequential(SamePadding(), Schedule(), nn.Conv2d(2, 2, 1))
    network = insert_codecs(capture(model, IMAGES), {}, {})

    assert network(IMAGES)[0].equal(model.eval()(IMAGES))
    with pytest.raises(ModelError, match=r"no train mode: torch\.export .* at .*x\.mean\(\) > 0"):
        network.train()


def test_casts_of_autocast_are_kept() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                x = self.a(x)
            return self.b(x.float()).relu()

    model = nn.Sequential(Half(), nn.Conv2d(4, 2, 1))
    assert_equal_to_the_bit(model, capture(model, IMAGES))


def test_random_numbers_are_drawn_anew() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(1)

    graph = capture(nn.Sequential(nn.Conv2d(3, 4, 1), Noise(), nn.Conv2d(4, 2, 1)), IMAGES)

    assert not graph.eval_module(IMAGES).equal(graph.eval_module(IMAGES))


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple[Tensor, ...]


def test_outputs_may_be_of_a_class_of_the_network_s_own() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Answer:
            x = self.a(x).relu()
            return Answer(self.b(x), (x,))

    torch.export.register_dataclass(Answer)
    model = Net()

    answer = exported(model).eval_module(IMAGES)

    assert type(answer) is Answer
    assert answer.logits.equal(model(IMAGES).logits)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_branch_on_values_names_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Branch(), nn.Conv2d(4, 2, 1))

    line = r"test_export\.py:\d+ \(return x if x\.sum\(\) > 0 else -x\)"
    with pytest.raises(ModelError, match=rf"torch\.export cannot capture .*{line}.*--capture fx"):
        exported(model)
    both = rf"torch\.fx.*{line}.*nor can torch\.export, at .*{line}"
    with pytest.raises(ModelError, match=both) as raised:
        capture(model, IMAGES)
    assert "\n" not in str(raised.value)
    assert capsys.readouterr().err == ""


def test_a_batch_of_one_size_is_refused() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(2, -1) if x.shape[0] == 2 else x.flatten(1)[:, :2]

    with pytest.raises(ModelError, match="fixes the number of images"):
        exported(nn.Sequential(nn.Conv2d(3, 4, 1), Fixed()))


def test_a_buffer_that_forward_writes_and_reads_is_refused_and_a_counter_is_not() -> None:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("state", torch.zeros(4, 1, 1))
            self.conv = nn.Conv2d(3, 4, 1)
            self.reads = True

        def forward(self, x: Tensor) -> Tensor:
            self.seen += 1
            x = self.conv(x)
            if not self.reads:
                return x.relu()
            self.state += x.mean((0, 2, 3))[:, None, None]
            return x + self.state

    model = Stream()
    with pytest.raises(ModelError, match=r"the network itself writes to 'state'"):
        exported(model)
    model.reads = False
    graph = exported(model)
    assert graph.root.seen == 0


def test_a_leaf_is_kept_whole() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), Block(8), SamePadding())
    model[2].conv = nn.Conv2d(8, 4, 3, stride=2)

    with pytest.warns(UserWarning, match=r"kept whole: '1' \(2 layers: conv, norm\)"):
        graph = capture(model, IMAGES, leaves=["1"])

    assert [site.name for site in graph.sites] == ["0", "1", "2.relu"]
    assert_equal_to_the_bit(model, graph)


def test_a_leaf_of_two_inputs_cannot_be_kept_whole() -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.sum = nn.Conv2d(3, 3, 1), Sum()

        def forward(self, x: Tensor) -> Tensor:
            return self.sum(x, self.conv(x).relu())

    with pytest.raises(ModelError, match=r"module 'sum' cannot be kept whole.*--capture fx"):
        exported(Net(), leaves=("sum",))


def test_several_inputs_of_several_ranks() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Conv2d(3, 4, 1), nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
            assert x.shape[0] == y.shape[0]
            x, y = self.a(x).relu(), self.b(y).relu()
            return self.head(x.mean((2, 3)) + y), [x]

    model = Two()
    graph = capture(model, (IMAGES, torch.randn(2, 5)))

    assert graph.captured is Capture.EXPORT
    assert [(site.name, site.shape, site.reads) for site in graph.sites] == [
        ("relu", (4, 12, 12), 2),
        ("relu#2", (4,), 1),
        ("add", (4,), 1),
    ]
    assert_equal_to_the_bit(model, graph)
    assert re.fullmatch("[0-9a-f]{64}", graph.fingerprint)


def test_what_cannot_be_exported_says_the_same_in_another_process() -> None:
    error = NotExportableError("net.py:3: a branch")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
