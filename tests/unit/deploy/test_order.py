"""Orders of channels: another layout of the same integers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import actpress
from actpress.deploy.c import stream_of
from actpress.deploy.integer import (
    Executor,
    IntegerMap,
    IntegerNetwork,
    Weights,
    head_of,
    integer_network,
)
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import layout_of, memory_plan, packed
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel
from tests.unit.deploy.conftest import Pressing
from tests.unit.deploy.test_c import assert_equal
from tests.unit.deploy.test_integer import Sums

ORDERED = "actpress.deploy.integer.convert.by_width"
MakePressed = Callable[..., CompressedModel]


def uneven(pressed: CompressedModel) -> CompressedModel:
    """With symbols of all widths, in no order."""
    for at, codec in enumerate(pressed.codecs.values()):
        channels = torch.arange(len(codec.q_max))
        codec.q_max.copy_(codec.q_min + 2 ** ((3 * channels + at) % 4 + 2) - 1)
    return pressed


@pytest.fixture
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> Callable[..., IntegerNetwork]:
    """The integer form with channels in the order of the codecs."""

    def make(*arguments: object, **settings: object) -> IntegerNetwork:
        with monkeypatch.context() as patch:
            patch.setattr(ORDERED, lambda network: network)
            return integer_network(*arguments, **settings)  # type: ignore[arg-type]

    return make


class Tied(nn.Module):
    """A depthwise convolution and a sum, and a convolution whose channels nothing is added to."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.mix = nn.Conv2d(8, 8, 1)
        self.alone = nn.Conv2d(8, 12, 3)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.mix(torch.relu(self.depthwise(x))) + x)
        return self.head(torch.relu(self.alone(x)).mean((2, 3)))


def is_in_order(stored: IntegerMap) -> bool:
    return bool((np.diff(stored.bits) >= 0).all())


@pytest.mark.parametrize(
    "pressed_as", [(Tied, Transform.IDENTITY), (Sums, Transform.PCA)], ids=["tied", "projected"]
)
@pytest.mark.parametrize("placement", list(Placement))
def test_integers_are_the_same_in_another_order(
    press_all: Pressing,
    colours: Tensor,
    tmp_path: Path,
    as_they_are: Callable[..., IntegerNetwork],
    pressed_as: tuple[type[nn.Module], Transform],
    placement: Placement,
) -> None:
    network, transform = pressed_as
    pressed = uneven(press_all(network(), transform, placement=placement))
    given, made = as_they_are(pressed, [colours]), integer_network(pressed, [colours])
    assert not all(is_in_order(each) for each in given.maps)
    assert sum(map(is_in_order, made.maps)) > sum(map(is_in_order, given.maps))

    image = image_codes(given.input, colours[:4].numpy())
    logits, codes = Executor(given).run(image)
    own_logits, own_codes = Executor(made).run(image)
    assert own_logits.tolist() == logits.tolist()
    for each in made.maps:
        assert (own_codes[each.name] == codes[each.name][..., each.order]).all()
    assert memory_plan(made).arena_bytes == memory_plan(given).arena_bytes
    assert_equal(made, colours[:2], tmp_path, memory_plan(made))


def test_floats_are_nearly_the_same(
    make_pressed: MakePressed, images: Tensor, as_they_are: Callable[..., IntegerNetwork]
) -> None:
    pressed = uneven(make_pressed(Transform.IDENTITY))
    given = as_they_are(pressed, [images], weights=Weights.FLOAT32)
    made = integer_network(pressed, [images], weights=Weights.FLOAT32)
    both = [Executor(each).logits(images.numpy()) for each in (given, made)]
    assert (abs(both[0] - both[1]).max(axis=1) <= 1e-4 * abs(both[0]).max()).mean() > 0.9


def test_maps_that_share_an_order(press_all: Pressing, colours: Tensor) -> None:
    made = integer_network(uneven(press_all(Tied(), Transform.IDENTITY)), [colours])
    maps = {stage.name: stage.target for stage in made.stages if stage.target is not None}
    orders = {name: stored.order.tolist() for name, stored in maps.items()}
    assert orders["stem"] == orders["depthwise"] == orders["mix"]
    assert orders["alone"] == orders["mean"]
    assert is_in_order(maps["stem"])
    assert is_in_order(maps["alone"])
    assert not is_in_order(maps["mix"])
    groups = [layout_of(maps[name]).groups for name in ("stem", "alone")]
    assert all((np.diff(group.members) == 1).all() for each in groups for group in each)


def test_a_grouped_convolution_and_a_concatenation_keep_orders(
    press_all: Pressing, colours: Tensor
) -> None:
    made = integer_network(uneven(press_all(Sums(), Transform.IDENTITY)), [colours])
    assert all(each.order.tolist() == list(range(each.channels)) for each in made.maps)


def test_a_message_has_the_order_of_the_codec(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = uneven(make_pressed(Transform.IDENTITY))
    at = next(iter(pressed.codecs))
    head, tail = actpress.split(pressed, at)
    network = head_of(integer_network(pressed, [images]), head.sites)
    stored = {each.name: each for each in network.maps}[at]
    assert not (np.diff(stored.order) == 1).all()
    codes = Executor(network).run(image_codes(network.input, images[:3].numpy()))[1]
    messages = [packed(codes[at][row], layout_of(stored)) for row in range(3)]
    with torch.no_grad():
        expected = pressed(images[:3])
    found = tail(stream_of(head, network, messages))
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()
