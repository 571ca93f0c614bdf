"""Classification of images whose classes nobody knows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.errors import ModelError
from actpress.tasks.classification import CLASSIFICATION


@dataclass(frozen=True)
class Unlabelled:
    """Outputs are logits, as for `Classification`; targets are empty, (n, 0).

    What a compressed network is measured against is the float network: divergence and agreement.
    """

    name: str = "unlabelled"

    def check(self, output: object, target: Tensor, *, images: int) -> None:
        """See `Task.check`; no label has to fit."""
        CLASSIFICATION.check(output, torch.zeros(len(target), dtype=torch.int64), images=images)

    def predictions(self, output: Tensor) -> Tensor:
        """The class of the largest logit, shape (n,), int64."""
        return CLASSIFICATION.predictions(output)

    def metric(self, predictions: Tensor, target: Tensor) -> float:
        """Agreement with decisions of another network, which take the place of targets."""
        return self.agreement(predictions, target)

    def agreement(self, predictions: Tensor, reference: Tensor) -> float:
        """Share of images of the same class."""
        return CLASSIFICATION.agreement(predictions, reference)

    def divergence(self, student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
        """KL divergence of the student's prediction from the teacher's, see `Task.divergence`."""
        return CLASSIFICATION.divergence(student, teacher, temperature=temperature)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """There is none.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"outputs of shape {tuple(output.shape)} have no labels to be trained on; leave the "
            f"weight of the task's loss at 0, or give labels"
        )

    def score(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """See `Task.score`; classes are drawn from the softmax."""
        return CLASSIFICATION.score(output, generator)


UNLABELLED = Unlabelled()
