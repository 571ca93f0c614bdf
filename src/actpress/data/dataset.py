"""Images and labels, batch by batch, from memory or from files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from actpress.errors import DataError
from actpress.tasks import CLASSIFICATION, Task

CHUNK = 256
"""Images that are looked at together."""

Transform = Callable[[Tensor], Tensor]


class ImageSource(Protocol):
    """Images by position, in the form that the network takes."""

    def __len__(self) -> int: ...

    def load(self, indices: Tensor) -> Tensor:
        """Positions (n,), int64 -> float32 images (n, c, h, w), in the same order."""
        ...


@dataclass(frozen=True)
class MemoryImages:
    """Images kept as compact raw values and turned to floats when they are asked for.

    Attributes:
        raw: first axis n; any type that `transform` takes.
        transform: some rows of `raw` -> float32 (n, c, h, w).
    """

    raw: Tensor
    transform: Transform

    def __len__(self) -> int:
        return len(self.raw)

    def load(self, indices: Tensor) -> Tensor:
        """See `ImageSource.load`."""
        return self.transform(self.raw[indices])


@dataclass(frozen=True)
class _Range:
    """`count` images of another source, from `start` on."""

    source: ImageSource
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def load(self, indices: Tensor) -> Tensor:
        return self.source.load(indices + self.start)


@dataclass(frozen=True)
class Split:
    """Images in a fixed order, with their labels where these are known.

    Attributes:
        source: where the n images come from.
        labels: class indices, shape (n,), int64; of images without labels (n, 0).
        part: of a data set, such as `holdout`, for messages.

    Raises:
        DataError: there are no images, or not as many as labels, or labels are no class indices.
    """

    source: ImageSource
    labels: Tensor
    part: str = ""

    def __post_init__(self) -> None:
        known = self.labels.ndim == 1 or self.labels.shape[1:] == (0,)
        if not known or self.labels.dtype is not torch.int64:
            raise DataError(
                f"the labels of a split are {self.labels.dtype} of shape "
                f"{tuple(self.labels.shape)}; expected class indices (n,), int64"
            )
        if not len(self.labels):
            raise DataError("a split has no images; expected at least one")
        if len(self.source) != len(self.labels):
            raise DataError(
                f"a split has {len(self.source)} images but {len(self.labels)} labels; "
                f"expected one label for each image"
            )

    @classmethod
    def in_memory(
        cls, images: Tensor, labels: Tensor, transform: Transform | None = None
    ) -> "Split":
        """A split of tensors.

        Args:
            images: raw values, first axis n.
            labels: class indices, shape (n,), int64.
            transform: some rows of `images` -> float32 (n, c, h, w); `None` when they are that.
        """
        return cls(MemoryImages(images, transform or _unchanged), labels)

    @classmethod
    def unlabelled(cls, source: ImageSource) -> "Split":
        """Images of which no class is known."""
        return cls(source, torch.zeros(len(source), 0, dtype=torch.int64))

    @property
    def is_labelled(self) -> bool:
        """Whether the classes of its images are known."""
        return self.labels.ndim == 1

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"

    def batches(
        self, size: int, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels), in order or, with a generator, shuffled; the last is the rest."""
        order = (
            torch.arange(len(self))
            if generator is None
            else torch.randperm(len(self), generator=generator)
        )
        for indices in order.split(min(size, len(self))):
            yield self.load(indices), self.labels[indices]

    def load(self, indices: Tensor) -> Tensor:
        """Images at positions (n,), int64, as the source has them.

        Raises:
            DataError: an image holds NaN or infinite values; says which one.
        """
        images = self.source.load(indices)
        if images.is_floating_point() and not images.isfinite().all():
            bad = indices[~images.flatten(1).isfinite().all(1)]
            raise DataError(_not_finite(self, int(bad[0]), len(bad)))
        return images

    def check_finite(self) -> None:
        """Look at all images that are floats in memory; others are looked at when loaded.

        Raises:
            DataError: an image holds NaN or infinite values; says which one.
        """
        source = _root(self.source)[0]
        if isinstance(source, MemoryImages) and source.raw.is_floating_point():
            for indices in torch.arange(len(self)).split(CHUNK):
                self.load(indices)

    def take(self, count: int) -> "Split":
        """The first `count` images (all, when there are fewer)."""
        if count >= len(self):
            return self
        return Split(_Range(self.source, 0, count), self.labels[:count], self.part)

    def last(self, count: int) -> "Split":
        """The last `count` images (all, when there are fewer)."""
        start = max(len(self) - count, 0)
        source = _Range(self.source, start, len(self) - start)
        return Split(source, self.labels[start:], self.part)


