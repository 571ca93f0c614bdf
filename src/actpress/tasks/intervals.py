"""How sure a difference between two networks on the same images is."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from actpress.errors import TaskError

DEVIATIONS = 1.96
"""Of a normal variable on either side of its mean, which hold 95 % of it."""

RESAMPLES, RESAMPLE_SEED = 200, 0


def drop_error_pp(lost: int, won: int, images: int) -> float:
    """Half of the 95 % interval of a drop in accuracy, in percentage points.

    Only images on which the networks differ matter. Half an image is added to each of the four
    outcomes, which keeps the interval honest where hardly any differ (Agresti and Min 2005,
    Statistics in Medicine 24:729).

    Args:
        lost: images that only the float network gets right.
        won: images that only the compressed network gets right.
        images: all of them.
    """
    differing, total = lost + won + 1, images + 2
    return 100 * DEVIATIONS * math.sqrt(differing - (lost - won) ** 2 / total) / total


def resampled_error(
    measure: Callable[[Tensor], float],
    lost: Callable[[float, float], float],
    before: Tensor,
    after: Tensor,
) -> float | None:
    """Half of the 95 % interval of a loss, from images drawn again with replacement (bootstrap).

    The same images are drawn for both networks, so that only what differs counts. None where too
    few images are left that the metric can be told of.

    Args:
        measure: what images say about a network, first axis n -> the metric.
        lost: metric before and after -> the loss.
        before: of the float network, first axis n.
        after: of the compressed one, likewise.
    """
    generator = torch.Generator().manual_seed(RESAMPLE_SEED)
    losses = []
    for _ in range(RESAMPLES):
        drawn = torch.randint(len(before), (len(before),), generator=generator)
        try:
            losses.append(lost(measure(before[drawn]), measure(after[drawn])))
        except TaskError:  # none of the images drawn counts
            continue
    if len(before) < 2 or len(losses) < RESAMPLES / 2:
        return None
    return DEVIATIONS * float(torch.tensor(losses, dtype=torch.float64).std())
