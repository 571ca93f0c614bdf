"""Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747; MIT licence) from idx files.

Images are padded from 28x28 to 32x32 with background, then normalised by the mean and the
standard deviation of the training split.
"""

import gzip
import hashlib
import lzma
import math
import os
import struct
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from actpress.data.dataset import Dataset, Split
from actpress.data.imagefile import read_image
from actpress.errors import DataError

Array = NDArray[np.uint8]

CLASSES = 10
MEAN, STD = 0.2860, 0.3530
IMAGE_SIZE = (28, 28)
HOLDOUT = 5_000
"""Training images at the end of the split that the reference networks never saw."""

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
FILES = {  # md5 sums published with the data set
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
BUNDLED_FILES = tuple(file.replace(".gz", ".xz") for file in FILES)
BUNDLED_HOLDOUT = 1_500

IDX_UNSIGNED_BYTE = 8


def load_fashion_mnist() -> Dataset:
    """The full set: 60,000 training images (the last 5,000 held out) and 10,000 test images.

    Looked for in `$ACTPRESS_DATA`, then where Debian's package `dataset-fashion-mnist` puts it,
    then in the cache folder, into which it is downloaded (30 MB, checksums verified) if absent.

    Raises:
        DataError: a file is damaged, or the set is nowhere and cannot be downloaded.
    """
    folder = find_folder()
    return read_files((folder / file for file in FILES), name="fashion-mnist", holdout=HOLDOUT)


def load_fashion_mnist_subset() -> Dataset:
    """The bundled subset, classes equal: 6,500 training, 1,500 held-out and 2,000 test images.

    Each is drawn from the same part of the full set, see `benchmarks/make_subset.py`.

    Raises:
        DataError: the installation is damaged.
    """
    paths = (BUNDLED_FOLDER / file for file in BUNDLED_FILES)
    return read_files(paths, name="fashion-mnist-subset", holdout=BUNDLED_HOLDOUT)


def read_files(paths: Iterable[Path], *, name: str, holdout: int) -> Dataset:
    """Read training images, training labels, test images and test labels, in this order.

    The last `holdout` training images are set apart.

    Raises:
        DataError: a file is missing or damaged, or images and labels differ in number.
    """
    images, labels, test_images, test_labels = (read_idx(path) for path in paths)
    cut = len(images) - holdout
    return Dataset(
        name=name,
        train=_split(images[:cut], labels[:cut]),
        holdout=_split(images[cut:], labels[cut:]),
        test=_split(test_images, test_labels),
        classes=CLASSES,
    )


def find_folder() -> Path:
    """The first folder that holds all four files of the full set; downloads them if none does.

    Raises:
        DataError: the set is nowhere and cannot be downloaded.
    """
    configured = os.environ.get("ACTPRESS_DATA")
    folders = [DEBIAN_FOLDER, _cache_folder()]
    if configured:
        folders.insert(0, Path(configured))
    for folder in folders:
        if all((folder / file).is_file() for file in FILES):
            return folder
    _download(_cache_folder())
    return _cache_folder()


def read_idx(path: Path) -> Array:
    """Read one idx file of unsigned bytes, compressed as its suffix says (.gz or .xz).

    Raises:
        DataError: the file is missing, damaged, or its header and length disagree.
    """
    raw = _decompressed(path)
    if len(raw) < 4 or raw[2] != IDX_UNSIGNED_BYTE or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path} is not an idx file of unsigned bytes; fetch the file again")
    rank = raw[3]
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank)
    if values.size != math.prod(shape):
        raise DataError(
            f"{path} declares shape {shape} but holds {values.size} values; fetch the file again"
        )
    return values.reshape(shape)


def normalise(images: Tensor) -> Tensor:
    """uint8 (n, 28, 28) -> float32 (n, 1, 32, 32), zero mean and unit variance."""
    padded = F.pad(images, (2, 2, 2, 2)).unsqueeze(1)
    return (padded.float() / 255 - MEAN) / STD


def prepare_image(path: Path) -> Tensor:
    """One image file as the data set has its images: float32 (1, 32, 32), see `normalise`.

    Raises:
        DataError: the file is not an image, or damaged.
    """
    return normalise(read_image(path, (1, *IMAGE_SIZE))[0][None])[0]


def _decompressed(path: Path) -> bytes:
    decompress = lzma.decompress if path.suffix == ".xz" else gzip.decompress
    try:
        return decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"cannot read {path}: {error}; fetch the file again") from error


def _split(images: Array, labels: Array) -> Split:
    return Split.in_memory(
        torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64)), normalise
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "actpress" / "fashion-mnist"


def _download(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, checksum in FILES.items():
        content = _fetch(f"{MIRROR}/{file}", md5=checksum)
        partial = folder / f"{file}.part"
        partial.write_bytes(content)
        partial.rename(folder / file)


def _fetch(url: str, *, md5: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 a constant
            content: bytes = response.read()
    except OSError as error:
        raise DataError(
            f"Fashion-MNIST is not on this machine and {url} does not answer ({error}); install "
            f"Debian's package dataset-fashion-mnist, or set ACTPRESS_DATA to a folder with "
            f"{', '.join(FILES)}"
        ) from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"{url} has md5 {found}, expected {md5}; try again later")
    return content
