"""What every site could be, as far as searches tell it apart."""

from itertools import combinations

import pytest
import torch

from actpress.allocate import offers
from actpress.allocate.exploration import explore
from actpress.budget import Budget, View
from actpress.codec import FAMILIES
from actpress.codec.transform.basis import Moments
from actpress.data import Dataset
from actpress.errors import PlanError
from actpress.graph import Graph
from actpress.methods import Job, Settings
from actpress.plan import Transform


@pytest.mark.parametrize("view", View)
def test_kinds_that_come_to_the_same_are_explored_once(
    graph: Graph, dataset: Dataset, view: View
) -> None:
    settings = Settings(calibration_images=64, search_images=32)
    job = Job(graph, dataset, Budget.parse("4x", view=view), settings)
    kinds = offers(job.sites, ("scaled_pca", "pca", "identity"), block=None)
    parts = job.observe(kinds)
    sites = explore(graph, parts, kinds, [job.search_images()], job.objective, seed=0)

    for site in sites:
        of_kind = {state.offer: [] for state in site.states}
        for state in site.states:
            of_kind[state.offer].append((state.loss, state.distortion, state.plan.step))
        for (one, own), (other, others) in combinations(of_kind.items(), 2):
            if one.placement == other.placement:
                assert own != others, f"{site.site}: {one} and {other}"
        assert any(offer.transform == Transform.PCA for offer in of_kind)
        shaped = [offer for offer in of_kind if offer.shaped]
        assert view is View.ENTROPY or not shaped  # widths are chosen for each channel anyway


def test_a_transform_that_there_is_not_is_no_offer(graph: Graph) -> None:
    with pytest.raises(PlanError, match="there is no transform 'pcaa'"):
        offers(graph.sites, ("pca", "pcaa"), block=None)


def test_scaled_pca_of_channels_that_matter_alike_is_pca() -> None:
    x = torch.randn(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covariance = x.T @ x / len(x)
    alike = Moments(covariance, 3.0 * torch.eye(6, dtype=torch.float64), channels=6)
    scaled, plain = (FAMILIES[name].fit(alike) for name in ("scaled_pca", "pca"))
    assert torch.equal(scaled.vectors, plain.vectors)
    assert torch.equal(scaled.inverse, plain.inverse)
    assert torch.equal(scaled.variances, plain.variances)
