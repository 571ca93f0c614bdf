"""How far a network is from the float network on held-out images, batch by batch."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from actpress.data.dataset import Split
from actpress.graph import eval_mode
from actpress.tasks import Task
from actpress.tasks.nest import floats, leaves
from actpress.team import ALONE, Team

KEPT_BYTES = 1 << 28
"""Outputs of the float network are kept up to so many bytes, and else computed anew each time."""


class Validation:
    """Divergence of networks from one float network on the same images.

    Args:
        teacher: the float network, on `device`.
        split: the images.
        task: what outputs mean.
        batch_size: images at once.
        device: of all networks.
        team: that shares the images.
    """

    def __init__(
        self,
        teacher: nn.Module,
        split: Split,
        task: Task,
        *,
        batch_size: int,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        self._teacher, self._split, self._task = teacher, split, task
        self._batch_size, self._device = batch_size, device
        self._team = team
        self._kept: list[Any] | None = None

    @torch.no_grad()
    def divergence(self, model: nn.Module) -> float:
        """Mean over all images, in nats per image; the model runs in eval mode."""
        total = 0.0
        with eval_mode(model), eval_mode(self._teacher):
            for divergence in self._team.in_order(self._divergences(model)):
                total += divergence
        return total / len(self._split)

    def _divergences(self, model: nn.Module) -> Iterator[float]:
        """Sum over each batch of this process."""
        kept: list[Any] | None = []
        size_bytes = 0
        batches = self._split.batches(self._batch_size, part=self._team.part)
        for number, (images, _) in enumerate(batches):
            x = images.to(self._device)
            theirs = floats(self._teacher(x)) if self._kept is None else self._kept[number]
            yield float(self._task.divergence(floats(model(x)), theirs)) * len(x)
            size_bytes += sum(leaf.nbytes for leaf in leaves(theirs))
            kept = None if kept is None or size_bytes > KEPT_BYTES else [*kept, theirs]
        self._kept = kept
