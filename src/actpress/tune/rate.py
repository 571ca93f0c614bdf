"""Holding the bits while accuracy is trained: a multiplier that follows the excess."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.pressing import CompressedModel
from actpress.team import team_of

MULTIPLIER_STEP = 0.5
PENALTY = 10.0
TARGET_MARGIN = 0.997
"""Aim a little below the bound: the smooth rate model is not exact."""


@dataclass
class RateBound:
    """Augmented Lagrangian of `rate <= target`.

    Attributes:
        target_bits: per inference, over all sites, in the unit that the rate was aligned to.
        multiplier: weight of the relative excess; rises while the rate is above the target.
        recent_excess: running mean of the excess over the last steps.
    """

    target_bits: float
    multiplier: float = 0.02
    recent_excess: float = 0.0

    def excess(self, rate_bits: Tensor) -> Tensor:
        """Relative excess over the target, negative below it."""
        return rate_bits / (self.target_bits * TARGET_MARGIN) - 1

    def loss(self, rate_bits: Tensor) -> Tensor:
        """The term that training adds to its loss."""
        excess = self.excess(rate_bits)
        return self.multiplier * excess + 0.5 * PENALTY * excess.clamp(min=0).square()

    def update(self, rate_bits: Tensor) -> None:
        """Dual ascent after a step."""
        excess = float(self.excess(rate_bits.detach()))
        self.multiplier = min(max(self.multiplier + MULTIPLIER_STEP * excess, 0.0), 10.0)
        self.recent_excess += 0.1 * (excess - self.recent_excess)


def align_rate_model(
    pressed: CompressedModel, inputs: Iterable[Tensor], costs: Mapping[str, float]
) -> None:
    """Scale every site's smooth rate to what it really costs.

    Args:
        pressed: changed in place.
        inputs: batches on which the smooth rate is averaged; a team may share them (`Shared`).
        costs: of each site.
    """
    smooth: dict[str, list[float]] = {name: [] for name in pressed.codecs}
    for codec in pressed.codecs.values():
        codec.rate_scale.fill_(1.0)
    pressed.eval()

    def rates() -> Iterator[list[float]]:
        for batch in inputs:
            yield [rate.item() for rate in pressed.network(batch)[1]]

    with rates_alone(pressed):
        for own in team_of(inputs).in_order(rates()):
            for name, rate in zip(pressed.codecs, own, strict=True):
                smooth[name].append(rate)
    for name, codec in pressed.codecs.items():
        mean = sum(smooth[name]) / len(smooth[name])
        codec.rate_scale.fill_(costs[name] / mean if mean > 0 else 1.0)


@contextmanager
def rates_alone(pressed: CompressedModel) -> Iterator[None]:
    """Codecs give a smooth rate where gradients are enabled; nothing keeps a graph for one here."""
    learning = [parameter for parameter in pressed.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
