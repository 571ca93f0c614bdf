"""What tuning minimises, besides the bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.codec import SiteCodec
from actpress.pressing import CompressedModel
from actpress.tune.settings import TuneSettings


def prediction_loss(
    logits: Tensor, labels: Tensor, teacher: Tensor, settings: TuneSettings
) -> Tensor:
    """Weighted distillation and task loss, in nats per image.

    Args:
        logits: of the pressed network, shape (n, classes).
        labels: shape (n,), int64.
        teacher: logits of the float network, shape (n, classes).
        settings: the weights.
    """
    loss = logits.new_zeros(())
    if settings.distillation:
        soft = distillation_loss(logits, teacher, temperature=settings.temperature)
        loss = loss + settings.distillation * soft
    if settings.task:
        loss = loss + settings.task * F.cross_entropy(logits, labels)
    return loss


def distillation_loss(logits: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """KL divergence of the pressed prediction from the float network's, in nats per image.

    Args:
        logits: of the pressed network, shape (n, classes).
        teacher: of the float network, likewise.
        temperature: that divides both; the result is multiplied by its square, so that gradients
            keep their size (Hinton et al. 2015, arXiv 1503.02531).
    """
    divergence = F.kl_div(
        F.log_softmax(logits / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        log_target=True,
        reduction="batchmean",
    )
    return temperature**2 * divergence


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
    codecs = pressed.codecs.values()
    try:
        for codec in codecs:
            codec.probe = probe
        yield probe
    finally:
        for codec in codecs:
            codec.probe = None
