"""The bundled networks, folded: the same predictions, and the same symbols at every site."""

import pytest
import torch

from actpress.calibration import Statistics, calibrate
from actpress.data import load_fashion_mnist_subset
from actpress.deploy.fold import fold
from actpress.graph import Graph, capture
from actpress.plan import GroupPlan, Placement, Plan, SitePlan, Transform
from actpress.pressing import fit_tables, press
from actpress.zoo import reference
from tests.folding import assert_folds

MOST_CHANNELS = 192
"""Of sites in blocks of 2x2: principal components of thousands of values take minutes."""


def mixed_plan(graph: Graph) -> Plan:
    """Projections before and after activations, blocks of pixels, and dropped channels in turn."""

    def plan(index: int, name: str) -> SitePlan:
        site = graph.site(name)
        channels, kind = site.channels, index % 4
        blocks = kind == 1 and channels <= MOST_CHANNELS and len(site.shape) == 3
        block = 2 if blocks and site.shape[1] % 2 == 0 else 1
        kept = tuple(range(channels))[: max(3 * channels // 4, 1)]
        groups = (
            GroupPlan(components=kept, bit_width=8, step=0.05),
            GroupPlan(components=tuple(range(len(kept), channels)), bit_width=0, step=1.0),
        )
        identity = kind == 3
        return SitePlan(
            site=name,
            placement=Placement.PRE_ACT if kind == 0 else Placement.POST_ACT,
            transform=Transform.IDENTITY if identity else Transform.PCA,
            channels=channels,
            block=block,
            rank=len(kept) if identity else max(channels * block**2 // 2, 1),
            step=0.05,
            groups=groups if identity else (),
        )

    sites = tuple(plan(index, site.name) for index, site in enumerate(graph.sites))
    return Plan(method="test", fingerprint=graph.fingerprint, sites=sites)


def observed(graph: Graph, plan: Plan, images: torch.Tensor) -> Statistics:
    places = {site.site: site.placement for site in plan}
    return calibrate(graph, [images], places, blocks={site.site: site.block for site in plan})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v2"])
def test_folded_networks_predict_what_frozen_ones_do(name: str) -> None:
    data = load_fashion_mnist_subset()
    images = next(data.train.batches(32))[0]
    graph = capture(reference.load(name), images[:2])
    plan = mixed_plan(graph)
    pressed = press(graph, plan, observed(graph, plan, images))
    fit_tables(pressed, [images])
    x = next(data.test.batches(16))[0]

    report = assert_folds(pressed, x)

    assert sum(site.is_any for site in report.sites) > len(report.sites) // 3
    assert report.weights_after < report.weights_before
    assert report.macs_after < report.macs_before
    with torch.no_grad():
        assert fold(pressed).network(x).argmax(1).equal(pressed(x).argmax(1))
