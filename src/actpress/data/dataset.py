"""Images and labels, batch by batch, from memory or from files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from actpress.errors import DataError

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
    """Labelled images in a fixed order.

    Attributes:
        source: where the n images come from.
        labels: class indices, shape (n,), int64.

    Raises:
        DataError: there are no images, or not as many as labels.
    """

    source: ImageSource
    labels: Tensor

    def __post_init__(self) -> None:
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

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, size: int, *, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images, labels), in order or, with a generator, shuffled; the last is the rest."""
        order = (
            torch.arange(len(self))
            if generator is None
            else torch.randperm(len(self), generator=generator)
        )
        for indices in order.split(size):
            yield self.source.load(indices), self.labels[indices]

    def take(self, count: int) -> "Split":
        """The first `count` images (all, when there are fewer)."""
        if count >= len(self):
            return self
        return Split(_Range(self.source, 0, count), self.labels[:count])

    def last(self, count: int) -> "Split":
        """The last `count` images (all, when there are fewer)."""
        start = max(len(self) - count, 0)
        return Split(_Range(self.source, start, len(self) - start), self.labels[start:])


@dataclass(frozen=True)
class Dataset:
    """The three splits of one data set.

    Attributes:
        name: for reports.
        train: feeds calibration and tuning.
        holdout: training images that nothing is trained on; the search and validation use parts.
        test: opened only to evaluate.
        classes: number of classes; labels are 0..classes-1.
    """

    name: str
    train: Split
    holdout: Split
    test: Split
    classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the images; reads the first one."""
        image, _ = next(self.train.batches(1))
        _, c, h, w = image.shape
        return c, h, w


def _unchanged(images: Tensor) -> Tensor:
    return images
