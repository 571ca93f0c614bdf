"""Cuts say what they send and compute; a network's operations are counted as by hand."""

import io
from collections.abc import Callable

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from actpress.cuts import Cut, possible_cuts
from actpress.data import Dataset, FileSizes, file_sizes
from actpress.evaluation import RunInfo, evaluate
from actpress.graph import Graph, macs_per_image
from actpress.pressing import CompressedModel
from actpress.report import print_cuts, sent
from actpress.splitting import split

MakePressed = Callable[..., CompressedModel]


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (4, 3, 5, 5), 3 * 8 * 9 * 25),
        (nn.Conv2d(8, 8, 3, stride=2, groups=8), (2, 8, 5, 5), 8 * 9 * 4),
        (nn.Linear(10, 7), (3, 10), 70),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()).eval(), (2, 3, 4, 4), 0),
    ],
)
def test_operations_are_those_of_one_image(
    module: nn.Module, shape: tuple[int, ...], macs: int
) -> None:
    assert macs_per_image(module, torch.zeros(shape)) == macs


def test_what_a_cut_sends_is_close_to_what_its_head_emits(
    make_pressed: MakePressed, images: Tensor
) -> None:
    pressed = make_pressed(coarseness=0.2)
    cuts = possible_cuts(pressed, pressed.coded_bits, images[:2])
    assert [cut.at for cut in cuts] == list(pressed.codecs)
    for cut in cuts:
        head, _ = split(pressed, cut.at)
        assert cut.sites == head.sites
        mean = sum(len(head(image[None])) for image in images[:64]) / 64
        assert cut.sent_bytes == pytest.approx(mean, rel=0.15, abs=12 * len(cut.sites))


def test_a_head_computes_its_layers_and_its_encoders(
    make_pressed: MakePressed, images: Tensor
) -> None:
    cuts = possible_cuts(
        make_pressed(rank=3), dict.fromkeys(make_pressed().codecs, 8.0), images[:2]
    )
    assert cuts[0].head_macs == 64 * (8 * 9 + 3 * 8), "one convolution of 8x8 pixels, one encoder"
    assert [cut.head_macs for cut in cuts] == sorted(cut.head_macs for cut in cuts)


def test_images_are_as_large_as_their_files() -> None:
    noise = torch.randn(3, 3, 32, 32)
    sizes = file_sizes((3, 32, 32), torch.cat([noise, torch.zeros(1, 3, 32, 32)]))
    assert (sizes.images, sizes.raw) == (4, 3072)
    pixels = [((x - x.min()) / (x.max() - x.min()).clamp(min=1e-9) * 255).round() for x in noise]
    files = [io.BytesIO() for _ in pixels]
    for each, file in zip(pixels, files, strict=True):
        Image.fromarray(each.byte().permute(1, 2, 0).numpy()).save(file, "png")
    flat = io.BytesIO()
    Image.new("RGB", (32, 32)).save(flat, "png")
    expected = sum(len(file.getvalue()) for file in [*files, flat]) / 4
    assert sizes.png == pytest.approx(expected)
    assert sizes.jpeg is not None
    assert sizes.jpeg < sizes.png
    assert file_sizes((2, 4, 4), torch.zeros(1, 2, 4, 4)) == FileSizes(0, 32)
    assert file_sizes((1, 4, 4), None) == FileSizes(0, 16)


def test_cuts_stand_beside_the_input() -> None:
    cuts = [Cut("stem", ("stem",), 2000, 589_824), Cut("late.relu", ("a", "late.relu"), 300, 10**8)]
    sizes = FileSizes(32, 1024, 476.2, 729.0)
    console = Console(width=80, file=io.StringIO())
    print_cuts(cuts, sizes, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert ["late.relu", "2", "300", "29.3", "%", "100.00", "M"] in map(
        str.split, printed.splitlines()
    )
    assert "1,024 bytes at 8 bit, 476 as PNG, 729 as JPEG" in " ".join(printed.split())
    assert sent(cuts[1], FileSizes(0, 1024)) == (
        "the head sends a, late.relu: about 300 bytes an image, the input takes 1,024 bytes at 8 "
        "bit"
    )


def test_metrics_tell_the_operations_of_the_network_itself(
    make_pressed: MakePressed, graph: Graph, dataset: Dataset
) -> None:
    metrics = evaluate(make_pressed(), graph, dataset.test, RunInfo())
    first, strided, pixels = 8 * 9 * 64, 8 * 8 * 9 * 16, 8 * 4
    assert metrics.network_macs == first + 3 * strided + pixels
    bits = metrics.bits_per_value.entropy
    assert metrics.stored_ratio_8bit == pytest.approx(8 / bits)
