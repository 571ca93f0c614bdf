"""What a task measures, in words that reports print."""

from dataclasses import dataclass

PERCENT, DECIBEL = "%", "dB"


@dataclass(frozen=True)
class Metric:
    """How good a network is, as one number.

    Attributes:
        name: such as `accuracy` or `mean IoU`, as it stands within a sentence.
        unit: such as `dB`; empty where there is none. Of `%` values are shares in [0, 1], and their
            differences are told in points.
        higher_is_better: whether a larger value is a better one.
    """

    name: str
    unit: str = PERCENT
    higher_is_better: bool = True

    @property
    def is_share(self) -> bool:
        """Whether values are shares in [0, 1], and differences points."""
        return self.unit == PERCENT

    def lost(self, before: float, after: float) -> float:
        """By how much `after` is worse, in points of a metric in %, else in its unit.

        >>> Metric("PSNR", "dB").lost(31.5, 31.25)
        0.25
        """
        worse = before - after if self.higher_is_better else after - before
        return 100 * worse if self.is_share else worse


ACCURACY = Metric("accuracy")
AGREEMENT = Metric("agreement")
F1 = Metric("F1")
MEAN_IOU = Metric("mean IoU")
PSNR = Metric("PSNR", DECIBEL)
