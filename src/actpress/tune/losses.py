"""What tuning minimises, besides the bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from actpress.codec import SiteCodec, seen_by
from actpress.pressing import CompressedModel
from actpress.settings import TuneSettings
from actpress.tasks import Task
from actpress.tasks.nest import leaves


def prediction_loss(
    task: Task, output: Any, target: Any, teacher: Any, settings: TuneSettings
) -> Tensor:
    """Weighted distillation and task loss, in nats per image.

    Args:
        task: what the outputs mean.
        output: of the pressed network.
        target: of the same images.
        teacher: output of the float network; without distillation it is not looked at.
        settings: the weights.
    """
    loss = next(leaves(output)).new_zeros(())
    if settings.distillation:
        soft = task.divergence(output, teacher, temperature=settings.temperature)
        loss = loss + settings.distillation * soft
    if settings.task:
        loss = loss + settings.task * task.loss(output, target)
    return loss


class ReconstructionProbe:
    """Sums the relative squared error of the sites it is attached to."""

    def __init__(self) -> None:
        self.terms: list[Tensor] = []

    def update(self, codec: SiteCodec, x: Tensor, q: Tensor, x_hat: Tensor) -> None:
        """Add one site: |x_hat - x|^2 / |x - mean|^2."""
        target = x.detach()
        self.terms.append((x_hat - target).square().mean() / target.var().clamp(min=1e-12))

    def loss(self) -> Tensor:
        """Mean over the sites seen."""
        return torch.stack(self.terms).mean()


@contextmanager
def reconstruction(pressed: CompressedModel) -> Iterator[ReconstructionProbe]:
    """Collect the reconstruction error while the block runs."""
    probe = ReconstructionProbe()
    with seen_by(dict.fromkeys(pressed.codecs.values(), probe)):
        yield probe
