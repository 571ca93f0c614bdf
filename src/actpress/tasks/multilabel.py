"""Any of some labels for each image."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.errors import ModelError, TaskError
from actpress.tasks.intervals import resampled_error
from actpress.tasks.metric import F1, Metric


@dataclass(frozen=True)
class MultiLabel:
    """Outputs are logits (n, labels), targets zeros and ones of the same shape and any type.

    A label is predicted where its logit is greater than 0. The metric is F1 over all decisions of
    all images (micro average).

    Attributes:
        labels: so many.

    Raises:
        TaskError: there are none.
    """

    labels: int
    name: str = "multi-label classification"
    metric: ClassVar[Metric] = F1

    def __post_init__(self) -> None:
        if self.labels < 1:
            raise TaskError(f"multi-label classification has labels={self.labels}; expected 1 up")

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return f"zeros and ones (n, {self.labels})"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        if not isinstance(raw, Tensor) or raw.ndim != 2 or raw.shape[1] != self.labels:
            return None
        return raw.float() if bool(((raw == 0) | (raw == 1)).all()) else None

    def check(self, output: object, target: Tensor | None, *, images: int) -> None:
        """See `Task.check`."""
        expected = f"expected logits (n, {self.labels})"
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the network returns a {type(output).__name__}; {expected}; wrap the network in a "
                f"module that returns them alone"
            )
        shape = tuple(output.shape)
        if not output.is_floating_point() or shape != (images, self.labels):
            raise ModelError(
                f"for {images} images the network returns {output.dtype} of shape {shape}; "
                f"{expected}"
            )

    def decisions(self, output: Tensor) -> Tensor:
        """Which labels are predicted, shape (n, labels), bool."""
        return output > 0

    def evidence(self, decisions: Tensor, target: Tensor) -> Tensor:
        """Labels of each image that are right, predicted and true, shape (n, 3), int64."""
        true = target > 0
        return torch.stack([(decisions & true).sum(1), decisions.sum(1), true.sum(1)], 1)

    def measure(self, evidence: Tensor) -> float:
        """F1, in [0, 1]; 1 where no label is predicted or true."""
        right, found, true = evidence.sum(0).tolist()
        return 2 * right / (found + true) if found + true else 1.0

    def loss_error(self, before: Tensor, after: Tensor) -> float | None:
        """See `Task.loss_error`."""
        return resampled_error(self.measure, self.metric.lost, before, after)

    def by_guessing(self, evidence: Tensor) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Tensor, reference: Tensor) -> Tensor:
        """Share of labels that are decided alike, shape (n,), float64."""
        return (decisions == reference).double().mean(1)

    def agreement(self, sameness: Tensor) -> float:
        """Share of labels that are decided alike."""
        return float(sameness.mean())

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """KL divergence of the labels' predictions, sum over labels."""
        ours, theirs = student / temperature, teacher / temperature
        p = theirs.sigmoid()
        present = p * (F.logsigmoid(theirs) - F.logsigmoid(ours))
        absent = (1 - p) * (F.logsigmoid(-theirs) - F.logsigmoid(-ours))
        return temperature**2 * (present + absent).sum(1).mean()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy, sum over labels."""
        summed = F.binary_cross_entropy_with_logits(output, target, reduction="sum")
        return summed / len(output)

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`; every label is drawn from its sigmoid."""
        chances = output.detach().sigmoid().cpu()
        drawn = torch.bernoulli(chances, generator=generator).to(output.device)
        return F.binary_cross_entropy_with_logits(output, drawn, reduction="sum")
