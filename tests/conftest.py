"""A tiny trained network and its data; session-wide, so tests must not change them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.calibration import Statistics, calibrate, fisher_information
from actpress.data.dataset import Dataset, Split
from actpress.graph import Graph, capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press

# One thread: tiny tensors gain nothing from more, and the trained fixture is the same everywhere.
torch.set_num_threads(1)


CLASSES = 4
SIDE = 8

MakePlan = Callable[..., Plan]


@contextmanager
def two_threads() -> Iterator[None]:
    """What runs here has two threads instead of one."""
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(1)


class Tiny(nn.Module):
    """Five sites: `a` is read twice, the sum has no single producer, the mean is 2-D."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.a = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.a(x))
        x = F.relu(x + self.c(F.relu(self.b(x))))
        return self.head(x.mean((2, 3)))


def _split(size: int, seed: int) -> Split:
    patterns = torch.randn(CLASSES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    noise = torch.randn(size, 1, SIDE, SIDE, generator=generator)
    return Split.in_memory(patterns[labels] + 0.9 * noise, labels)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return Dataset("tiny", _split(256, 1), _split(96, 2), _split(96, 3), CLASSES)


@pytest.fixture(scope="session")
def model(dataset: Dataset) -> nn.Module:
    """Trained a little: predictions that are neither random nor certain."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Tiny()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(14):
            for x, labels in dataset.train.batches(64):
                optimizer.zero_grad()
                F.cross_entropy(network(x), labels).backward()
                optimizer.step()
    return network.eval()


@pytest.fixture(scope="session")
def graph(model: nn.Module, images: Tensor) -> Graph:
    return capture(model, images[:2])


@pytest.fixture(scope="session")
def other_graph(images: Tensor) -> Graph:
    """Of a network with other layers."""
    return capture(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), images[:2])


@pytest.fixture(scope="session")
def images(dataset: Dataset) -> Tensor:
    """All training images, shape (256, 1, 8, 8)."""
    return next(dataset.train.batches(len(dataset.train)))[0]


def _observed(graph: Graph, images: Tensor, placement: Placement) -> Statistics:
    placements = {site.name: placement for site in graph.sites}
    fisher = fisher_information(graph, [images[:96]], placements)
    return replace(calibrate(graph, [images], placements), fisher=fisher)


@pytest.fixture(scope="session")
def statistics(graph: Graph, images: Tensor) -> Statistics:
    """Before the activations."""
    return _observed(graph, images, Placement.PRE_ACT)


@pytest.fixture(scope="session")
def post_statistics(graph: Graph, images: Tensor) -> Statistics:
    return _observed(graph, images, Placement.POST_ACT)


@pytest.fixture(scope="session")
def make_plan(graph: Graph, statistics: Statistics) -> MakePlan:
    """A plan for every site: `rank` components, `noise` quantization steps per deviation."""

    def make(
        transform: Transform = Transform.PCA,
        *,
        rank: int = 8,
        coarseness: float = 0.5,
        placement: Placement = Placement.PRE_ACT,
        bit_width: int = 8,
    ) -> Plan:
        sites = tuple(
            SitePlan(
                site=site.name,
                placement=placement,
                transform=transform,
                channels=site.channels,
                rank=rank,
                step=coarseness * float(statistics.sites[site.name].covariance.trace() / 8) ** 0.5,
                bit_width=bit_width,
            )
            for site in graph.sites
        )
        return Plan(method="test", fingerprint=graph.fingerprint, sites=sites)

    return make


@pytest.fixture
def make_pressed(
    graph: Graph,
    statistics: Statistics,
    post_statistics: Statistics,
    images: Tensor,
    make_plan: MakePlan,
) -> Callable[..., CompressedModel]:
    """A pressed network with tables; arguments as of `make_plan`."""

    def make(*args: Transform, **options: float) -> CompressedModel:
        after = options.get("placement") == Placement.POST_ACT
        plan = make_plan(*args, **options)
        pressed = press(graph, plan, post_statistics if after else statistics)
        fit_tables(pressed, images.split(64))
        return pressed

    return make


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
