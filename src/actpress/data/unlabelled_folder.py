"""Images without labels in one folder, or in one for training and one for testing.

PATH/train/*.png, PATH/test/*.png    every tenth training image is held out; test may be called val
PATH/*.png                           a tenth is held out and a tenth tested on, by a fixed seed
"""

import random
import warnings
from collections.abc import Sequence
from pathlib import Path

from actpress.data.dataset import Dataset, Split
from actpress.data.imagefile import read_image
from actpress.data.imagefolder import (
    ORDER_SEED,
    FolderImages,
    check_normalisation,
    check_size,
    default_normalisation,
    image_files,
    is_image,
    listed,
    normalised,
)
from actpress.data.left_out import warn_of_left_out
from actpress.errors import DataError
from actpress.tasks import UNLABELLED

APART = 10
"""One in so many images is held out, and another tested on where there is no folder for that."""

LAYOUT = "expected PATH/train/*.png and PATH/test/*.png (or val instead of test), or PATH/*.png"


def load_unlabelled_folder(
    path: Path,
    *,
    size: tuple[int, int, int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Dataset:
    """Open a folder of images that have no classes; files are decoded when needed.

    Files that are not read are told in a warning, and so is a folder that is cut by a seed.

    Args:
        path: holds `train` and `test` or `val`, or the images themselves.
        size: (c, h, w) that images are scaled to, see `FolderImages`.
        mean: one value per channel, or one for all; see `default_normalisation`.
        std: likewise.

    Raises:
        DataError: a folder is missing or holds no image, or not enough of them; `size`, `mean` or
            `std` make no sense.
    """
    check_size(size)
    default_mean, default_std = default_normalisation(size[0])
    centre, scale = tuple(mean or default_mean), tuple(std or default_std)
    check_normalisation(size[0], centre, scale)
    train, holdout, test = _files(path)

    def split(files: list[Path]) -> Split:
        return Split.unlabelled(FolderImages(tuple(files), size, centre, scale))

    return Dataset(
        f"imagefolder:{path}",
        split(train),
        split(holdout),
        split(test),
        classes=0,
        task=UNLABELLED,
        prepared=f"images normalised by mean {listed(centre)} and std {listed(scale)}",
        prepare=lambda file: normalised(read_image(file, size), centre, scale),
    )


def _files(path: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Files for training, held out, and for testing."""
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; {LAYOUT}")
    train = path / "train"
    tested = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if train.is_dir() and tested is not None:
        mixed, test = _mixed(train), _mixed(tested)
        warn_of_left_out([train, tested], labelled=False)
    else:
        mixed, test = _cut(path)
    apart = max(len(mixed) // APART, 1)
    if len(mixed) <= apart:
        raise DataError(
            f"{path} holds {len(mixed)} images to train on; expected at least two, so that one "
            f"can be held out"
        )
    return mixed[apart:], mixed[:apart], test


def _cut(path: Path) -> tuple[list[Path], list[Path]]:
    """The images of one folder: those to train on, and those to test on."""
    if not any(map(is_image, path.iterdir())):
        raise DataError(f"{path} holds no image, and no folders train and test; {LAYOUT}")
    warn_of_left_out([path], labelled=False)
    every = _mixed(path)
    apart = max(len(every) // APART, 1)
    warnings.warn(
        f"{path} has no folders train and test: {apart:,} of its {len(every):,} images, drawn by a "
        f"fixed seed, are tested on",
        stacklevel=1,
    )
    return every[apart:], every[:apart]


def _mixed(folder: Path) -> list[Path]:
    if not any(map(is_image, folder.iterdir())) and any(map(Path.is_dir, folder.iterdir())):
        raise DataError(
            f"{folder} holds folders, but no image itself; where they are classes, leave "
            f"--unlabelled out"
        )
    files = image_files(folder)
    random.Random(ORDER_SEED).shuffle(files)  # noqa: S311 an order, not a secret
    return files
