"""What tells two lots of images apart, and finds the broken ones on the way."""

import hashlib
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from actpress.data.dataset import CHUNK, Split
from actpress.tasks.nest import leaves

TRIED = 8
"""Images that are loaded twice, to see whether they come out the same."""


def digest_images(
    split: Split, positions: Tensor, on_batch: Callable[[int], None] = lambda images: None
) -> str:
    """SHA-256 of images and labels as the network is given them, hexadecimal.

    Empty, and told in a warning, where an image comes out otherwise each time, as under random
    augmentation: nothing can be said of such images.

    Args:
        split: of which data set.
        positions: of the images, shape (n,), int64.
        on_batch: told how many images were read, for progress.

    Raises:
        DataError: an image is broken, or holds NaN or infinite values; says which one.
    """
    tried = positions[:TRIED]
    steady = split.load(tried).equal(split.load(tried))
    digest = hashlib.sha256()
    for images, targets in split.read(positions.split(CHUNK)):
        digest.update(f"{images.dtype} {tuple(images.shape)}".encode())
        digest.update(images.contiguous().view(torch.uint8).numpy().tobytes())
        for target in leaves(targets):
            digest.update(target.numpy().tobytes())
        on_batch(len(images))
    if not steady:
        warnings.warn(
            f"images of the {split.part or 'given'} split come out otherwise each time they are "
            f"loaded, so no run with them can be repeated; leave augmentation out",
            stacklevel=1,
        )
    return digest.hexdigest() if steady else ""
