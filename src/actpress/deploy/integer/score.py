"""How good an integer network is, beside the network that it was made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actpress.data.dataset import Split
from actpress.deploy.integer.execute import Executor
from actpress.deploy.integer.network import IntegerNetwork
from actpress.pressing import CompressedModel
from actpress.tasks import Task
from actpress.tasks.nest import joined

BATCH = 50


@dataclass(frozen=True)
class IntegerScore:
    """On one split.

    Attributes:
        images: of the split.
        accuracy: the task's metric of the integer network, in [0, 1] of one in %; without labels
            its agreement.
        compressed_accuracy: that of the compressed network in floating point; without labels 1.
        agreement: share of images on which the two agree.
    """

    images: int
    accuracy: float
    compressed_accuracy: float
    agreement: float


@torch.no_grad()
def integer_score(
    network: IntegerNetwork,
    pressed: CompressedModel,
    split: Split,
    task: Task,
    *,
    on_batch: Callable[[int], None] = lambda images: None,
) -> IntegerScore:
    """Run a split through an integer network and through the compressed one.

    Args:
        network: of `pressed`.
        pressed: in eval mode, on the CPU.
        split: images and labels.
        task: what outputs mean.
        on_batch: is told how many images were done.
    """
    executor = Executor(network)
    own: list[Any] = []
    compressed: list[Any] = []
    sameness: list[Tensor] = []
    for images, target in split.batches(BATCH):
        logits = executor.logits(images.numpy()).astype(np.float64) * network.logit_scale
        ours, theirs = (
            task.decisions(output) for output in (torch.from_numpy(logits), pressed(images))
        )
        known = target if split.is_labelled else theirs
        own.append(task.evidence(ours, known))
        compressed.append(task.evidence(theirs, known))
        sameness.append(task.sameness(ours, theirs))
        on_batch(len(images))
    return IntegerScore(
        images=len(split),
        accuracy=task.measure(joined(own)),
        compressed_accuracy=task.measure(joined(compressed)),
        agreement=task.agreement(torch.cat(sameness)),
    )
