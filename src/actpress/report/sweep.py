"""Several runs side by side: accuracy against bits per value, every method a curve."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.console import Console
from rich.text import Text

from actpress.budget import View
from actpress.evaluate.metrics import Metrics
from actpress.report.charts import NARROW_PX, WIDE_PX
from actpress.report.columns import Column, print_fitting
from actpress.report.environment import environment
from actpress.report.quantities import duration, percent, points, ratio
from actpress.report.svg import CURVES, QUIET, place, render

MARKERS = "osD^vPX*"
SYMBOLS = "ox+*#@%&"
"""Of the methods, in the page and in the terminal."""

COLUMNS = (
    "method",
    "budget",
    "accuracy",
    "accuracy_drop_pp",
    "bits_per_value_entropy",
    "bits_per_value_fixed",
    "traffic_ratio_vs_8bit",
    "net_ratio_vs_8bit_batch1",
    "search_seconds",
    "tune_seconds",
)

CHART_ROWS, CHART_COLUMNS = 16, 60
_Column = Column[Metrics]


@dataclass(frozen=True)
class Point:
    """One run in a chart.

    Attributes:
        method: the curve it belongs to.
        bits: per value.
        accuracy: in [0, 1].
    """

    method: str
    bits: float
    accuracy: float

    @classmethod
    def of(cls, run: Metrics, view: View) -> "Point":
        """A run under one view of its bits."""
        return cls(run.method, getattr(run.bits_per_value, view.value), run.accuracy)


def view_of(runs: Iterable[Metrics]) -> View:
    """The view in which runs are compared: fixed where all their budgets count fixed bits."""
    asked = {run.budget for run in runs if run.budget}
    fixed = asked and all(budget.endswith(f"({View.FIXED})") for budget in asked)
    return View.FIXED if fixed else View.ENTROPY


def methods_of(points: Iterable[Point]) -> tuple[str, ...]:
    """The methods of some points, in the order in which they appear."""
    return tuple(dict.fromkeys(point.method for point in points))


def pareto(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats in bits and accuracy at once, by rising bits."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.bits, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return tuple(best)


def sweep_csv(runs: Sequence[Metrics]) -> str:
    """One line per run under a header, see `COLUMNS`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_values(run) for run in runs)
    return buffer.getvalue()


def print_sweep(runs: Sequence[Metrics], console: Console) -> None:
    """The runs as a table, those that no other beats marked, and as a chart of characters."""
    view = view_of(runs)
    placed = {id(run): Point.of(run, view) for run in runs}
    front = pareto(placed.values())
    columns = [
        _Column("method", lambda run: run.method, text=True),
        _Column("budget", lambda run: run.budget or "-"),
        _Column("bits\nentropy", lambda run: f"{run.bits_per_value.entropy:.3f}"),
        _Column("bits\nfixed", lambda run: f"{run.bits_per_value.fixed:.3f}"),
        _Column("accuracy", lambda run: percent(run.accuracy)),
        _Column("change", lambda run: points(run.accuracy_drop_pp)),
    ]
    moved = [
        _Column("traffic", lambda run: ratio(getattr(run.traffic.ratio_8bit, view.value))),
        _Column(
            "net,\nbatch 1", lambda run: ratio(getattr(run.traffic.net_ratio_8bit, view.value))
        ),
    ]
    spent = _Column("time", lambda run: duration(run.search_seconds + run.tune_seconds))
    layouts = [[*columns, *moved, spent], [*columns, *moved], columns]
    print_fitting(console, layouts, list(runs), is_marked=lambda run: placed[id(run)] in front)
    console.print()
    for line in text_chart(list(placed.values()), view):
        console.print(Text(line), soft_wrap=True)


def text_chart(points: Sequence[Point], view: View) -> list[str]:
    """Accuracy (up) against bits per value (right), one character per point."""
    if not points:
        return []
    names = methods_of(points)
    bits, accuracies = [p.bits for p in points], [p.accuracy for p in points]
    grid = [[" "] * CHART_COLUMNS for _ in range(CHART_ROWS)]
    for point in points:
        column = _position(point.bits, bits, CHART_COLUMNS)
        row = CHART_ROWS - 1 - _position(point.accuracy, accuracies, CHART_ROWS)
        grid[row][column] = SYMBOLS[names.index(point.method) % len(SYMBOLS)]
    lines = [f"{'':>9}|{''.join(row)}" for row in grid]
    lines[0] = f"{percent(max(accuracies)):>8} |{''.join(grid[0])}"
    lines[-1] = f"{percent(min(accuracies)):>8} |{''.join(grid[-1])}"
    lines.append(" " * 9 + "+" + "-" * CHART_COLUMNS)
    last = f"{max(bits):.2f} bits/value, {view}"
    lines.append(" " * 10 + f"{min(bits):.2f}".ljust(CHART_COLUMNS - len(last)) + last)
    keys = (f"{SYMBOLS[index % len(SYMBOLS)]} {name}" for index, name in enumerate(names))
    return [*lines, " " * 10 + "   ".join(keys)]


def render_sweep(runs: Sequence[Metrics], failed: Sequence[Mapping[str, str]] = ()) -> str:
    """The runs as one HTML file that loads nothing. Equal metrics give equal text.

    Args:
        runs: at least one, all of one network and one data set.
        failed: method, budget and reason of what could not be made.
    """
    template = environment().get_template("sweep.html.j2")
    view = view_of(runs)
    points = [Point.of(run, view) for run in runs]
    front = pareto(points)
    floor = runs[0].float_accuracy
    charts = [curves_chart(points, floor, view, width_px=px) for px in (WIDE_PX, NARROW_PX)]
    return template.render(
        runs=runs,
        first=runs[0],
        best={index for index, point in enumerate(points) if point in front},
        methods=methods_of(points),
        charts=charts,
        view=view,
        failed=failed,
    )


def curves_chart(
    points: Sequence[Point],
    float_accuracy: float,
    view: View,
    *,
    width_px: int = WIDE_PX,
    legend: bool = False,
) -> str:
    """Accuracy against bits per value, every method a curve; a dashed line marks the float network.

    Args:
        points: at least one.
        float_accuracy: in [0, 1].
        view: of the bits, for the label of the axis.
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
        axes.set_xlabel(f"bits/value, {view} view")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _position: percent(share, 1)))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    label = f"Accuracy against bits per value of {len(points)} runs: {', '.join(names)}."
    return render(draw, width_px=width_px, height_px=430, label=label, salt=f"curves {width_px}")


def _values(run: Metrics) -> tuple[str | float, ...]:
    return (
        run.method,
        run.budget,
        run.accuracy,
        run.accuracy_drop_pp,
        run.bits_per_value.entropy,
        run.bits_per_value.fixed,
        run.traffic.ratio_8bit.entropy,
        run.traffic.net_ratio_8bit.entropy,
        run.search_seconds,
        run.tune_seconds,
    )


def _position(value: float, values: Sequence[float], cells: int) -> int:
    low, high = min(values), max(values)
    share = (value - low) / (high - low) if high > low else 0.5
    return round(share * (cells - 1))
