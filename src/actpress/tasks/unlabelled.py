"""Images whose targets nobody knows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from actpress.errors import ModelError
from actpress.tasks.classification import CLASSIFICATION
from actpress.tasks.intervals import drop_error_pp, resampled_error
from actpress.tasks.metric import AGREEMENT, Metric
from actpress.tasks.task import Task

_ERRORS = (
    "have no labels to be trained on; leave the weight of the task's loss at 0, or give labels"
)


@dataclass(frozen=True)
class Unlabelled:
    """Outputs of another task, whose decisions by the float network take the place of targets.

    What a compressed network is measured against is the float network: divergence and agreement.
    Targets of data are empty, (n, 0).

    Attributes:
        of: the task.
    """

    of: Task = CLASSIFICATION
    name: str = "unlabelled"
    metric: ClassVar[Metric] = AGREEMENT

    @property
    def target_form(self) -> str:
        """See `Task.target_form`."""
        return "nothing, (n, 0)"

    def as_target(self, raw: Any) -> Tensor | None:
        """See `Task.as_target`."""
        return raw if isinstance(raw, Tensor) and raw.shape[1:] == (0,) else None

    def check(self, output: object, target: object, *, images: int) -> None:
        """See `Task.check`; no label has to fit."""
        self.of.check(output, None, images=images)

    def decisions(self, output: Any) -> Any:
        """Those of the task."""
        return self.of.decisions(output)

    def evidence(self, decisions: Any, target: Any) -> Tensor:
        """What says how many decisions are those of the float network, which `target` holds."""
        return self.of.sameness(decisions, target)

    def measure(self, evidence: Tensor) -> float:
        """Agreement with the float network."""
        return self.of.agreement(evidence)

    def loss_error(self, before: Tensor, after: Tensor) -> float | None:
        """See `Task.loss_error`."""
        if bool(((after == 0) | (after == 1)).all()):  # whole decisions are kept, or not
            return drop_error_pp(int((after < before).sum()), 0, len(after))
        return resampled_error(self.measure, self.metric.lost, before, after)

    def by_guessing(self, evidence: Tensor) -> None:
        """See `Task.by_guessing`."""

    def sameness(self, decisions: Any, reference: Any) -> Tensor:
        """That of the task."""
        return self.of.sameness(decisions, reference)

    def agreement(self, sameness: Tensor) -> float:
        """That of the task."""
        return self.of.agreement(sameness)

    def divergence(self, student: Any, teacher: Any, *, temperature: float = 1.0) -> Tensor:
        """That of the task."""
        return self.of.divergence(student, teacher, temperature=temperature)

    def loss(self, output: Any, target: Any) -> Tensor:
        """There is none.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"outputs of {self.of.name} {_ERRORS}")

    def score(self, output: Any, generator: torch.Generator) -> Tensor:
        """That of the task."""
        return self.of.score(output, generator)


UNLABELLED = Unlabelled()
