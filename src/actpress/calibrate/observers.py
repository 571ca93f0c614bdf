"""What calibration keeps of a site: sums that merge, never samples."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from actpress.errors import CalibrationError

BINS_PER_OCTAVE = 8
MIN_EXPONENT, MAX_EXPONENT = -20, 20
BINS = (MAX_EXPONENT - MIN_EXPONENT) * BINS_PER_OCTAVE


@dataclass(frozen=True)
class SiteStatistics:
    """Sums over m = n*h*w columns of a site with c channels; memory is c*c, whatever n.

    Attributes:
        count: m.
        total: sum of x, shape (c,), float64.
        outer: sum of x x^T, shape (c, c), float64.
        minimum, maximum: per channel, shape (c,), float64.
        zeros: values that are exactly zero.
        negative, positive: values per logarithmic bin of |x|, shape (BINS,), int64; bin i covers
            2^(MIN_EXPONENT + i / BINS_PER_OCTAVE) and up, the ends take what lies beyond.
    """

    count: int
    total: Tensor
    outer: Tensor
    minimum: Tensor
    maximum: Tensor
    zeros: int
    negative: Tensor
    positive: Tensor

    @property
    def mean(self) -> Tensor:
        """Channel means, shape (c,), float64."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Channel covariance, shape (c, c), float64, symmetric."""
        covariance = self.outer / self.count - torch.outer(self.mean, self.mean)
        return (covariance + covariance.T) / 2

    @property
    def zero_share(self) -> float:
        """Share of values that are exactly zero, in [0, 1]."""
        return self.zeros / (self.count * len(self.total))

    def merge(self, other: "SiteStatistics") -> "SiteStatistics":
        """Statistics of both samples together, as if one pass had seen them."""
        if len(self.total) != len(other.total):
            raise CalibrationError(
                f"cannot merge statistics of {len(self.total)} and {len(other.total)} channels"
            )
        return SiteStatistics(
            count=self.count + other.count,
            total=self.total + other.total,
            outer=self.outer + other.outer,
            minimum=torch.minimum(self.minimum, other.minimum),
            maximum=torch.maximum(self.maximum, other.maximum),
            zeros=self.zeros + other.zeros,
            negative=self.negative + other.negative,
            positive=self.positive + other.positive,
        )

    def magnitude_quantile(self, share: float) -> float:
        """Smallest bin edge that at least `share` of all |x| do not exceed."""
        counts = torch.cat([torch.tensor([self.zeros]), self.negative + self.positive])
        cumulative = counts.cumsum(0)
        index = int(torch.searchsorted(cumulative, math.ceil(share * int(cumulative[-1]))))
        return 0.0 if index == 0 else 2.0 ** (MIN_EXPONENT + index / BINS_PER_OCTAVE)


def observe(x: Tensor) -> SiteStatistics:
    """Statistics of one batch.

    Args:
        x: activation, shape (n, c, ...), at least one value per channel.

    Raises:
        CalibrationError: NaN or infinite values.
    """
    columns = x.detach().transpose(0, 1).flatten(1).double()
    total = columns.sum(1)
    if not torch.isfinite(total).all():
        raise CalibrationError("NaN or infinite values")
    magnitude_bins = _log_bins(columns)
    minimum, maximum = columns.aminmax(dim=1)
    return SiteStatistics(
        count=columns.shape[1],
        total=total.cpu(),
        outer=(columns @ columns.T).cpu(),
        minimum=minimum.cpu(),
        maximum=maximum.cpu(),
        zeros=int((columns == 0).sum()),
        negative=_bin_counts(magnitude_bins, columns < 0),
        positive=_bin_counts(magnitude_bins, columns > 0),
    )


def merge_all(parts: Iterable[SiteStatistics]) -> SiteStatistics:
    """Merge any number of statistics, at least one."""
    return reduce(SiteStatistics.merge, parts)


def _log_bins(x: Tensor) -> Tensor:
    exponent = torch.log2(x.float().abs().clamp(min=2.0**MIN_EXPONENT))
    return ((exponent - MIN_EXPONENT) * BINS_PER_OCTAVE).clamp(0, BINS - 1).int()


def _bin_counts(bins: Tensor, mask: Tensor) -> Tensor:
    return torch.bincount(bins[mask], minlength=BINS).cpu()
