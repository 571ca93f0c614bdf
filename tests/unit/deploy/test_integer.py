"""The integer form: its arithmetic, and that it computes the network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actpress.data.dataset import Dataset
from actpress.deploy.integer import (
    Convolution,
    Executor,
    IntegerNetwork,
    Stage,
    integer_network,
    integer_score,
)
from actpress.deploy.integer.arithmetic import fixed_point, quantized_weights, requantize
from actpress.deploy.integer.execute import image_codes
from actpress.errors import ExportError
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel
from actpress.zoo import mobilenet_v2, resnet8, vgg16_bn
from tests.unit.deploy.conftest import Pressing

MakePressed = Callable[..., CompressedModel]


class Sums(nn.Module):
    """A padded convolution of stride 2, a sum of two convolutions, a concatenation, pools."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.shrink = nn.AvgPool2d(2)
        self.act = nn.Hardswish()
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(self.pad(x)))
        x = self.act(self.depthwise(x) + self.grouped(x))
        x = torch.cat([self.pool(x), self.shrink(x)], 1)
        return self.head(nn.functional.relu6(x).mean((2, 3)))


def test_halves_are_rounded_up() -> None:
    one = np.array([1])
    assert [int(requantize(np.array([x]), one)[0]) for x in (-3, -2, -1, 0, 1, 2, 3)] == [
        -1, -1, 0, 0, 1, 1, 2,
    ]  # fmt: skip


@pytest.mark.parametrize("factor", [1e-9, 0.3, 0.99999999999, 1.0, 7.5, 1e8])
def test_factors_are_held_to_31_bits(factor: float) -> None:
    multiplier, shift = fixed_point(np.array([[factor], [factor / 3]]))

    assert abs(multiplier).max() < 2**31
    assert 1 <= shift[0] <= 56
    assert multiplier[0, 0] / 2.0 ** shift[0] == pytest.approx(factor, rel=2**-26)
    assert multiplier[1, 0] / 2.0 ** shift[0] == pytest.approx(factor / 3, rel=2**-24)


def test_biases_take_zeros_off() -> None:
    weight, bias = np.array([[0.5, -1.27], [0.0, 0.0]]), np.array([0.3, 2.0])
    stored, corrected, scale = quantized_weights(weight, bias, np.array([-128, 4]))

    line = np.array([-128, 4])
    assert stored.tolist() == [[50, -127], [0, 0]]
    assert ((stored @ line + corrected) * scale).tolist() == pytest.approx([0.3, 2.0], abs=1e-2)


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA, Transform.HADAMARD])
@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("rank", [6, 8])
def test_logits_are_those_of_the_compressed_network(
    make_pressed: MakePressed,
    dataset: Dataset,
    images: Tensor,
    transform: Transform,
    placement: Placement,
    rank: int,
) -> None:
    pressed = make_pressed(transform, placement=placement, rank=rank, coarseness=0.1)
    network = integer_network(pressed, images.split(64))
    test = next(dataset.test.batches(96))[0]

    with torch.no_grad():
        expected = pressed(test).numpy()
    logits = Executor(network).logits(test.numpy()) * network.logit_scale

    assert np.std(logits - expected) < 0.05 * np.std(expected)
    score = integer_score(network, pressed, dataset.test, dataset.task)
    assert score.images == 96
    assert score.agreement > 0.95
    assert score.accuracy == pytest.approx(score.compressed_accuracy, abs=0.04)


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
@pytest.mark.parametrize("placement", list(Placement))
def test_operators(
    press_all: Pressing, colours: Tensor, transform: Transform, placement: Placement
) -> None:
    pressed = press_all(Sums(), transform, bit_width=7, placement=placement)
    network = integer_network(pressed, [colours])

    with torch.no_grad():
        expected = pressed(colours).numpy()
    logits = Executor(network).logits(colours.numpy()) * network.logit_scale

    assert np.std(logits - expected) < 0.05 * np.std(expected)


@pytest.mark.parametrize("build", [resnet8, mobilenet_v2, vgg16_bn])
def test_reference_networks_are_converted(
    press_all: Pressing, build: Callable[..., nn.Module]
) -> None:
    options = {} if build is resnet8 else {"num_classes": 5}
    if build is vgg16_bn:
        options |= {"base_channels": 2, "hidden_features": 8, "pooled_size": 1}
    images = torch.randn(2, 3, 32, 32)
    if build is resnet8:
        images = images * 60 + 128
    model = build(**options).eval()

    network = integer_network(press_all(model, Transform.IDENTITY, images=images), [images])

    assert Executor(network).logits(images.numpy()).shape == (2, 10 if build is resnet8 else 5)


