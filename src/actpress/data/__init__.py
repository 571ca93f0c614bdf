"""Data sets by name, from image folders, or from the user's own code."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from actpress.data.dataset import Dataset, ImageSource, MemoryImages, Split
from actpress.data.fashion_mnist import (
    IMAGE_SIZE,
    load_fashion_mnist,
    load_fashion_mnist_subset,
    normalise,
)
from actpress.data.imagefolder import load_image_folder, normalised, read_image
from actpress.errors import DataError
from actpress.factories import call_factory

BUNDLED: dict[str, Callable[[], Dataset]] = {
    "fashion-mnist": load_fashion_mnist,
    "fashion-mnist-subset": load_fashion_mnist_subset,
}
IMAGE_FOLDER = "imagefolder:"


def load_dataset(spec: str, *, input_shape: tuple[int, int, int] | None = None) -> Dataset:
    """Open the data set that the user named.

    Args:
        spec: `fashion-mnist`, `fashion-mnist-subset`, `imagefolder:PATH`, or
            `package.module:factory`, whose factory takes nothing and returns a `Dataset`.
        input_shape: (c, h, w) of the network's input. An image folder needs it, and is scaled to
            it; of other data it is only checked.

    Raises:
        DataError: the name is unknown, the data are missing or broken, or images have another
            shape.
    """
    if spec.startswith(IMAGE_FOLDER):
        return _open_image_folder(spec, input_shape)
    dataset = _open(spec)
    if input_shape is not None and dataset.input_shape != input_shape:
        raise DataError(
            f"the images of {spec} are {_written(dataset.input_shape)}, but the network's input is "
            f"{_written(input_shape)}; choose data of that size, or leave --input out where it was "
            f"given"
        )
    return dataset


def load_image(path: Path, spec: str, *, input_shape: tuple[int, int, int]) -> Tensor:
    """One image file, prepared as a data set prepares its images; shape `input_shape`, float32.

    Raises:
        DataError: the file is broken, or the data set comes from the user's own factory, which
            alone knows how images are prepared.
    """
    if spec in BUNDLED:
        return normalise(read_image(path, (1, *IMAGE_SIZE))[0][None])[0]
    if spec.startswith(IMAGE_FOLDER):
        return normalised(read_image(path, input_shape))
    raise DataError(
        f"how {spec} prepares an image file is not known here; encode its tensors in Python with "
        f"actpress.Encoder"
    )


def _open(spec: str) -> Dataset:
    if spec in BUNDLED:
        return BUNDLED[spec]()
    if ":" not in spec:
        choices = [*BUNDLED, f"{IMAGE_FOLDER}PATH", "package.module:factory"]
        raise DataError(f"there is no data set {spec!r}; expected {', '.join(choices)}")
    dataset = call_factory(spec, error=DataError)
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"{spec} returned a {type(dataset).__name__}; expected an actpress.data.Dataset"
        )
    dataset.check_images("test", dataset.test)  # now, and not after hours of tuning
    return dataset


def _open_image_folder(spec: str, input_shape: tuple[int, int, int] | None) -> Dataset:
    if input_shape is None:
        raise DataError(
            f"{spec} needs the size that images are scaled to; give the input shape, as in "
            f"--input 3x224x224"
        )
    return load_image_folder(Path(spec.removeprefix(IMAGE_FOLDER)).expanduser(), size=input_shape)


def _written(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


__all__ = [
    "Dataset",
    "ImageSource",
    "MemoryImages",
    "Split",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_subset",
    "load_image",
    "load_image_folder",
]
