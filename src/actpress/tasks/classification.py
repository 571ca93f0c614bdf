"""One of some classes for each image."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError
from actpress.tasks.intervals import drop_error_pp
from actpress.tasks.metric import ACCURACY, Metric

EXPECTED = (
    "expected logits: (n, classes), (n, classes, 1, 1), or one logit (n, 1) or (n,) for two classes"
)


@dataclass(frozen=True)
class Classification:
    """Outputs are logits, targets class indices (n,), int64.

    A single logit is that of class 1 against class 0, which has logit 0: class 1 is predicted where
    it is greater than 0, and its softmax is the sigmoid. Axes of length 1 after the classes are
    left out. Targets of one logit may also be 0 and 1 of any type, (n,) or (n, 1), where `binary`
    is set.
    """

    name: str = "classification"
    binary: bool = False
    metric: ClassVar[Metric] = ACCURACY

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        if self.binary:
            return "zeros and ones, (n,) or (n, 1)"
        return "class indices (n,), integers"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        if not isinstance(raw, Tensor):
            return None
        if self.binary:
            shaped = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
            known = shaped.ndim == 1 and bool(((shaped == 0) | (shaped == 1)).all())
            return shaped.long() if known else None
        is_real = raw.is_floating_point() or raw.is_complex() or raw.dtype is torch.bool
        return raw.long() if raw.ndim == 1 and not is_real else None

    def check(self, output: object, target: Tensor | None, *, images: int) -> None:
        """See `Task.check`."""
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the network returns a {type(output).__name__}; {EXPECTED}; wrap the network in a "
                f"module that returns them alone, or name another task"
            )
        shape = tuple(output.shape)
        if not output.is_floating_point() or not shape or shape[0] != images or _has_map(shape):
            raise ModelError(
                f"for {images} images the network returns {output.dtype} of shape {shape}; "
                f"{EXPECTED}; pool maps, and return one row for each image, or name another task"
            )
        if target is None:
            return
        classes, highest = class_logits(output).shape[1], int(target.max())
        if highest >= classes:
            raise ModelError(
                f"the network's output, of shape {shape}, tells {classes} classes apart, but "
                f"labels go up to {highest}; give a network with {highest + 1} classes or more, or "
                f"other data"
            )

    def classes_of(self, output: object) -> Tensor | None:
        """The classes of images, (n,), where outputs are logits; None where they are not."""
        try:
            self.check(output, None, images=len(output) if isinstance(output, Tensor) else 0)
        except ModelError:
            return None
        assert isinstance(output, Tensor), "checked"
        return self.decisions(output)

    def decisions(self, output: Tensor) -> Tensor:
        """The class of the largest logit, shape (n,), int64."""
        return class_logits(output).argmax(1)

    def evidence(self, decisions: Tensor, target: Tensor) -> Tensor:
        """Predicted and true class, shape (n, 2), int64."""
        return torch.stack([decisions, target], 1)

    def measure(self, evidence: Tensor) -> float:
        """Top-1 accuracy, in [0, 1]."""
        return float((evidence[:, 0] == evidence[:, 1]).double().mean())

    def loss_error(self, before: Tensor, after: Tensor) -> float:
        """See `Task.loss_error`."""
        was, still = before[:, 0] == before[:, 1], after[:, 0] == after[:, 1]
        return drop_error_pp(int((was & ~still).sum()), int((still & ~was).sum()), len(was))

    def by_guessing(self, evidence: Tensor) -> float:
        """Expected accuracy of predictions that are as frequent, but say nothing about images.

        It is the expected agreement of Cohen's kappa: that of a network which always names the most
        frequent class is the share of that class.
        """
        classes = int(evidence.max()) + 1
        predicted, labelled = (
            torch.bincount(each, minlength=classes).double() / len(each) for each in evidence.T
        )
        return float(predicted @ labelled)

    def sameness(self, decisions: Tensor, reference: Tensor) -> Tensor:
        """1 for the same class, else 0; shape (n,), float64."""
        return (decisions == reference).double()

    def agreement(self, sameness: Tensor) -> float:
        """Share of images of the same class."""
        return float(sameness.mean())

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """KL divergence of the student's prediction from the teacher's, see `Task.divergence`."""
        divergence = F.kl_div(
            F.log_softmax(class_logits(student) / temperature, dim=1),
            F.log_softmax(class_logits(teacher) / temperature, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        return temperature**2 * divergence

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(class_logits(output), target)

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`; classes are drawn from the softmax."""
        logits = class_logits(output)
        drawn = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator)[:, 0]
        return F.cross_entropy(logits, drawn.to(logits.device), reduction="sum")


CLASSIFICATION = Classification()


def class_logits(output: Tensor) -> Tensor:
    """One logit per class, shape (n, classes), whichever form the output has.

    >>> class_logits(torch.tensor([1.5, -2.0])).tolist()
    [[0.0, 1.5], [0.0, -2.0]]
    """
    logits = output.flatten(1) if output.ndim > 1 else output[:, None]
    return with_other_class(logits)


def with_other_class(logits: Tensor) -> Tensor:
    """Logits (n, classes, ...); of one class, that of the other one, 0, comes before it."""
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


def _has_map(shape: tuple[int, ...]) -> bool:
    return any(size != 1 for size in shape[2:]) or (len(shape) > 1 and not shape[1])
