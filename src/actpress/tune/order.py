"""The order in which training sees its images, which depends on the seed alone."""

import torch
from torch import Tensor


def epoch_order(images: int, *, seed: int, epoch: int) -> Tensor:
    """Positions of all images in the order of an epoch, shape (images,), int64."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(images, generator=generator)


def images_trained_on(images: int, *, batch_size: int, steps: int, seed: int) -> Tensor:
    """Positions of the images that so many steps see, of `images`, int64, in any order."""
    size = min(batch_size, images)
    if steps > images // size:
        return torch.arange(images)
    return epoch_order(images, seed=seed, epoch=0)[: steps * size]
