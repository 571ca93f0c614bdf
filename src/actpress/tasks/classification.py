"""One of some classes for each image."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError

EXPECTED = (
    "expected logits: (n, classes), (n, classes, 1, 1), or one logit (n, 1) or (n,) for two classes"
)


@dataclass(frozen=True)
class Classification:
    """Outputs are logits, targets class indices (n,), int64.

    A single logit is that of class 1 against class 0, which has logit 0: class 1 is predicted where
    it is greater than 0, and its softmax is the sigmoid. Axes of length 1 after the classes are
    left out.
    """

    name: str = "classification"

    def check(self, output: object, target: Tensor, *, images: int) -> None:
        """See `Task.check`."""
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the network returns a {type(output).__name__}; {EXPECTED}; wrap the network in a "
                f"module that returns them alone"
            )
        shape = tuple(output.shape)
        if not output.is_floating_point() or not shape or shape[0] != images or _has_map(shape):
            raise ModelError(
                f"for {images} images the network returns {output.dtype} of shape {shape}; "
                f"{EXPECTED}; pool maps, and return one row for each image"
            )
        classes, highest = class_logits(output).shape[1], int(target.max())
        if highest >= classes:
            raise ModelError(
                f"the network's output, of shape {shape}, tells {classes} classes apart, but "
                f"labels go up to {highest}; give a network with {highest + 1} classes or more, or "
                f"other data"
            )

    def predictions(self, output: Tensor) -> Tensor:
        """The class of the largest logit, shape (n,), int64."""
        return class_logits(output).argmax(1)

    def metric(self, predictions: Tensor, target: Tensor) -> float:
        """Top-1 accuracy."""
        return float((predictions == target).float().mean())

    def agreement(self, predictions: Tensor, reference: Tensor) -> float:
        """Share of images of the same class."""
        return float((predictions == reference).float().mean())

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
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], 1)


def _has_map(shape: tuple[int, ...]) -> bool:
    return any(size != 1 for size in shape[2:]) or (len(shape) > 1 and not shape[1])
