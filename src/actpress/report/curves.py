"""The chart of a sweep, as SVG text: accuracy against bits per value, every method a curve."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from actpress.report.charts import NARROW_PX, WIDE_PX
from actpress.report.svg import CURVES, QUIET, place, render
from actpress.report.sweep import Point, methods_of
from actpress.report.ticks import even_ticks, percent_ticks

MARKERS = "osD^vPX*"
"""Of the methods in the page."""

__all__ = ["NARROW_PX", "WIDE_PX", "curves_chart"]


def curves_chart(
    points: Sequence[Point],
    float_accuracy: float,
    title: str,
    *,
    metric: str = "accuracy",
    width_px: int = WIDE_PX,
    legend: bool = False,
) -> str:
    """Accuracy against bits per value, every method a curve; a dashed line marks the float network.

    Args:
        points: at least one.
        float_accuracy: in [0, 1].
        title: of the axis of bits.
        metric: what stands for accuracy.
        width_px: natural width.
        legend: name the methods in the chart itself, where nothing around it does.
    """
    names = methods_of(points)

    def draw(axes: Axes) -> None:
        place(axes, left=66, right=14, top=14, bottom=48)
        axes.axhline(float_accuracy, color=QUIET, linewidth=1, linestyle=(0, (4, 4)))
        for index, name in enumerate(names):
            own = sorted((p for p in points if p.method == name), key=lambda point: point.bits)
            axes.plot(
                [point.bits for point in own],
                [point.accuracy for point in own],
                color=CURVES[index % len(CURVES)],
                marker=MARKERS[index % len(MARKERS)],
                linewidth=2,
                markersize=7,
                label=name,
            )
        if legend:
            axes.legend(loc="lower right")
        axes.set_xlabel(title)
        percent_ticks(axes.yaxis, 6)
        even_ticks(axes.xaxis, 8)
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    label = (
        f"{metric.capitalize()} against bits per value of {len(points)} runs: {', '.join(names)}."
    )
    return render(draw, width_px=width_px, height_px=430, label=label, salt=f"curves {width_px}")
