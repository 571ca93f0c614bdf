"""The one place that knows what is predicted: everything else asks a `Task`."""

from typing import Any, Protocol

import torch
from torch import Tensor


class Task(Protocol):
    """What outputs and targets are; n is the number of images throughout.

    `output` is what the network returns for a batch, `target` what a data set holds for it.
    """

    @property
    def name(self) -> str:
        """For reports, such as `classification`."""

    def check(self, output: object, target: Tensor, *, images: int) -> None:
        """Refuse what the task cannot read, before any work.

        Args:
            output: for a batch of so many images.
            target: of any number of images, such as all labels of a split.
            images: n.

        Raises:
            ModelError: says what was got and what is expected.
        """

    def predictions(self, output: Any) -> Tensor:
        """What the network decides, first axis n; batches of it are joined along that axis."""

    def metric(self, predictions: Tensor, target: Tensor) -> float:
        """How good decisions are, in [0, 1], more being better."""

    def agreement(self, predictions: Tensor, reference: Tensor) -> float:
        """Share of the decisions of another network that are kept, in [0, 1]."""

    def divergence(self, student: Any, teacher: Any, *, temperature: float = 1.0) -> Tensor:
        """How far an output is from that of the float network: a scalar, in nats per image.

        Args:
            student: output that gradients flow to.
            teacher: of the float network.
            temperature: that divides both; the result is multiplied by its square, so that
                gradients keep their size (Hinton et al. 2015, arXiv 1503.02531).
        """

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """What training minimises: a scalar, in nats per image."""

    def score(self, output: Any, generator: torch.Generator) -> Tensor:
        """Minus the log-likelihood of targets drawn from the output itself, summed over images.

        The second moment of its gradient is the Fisher information.
        """
