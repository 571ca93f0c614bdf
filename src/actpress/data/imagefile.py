"""One image file: decode, turn, scale, crop."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from actpress.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
MODES = {1: "L", 3: "RGB"}

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
"""Modes of grey images of 16 bits, white being 65,535."""

BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file."""

WITHOUT_WHITE = ("I", "F")
"""Modes of grey images of 32 bits, which do not say what value is white."""


def read_image(path: Path, size: tuple[int, int, int]) -> Tensor:
    """Decode one image, turn it as its EXIF says, scale it to cover (h, w), crop its centre.

    Grey images of 16 bits are scaled to 8.

    Returns:
        uint8, shape `size`.

    Raises:
        DataError: the file is not an image, damaged, too large to be one in earnest, or grey
            with values of 32 bits.
    """
    try:
        with Image.open(path) as image:
            return fitted(image, size, f"the image {path}")
    except BROKEN as error:
        raise DataError(f"cannot read the image {path}: {error}; give another file") from error


def fitted(image: Image.Image, size: tuple[int, int, int], where: str) -> Tensor:
    """An opened image as `read_image` gives it.

    Args:
        image: of any size and mode.
        size: (c, h, w).
        where: it comes from, for messages.

    Raises:
        DataError: it is damaged, or grey with values of 32 bits.
    """
    c, h, w = size
    try:
        upright = _in_eight_bits(ImageOps.exif_transpose(image), where).convert(MODES[c])
        scaled = ImageOps.fit(upright, (w, h), Image.Resampling.BILINEAR)
    except BROKEN as error:
        raise DataError(f"cannot read {where}: {error}; give another file") from error
    return torch.from_numpy(np.array(scaled)).view(h, w, c).permute(2, 0, 1)


def _in_eight_bits(image: Image.Image, where: str) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65,535 = 255 * 257
    if image.mode in WITHOUT_WHITE:
        raise DataError(
            f"{where} has grey values of 32 bits, which do not say what is white; "
            f"expected 8 or 16 bits; convert it"
        )
    return image
