"""Any outputs: keypoints, detection, and whatever else a function of the user's can measure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actpress.errors import ModelError, TaskError
from actpress.tasks.gaussian import (
    gaussian_divergence,
    gaussian_score,
    kept_variance,
    variance_sums,
)
from actpress.tasks.metric import Metric
from actpress.tasks.nest import floats, leaves


@dataclass(frozen=True)
class Custom:
    """Outputs are tensors (n, ...), or tuples, lists and dicts of them; the metric is a function.

    Search and training follow the outputs themselves: the divergence is half of the squared error
    of each output tensor over its mean square, summed over the tensors.

    Attributes:
        measured: raw outputs of all images, and their targets, as one batch -> the metric. Targets
            that a loader collates to a list, one entry for each image, are one list.
        metric: what it returns, as in `Metric("keypoint error", "px", higher_is_better=False)`; of
            `%`, a share in [0, 1].

    Raises:
        TaskError: `measured` is no function.
    """

    measured: Callable[[Any, Any], float]
    metric: Metric
    name: str = "custom"

    def __post_init__(self) -> None:
        if not callable(self.measured):
            raise TaskError(
                f"the metric of a custom task is a {type(self.measured).__name__}; expected a "
                f"function of outputs and targets"
            )

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return "anything"

    def as_target(self, raw: Any) -> Any:
        """See `Task.as_target`; the function knows."""
        return raw

    def check(self, output: object, target: object, *, images: int) -> None:
        """See `Task.check`."""
        tensors = list(leaves(output))
        if not tensors:
            raise ModelError(
                f"the network returns a {type(output).__name__}; expected tensors, or tuples, "
                f"lists or dicts of them"
            )
        for tensor in tensors:
            if not tensor.ndim or len(tensor) != images or not tensor.is_floating_point():
                raise ModelError(
                    f"for {images} images the network returns {tensor.dtype} of shape "
                    f"{tuple(tensor.shape)} among its outputs; expected floating point, (n, ...)"
                )

    def decisions(self, output: Any) -> Any:
        """The outputs, float32."""
        return floats(output)

    def evidence(self, decisions: Any, target: Any) -> tuple[Any, Any]:
        """Outputs and targets."""
        return decisions, target

    def measure(self, evidence: tuple[Any, Any]) -> float:
        """What the function says of all images.

        Raises:
            TaskError: it raises, or returns no finite number, or of a share none in [0, 1].
        """
        name = self.metric.name
        try:
            value = float(self.measured(*evidence))
        except Exception as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise TaskError(
                f"the function of the metric {name!r} raises {type(error).__name__}: {reason}; it "
                f"is given the network's outputs and the targets of all images"
            ) from error
        if not math.isfinite(value):
            raise TaskError(
                f"the function of the metric {name!r} returns {value}; expected a finite number"
            )
        if self.metric.is_share and not 0 <= value <= 1:
            raise TaskError(
                f"the function of the metric {name!r} returns {value:g}; expected a share in "
                f"[0, 1], as its unit is %"
            )
        return value

    def loss_error(self, before: Any, after: Any) -> None:
        """See `Task.loss_error`; the function may be slow."""

    def by_guessing(self, evidence: Any) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Any, reference: Any) -> Tensor:
        """What `agreement` needs of each output tensor of each image, (n, tensors, 4)."""
        pairs = zip(leaves(decisions), leaves(reference), strict=True)
        return torch.stack([variance_sums(*pair) for pair in pairs], 1)

    def agreement(self, sameness: Tensor) -> float:
        """Share of the variance of the reference that is kept, R^2, mean over output tensors."""
        kept = [kept_variance(sums) for sums in sameness.unbind(1)]
        return sum(kept) / len(kept)

    def divergence(self, student: Any, teacher: Any, *, temperature: float = 1.0) -> Tensor:
        """Half of the normalised squared error, summed over output tensors."""
        pairs = zip(leaves(student), leaves(teacher), strict=True)
        return torch.stack([gaussian_divergence(*pair) for pair in pairs]).sum()

    def loss(self, output: Any, target: Any) -> Tensor:
        """There is none.

        Raises:
            TaskError: always.
        """
        raise TaskError(
            f"the task {self.name} has a metric but no loss; leave the weight of the task's loss "
            f"at 0"
        )

    def score(self, output: Any, generator: torch.Generator) -> Tensor:
        """See `Task.score`."""
        return torch.stack([gaussian_score(tensor, generator) for tensor in leaves(output)]).sum()
