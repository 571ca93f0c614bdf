"""Networks of many operators, pressed at every site."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.calibration import SiteStatistics, calibrate
from actpress.codec import divides
from actpress.graph import capture
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press


class Many(nn.Module):
    """Grouped, depthwise and dilated convolutions, gates, poolings, a concatenation, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding="valid", bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8)
        self.grouped = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.gate = nn.Conv2d(12, 12, 1)
        self.mix = nn.Conv2d(20, 8, 1)
        self.slope = nn.PReLU()
        self.shrink = nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(8, 6), nn.ELU(), nn.Linear(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norm(self.stem(F.pad(x, (0, 1, 0, 1)))))
        y = F.hardswish(self.depthwise(x))
        z = F.silu(self.grouped(x))
        z = z * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(z, 1)))
        x = F.leaky_relu(self.mix(torch.cat([y, z], 1)) - 0.5 * x, 0.2)
        x = self.shrink(self.slope(self.pool(x))).clamp(-1, 3)
        return self.head(x.mean((2, 3)).view(x.size(0), -1))


class Residual(nn.Module):
    """Maps of whole blocks of pixels, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 6, 3, padding=1) for i in (3, 6, 6))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = F.gelu(self.c(F.tanh(self.b(x)))) + x
        return self.head(F.adaptive_avg_pool2d(F.avg_pool2d(x, 2), (1, 1)).flatten(1))


Pressing = Callable[..., CompressedModel]


@pytest.fixture
def colours() -> Tensor:
    """Images, shape (24, 3, 16, 16)."""
    return torch.randn(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def press_all(colours: Tensor) -> Pressing:
    """Press a network at every site, with tables."""

    def make(
        model: nn.Module,
        transform: Transform = Transform.PCA,
        *,
        bit_width: int = 4,
        block: int = 1,
        placement: Placement = Placement.PRE_ACT,
        images: Tensor = colours,
    ) -> CompressedModel:
        graph = capture(model.eval(), images[:2])
        placements = {site.name: placement for site in graph.sites}
        sides = {site.name: block if divides(site.shape, block) else 1 for site in graph.sites}
        statistics = calibrate(graph, [images], placements, blocks=sides)
        sites = tuple(
            SitePlan(
                site=site.name,
                placement=placement,
                transform=transform,
                channels=site.channels,
                rank=_kept(site.channels * sides[site.name] ** 2, transform),
                block=sides[site.name],
                step=_deviation(statistics.sites[site.name]) * 2.0 ** (3 - bit_width),
                bit_width=bit_width,
            )
            for site in graph.sites
        )
        plan = Plan(method="test", fingerprint=graph.fingerprint, sites=sites)
        pressed = press(graph, plan, statistics)
        fit_tables(pressed, [images])
        return pressed

    return make


def _kept(components: int, transform: Transform) -> int:
    return components if transform is Transform.IDENTITY else max(components - 2, 1)


def _deviation(statistics: SiteStatistics) -> float:
    return max(float(statistics.covariance.diagonal().mean()) ** 0.5, 1e-3)
