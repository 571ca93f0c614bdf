"""The chart of a sweep, as SVG text: accuracy against bits per value, every method a curve."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from actpress.report.charts import NARROW_PX, WIDE_PX
from actpress.report.quality import upper_first
from actpress.report.svg import CURVES, QUIET, place, render
from actpress.report.sweep import Point, methods_of
from actpress.report.ticks import even_ticks, percent_ticks
from actpress.tasks.metric import ACCURACY, Metric

MARKERS = "osD^vPX*"
"""Of the methods in the page."""

__all__ = ["NARROW_PX", "WIDE_PX", "curves_chart"]


def curves_chart(
    points: Sequence[Point],
    floor: float,
    title: str,
    *,
    metric: Metric = ACCURACY,
    width_px: int = WIDE_PX,
    legend: bool = False,
) -> str:
    """A metric against bits per value, every method a curve; a dashed line marks the float network.

    Args:
        points: at least one.
        floor: the metric of the float network.
        title: of the axis of bits.
        metric: of the points.
        width_px: natural width.
        legend: name the methods in the chart itself, where nothing around it does.
    """
    names = methods_of(points)

    def draw(axes: Axes) -> None:
        place(axes, left=66, right=14, top=14, bottom=48)
        axes.axhline(floor, color=QUIET, linewidth=1, linestyle=(0, (4, 4)))
        for index, name in enumerate(names):
            own = sorted((p for p in points if p.method == name), key=lambda point: point.bits)
            axes.plot(
                [point.bits for point in own],
                [point.value for point in own],
                color=CURVES[index % len(CURVES)],
                marker=MARKERS[index % len(MARKERS)],
                linewidth=2,
                markersize=7,
                label=name,
            )
        if legend:
            axes.legend(loc="lower right")
        axes.set_xlabel(title)
        (percent_ticks if metric.is_share else even_ticks)(axes.yaxis, 6)
        if metric.unit and not metric.is_share:
            axes.set_ylabel(metric.unit)
        even_ticks(axes.xaxis, 8)
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    name = upper_first(metric.name)
    label = f"{name} against bits per value of {len(points)} runs: {', '.join(names)}."
    return render(draw, width_px=width_px, height_px=430, label=label, salt=f"curves {width_px}")
