"""What a network does on a split: its decisions, and what they say about metric and agreement."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actpress.data.dataset import Split
from actpress.errors import ModelError
from actpress.graph import eval_mode
from actpress.tasks import CLASSIFICATION, Task
from actpress.tasks.nest import joined, leaves, mapped
from actpress.team import ALONE, Team

BATCH = 100

KEPT_BYTES = 1 << 28
"""Decisions of the float network on a whole split are kept up to so many bytes; where they are
more, it runs once again beside the compressed one."""


@dataclass(frozen=True)
class Reference:
    """What the float network does on a split.

    Attributes:
        network: itself.
        evidence: see `Task.evidence`.
        decisions: on all images; None where they are too many to be kept.
    """

    network: nn.Module
    evidence: Any
    decisions: Any | None


@dataclass(frozen=True)
class Judged:
    """What a network does on a split, beside the float network.

    Attributes:
        evidence: see `Task.evidence`.
        sameness: see `Task.sameness`.
    """

    evidence: Any
    sameness: Tensor


@torch.no_grad()
def refer(
    network: nn.Module,
    split: Split,
    *,
    task: Task = CLASSIFICATION,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
    team: Team = ALONE,
) -> Reference:
    """Run the float network on a split.

    Args:
        network: in eval mode or not; it runs in eval mode.
        split: images, with targets or without.
        task: what outputs mean.
        batch: images at once.
        on_batch: called with the number of images of every batch.
        team: that shares the batches.

    Raises:
        ModelError: the output is not of the task, or not finite.
        DataError: an image is not finite.
    """
    evidence: list[Any] = []
    kept: list[Any] | None = []
    size_bytes = 0

    def decided() -> Iterator[tuple[Any, Any, int]]:
        for start, (x, target) in _numbered(split, batch, team):
            decisions = _decide(network, x, task, target if split.is_labelled else None, start)
            true = target if split.is_labelled else decisions
            yield task.evidence(decisions, true), decisions, len(x)

    with eval_mode(network):
        for own, decisions, images in team.in_order(decided()):
            evidence.append(own)
            size_bytes += sum(leaf.nbytes for leaf in leaves(decisions))
            kept = None if kept is None or size_bytes > KEPT_BYTES else [*kept, decisions]
            on_batch(images)
    return Reference(network, joined(evidence), None if kept is None else joined(kept))


@torch.no_grad()
def judge(
    model: nn.Module,
    split: Split,
    reference: Reference,
    *,
    task: Task = CLASSIFICATION,
    batch: int = BATCH,
    on_batch: Callable[[int], None] = lambda images: None,
    team: Team = ALONE,
) -> Judged:
    """Run a network on a split, and compare its decisions with those of the float network.

    Args:
        model: runs in eval mode.
        split: the one of `reference`.
        reference: of the float network.
        task: what outputs mean.
        batch: images at once.
        on_batch: called with the number of images of every batch.
        team: that shares the batches.

    Raises:
        ModelError, DataError: see `refer`.
    """
    evidence, sameness = [], []

    def judged() -> Iterator[tuple[Any, Tensor, int]]:
        for start, (x, target) in _numbered(split, batch, team):
            known = target if split.is_labelled else None
            if reference.decisions is None:
                theirs = _decide(reference.network, x, task, None, start)
            else:
                theirs = _part(reference.decisions, start, len(x))
            ours = _decide(model, x, task, known, start)
            own = task.evidence(ours, target if split.is_labelled else theirs)
            yield own, task.sameness(ours, theirs), len(x)

    with eval_mode(model), eval_mode(reference.network):
        for own, same, images in team.in_order(judged()):
            evidence.append(own)
            sameness.append(same)
            on_batch(images)
    return Judged(joined(evidence), torch.cat(sameness))


@torch.no_grad()
def predict(
    model: nn.Module, split: Split, *, task: Task = CLASSIFICATION, batch: int = BATCH
) -> Any:
    """What a network decides on a split in eval mode, such as classes (n,), int64.

    Raises:
        ModelError, DataError: see `refer`.
    """
    with eval_mode(model):
        return joined(
            [
                _decide(model, x, task, target if split.is_labelled else None, start)
                for start, (x, target) in _numbered(split, batch)
            ]
        )


def _part(decisions: Any, start: int, count: int) -> Any:
    return mapped(decisions, lambda values: values[start : start + count])


def _numbered(
    split: Split, batch: int, team: Team = ALONE
) -> Iterator[tuple[int, tuple[Tensor, Any]]]:
    """Batches of this process, each with the position of its first image."""
    for number, pair in enumerate(split.batches(batch, part=team.part)):
        yield (team.rank + number * team.size) * min(batch, len(split)), pair


def _decide(model: nn.Module, x: Tensor, task: Task, target: Any, start: int) -> Any:
    """Decisions on a batch whose first image has the position `start`, on the CPU."""
    output = model(x.to(_device_of(model)))
    task.check(output, target, images=len(x))
    for leaf in leaves(output):
        _check_finite(leaf, start)
    return mapped(task.decisions(output), Tensor.cpu)


def _check_finite(output: Tensor, before: int) -> None:
    """Refuse decisions about images, the first of which has that position, that mean nothing."""
    finite = output.flatten(1).isfinite().all(1) if output.ndim > 1 else output.isfinite()
    if not finite.all():
        raise ModelError(
            f"the network's output for image {before + int(finite.logical_not().nonzero()[0])} is "
            f"NaN or infinite; expected finite numbers; check its weights, and how the images are "
            f"prepared"
        )


def _device_of(model: nn.Module) -> torch.device:
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device
