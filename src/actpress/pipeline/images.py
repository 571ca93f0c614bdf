"""Which images a job uses, read once before it begins."""

import torch
from torch import Tensor

from actpress.data.dataset import Dataset
from actpress.data.digest import digest_images
from actpress.pipeline.progress import Progress, Silence
from actpress.pipeline.settings import Settings, held_out_size
from actpress.tune import images_trained_on

PREDICTED = 256
"""Held-out images on which a network is tried, at least."""


def used_images(data: Dataset, settings: Settings) -> dict[str, Tensor]:
    """Positions of the images that any method may use, by split, rising; all for testing."""
    train, holdout = len(data.train), len(data.holdout)
    first = max(
        settings.calibration_images,
        settings.decoder_images,
        settings.search_images,
        settings.tune.batch_size,
    )
    trained = images_trained_on(
        train,
        batch_size=settings.tune.batch_size,
        steps=max(settings.tune.steps, settings.widths.steps),
        seed=settings.seed,
    )
    validating = max(settings.tune.validation_images, settings.holdout_images, PREDICTED)
    searching = holdout - held_out_size(data, settings)
    return {
        "train": torch.cat([torch.arange(min(first, train)), trained]).unique(),
        "holdout": torch.cat(
            [torch.arange(min(validating, holdout)), torch.arange(holdout - searching, holdout)]
        ).unique(),
        "test": torch.arange(len(data.test)),
    }


def read_images(
    data: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, str]:
    """Read every image that a job may use, before it begins; returns a digest of each split's.

    Raises:
        DataError: an image is broken, or holds NaN or infinite values; says which one.
    """
    progress = progress or Silence()
    used = used_images(data, settings)
    progress.start("read images", sum(map(len, used.values())))
    splits = {"train": data.train, "holdout": data.holdout, "test": data.test}
    return {
        part: digest_images(splits[part], positions, progress.advance)
        for part, positions in used.items()
    }
