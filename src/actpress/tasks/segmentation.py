"""A class for every pixel."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError, TaskError
from actpress.tasks.classification import with_other_class
from actpress.tasks.intervals import resampled_error
from actpress.tasks.metric import MEAN_IOU, Metric

MOST_CLASSES = 255


@dataclass(frozen=True)
class Segmentation:
    """Outputs are logits (n, classes, h, w), targets class indices (n, h, w) or (n, 1, h, w).

    The metric is the mean over classes of intersection over union, of pixel counts over all images;
    classes that neither occur nor are predicted are left out. A single logit is that of class 1
    against class 0.

    Attributes:
        classes: so many; targets are 0 to classes - 1.
        ignored: the target of pixels that do not count.

    Raises:
        TaskError: there are no classes to tell apart.
    """

    classes: int
    ignored: int = 255
    name: str = "segmentation"
    metric: ClassVar[Metric] = MEAN_IOU

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= MOST_CLASSES or 0 <= self.ignored < self.classes:
            raise TaskError(
                f"a segmentation has 2 to {MOST_CLASSES} classes and ignores none of them, not "
                f"classes={self.classes}, ignored={self.ignored}"
            )

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return f"class indices (n, h, w), integers 0 to {self.classes - 1}, or {self.ignored}"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        if not isinstance(raw, Tensor) or raw.is_floating_point() or raw.is_complex():
            return None
        target = raw[:, 0] if raw.ndim == 4 and raw.shape[1] == 1 else raw
        if target.ndim != 3 or not target.numel():
            return None
        target = target.long()
        known = ((target >= 0) & (target < self.classes)) | (target == self.ignored)
        return target if bool(known.all()) else None

    def check(self, output: object, target: Tensor | None, *, images: int) -> None:
        """See `Task.check`."""
        channels = (self.classes, 1) if self.classes == 2 else (self.classes,)
        expected = f"expected logits (n, {self.classes}, h, w)"
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the network returns a {type(output).__name__}; {expected}; wrap the network in a "
                f"module that returns them alone"
            )
        shape = tuple(output.shape)
        fits = len(shape) == 4 and shape[0] == images and shape[1] in channels
        if not fits or not output.is_floating_point():
            raise ModelError(
                f"for {images} images the network returns {output.dtype} of shape {shape}; "
                f"{expected} for {self.classes} classes"
            )
        if target is not None and target.shape[1:] != output.shape[2:]:
            raise ModelError(
                f"the network's output has maps of {shape[2]}x{shape[3]}, the targets of "
                f"{target.shape[1]}x{target.shape[2]}; expected the same size, so scale one of them"
            )

    def decisions(self, output: Tensor) -> Tensor:
        """The class of the largest logit, shape (n, h, w), uint8."""
        return with_other_class(output).argmax(1).to(torch.uint8)

    def evidence(self, decisions: Tensor, target: Tensor) -> Tensor:
        """Pixels of every class that are right, predicted and true, shape (n, 3, classes)."""
        counted = target != self.ignored
        image = torch.arange(len(target)).view(-1, 1, 1).expand(target.shape)[counted]
        found, true = decisions[counted].long(), target[counted]
        right = found == true
        parts = ((image[right], true[right]), (image, found), (image, true))
        counts = [_per_image(*part, len(target), self.classes) for part in parts]
        return torch.stack(counts, 1)

    def measure(self, evidence: Tensor) -> float:
        """Mean intersection over union, in [0, 1].

        Raises:
            TaskError: no pixel counts.
        """
        right, found, true = evidence.sum(0).double()
        union = found + true - right
        if not union.any():
            raise TaskError("no pixel of any image counts; expected targets that are not ignored")
        return float((right[union > 0] / union[union > 0]).mean())

    def loss_error(self, before: Tensor, after: Tensor) -> float | None:
        """See `Task.loss_error`."""
        return resampled_error(self.measure, self.metric.lost, before, after)

    def by_guessing(self, evidence: Tensor) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Tensor, reference: Tensor) -> Tensor:
        """Share of pixels of the same class, shape (n,), float64."""
        return (decisions == reference).flatten(1).double().mean(1)

    def agreement(self, sameness: Tensor) -> float:
        """Share of pixels of the same class."""
        return float(sameness.mean())

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """KL divergence of a pixel's prediction from the teacher's, mean over pixels."""
        ours, theirs = (
            F.log_softmax(with_other_class(output) / temperature, dim=1)
            for output in (student, teacher)
        )
        return temperature**2 * (theirs.exp() * (theirs - ours)).sum(1).mean()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, mean over the pixels that count."""
        logits = with_other_class(output)
        summed = F.cross_entropy(logits, target, ignore_index=self.ignored, reduction="sum")
        return summed / (target != self.ignored).sum().clamp(min=1)

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`; the class of every pixel is drawn from its softmax."""
        logits = with_other_class(output).movedim(1, -1)
        pixels = logits.shape[1] * logits.shape[2]
        rows = logits.reshape(-1, logits.shape[-1])
        drawn = torch.multinomial(rows.detach().softmax(1).cpu(), 1, generator=generator)[:, 0]
        return F.cross_entropy(rows, drawn.to(rows.device), reduction="sum") / math.sqrt(pixels)


def _per_image(image: Tensor, classes: Tensor, images: int, count: int) -> Tensor:
    """How many pixels of every image have every class, shape (images, count), int64."""
    return torch.bincount(image * count + classes, minlength=images * count).view(images, count)
