"""What images take as files: what a split network's bytes are measured against."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MODES = {1: "L", 3: "RGB"}
JPEG_QUALITY = 90


@dataclass(frozen=True)
class FileSizes:
    """Mean bytes of an image.

    Attributes:
        images: looked at; 0 where there was none.
        raw: one byte a value.
        png, jpeg: as files, JPEG of quality `JPEG_QUALITY`; None without images of 1 or 3 channels.
    """

    images: int
    raw: int
    png: float | None = None
    jpeg: float | None = None


def file_sizes(shape: Sequence[int], images: Tensor | None) -> FileSizes:
    """Sizes of images as files.

    Args:
        shape: of one; other data than (c, h, w) are no files of images.
        images: as the network takes them, (n, *shape), float; their least and greatest value
            become black and white. None where no data are at hand.
    """
    if images is None or len(shape) != 3 or shape[0] not in MODES:
        return FileSizes(0, prod(shape))
    pixels = [_pixels(image) for image in images]
    png = [_file_bytes(each, "png") for each in pixels]
    jpeg = [_file_bytes(each, "jpeg", quality=JPEG_QUALITY) for each in pixels]
    return FileSizes(len(pixels), prod(shape), sum(png) / len(png), sum(jpeg) / len(jpeg))


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    low, high = image.aminmax()
    scaled = (image - low) / (high - low).clamp(min=1e-12) * 255
    return scaled.round().byte().permute(1, 2, 0).squeeze(2).numpy()


def _file_bytes(pixels: NDArray[np.uint8], form: str, **options: int) -> int:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return len(file.getvalue())
