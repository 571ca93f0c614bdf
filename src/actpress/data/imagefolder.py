"""Images in one folder per class, read from disk batch by batch.

PATH/train/CLASS/*.png        training images; every tenth of a class is held out
PATH/test/CLASS/*.png         test images; the folder may be called val instead
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actpress.data.dataset import Dataset, Split
from actpress.data.imagefile import MODES, SUFFIXES, read_image
from actpress.data.left_out import warn_of_left_out
from actpress.errors import DataError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HOLDOUT_STRIDE = 10
ORDER_SEED = 0

LAYOUT = "expected PATH/train/CLASS/*.png and PATH/test/CLASS/*.png (or val instead of test)"

Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class FolderImages:
    """Image files, decoded when they are asked for.

    An image is scaled until it just covers `size`, cropped around its centre, brought to [0, 1]
    and normalised.

    Attributes:
        paths: one file per image.
        size: (c, h, w); c = 1 converts to grey, c = 3 to RGB.
        mean: one value per channel, or one for all.
        std: likewise, greater than zero.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, indices: Tensor) -> Tensor:
        """See `ImageSource.load`.

        Raises:
            DataError: an image is broken; names the file.
        """
        images = torch.stack([read_image(self.paths[i], self.size) for i in indices.tolist()])
        return normalised(images, self.mean, self.std)


def load_image_folder(
    path: Path,
    *,
    size: tuple[int, int, int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Open a folder of images; files are listed now and decoded when needed.

    Every split has a fixed order that mixes the classes. Files that are not read are told in a
    warning: those with another extension, and those that are not directly in the folder of a class.

    Args:
        path: holds `train` and `test` or `val`; where both exist, `test` is the test split.
        size: (c, h, w) of the network's input, c = 1 or 3.
        mean: per channel, on the scale [0, 1]; ImageNet's for c = 3, 0.5 for c = 1 if `None`.
        std: likewise.
        classes: folder names in the order of the network's outputs; sorted if `None`.

    Raises:
        DataError: a folder is missing, empty or unlabelled, the classes of the splits differ or are
            not among `classes`, or `size`, `mean` or `std` make no sense.
    """
    check_size(size)
    default_mean, default_std = default_normalisation(size[0])
    mean, std = tuple(mean or default_mean), tuple(std or default_std)
    check_normalisation(size[0], mean, std)
    train_folder, test_folder = _split_folders(path)
    names = _class_names(train_folder)
    _check_same_classes(train_folder, names, test_folder)
    warn_of_left_out([train_folder, test_folder])
    classes = _checked_order(classes or names, names, train_folder)
    train, holdout = _hold_out(_labelled(train_folder, names, classes))
    test = [entry for files in _labelled(test_folder, names, classes) for entry in files]

    def split(files: Labelled) -> Split:
        random.Random(ORDER_SEED).shuffle(files)  # noqa: S311 an order, not a secret
        source = FolderImages(tuple(file for file, _ in files), size, mean, std)
        return Split(source, torch.tensor([label for _, label in files]))

    return Dataset(
        f"imagefolder:{path}",
        split(train),
        split(holdout),
        split(test),
        len(classes),
        class_names=tuple(classes),
        prepared=f"images normalised by mean {listed(mean)} and std {listed(std)}",
        prepare=lambda file: normalised(read_image(file, size), mean, std),
    )


def default_normalisation(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation on the scale [0, 1]: ImageNet's for colour, 0.5 for grey."""
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,), (0.5,))


def normalised(
    images: Tensor, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Tensor:
    """uint8 (..., c, h, w) -> float32; without numbers by `default_normalisation`."""
    default_mean, default_std = default_normalisation(images.shape[-3])
    centre, scale = (
        torch.tensor(values).view(-1, 1, 1) for values in (mean or default_mean, std or default_std)
    )
    return (images.float() / 255 - centre) / scale


def _split_folders(path: Path) -> tuple[Path, Path]:
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; {LAYOUT}")
    train, test, val = path / "train", path / "test", path / "val"
    if not train.is_dir():
        raise DataError(f"{path} has no folder train; {LAYOUT}")
    if not (test.is_dir() or val.is_dir()):
        raise DataError(f"{path} has neither a folder test nor a folder val; {LAYOUT}")
    return train, test if test.is_dir() else val


def _class_names(folder: Path) -> list[str]:
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    if names:
        return names
    if any(is_image(entry) for entry in folder.iterdir()):
        raise DataError(
            f"the images in {folder} have no labels; put each into a folder named after its class, "
            f"or give --unlabelled"
        )
    raise DataError(f"{folder} is empty; {LAYOUT}")


def _check_same_classes(train: Path, classes: list[str], test: Path) -> None:
    test_classes = _class_names(test)
    different = sorted(set(classes) ^ set(test_classes))
    if different:
        raise DataError(
            f"{train} has {len(classes)} classes and {test} has {len(test_classes)}, and these are "
            f"in only one of them: {', '.join(different[:5])}; expected the same folders in both"
        )


def _checked_order(order: Sequence[str], found: list[str], folder: Path) -> Sequence[str]:
    unknown = sorted(set(found) - set(order))
    if unknown:
        raise DataError(
            f"{folder} has the class {', '.join(unknown[:5])}, which is not among the "
            f"{len(order)} classes that were named; name every folder, in the order of the "
            f"network's outputs"
        )
    return order


def _labelled(folder: Path, names: list[str], order: Sequence[str]) -> list[Labelled]:
    """The files of each class with its index in the order of the network's outputs."""
    return [[(file, order.index(name)) for file in image_files(folder / name)] for name in names]


def listed(values: Sequence[float]) -> str:
    """Numbers between commas."""
    return ", ".join(f"{value:g}" for value in values)


def image_files(folder: Path) -> list[Path]:
    """The images directly in a folder, sorted.

    Raises:
        DataError: there are none.
    """
    files = sorted(entry for entry in folder.iterdir() if is_image(entry))
    if not files:
        raise DataError(f"{folder} holds no image; expected files {', '.join(sorted(SUFFIXES))}")
    return files


def is_image(entry: Path) -> bool:
    """Whether it is a file that is read."""
    return entry.suffix.lower() in SUFFIXES and entry.name[0] != "." and entry.is_file()


def _hold_out(files_by_class: list[Labelled]) -> tuple[Labelled, Labelled]:
    """Set apart every tenth file of each class, and one of a class with 2 to 9 files."""
    train: Labelled = []
    holdout: Labelled = []
    for files in files_by_class:
        stride = min(HOLDOUT_STRIDE, len(files))
        for position, labelled in enumerate(files, start=1):
            apart = len(files) > 1 and position % stride == 0
            (holdout if apart else train).append(labelled)
    if not holdout:
        raise DataError(
            "every class has a single training image; expected at least two, so that some can be "
            "held out"
        )
    return train, holdout


def check_size(size: tuple[int, int, int]) -> None:
    """Refuse shapes that no image file gives."""
    if size[0] not in MODES or min(size) < 1:
        raise DataError(
            f"image files cannot give an input of {'x'.join(map(str, size))}; expected 1 or 3 "
            f"channels, as in 3x224x224"
        )


def check_normalisation(channels: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Refuse numbers that do not fit the channels."""
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise DataError(f"{name} has {len(values)} values; expected 1 or {channels}")
    if min(std) <= 0:
        raise DataError(f"std is {std}; expected values greater than zero")
