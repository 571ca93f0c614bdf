"""CIFAR-10 (Krizhevsky 2009) from files of the user's own; nothing is bundled or downloaded.

`$ACTPRESS_DATA` is searched for these forms, in this order:

cifar10-jpeg.zip                      train/CLASS/*.jpg and test/CLASS/*.jpg in one archive
cifar10/train/CLASS/*.png             the same as a folder, with `test` beside `train`
cifar-10-batches-bin/*.bin            data_batch_1.bin to data_batch_5.bin and test_batch.bin
*.bin                                 the same without the folder

Images stay RGB on the scale 0 to 255, as MLPerf Tiny's networks take them.
"""

import os
import random
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from actpress.data.dataset import Dataset, Split
from actpress.data.imagefile import read_image
from actpress.errors import DataError

Array = NDArray[np.uint8]
Labelled = tuple[Array, Array]
"""Images (n, 3, 32, 32) and class indices (n,)."""

CLASSES = (  # in the order of their labels
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SHAPE = (3, 32, 32)
HOLDOUT_SHARE = 10
"""One in so many training images is held out."""
ORDER_SEED = 0

ARCHIVE = "cifar10-jpeg.zip"
FOLDER = "cifar10"
BATCHES_FOLDER = "cifar-10-batches-bin"
TRAIN_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_BATCH = "test_batch.bin"
RECORD_BYTES = 1 + 3 * 32 * 32

HOW_TO_GET = (
    f"fetch https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, unpack it, and set "
    f"ACTPRESS_DATA to the folder that holds {BATCHES_FOLDER}; {FOLDER}/train/CLASS/*.png with "
    f"{FOLDER}/test, or the same in {ARCHIVE}, is read too"
)


def load_cifar10() -> Dataset:
    """Read the set into memory; the training images are mixed, and the last tenth is held out.

    Raises:
        DataError: the set is not in `$ACTPRESS_DATA` (says how to get it), or a file is damaged.
    """
    train, test = _read(_data_folder())
    order = list(range(len(train[1])))
    random.Random(ORDER_SEED).shuffle(order)  # noqa: S311 an order, not a secret
    cut = len(order) - len(order) // HOLDOUT_SHARE
    return Dataset(
        name="cifar10",
        train=_split(train, order[:cut]),
        holdout=_split(train, order[cut:]),
        test=_split(test, list(range(len(test[1])))),
        classes=len(CLASSES),
    )


def prepare_image(path: Path) -> Tensor:
    """One image file as the data set has its images: float32 (3, 32, 32), 0 to 255.

    Raises:
        DataError: the file is not an image, or damaged.
    """
    return read_image(path, SHAPE).float()


def read_batch(path: Path) -> Labelled:
    """Read one file of the binary version: records of a label and 3,072 values, red first.

    Raises:
        DataError: the file is missing, or does not consist of such records.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}; {HOW_TO_GET}") from error
    if not raw or len(raw) % RECORD_BYTES:
        raise DataError(
            f"{path} has {len(raw)} bytes; expected a multiple of {RECORD_BYTES}, a label and "
            f"3x32x32 values for each image; fetch the file again"
        )
    records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0]


def _data_folder() -> Path:
    configured = os.environ.get("ACTPRESS_DATA")
    if not configured:
        raise DataError(f"ACTPRESS_DATA is not set, and CIFAR-10 is not bundled; {HOW_TO_GET}")
    return Path(configured)


def _read(folder: Path) -> tuple[Labelled, Labelled]:
    """Training and test images."""
    archive = folder / ARCHIVE
    if archive.is_file():
        return _read_archive(archive)
    if (folder / FOLDER).is_dir():
        return _read_images(folder / FOLDER)
    for batches in (folder / BATCHES_FOLDER, folder):
        if (batches / TEST_BATCH).is_file():
            return _read_batches(batches)
    raise DataError(f"CIFAR-10 is not in {folder}; {HOW_TO_GET}")


def _read_archive(path: Path) -> tuple[Labelled, Labelled]:
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_images(zipfile.Path(archive))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}; fetch the file again") from error


def _read_images(root: Traversable) -> tuple[Labelled, Labelled]:
    return _read_image_split(root / "train"), _read_image_split(root / "test")


def _read_image_split(folder: Traversable) -> Labelled:
    found = [
        (_read_values(file), label)
        for label, name in enumerate(CLASSES)
        for file in _files(folder / name)
    ]
    images, labels = zip(*found, strict=True)
    return np.stack(images).transpose(0, 3, 1, 2), np.array(labels, dtype=np.uint8)


def _files(folder: Traversable) -> list[Traversable]:
    found = list(folder.iterdir()) if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder} holds no images; expected train/CLASS and test/CLASS beside it")
    return sorted(found, key=lambda file: file.name)


def _read_values(file: Traversable) -> Array:
    try:
        with file.open("rb") as stream:
            return _decoded(stream)
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read the image {file}: {error}; fetch the data again") from error


def _decoded(stream: IO[bytes]) -> Array:
    with Image.open(stream) as image:
        if image.size != SHAPE[1:]:
            raise ValueError(f"it is {image.width}x{image.height}, expected 32x32")
        return np.array(image.convert("RGB"))


def _read_batches(folder: Path) -> tuple[Labelled, Labelled]:
    images, labels = zip(*(read_batch(folder / name) for name in TRAIN_BATCHES), strict=True)
    return (np.concatenate(images), np.concatenate(labels)), read_batch(folder / TEST_BATCH)


def _split(labelled: Labelled, order: list[int]) -> Split:
    images, labels = labelled
    return Split.in_memory(
        torch.from_numpy(images[order]), torch.from_numpy(labels[order].astype(np.int64)), _float
    )


def _float(images: Tensor) -> Tensor:
    return images.float()
