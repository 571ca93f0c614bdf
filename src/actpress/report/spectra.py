"""Small multiples of the eigenvalue spectra, one chart per site, with the chosen ranks."""

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from actpress.evaluation.metrics import Metrics, SiteMetrics
from actpress.report.quantities import percent
from actpress.report.svg import AFTER, BEFORE, INK, place, render
from actpress.report.ticks import one_digit

_WIDTH_PX = 168
_HEIGHT_PX = 104
_FLOOR = 1e-6


@dataclass(frozen=True)
class Spectrum:
    """The chart of one site's eigenvalues, and the share of variance that its rank keeps."""

    site: SiteMetrics
    kept_share: float
    svg: str


def spectra(metrics: Metrics) -> tuple[Spectrum, ...]:
    """One chart for every site that has a spectrum, all with the same vertical scale.

    Shares below one millionth are drawn at one millionth.
    """
    pairs = [(site, variance_shares(site)) for site in metrics.sites]
    present = [(site, shares) for site, shares in pairs if shares]
    lowest = min((max(shares[-1], _FLOOR) for _, shares in present), default=1.0)
    decades = max(math.ceil(-math.log10(lowest)), 2)
    return tuple(
        Spectrum(site, math.fsum(shares[: site.rank]), _chart(site, shares, decades))
        for site, shares in present
    )


def variance_shares(site: SiteMetrics) -> tuple[float, ...]:
    """Each component's share of the variance; empty when there is no variance to share."""
    variances = [max(value, 0.0) for value in site.eigenvalues if math.isfinite(value)]
    total = math.fsum(variances)
    return tuple(value / total for value in variances) if total > 0 else ()


def _chart(site: SiteMetrics, shares: tuple[float, ...], decades: int) -> str:
    def draw(axes: Axes) -> None:
        place(axes, left=36, right=12, top=8, bottom=22)
        _draw_curve(axes, [max(share, 10.0**-decades) for share in shares], site.rank)
        _scale(axes, len(shares), decades)

    kept = percent(math.fsum(shares[: site.rank]), 1)
    label = f"Eigenvalues of {site.name}: rank {site.rank} of {site.components} keeps {kept}."
    return render(
        draw, width_px=_WIDTH_PX, height_px=_HEIGHT_PX, label=label, salt=f"spectrum {site.name}"
    )


def _draw_curve(axes: Axes, shares: list[float], rank: int) -> None:
    components = range(1, len(shares) + 1)
    marker = "o" if len(shares) == 1 else ""
    axes.plot(components, shares, color=BEFORE, linewidth=2)
    axes.plot(components[:rank], shares[:rank], color=AFTER, linewidth=2.5, marker=marker)
    axes.axvline(rank, color=INK, linewidth=1, dashes=(3, 2))


def _scale(axes: Axes, components: int, decades: int) -> None:
    axes.set_yscale("log")
    axes.set_ylim(0.7 * 10.0**-decades, 1.5)
    axes.yaxis.set_major_locator(FixedLocator([10.0**-decades, 10.0 ** -(decades // 2), 1.0]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _position: one_digit(share)))
    margin = max(0.03 * components, 0.5)
    axes.set_xlim(1 - margin, components + margin)
    axes.xaxis.set_major_locator(FixedLocator(sorted({1, components})))
    axes.tick_params(length=0, labelsize=11)
