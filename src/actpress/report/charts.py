"""The wide charts of the report, as SVG text: traffic per site, and the path of the search."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from actpress.budget import View
from actpress.evaluation.metrics import Metrics, PathPoint, SiteMetrics
from actpress.report.quantities import KIB_BITS, kib, ratio
from actpress.report.svg import AFTER, BEFORE, INK, QUIET, place, render
from actpress.report.ticks import decade_ticks, even_ticks
from actpress.report.wording import view_of

WIDE_PX = 880
NARROW_PX = 340
_BESIDE_FROM_PX = 500
_NAME_LENGTH = 34
_MARGIN_PX = {"right": 56.0, "top": 6.0, "bottom": 44.0}


def traffic_chart(metrics: Metrics, *, width_px: int = WIDE_PX) -> str:
    """Bars of each site's traffic at 8 bit and after, in the view of the budget.

    A tick marks the other view.
    In a narrow chart the names stand above their bars instead of beside them. Empty without sites.
    """
    sites, traffic, view = metrics.sites, metrics.traffic, view_of(metrics)
    if not sites:
        return ""
    beside = width_px >= _BESIDE_FROM_PX

    def draw(axes: Axes) -> None:
        longest = max(len(_short(site.name)) for site in sites)
        place(axes, left=14 + 7.2 * longest if beside else 2, **_MARGIN_PX)
        _draw_bars(axes, sites, view, thickness=0.3 if beside else 0.22)
        _name_bars(axes, sites, beside=beside)

    label = (
        f"Bars of the traffic of {len(sites)} sites: in all {kib(traffic.bits_8bit)} KiB at 8 bit "
        f"and {kib(traffic.bits[view])} KiB after compression."
    )
    return render(
        draw,
        width_px=width_px,
        height_px=50 + (28 if beside else 46) * len(sites),
        label=label,
        salt=f"traffic {width_px}",
    )


def path_chart(metrics: Metrics, *, width_px: int = WIDE_PX) -> str:
    """Estimated loss against bits per value, move by move; empty without moves."""
    path = metrics.search
    if not path:
        return ""
    end = path[-1]

    def draw(axes: Axes) -> None:
        place(axes, left=62, right=14, top=28, bottom=50)
        losses = [max(point.loss, 1e-6) for point in path]
        _draw_path(axes, path, losses, "estimated loss, nats per image")
        axes.set_yscale("log")
        decade_ticks(axes.yaxis)
        even_ticks(axes.xaxis, 8)
        axes.set_xlabel("bits/value")

    label = (
        f"Path of the search in {len(path)} moves from {path[0].bits_per_value:.2f} to "
        f"{end.bits_per_value:.2f} bits per value, where the loss is estimated at "
        f"{end.loss:.4f} nats."
    )
    return render(draw, width_px=width_px, height_px=260, label=label, salt=f"path {width_px}")


def _draw_bars(axes: Axes, sites: Sequence[SiteMetrics], view: View, *, thickness: float) -> None:
    offset = thickness / 2 + 0.02
    for row, site in enumerate(sites):
        before = site.traffic_bits_8bit / KIB_BITS
        after, tick = (site.traffic_bits[each] / KIB_BITS for each in (view, view.other))
        axes.barh(row - offset, before, height=thickness, color=BEFORE)
        axes.barh(row + offset, after, height=thickness, color=AFTER)
        axes.plot([tick, tick], [row + 0.02, row + 2 * offset], color=INK, linewidth=2)
        note = ratio(before / after) if after > 0 else ""
        _note_factor(axes, row, max(before, after, tick), note)
    axes.set_xlim(left=0)
    axes.set_xlabel("KiB per inference")
    even_ticks(axes.xaxis, 6)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.spines[["left", "bottom"]].set_visible(False)


def _note_factor(axes: Axes, row: int, end: float, note: str) -> None:
    axes.annotate(
        note, (end, row), (8, 0), textcoords="offset pixels", va="center", color=QUIET, fontsize=12
    )


def _name_bars(axes: Axes, sites: Sequence[SiteMetrics], *, beside: bool) -> None:
    names = [_short(site.name) for site in sites]
    axes.tick_params(length=0)
    if beside:
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", labelcolor=INK, labelsize=12.5)
    else:
        axes.set_yticks([])
        for row, name in enumerate(names):
            axes.text(0, row - 0.27, name, va="bottom", fontsize=12.5)
    axes.set_ylim(len(names) - 0.5, -0.5 if beside else -0.75)


def _draw_path(axes: Axes, path: Sequence[PathPoint], heights: Sequence[float], name: str) -> None:
    bits = [point.bits_per_value for point in path]
    axes.plot(bits, heights, color=AFTER, linewidth=2)
    axes.plot(bits[-1:], heights[-1:], color=INK, marker="o", markersize=7)
    axes.set_title(name, loc="left", fontsize=12, color=QUIET, pad=8)
    axes.grid(visible=True, axis="y")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _short(name: str) -> str:
    """At most 34 characters, cut in the middle: both ends of a module path tell something."""
    if len(name) <= _NAME_LENGTH:
        return name
    half = _NAME_LENGTH // 2
    return f"{name[: half - 1]}...{name[-half + 2 :]}"
