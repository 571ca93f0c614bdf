"""What a number of images can tell: how much is lost, how sure that is, and who guesses."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from actpress.tasks import Metric, Task
from actpress.tasks.intervals import DEVIATIONS
from actpress.tasks.metric import ACCURACY


class Comparison(BaseModel):
    """Two networks on the same images, by the metric of a task.

    Attributes:
        name, unit, higher_is_better: of the metric, see `Metric`; of accuracy they are not written.
        images: how many.
        before, after: metric of the float and of the compressed network; shares in [0, 1] of %.
        drop_error_pp: half of the 95 % interval of what was lost, in points of a metric in %, else
            in its unit; None where it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ACCURACY.name
    unit: str = ACCURACY.unit
    higher_is_better: bool = True
    images: int
    before: float
    after: float
    drop_error_pp: float | None

    @property
    def metric(self) -> Metric:
        """What was measured."""
        return Metric(self.name, self.unit, self.higher_is_better)

    @property
    def drop_pp(self) -> float:
        """What was lost, in points of a metric in %, else in its unit."""
        return self.metric.lost(self.before, self.after)

    @classmethod
    def of(cls, task: Task, before: Any, after: Any, *, images: int) -> "Comparison":
        """From what images say about both networks (`Task.evidence`).

        Raises:
            TaskError: the metric cannot be computed.
        """
        metric = task.metric
        return cls(
            name=metric.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            images=images,
            before=task.measure(before),
            after=task.measure(after),
            drop_error_pp=task.loss_error(before, after),
        )

    @model_serializer(mode="wrap")
    def _without_usual_metric(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields, without those of the metric where it is accuracy."""
        fields: dict[str, Any] = handler(self)
        if self.metric == ACCURACY:
            for name in ("name", "unit", "higher_is_better"):
                fields.pop(name, None)
        return fields


def images_to_tell(drop_pp: float) -> int:
    """Images that it takes at least to tell a drop of so many points from none.

    It is least where the networks differ on no more images than the drop.

    >>> images_to_tell(0.5)
    769
    """
    return math.ceil(DEVIATIONS**2 * 100 / drop_pp)


def is_guessing(accuracy: float, by_guessing: float, images: int) -> bool:
    """Whether a network cannot be told from guessing; False where no network of these could be."""
    most = by_guessing + 2 * math.sqrt(by_guessing * (1 - by_guessing) / images)
    return accuracy <= most < 1
