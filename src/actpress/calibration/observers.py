"""What calibration keeps of a site: sums that merge, never samples."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from actpress.codec import all_finite
from actpress.errors import CalibrationError
from actpress.kernels import bin_edges, float_histogram

ROUNDING = 1e-12
"""A variance below this share of the second moment is rounding noise of float64 sums."""

COLUMNS = 4096
"""About so many columns are multiplied at once, in float32; products are added up in float64."""

MOST_OCTAVES = 120
"""By which columns are scaled before that, at most; float32 has 126."""


@dataclass(frozen=True)
class SiteStatistics:
    """Sums over m = n*h*w columns of a site with c channels; memory is c*c, whatever n.

    Where blocks of pixels are observed, a column is a block and c the number of its values.

    Attributes:
        count: m.
        total: sum of x, shape (c,), float64.
        outer: sum of x x^T, shape (c, c), float64.
        minimum, maximum: per channel, shape (c,), float64.
        zeros: values that are exactly zero.
        histogram: values per bin of `float_histogram`, shape (BINS,), int64.
    """

    count: int
    total: Tensor
    outer: Tensor
    minimum: Tensor
    maximum: Tensor
    zeros: int
    histogram: Tensor

    @property
    def mean(self) -> Tensor:
        """Channel means, shape (c,), float64."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Channel covariance, shape (c, c), float64, symmetric.

        Exactly zero for a constant channel, where the difference of the sums is rounding noise.
        """
        moment = self.outer / self.count
        covariance = moment - torch.outer(self.mean, self.mean)
        varies = covariance.diagonal() > ROUNDING * moment.diagonal()
        covariance = torch.where(varies[:, None] & varies, covariance, 0.0)
        return (covariance + covariance.T) / 2

    def values_and_counts(self) -> tuple[Tensor, Tensor]:
        """The middle of every histogram bin that holds values, and how many; each shape (b,)."""
        edges = bin_edges()
        middles = edges + torch.diff(edges, append=edges[-1:]) / 2
        middles[0] = 0.0  # zero, and what is as small as denormal numbers
        values = torch.cat([middles, -middles])
        held = (self.histogram > 0) & values.isfinite()
        return values[held], self.histogram[held].double()

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
            histogram=self.histogram + other.histogram,
        )

    def magnitude_quantile(self, share: float) -> float:
        """Lower edge of the histogram bin that holds this quantile of |x|; share in (0, 1]."""
        positive, negative = self.histogram.chunk(2)
        cumulative = (positive + negative).cumsum(0)
        rank = max(math.ceil(share * int(cumulative[-1])), 1)
        return float(bin_edges()[int(torch.searchsorted(cumulative, rank))])


def observe(x: Tensor) -> SiteStatistics:
    """Statistics of one batch.

    Args:
        x: activation, shape (n, c, ...), at least one value per channel.

    Raises:
        CalibrationError: NaN or infinite values.
    """
    x = x.detach().float()
    if not all_finite(x):
        raise CalibrationError("NaN or infinite values")
    total, outer = moments(x)
    blocks = [
        (columns.amin(1), columns.amax(1), (columns == 0).sum()) for columns in _column_blocks(x)
    ]
    minima, maxima, zeros = (torch.stack(part) for part in zip(*blocks, strict=True))
    return SiteStatistics(
        count=x.numel() // x.shape[1],
        total=total.cpu(),
        outer=outer.cpu(),
        minimum=minima.amin(0).double().cpu(),
        maximum=maxima.amax(0).double().cpu(),
        zeros=int(zeros.sum()),
        histogram=float_histogram(x).cpu(),
    )


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the columns of a batch, and of their outer products.

    Columns are multiplied in float32 without their mean and in units of a power of two, so that
    neither a mean far from zero nor large or tiny values cost digits.

    Args:
        x: shape (n, c, ...), float32.

    Returns:
        Shapes (c,) and (c, c), float64, on the device of x.
    """
    channels = x.shape[1]
    total = torch.zeros(channels, dtype=torch.float64, device=x.device)
    outer = torch.zeros(channels, channels, dtype=torch.float64, device=x.device)
    for columns in _column_blocks(x):
        mean = columns.mean(1, keepdim=True)
        centred = columns - mean
        reach = torch.maximum(centred.amax(1), -centred.amin(1))
        octaves = torch.frexp(reach).exponent.clamp(-MOST_OCTAVES, MOST_OCTAVES)
        centred *= torch.ldexp(torch.ones_like(reach), -octaves)[:, None]
        unit = torch.ldexp(torch.ones_like(total), octaves)
        rest = centred.sum(1, dtype=torch.float64) * unit
        centre = mean[:, 0].double()
        own = rest + columns.shape[1] * centre
        total += own
        outer += (centred @ centred.T) * torch.outer(unit, unit)
        outer += torch.outer(rest, centre) + torch.outer(centre, own)
    return total, (outer + outer.T) / 2  # products in float32 need not be symmetric


def _column_blocks(x: Tensor) -> Iterator[Tensor]:
    """The columns of x (n, c, ...), some images at a time, shape (c, m)."""
    planes = x.reshape(*x.shape[:2], -1)
    for part in planes.split(max(COLUMNS // max(planes.shape[2], 1), 1)):
        yield part.transpose(0, 1).flatten(1)


def merge_all(parts: Iterable[SiteStatistics]) -> SiteStatistics:
    """Merge any number of statistics, at least one."""
    return reduce(SiteStatistics.merge, parts)
