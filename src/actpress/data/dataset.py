"""Images and labels, batch by batch, from memory or from files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from actpress.data.ahead import read_ahead
from actpress.errors import DataError
from actpress.preparation import Preparation
from actpress.tasks import CLASSIFICATION, Task, Unlabelled
from actpress.tasks.nest import described

CHUNK = 256
"""Images that are looked at together."""

Transform = Callable[[Tensor], Tensor]


class ImageSource(Protocol):
    """Images by position, in the form that the network takes."""

    def __len__(self) -> int: ...

    def load(self, indices: Tensor) -> Tensor:
        """Positions (n,), int64 -> float32 images (n, c, ...), in the same order."""
        ...


@runtime_checkable
class PairSource(ImageSource, Protocol):
    """Images that are read together with their targets."""

    def load_pairs(self, indices: Tensor) -> tuple[Tensor, Any]:
        """Positions (n,), int64 -> images as of `load`, and their targets in the task's form."""
        ...


@dataclass(frozen=True)
class MemoryImages:
    """Images kept as compact raw values and turned to floats when they are asked for.

    Attributes:
        raw: first axis n; any type that `transform` takes.
        transform: some rows of `raw` -> float32 (n, c, ...).
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

    def load_pairs(self, indices: Tensor) -> tuple[Tensor, Any]:
        assert isinstance(self.source, PairSource), "a split without labels in memory has pairs"
        return self.source.load_pairs(indices + self.start)


@dataclass(frozen=True)
class Split:
    """Images in a fixed order, with their targets where these are known.

    Attributes:
        source: where the n images come from.
        labels: targets in memory, first axis n, such as class indices (n,), int64; of images
            without targets (n, 0), int64. None where the source is a `PairSource`, which reads
            targets with their images.
        part: of a data set, such as `holdout`, for messages.
        workers: threads that read batches before they are asked for; with 0 none is.

    Raises:
        DataError: there are no images, or not as many as labels.
    """

    source: ImageSource
    labels: Tensor | None
    part: str = ""
    workers: int = 0

    def __post_init__(self) -> None:
        count = len(self.source) if self.labels is None else len(self.labels)
        if not count:
            raise DataError("a split has no images; expected at least one")
        if len(self.source) != count:
            raise DataError(
                f"a split has {len(self.source)} images but {count} labels; "
                f"expected one label for each image"
            )
        if self.labels is None and not isinstance(self.source, PairSource):
            raise DataError(
                "a split without labels in memory needs a source that has load_pairs; give one, or "
                "use Split.unlabelled"
            )

    @classmethod
    def in_memory(
        cls, images: Tensor, labels: Tensor, transform: Transform | None = None
    ) -> "Split":
        """A split of tensors.

        Args:
            images: raw values, first axis n.
            labels: targets, first axis n.
            transform: some rows of `images` -> float32 (n, c, ...); `None` when they are that.
        """
        return cls(MemoryImages(images, transform or _unchanged), labels)

    @classmethod
    def unlabelled(cls, source: ImageSource) -> "Split":
        """Images of which no class is known."""
        return cls(source, torch.zeros(len(source), 0, dtype=torch.int64))

    @property
    def is_labelled(self) -> bool:
        """Whether the targets of its images are known."""
        return self.labels is None or self.labels.shape[1:] != (0,)

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"

    def batches(
        self,
        size: int,
        *,
        generator: torch.Generator | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[tuple[Tensor, Any]]:
        """Yield (images, targets) in order or, with a generator, shuffled; the last is the rest.

        Args:
            size: images of a batch.
            generator: shuffles them.
            part: first of the batches that are wanted, and the distance from each to the next.
        """
        order = (
            torch.arange(len(self))
            if generator is None
            else torch.randperm(len(self), generator=generator)
        )
        first, stride = part
        yield from self.read(order.split(min(size, len(self)))[first::stride])

    def read(self, wanted: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """Batches of images at positions (n,), int64, with their targets, in that order."""
        return read_ahead(self.pairs, wanted, self.workers)

    def pairs(self, indices: Tensor) -> tuple[Tensor, Any]:
        """Images at positions (n,), int64, and their targets.

        Raises:
            DataError: as of `load`, or targets are not of the task.
        """
        if self.labels is not None:
            return self.load(indices), self.labels[indices]
        assert isinstance(self.source, PairSource), "checked when the split was made"
        images, targets = self.source.load_pairs(indices)
        return self._finite(images, indices), targets

    def load(self, indices: Tensor) -> Tensor:
        """Images at positions (n,), int64, as the source has them.

        Raises:
            DataError: an image holds NaN or infinite values; says which one.
        """
        return self._finite(self.source.load(indices), indices)

    def _finite(self, images: Tensor, indices: Tensor) -> Tensor:
        suspect = images.is_floating_point() and not images.sum().isfinite()  # the fastest pass
        if suspect and not images.isfinite().all():
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
        return self._range(0, count)

    def last(self, count: int) -> "Split":
        """The last `count` images (all, when there are fewer)."""
        start = max(len(self) - count, 0)
        return self._range(start, len(self) - start)

    def _range(self, start: int, count: int) -> "Split":
        labels = None if self.labels is None else self.labels[start : start + count]
        return Split(_Range(self.source, start, count), labels, self.part, self.workers)


@dataclass(frozen=True)
class Reference:
    """By what data can be opened again.

    Attributes:
        spec: see `load_dataset`; paths in it are absolute.
        preparation: what the data cannot tell by themselves.
    """

    spec: str
    preparation: Preparation | None = None


@dataclass(frozen=True)
class Dataset:
    """The three splits of one data set.

    Attributes:
        name: for reports.
        train: feeds calibration and tuning.
        holdout: training images that nothing is trained on; the search and validation use parts.
        test: opened only to evaluate; before, the range of its labels is checked, and by
            `load_dataset` the form of its first image.
        classes: number of classes; labels are 0..classes-1. 0 where no split has labels, or the
            task is no classification.
        task: what labels and the network's output mean; without labels, `Unlabelled` of it.
        class_names: in the order of the network's outputs, where they are known.
        prepared: how images were prepared, in words, where that is known.
        prepare: an image file -> what the network takes, float32 (c, h, w); for `actpress encode`.
        reference: by which `load_dataset` opened them; None where the caller made them.

    Raises:
        DataError: some splits have labels and others none; images that are not for testing are not
            float32 (n, c, ...), or not of one size (the first of each split is looked at); labels
            are not of the task, or not of that many classes.
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
    reference: Reference | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.is_labelled and not isinstance(self.task, Unlabelled):
            object.__setattr__(self, "task", Unlabelled(self.task))
        for part, split in (("train", self.train), ("holdout", self.holdout), ("test", self.test)):
            object.__setattr__(self, part, replace(split, part=part))
            if split.is_labelled != self.is_labelled:
                raise DataError(
                    f"of {self.name} some splits have labels and others none; expected them in "
                    f"all splits or in none"
                )
            self._check_targets(part, split)
        self.check_images("train", self.train)
        self.check_images("holdout", self.holdout)

    def _check_targets(self, part: str, split: Split) -> None:
        """Look at targets in memory; others are looked at when they are read.

        Raises:
            DataError: see the class.
        """
        if split.labels is None or not split.is_labelled:
            return
        labels = self.task.as_target(split.labels)
        if labels is None:
            raise DataError(
                f"the labels of {self.name}, {part} split, are {described(split.labels)}; expected "
                f"{self.task.target_form}, for {self.task.name}"
            )
        object.__setattr__(self, part, replace(split, part=part, labels=labels))
        if self.classes:
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= self.classes:
                raise DataError(
                    f"the labels of {self.name}, {part} split, are {low} to {high}; expected 0 to "
                    f"{self.classes - 1}, as there are {self.classes} classes"
                )

    def with_workers(self, workers: int) -> "Dataset":
        """The same data, read by so many threads before they are asked for.

        Worth it where images are decoded from files; a data set of torch's is then read by several
        threads at once, which most allow.
        """
        train, holdout, test = (
            replace(split, workers=workers) for split in (self.train, self.holdout, self.test)
        )
        return replace(self, train=train, holdout=holdout, test=test)

    @property
    def is_labelled(self) -> bool:
        """Whether the targets of its images are known."""
        return self.train.is_labelled

    def check_images(self, part: str, split: Split) -> None:
        """Look at the first image of a split.

        Raises:
            DataError: see the class.
        """
        first, image = (next(each.batches(1))[0] for each in (self.train, split))
        if image.ndim < 2 or image.dtype is not torch.float32 or image.shape != first.shape:
            raise DataError(
                f"an image of {self.name}, {part} split, is {image.dtype} of shape "
                f"{tuple(image.shape)}; expected float32 (n, c, ...), the same size in all splits"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, such as (c, h, w), (c, t) or (c,); reads the first one."""
        image, _ = next(self.train.batches(1))
        return tuple(image.shape[1:])


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
