"""The one place that knows what is predicted: everything else asks a `Task`."""

from typing import Any, Protocol

import torch
from torch import Tensor

from actpress.tasks.metric import Metric


class Task(Protocol):
    """What outputs and targets are; n is the number of images throughout.

    `output` is what the network returns for a batch, `target` what the data hold for it. The metric
    is taken in three steps, so that a data set of any size is measured as one and not as a mean
    over batches: the decisions of a batch, what each of its images says about the metric, and, when
    all have been seen, the metric.
    """

    @property
    def name(self) -> str:
        """For reports, such as `classification`."""

    @property
    def metric(self) -> Metric:
        """What `measure` returns."""

    @property
    def target_form(self) -> str:
        """What targets have to be, for messages, such as `class indices (n,), integers`."""

    def as_target(self, raw: Any) -> Any | None:
        """The targets of a batch in the form that the task takes; None where they have none."""

    def check(self, output: object, target: Any, *, images: int) -> None:
        """Refuse what the task cannot read, before any work.

        Args:
            output: for a batch of so many images.
            target: of the same batch, as `as_target` gave it; None where none is known. Of
                classification any number, such as all of a split.
            images: n.

        Raises:
            ModelError: says what was got and what is expected.
        """

    def decisions(self, output: Any) -> Any:
        """What the network decides, tensors with first axis n: all that metric and agreement read.

        Few bytes where that is possible, as it may be kept for a whole split.
        """

    def evidence(self, decisions: Any, target: Any) -> Any:
        """What each image says about the metric, tensors with first axis n."""

    def measure(self, evidence: Any) -> float:
        """The metric over all images that evidence was joined of, in the unit of `metric`.

        Raises:
            TaskError: it cannot be computed, or is not finite.
        """

    def loss_error(self, before: Any, after: Any) -> float | None:
        """Half of the 95 % interval of `metric.lost`, in its unit; None where it is not known.

        Args:
            before: evidence of the float network on some images.
            after: of the compressed network on the same ones.
        """

    def by_guessing(self, evidence: Any) -> float | None:
        """The metric of decisions that are as frequent, but say nothing about their images.

        None where that says nothing.
        """

    def sameness(self, decisions: Any, reference: Any) -> Tensor:
        """What each image says about agreement with another network, shape (n, ...), float64."""

    def agreement(self, sameness: Tensor) -> float:
        """Share of the decisions of another network that are kept, in [0, 1]."""

    def divergence(self, student: Any, teacher: Any, *, temperature: float = 1.0) -> Tensor:
        """How far an output is from that of the float network: a scalar, in nats per image.

        Args:
            student: output that gradients flow to.
            teacher: of the float network.
            temperature: that divides both where they are logits; the result is multiplied by its
                square, so that gradients keep their size (Hinton et al. 2015, arXiv 1503.02531).
        """

    def loss(self, output: Any, target: Any) -> Tensor:
        """What training minimises: a scalar, in nats per image."""

    def score(self, output: Any, generator: torch.Generator) -> Tensor:
        """Minus the log-likelihood of targets drawn from the output itself, summed over images.

        The second moment of its gradient is the Fisher information, so that half of it, times the
        square of a small change, is the divergence that the change makes. Where the divergence is a
        mean over p pixels, each drawn for itself, this is their sum over the root of p.
        """
