"""Weights of float32: C computes the reference bit for bit, and the reference the network."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actpress.deploy.c import export_c
from actpress.deploy.integer import (
    Convolution,
    Executor,
    FloatRescale,
    IntegerNetwork,
    Weights,
    Window,
    head_of,
    integer_network,
)
from actpress.deploy.integer.execute import apply_matrix, convolve, image_codes
from actpress.deploy.integer.network import Matrix
from actpress.deploy.memory import memory_plan, rans_layouts
from actpress.errors import ExportError
from actpress.plan import Placement, Transform
from actpress.pressing import CompressedModel
from tests.unit.deploy.conftest import Pressing
from tests.unit.deploy.test_c import assert_equal, emulated, make, run
from tests.unit.deploy.test_integer import Sums

MakePressed = Callable[..., CompressedModel]


def float_network(pressed: CompressedModel, images: Tensor) -> IntegerNetwork:
    return integer_network(pressed, [images], weights=Weights.FLOAT32)


@torch.no_grad()
def assert_the_network(network: IntegerNetwork, pressed: CompressedModel, images: Tensor) -> None:
    """Logits are the compressed network's, of images as a device stores them.

    But for the few images of which a value next to a tie is rounded to another symbol.
    """
    codes = image_codes(network.input, images.numpy())
    seen = (codes - network.input.zero) * network.input.scale
    expected = pressed(torch.from_numpy(seen.transpose(0, 3, 1, 2)).float()).numpy()
    found = Executor(network).logits(images.numpy())
    assert found.dtype == np.float32
    close = abs(found - expected).max(axis=1) <= 1e-4 * abs(expected).max()
    assert close.mean() > 0.9


@pytest.mark.parametrize("transform", [Transform.IDENTITY, Transform.PCA])
@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("size", [(8, 8), (5, 3), (8, 1)])
def test_c_is_the_reference_and_the_reference_the_network(
    make_pressed: MakePressed,
    images: Tensor,
    tmp_path: Path,
    transform: Transform,
    placement: Placement,
    size: tuple[int, int],
) -> None:
    rank, bit_width = size
    pressed = make_pressed(transform, placement=placement, rank=rank, bit_width=bit_width)
    network = float_network(pressed, images)
    assert_the_network(network, pressed, images)
    assert_equal(network, images[:5], tmp_path, memory_plan(network))


@pytest.mark.parametrize("whole_bytes", [False, True])
@pytest.mark.parametrize("cascades", [False, True])
def test_operators(
    press_all: Pressing, colours: Tensor, tmp_path: Path, *, cascades: bool, whole_bytes: bool
) -> None:
    network = float_network(press_all(Sums(), Transform.IDENTITY, bit_width=5), colours)
    plan = memory_plan(network, cascades=cascades, whole_bytes=whole_bytes)
    assert_equal(network, colours[:4], tmp_path, plan)


def test_an_activation_beside_a_projection_is_refused_by_name(
    press_all: Pressing, colours: Tensor
) -> None:
    pressed = press_all(Sums(), Transform.PCA, placement=Placement.POST_ACT)
    with pytest.raises(ExportError, match=r": hardswish beside a projection has no float32 form"):
        float_network(pressed, colours)


LARGE = 1e8
"""Next to it, float32 does not see a one."""


def test_inputs_are_added_in_their_order() -> None:
    weight = np.array([[LARGE, 1, -LARGE], [LARGE, -LARGE, 1]], np.float32)
    none = np.zeros(2, np.float32)
    free = FloatRescale(none + 1, none, none - LARGE, none + LARGE, whole=False)
    line = np.ones((1, 1, 3, 3), np.float32)

    given = apply_matrix(line, Matrix(weight, none, free))
    assert given[0, 0, 0].tolist() == [0.0, 1.0]

    by_column = Convolution(Window((1, 3)), weight[:, None, None, :], none, 1)
    assert convolve(line[..., :1], by_column, none[:1])[0, 0, 0].tolist() == [0.0, 1.0]


def test_halves_are_rounded_up_and_codes_clamped() -> None:
    one, most = np.ones(1, np.float32), np.float32(3)
    rescale = FloatRescale(one, one / 2, one / 2, most * one + one / 2, whole=True)
    matrix = Matrix(np.ones((1, 1), np.float32), 0 * one, rescale)
    values = np.array([-5, 0.49, 0.5, 1.5, 2.49, 9], np.float32)[:, None]
    assert apply_matrix(values, matrix)[:, 0].tolist() == [0, 0, 1, 2, 2, 3]


@pytest.fixture
def firmware(make_pressed: MakePressed, images: Tensor, tmp_path: Path) -> Path:
    network = float_network(make_pressed(Transform.PCA, rank=6, bit_width=4), images)
    export_c(network, images[:3], tmp_path / "firmware", title="tiny")
    return tmp_path / "firmware"


def test_the_folder_checks_itself(firmware: Path) -> None:
    assert "maps and outputs of 3 images: equal" in make(firmware, "check")
    assert "maps and outputs of 3 images: equal" in make(firmware, "sanitize")
    assert "double" not in (firmware / "net.c").read_text()


@emulated
@pytest.mark.parametrize("board", ["m4", "m7"])
def test_the_emulated_board_computes_the_same(firmware: Path, board: str) -> None:
    said = make(firmware, "qemu", f"BOARD={board}")
    assert "maps and outputs of 3 images: equal" in said


@emulated
def test_rows_of_rans_on_a_board(press_all: Pressing, colours: Tensor, tmp_path: Path) -> None:
    network = float_network(press_all(Sums(), Transform.IDENTITY, bit_width=4), colours)
    layouts = rans_layouts(network, [colours], worth=100)
    export_c(network, colours[:2], tmp_path / "sums", title="sums", layouts=layouts)
    assert "decode_row" in (tmp_path / "sums" / "net.c").read_text()
    assert "maps and outputs of 2 images: equal" in make(tmp_path / "sums", "qemu")


def test_main_prints_the_logits_of_an_image(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    network = float_network(make_pressed(Transform.IDENTITY, bit_width=4), images)
    export_c(network, images[:1], tmp_path / "firmware", title="tiny")
    image = image_codes(network.input, images[:1].numpy()).astype(np.uint8)
    (tmp_path / "image").write_bytes(image.tobytes())
    make(tmp_path / "firmware", "main")
    said = run("./main", "../image", folder=tmp_path / "firmware")
    printed = [np.float32(line.split()[1]) for line in said.splitlines()]
    assert printed == Executor(network).logits(images[:1].numpy())[0].tolist()


def test_a_head_sends_the_same_symbols(
    make_pressed: MakePressed, images: Tensor, tmp_path: Path
) -> None:
    pressed = make_pressed(Transform.PCA, rank=5, bit_width=4)
    head = head_of(float_network(pressed, images), [next(iter(pressed.codecs))])
    export_c(head, images[:2], tmp_path / "head", title="head")
    assert "outputs of 2 images: equal" in make(tmp_path / "head", "check")
