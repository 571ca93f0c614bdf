"""Statistics at their edges (merging is a law: tests/laws/test_statistics.py)."""

import pytest
import torch
from torch import Tensor

from actpress.calibration import SiteStatistics, Statistics, calibrate, observe
from actpress.errors import CalibrationError
from actpress.graph import Graph
from actpress.plan import Placement


def same_covariance(seen: SiteStatistics, other: SiteStatistics) -> None:
    """Products of columns are summed in float32, in blocks that batches and processors decide."""
    deviation = other.covariance.diagonal().sqrt()
    most = 4e-6 * torch.outer(deviation, deviation)
    assert ((seen.covariance - other.covariance).abs() <= most).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_name_their_site(
    graph: Graph, images: Tensor, bad: float
) -> None:
    broken = images[:4].clone()
    broken[2, 0, 3, 3] = bad
    places = {site.name: Placement.PRE_ACT for site in graph.sites}
    with pytest.raises(
        CalibrationError, match="site relu: NaN or infinite values; check the images"
    ):
        calibrate(graph, [images[:4], broken], places)


def test_calibration_needs_images(graph: Graph) -> None:
    with pytest.raises(CalibrationError, match="no images; pass at least one batch"):
        calibrate(graph, [], {"relu": Placement.PRE_ACT})


def test_batches_do_not_matter(graph: Graph, images: Tensor, statistics: Statistics) -> None:
    parts = calibrate(graph, images.split(50), statistics.placements)
    for name, whole in statistics.sites.items():
        assert parts.sites[name].count == whole.count
        same_covariance(parts.sites[name], whole)


def test_two_passes_merge(graph: Graph, images: Tensor, statistics: Statistics) -> None:
    halves = [calibrate(graph, [half], statistics.placements) for half in images.split(128)]
    merged = halves[0].merge(halves[1])
    for name, whole in statistics.sites.items():
        same_covariance(merged.sites[name], whole)


def test_different_passes_do_not_merge(statistics: Statistics, post_statistics: Statistics) -> None:
    with pytest.raises(CalibrationError, match="other networks, placements or blocks"):
        statistics.merge(post_statistics)
    foreign = Statistics("other", statistics.placements, statistics.sites)
    with pytest.raises(CalibrationError, match="other networks, placements or blocks"):
        statistics.merge(foreign)
    with pytest.raises(CalibrationError, match="statistics of 3 and 4 channels"):
        observe(torch.ones(2, 3)).merge(observe(torch.ones(2, 4)))


def test_placements_observe_different_values(
    statistics: Statistics, post_statistics: Statistics
) -> None:
    assert (statistics.sites["relu"].minimum < 0).all()
    assert (post_statistics.sites["relu"].minimum == 0).all()
    assert post_statistics.sites["relu"].zero_share > 0.1
    assert statistics.sites["relu"].maximum.equal(post_statistics.sites["relu"].maximum)


def test_quantiles_of_the_magnitude() -> None:
    seen = observe(torch.tensor([[-8.0, 1.0, 2.0, 4.0]]).T)
    quantiles = [seen.magnitude_quantile(share) for share in (0.25, 0.5, 0.75, 1.0)]
    assert quantiles == [1.0, 2.0, 4.0, 8.0]


def test_a_constant_channel_does_not_hide_how_the_others_vary() -> None:
    values = torch.randn(1000, 3)
    alone = observe(values[:, 1:]).covariance
    values[:, 0] = -1e9
    covariance = observe(values).covariance
    assert covariance[1:, 1:].equal(alone)
    assert covariance[0].equal(torch.zeros(3).double())