@dataclass(frozen=True)
class Dataset:
    """The three splits of one data set.

    Attributes:
        name: for reports.
        train: feeds calibration and tuning.
        holdout: training images that nothing is trained on; the search and validation use parts.
        test: opened only to evaluate; before, the range of its labels is checked, and by
            `load_dataset` the form of its first image.
        classes: number of classes; labels are 0..classes-1. 0 where no split has labels.
        task: what labels and the network's output mean.
        class_names: in the order of the network's outputs, where they are known.
        prepared: how images were prepared, in words, where that is known.
        prepare: an image file -> what the network takes, float32 (c, h, w); for `actpress encode`.

    Raises:
        DataError: some splits have labels and others none; images that are not for testing are not
            float32 (n, c, h, w), or not of one size (the first of each split is looked at); labels
            are not of that many classes.
    """

    name: str
    train: Split
    holdout: Split
    test: Split
    classes: int
    task: Task = CLASSIFICATION
    class_names: tuple[str, ...] = ()
    prepared: str = ""
    prepare: Callable[[Path], Tensor] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for part, split in (("train", self.train), ("holdout", self.holdout), ("test", self.test)):
            object.__setattr__(self, part, replace(split, part=part))
            if split.is_labelled != self.is_labelled:
                raise DataError(
                    f"of {self.name} some splits have labels and others none; expected them in "
                    f"all splits or in none"
                )
            if not split.is_labelled:
                continue
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= self.classes:
                raise DataError(
                    f"the labels of {self.name}, {part} split, are {low} to {high}; expected 0 to "
                    f"{self.classes - 1}, as there are {self.classes} classes"
                )
        self.check_images("train", self.train)
        self.check_images("holdout", self.holdout)

    @property
    def is_labelled(self) -> bool:
        """Whether the classes of its images are known."""
        return self.train.is_labelled

    def check_images(self, part: str, split: Split) -> None:
        """Look at the first image of a split.

        Raises:
            DataError: see the class.
        """
        first, image = (next(each.batches(1))[0] for each in (self.train, split))
        if image.ndim != 4 or image.dtype is not torch.float32 or image.shape != first.shape:
            raise DataError(
                f"an image of {self.name}, {part} split, is {image.dtype} of shape "
                f"{tuple(image.shape)}; expected float32 (n, c, h, w), the same size in all splits"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the images; reads the first one."""
        image, _ = next(self.train.batches(1))
        _, c, h, w = image.shape
        return c, h, w


def _unchanged(images: Tensor) -> Tensor:
    return images


def _root(source: ImageSource) -> tuple[ImageSource, int]:
    """The source that a range of a range is of, and where it begins there."""
    if not isinstance(source, _Range):
        return source, 0
    root, start = _root(source.source)
    return root, start + source.start


def _not_finite(split: Split, index: int, count: int) -> str:
    more = f" (and {count - 1} more at once)" if count > 1 else ""
    return (
        f"image {index + _root(split.source)[1]}{more} of the {split.part or 'given'} split holds "
        f"NaN or infinite values; expected finite numbers; check how the images are prepared, or "
        f"leave it out"
    )