def by_hand(stage: Stage, line: NDArray[np.int64]) -> NDArray[np.int64]:
    """A dense convolution and its rescale, number by number, in Python's own integers."""
    convolution = stage.operation
    assert isinstance(convolution, Convolution)
    assert stage.source is not None
    window, rescale = convolution.window, stage.rescale
    height, width, channels = line.shape
    rows, columns = window.size_after(height, width)
    result = np.zeros((rows, columns, len(convolution.bias)), np.int64)
    for y, x, o in np.ndindex(*result.shape):
        total = int(convolution.bias[o])
        for dy, dx, i in np.ndindex(*window.kernel, channels):
            v = y * window.stride[0] + dy - window.before[0]
            u = x * window.stride[1] + dx - window.before[1]
            inside = 0 <= v < height and 0 <= u < width
            value = int(line[v, u, i]) if inside else int(stage.source.zero[i])
            total += int(convolution.weight[o, i, dy, dx]) * value
        s = int(rescale.shift[o])
        code = ((total * int(rescale.multiplier[o]) + (1 << (s - 1))) >> s) + int(rescale.offset[o])
        result[y, x, o] = min(max(code, int(rescale.low[o])), int(rescale.high[o]))
    return result


def test_a_convolution_number_by_number(make_pressed: MakePressed, images: Tensor) -> None:
    network = integer_network(make_pressed(Transform.IDENTITY, bit_width=4), [images])
    codes = Executor(network).run(image_codes(network.input, images[:1].numpy()))[1]

    for stage in network.stages[:2]:  # the second has a stride of 2
        assert stage.source is not None
        assert stage.source.table is not None
        assert stage.target is not None
        line = stage.source.table.at(codes[stage.source.map.name][0])
        assert by_hand(stage, line).tolist() == codes[stage.target.name][0].tolist()


def test_codes_lie_in_their_bits(make_pressed: MakePressed, images: Tensor) -> None:
    network = integer_network(make_pressed(Transform.PCA, bit_width=3, rank=5), [images])
    _, codes = Executor(network).run(image_codes(network.input, images.numpy()))

    for each in network.maps[1:]:
        assert each.bits.max() <= 8
        assert codes[each.name].min() >= 0
        assert (codes[each.name] < 2**each.bits).all()


def test_dropped_channels_have_no_bits_and_no_weights(
    make_pressed: MakePressed, images: Tensor
) -> None:
    network = integer_network(make_pressed(Transform.IDENTITY, rank=5), [images])

    assert all((each.bits > 0).sum() == 5 for each in network.maps[1:])
    for stage in network.stages[1:3]:
        assert stage.source is not None
        assert isinstance(stage.operation, Convolution)
        used = abs(stage.operation.weight).max(axis=(0, 2, 3)) > 0
        assert used.tolist() == (stage.source.map.bits > 0).tolist()


def refusal(network: nn.Module, press_all: Pressing, images: Tensor, **options: int) -> str:
    pressed = press_all(network, Transform.PCA, **options)
    with pytest.raises(ExportError) as raised:
        integer_network(pressed, [images])
    return str(raised.value)


def test_a_gate_is_refused_by_name(press_all: Pressing, colours: Tensor) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((self.a(x) * torch.sigmoid(self.b(x))).mean((2, 3)))

    assert refusal(Gated(), press_all, colours) == "mul (mul) has no integer form"


def test_wide_symbols_and_blocks_are_refused(press_all: Pressing, colours: Tensor) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten(),
        nn.Linear(1024, 3),
    )  # fmt: skip
    blocks = refusal(network, press_all, colours, block=2)
    assert "projects blocks of 2 x 2 pixels" in blocks
    wide = refusal(network, press_all, colours, bit_width=12)
    assert "bits, expected 8 at most; plan fewer there" in wide


def test_two_calibrations_are_one_network(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.PCA)

    def logits(network: IntegerNetwork) -> list[list[int]]:
        return Executor(network).logits(images[:8].numpy()).tolist()

    assert logits(integer_network(pressed, [images])) == logits(
        integer_network(pressed, images.split(50))
    )
