"""What a number of images can tell: whether a network guesses, and how sure a drop is."""

import math
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

DEVIATIONS = 1.96
"""Of a normal variable on either side of its mean, which hold 95 % of it."""


class Comparison(BaseModel):
    """Two networks on the same images.

    Attributes:
        images: how many.
        before, after: accuracy of the float and of the compressed network, in [0, 1].
        drop_error_pp: half of the 95 % interval of the drop, in percentage points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    before: Annotated[float, Field(ge=0, le=1)]
    after: Annotated[float, Field(ge=0, le=1)]
    drop_error_pp: float

    @property
    def drop_pp(self) -> float:
        """(before - after) * 100."""
        return (self.before - self.after) * 100

    @classmethod
    def of(cls, before: Tensor, after: Tensor, labels: Tensor) -> "Comparison":
        """From the predictions of both networks and the labels, each (n,), int64."""
        was, still = before == labels, after == labels
        return cls(
            images=len(labels),
            before=float(was.double().mean()),
            after=float(still.double().mean()),
            drop_error_pp=drop_error_pp(
                int((was & ~still).sum()), int((still & ~was).sum()), len(labels)
            ),
        )


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


def images_to_tell(drop_pp: float) -> int:
    """Images that it takes at least to tell a drop of so many points from none.

    It is least where the networks differ on no more images than the drop.

    >>> images_to_tell(0.5)
    769
    """
    return math.ceil(DEVIATIONS**2 * 100 / drop_pp)


def guessing_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """What predictions would reach that are as frequent, but say nothing about their images.

    It is the expected agreement of Cohen's kappa: that of a network which always names the most
    frequent class is the share of that class.

    Args:
        predictions: classes (n,), int64.
        labels: likewise.
    """
    classes = int(max(predictions.max(), labels.max())) + 1
    predicted, labelled = (
        torch.bincount(each, minlength=classes).double() / len(each)
        for each in (predictions, labels)
    )
    return float(predicted @ labelled)


def is_guessing(accuracy: float, by_guessing: float, images: int) -> bool:
    """Whether a network cannot be told from guessing; False where no network of these could be."""
    most = by_guessing + 2 * math.sqrt(by_guessing * (1 - by_guessing) / images)
    return accuracy <= most < 1
