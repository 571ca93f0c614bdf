"""The head of a network in C: its message is a stream that the tail reads."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import actpress
from actpress.deploy.c import stream_of
from actpress.deploy.integer import Executor, head_of, integer_network
from actpress.deploy.integer.execute import image_codes
from actpress.deploy.memory import layout_of, memory_plan, packed, unpacked
from actpress.errors import ExportError, StreamError
from actpress.plan import Transform
from actpress.pressing import CompressedModel
from examples.split_on_a_device import through_device
from tests.unit.deploy.test_c import emulated, make

MakePressed = Callable[..., CompressedModel]


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
def test_the_tail_goes_on_from_what_c_sends(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path, transform: Transform
) -> None:
    pressed = make_pressed(transform, rank=5, bit_width=4)
    at = next(iter(pressed.codecs))
    folder = tmp_path / "head"
    logits = through_device(pressed, at, images, images[:6], folder)

    head, tail = actpress.split(pressed, at)
    network = integer_network(pressed, [images])
    whole, codes = Executor(network).run(image_codes(network.input, images[:6].numpy()))
    maps = {each.name: each for each in network.maps}
    messages = [
        b"".join(packed(codes[name][at], layout_of(maps[name])) for name in head.sites)
        for at in range(6)
    ]
    assert tail(stream_of(head, head_of(network, head.sites), messages)).equal(logits)
    with torch.no_grad():
        assert (logits - pressed(images[:6])).abs().mean() < 0.1 * pressed(images[:6]).abs().mean()
    assert whole.shape[0] == len(logits)
    assert "outputs of 2 images: equal" in make(folder, "check")
    assert "outputs of 2 images: equal" in make(folder, "sanitize")


@emulated
def test_a_head_runs_on_a_board(make_pressed: MakePressed, images: Tensor, tmp_path: Path) -> None:
    pressed = make_pressed(Transform.IDENTITY, bit_width=3)
    at = next(iter(pressed.codecs))
    through_device(pressed, at, images, images[:2], tmp_path / "head")
    assert "outputs of 2 images: equal" in make(tmp_path / "head", "qemu", "BOARD=m7")


def test_sent_maps_are_stored_to_the_end(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.IDENTITY, bit_width=4)
    network = integer_network(pressed, [images])
    names = tuple(each.name for each in network.maps[1:3])
    plan = memory_plan(head_of(network, names))
    spans = sorted((plan.offsets[n], plan.offsets[n] + plan.layouts[n].size_bytes) for n in names)
    assert spans[0][1] <= spans[1][0]


def test_unpacking_is_the_inverse_of_packing(make_pressed: MakePressed, images: Tensor) -> None:
    network = integer_network(make_pressed(Transform.PCA, rank=5, bit_width=3), [images])
    _, codes = Executor(network).run(image_codes(network.input, images[:1].numpy()))
    for each in network.maps:
        data = packed(codes[each.name][0], layout_of(each))
        assert (unpacked(data, each) == codes[each.name][0]).all()


def test_what_is_wrong_is_told(make_pressed: MakePressed, images: Tensor) -> None:
    pressed = make_pressed(Transform.IDENTITY)
    network = integer_network(pressed, [images])
    with pytest.raises(ExportError, match=r"^nowhere: no map of this name is stored in integers"):
        head_of(network, ["nowhere"])
    head, _ = actpress.split(pressed, next(iter(pressed.codecs)))
    size = int(np.sum([layout_of(network.maps[1]).size_bytes]))
    with pytest.raises(StreamError, match=f"a message of 3 bytes, expected {size}"):
        stream_of(head, head_of(network, head.sites), [b"abc"])
