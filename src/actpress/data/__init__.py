"""Data sets by name, from image folders, or from the user's own code."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from actpress.data import cifar10, fashion_mnist
from actpress.data.arrays import read_array
from actpress.data.cifar10 import load_cifar10
from actpress.data.dataset import Dataset, ImageSource, MemoryImages, Reference, Split
from actpress.data.fashion_mnist import load_fashion_mnist, load_fashion_mnist_subset
from actpress.data.hugging_face import load_hugging_face
from actpress.data.imagefile import read_image
from actpress.data.imagefolder import load_image_folder, normalised
from actpress.data.loaders import from_torch
from actpress.data.sizes import FileSizes, file_sizes
from actpress.data.unlabelled_folder import load_unlabelled_folder
from actpress.errors import DataError
from actpress.factories import call_factory
from actpress.preparation import Preparation
from actpress.tasks import CLASSIFICATION, Task, Unlabelled
from actpress.tasks.named import is_same_task, task_of


@dataclass(frozen=True)
class Named:
    """A data set that has a name of its own.

    Attributes:
        load: opens it.
        prepare_image: an image file -> float32 (c, h, w), as `load` prepares its images.
    """

    load: Callable[[], Dataset]
    prepare_image: Callable[[Path], Tensor]


NAMED = {
    "fashion-mnist": Named(load_fashion_mnist, fashion_mnist.prepare_image),
    "fashion-mnist-subset": Named(load_fashion_mnist_subset, fashion_mnist.prepare_image),
    "cifar10": Named(load_cifar10, cifar10.prepare_image),
}
IMAGE_FOLDER, HUGGING_FACE = FILES = "imagefolder:", "hf:"
"""Data whose images are read from files, as a `Preparation` says."""


def load_dataset(
    spec: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    preparation: Preparation | None = None,
    workers: int = 0,
) -> Dataset:
    """Open the data set that the user named.

    Args:
        spec: `fashion-mnist`, `fashion-mnist-subset`, `cifar10`, `imagefolder:PATH`, `hf:NAME`, or
            `package.module:factory`, whose factory takes nothing and returns a `Dataset`, or one
            of torch's own, or a loader, which `from_torch` takes.
        input_shape: of the network, without the batch. An image folder and `hf:` need it, and are
            scaled to it; of other data it is only checked.
        preparation: what the data cannot tell by themselves.
        workers: threads that read ahead, see `Dataset.with_workers`.

    Raises:
        DataError: the name is unknown, the data are missing or broken, or images have another
            shape.
    """
    dataset = _opened(spec, input_shape, preparation or Preparation())
    reference = Reference(_absolute(spec), preparation)
    return replace(dataset, reference=reference).with_workers(workers)


def is_named(spec: str) -> bool:
    """Whether a text is a name that `load_dataset` may know."""
    return spec in NAMED or ":" in spec


def _opened(spec: str, input_shape: tuple[int, ...] | None, known: Preparation) -> Dataset:
    if spec.startswith(FILES):
        return _of_files(spec, input_shape, known)
    if known.is_of_files:
        raise DataError(
            f"--mean, --std, --classes and --unlabelled are for image folders; {spec} prepares its "
            f"own images"
        )
    dataset = _open(spec, known.task)
    if input_shape is not None and dataset.input_shape != input_shape:
        raise DataError(
            f"the images of {spec} are {_written(dataset.input_shape)}, but the network's input is "
            f"{_written(input_shape)}; choose data of that size, or leave --input out where it was "
            f"given"
        )
    return dataset


def _absolute(spec: str) -> str:
    """The name of data, so that they are found from other folders too."""
    for prefix in FILES:
        path = Path(spec.removeprefix(prefix)).expanduser()
        if spec.startswith(prefix) and (prefix == IMAGE_FOLDER or path.is_dir()):
            return f"{prefix}{path.resolve()}"
    return spec


def _of_files(spec: str, input_shape: tuple[int, ...] | None, known: Preparation) -> Dataset:
    if known.task not in {None, CLASSIFICATION.name}:
        raise DataError(
            f"{spec} has images and classes, which are no data of {known.task}; give --data a "
            f"factory (package.module:factory) that returns a Dataset of torch"
        )
    if spec.startswith(IMAGE_FOLDER):
        return _open_image_folder(spec, input_shape, known)
    if known.classes is not None or known.unlabelled:
        raise DataError(f"--classes and --unlabelled are for image folders; {spec} has its own")
    size = _of_images(spec, _needed(spec, input_shape))
    name = spec.removeprefix(HUGGING_FACE)
    return load_hugging_face(name, size=size, mean=known.mean, std=known.std)


def load_image(
    path: Path,
    spec: str,
    *,
    input_shape: tuple[int, ...],
    preparation: Preparation | None = None,
) -> Tensor:
    """Images from one file, prepared as a data set prepares its own; (n, *input_shape), float32.

    Args:
        path: of one image, or of an array (.npy) that is what the network takes, `input_shape`
            or several of them.
        spec: the data set, as for `load_dataset`.
        input_shape: of the network, without the batch.
        preparation: of an image folder.

    Raises:
        DataError: the file is broken or of another shape, or the data set comes from a factory that
            does not say how images are prepared.
    """
    if path.suffix.lower() == ".npy":
        return read_array(path, input_shape)
    image = _prepared(path, spec, input_shape, preparation)
    if image.dtype is not torch.float32 or tuple(image.shape) != input_shape:
        raise DataError(
            f"{spec} prepared {path} as {image.dtype} of shape {tuple(image.shape)}; expected "
            f"float32 of shape {input_shape}"
        )
    return image[None]


def _prepared(
    path: Path, spec: str, input_shape: tuple[int, ...], preparation: Preparation | None
) -> Tensor:
    if spec in NAMED:
        return NAMED[spec].prepare_image(path)
    if spec.startswith(FILES):
        known = preparation or Preparation()
        return normalised(read_image(path, _of_images(spec, input_shape)), known.mean, known.std)
    prepare = _open(spec, preparation.task if preparation else None).prepare
    if prepare is None:
        raise DataError(
            f"{spec} does not say how it prepares an image file; set `prepare` of its Dataset, or "
            f"give the array that the network takes, as .npy"
        )
    return prepare(path)


def _open(spec: str, task: str | None = None) -> Dataset:
    wanted = None if task is None else task_of(task)
    if spec in NAMED:
        return _of_task(spec, NAMED[spec].load(), wanted)
    if ":" not in spec:
        choices = [*NAMED, f"{IMAGE_FOLDER}PATH", f"{HUGGING_FACE}NAME", "package.module:factory"]
        raise DataError(f"there is no data set {spec!r}; expected {', '.join(choices)}")
    dataset = call_factory(spec, error=DataError)
    if isinstance(dataset, torch.utils.data.Dataset | torch.utils.data.DataLoader):
        dataset = from_torch(dataset, name=spec, task=wanted or CLASSIFICATION)
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"{spec} returned a {type(dataset).__name__}; expected an actpress.data.Dataset, or a "
            f"Dataset or DataLoader of torch.utils.data"
        )
    dataset.check_images("test", dataset.test)  # now, and not after hours of tuning
    return _of_task(spec, dataset, wanted)


def _of_task(spec: str, dataset: Dataset, wanted: Task | None) -> Dataset:
    """Refuse another task than the one that data have.

    Raises:
        DataError: it is another one.
    """
    own = dataset.task.of if isinstance(dataset.task, Unlabelled) else dataset.task
    if wanted is not None and not is_same_task(wanted, own):
        raise DataError(
            f"the task of {spec} is {dataset.task.name}, not {wanted.name} as was asked for "
            f"(--task); leave that out, or let the factory return a Dataset of torch"
        )
    return dataset


def _open_image_folder(
    spec: str, input_shape: tuple[int, ...] | None, preparation: Preparation
) -> Dataset:
    size = _of_images(spec, _needed(spec, input_shape))
    path = Path(spec.removeprefix(IMAGE_FOLDER)).expanduser()
    if preparation.unlabelled:
        return load_unlabelled_folder(path, size=size, mean=preparation.mean, std=preparation.std)
    return load_image_folder(
        path,
        size=size,
        mean=preparation.mean,
        std=preparation.std,
        classes=preparation.classes,
    )


def _needed(spec: str, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if input_shape is None:
        raise DataError(
            f"{spec} needs the size that images are scaled to; give the input shape, as in "
            f"--input 3x224x224"
        )
    return input_shape


def _of_images(spec: str, input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise DataError(
            f"the images of {spec} have channels, height and width, but the network's input is "
            f"{_written(input_shape)}; give all three, as in --input 3x224x224, or other data"
        )
    c, h, w = input_shape
    return c, h, w


def _written(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


__all__ = [
    "Dataset",
    "FileSizes",
    "ImageSource",
    "MemoryImages",
    "Preparation",
    "Reference",
    "Split",
    "file_sizes",
    "from_torch",
    "is_named",
    "load_cifar10",
    "load_dataset",
    "load_fashion_mnist",
    "load_fashion_mnist_subset",
    "load_image",
    "load_image_folder",
    "load_unlabelled_folder",
]
