"""Several runs side by side: a metric against bits per value, every method a curve."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from actpress.budget import View
from actpress.evaluation.metrics import Metrics
from actpress.report.columns import Column, print_fitting
from actpress.report.environment import environment
from actpress.report.quality import change, clause_of, value
from actpress.report.quantities import duration, ratio
from actpress.report.wording import view_of
from actpress.tasks.metric import ACCURACY, Metric

SYMBOLS = "ox+*#@%&"
"""Of the methods in the terminal."""

COLUMNS = (
    "method",
    "budget",
    "accuracy",
    "accuracy_drop_pp",
    "bits_per_value_entropy",
    "bits_per_value_fixed",
    "traffic_ratio_vs_8bit_entropy",
    "traffic_ratio_vs_8bit_fixed",
    "net_ratio_vs_8bit_batch1_entropy",
    "net_ratio_vs_8bit_batch1_fixed",
    "search_seconds",
    "tune_seconds",
)

SAME_BITS = 0.02
"""Share by which bits may differ that were meant to be the same."""

CLOSE = 0.5
"""Points, dB or whatever the metric's unit is that a run may lose and still be close to the float
network."""

CHART_ROWS, CHART_COLUMNS = 16, 60


@dataclass(frozen=True)
class Point:
    """One run in a chart.

    Attributes:
        method: the curve it belongs to.
        bits: per value.
        value: of the metric.
    """

    method: str
    bits: float
    value: float


@dataclass(frozen=True)
class Entry:
    """One run among others.

    Attributes:
        run: its metrics.
        view: of its budget; that of the others where it has none.
        point: in the charts. Where budgets count in both views, every method is a curve in each.
        is_best: whether no other of this view beats it in bits and the metric at once.
    """

    run: Metrics
    view: View
    point: Point
    is_best: bool

    @property
    def traffic_ratio(self) -> float:
        """Against 8 bit, in the view of the budget."""
        return self.run.traffic.ratio_8bit[self.view]

    @property
    def net_ratio(self) -> float:
        """The same at batch 1 with all that is fetched besides."""
        return self.run.traffic.net_ratio_8bit[self.view]


_Column = Column[Entry]


def compare(runs: Sequence[Metrics]) -> tuple[list[Entry], str]:
    """The runs, and what their bits are, for the axis of a chart."""
    asked = {view_of(run) for run in runs if run.budget}
    usual = View.FIXED if asked == {View.FIXED} else View.ENTROPY
    views = [view_of(run) if run.budget else usual for run in runs]
    both = len(asked) > 1
    points = [
        Point(
            f"{run.method}, {view}" if both else run.method,
            run.bits_per_value[view],
            run.compared.after,
        )
        for run, view in zip(runs, views, strict=True)
    ]
    metric = runs[0].compared.metric if runs else ACCURACY
    fronts = {
        view: pareto((p for p, own in zip(points, views, strict=True) if own is view), metric)
        for view in View
    }
    entries = [
        Entry(run, view, point, point in fronts[view])
        for run, view, point in zip(runs, views, points, strict=True)
    ]
    return entries, "bits/value, each budget's view" if both else f"bits/value, {usual} view"


def methods_of(points: Iterable[Point]) -> tuple[str, ...]:
    """The methods of some points, in the order in which they appear."""
    return tuple(dict.fromkeys(point.method for point in points))


def pareto(points: Iterable[Point], metric: Metric = ACCURACY) -> tuple[Point, ...]:
    """The points that no other beats in bits and the metric at once, by rising bits.

    Bits that differ by no more than budgets are met (`SAME_BITS`) are the same.
    """
    every = sorted(set(points), key=lambda point: (point.bits, metric.lost(0.0, point.value)))

    def beats(other: Point, point: Point) -> bool:
        if metric.lost(other.value, point.value) > 0:
            return other.bits <= point.bits * (1 + SAME_BITS)
        return other.value == point.value and other.bits < point.bits

    return tuple(point for point in every if not any(beats(other, point) for other in every))


def sweep_csv(runs: Sequence[Metrics]) -> str:
    """One line per run under a header, see `COLUMNS`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_columns(runs))
    writer.writerows(_values(run) for run in runs)
    return buffer.getvalue()


def _columns(runs: Sequence[Metrics]) -> tuple[str, ...]:
    """`COLUMNS`, in the words of another metric than accuracy."""
    if not runs or runs[0].quality is None:
        return COLUMNS
    metric = runs[0].compared.metric
    name = metric.name.lower().replace(" ", "_")
    unit = "points" if metric.is_share else metric.unit
    words = {"accuracy": name, "accuracy_drop_pp": f"{name}_lost_{unit}".rstrip("_")}
    return tuple(words.get(column, column) for column in COLUMNS)


def print_sweep(runs: Sequence[Metrics], console: Console) -> None:
    """The runs as a table, those that no other beats marked, and as a chart of characters."""
    entries, title = compare(runs)
    metric = runs[0].compared.metric if runs else ACCURACY
    columns = [
        _Column("method", lambda entry: entry.run.method, text=True),
        _Column("budget", lambda entry: entry.run.budget or "-"),
        _Column("bits\nentropy", lambda entry: f"{entry.run.bits_per_value.entropy:.3f}"),
        _Column("bits\nfixed", lambda entry: f"{entry.run.bits_per_value.fixed:.3f}"),
        _Column(metric.name, lambda entry: value(metric, entry.point.value)),
        _Column("change", lambda entry: change(metric, entry.run.compared.drop_pp)),
    ]
    moved = [
        _Column("traffic", lambda entry: ratio(entry.traffic_ratio)),
        _Column("net,\nbatch 1", lambda entry: ratio(entry.net_ratio)),
    ]
    spent = _Column(
        "time", lambda entry: duration(entry.run.search_seconds + entry.run.tune_seconds)
    )
    layouts = [[*columns, *moved, spent], [*columns, *moved], columns]
    print_fitting(console, layouts, entries, is_marked=lambda entry: entry.is_best)
    console.print()
    for line in text_chart([entry.point for entry in entries], title, metric):
        console.print(Text(line), soft_wrap=True)


def text_chart(points: Sequence[Point], title: str, metric: Metric = ACCURACY) -> list[str]:
    """The metric (up) against bits per value (right), one character per point."""
    if not points:
        return []
    names = methods_of(points)
    bits, values = [p.bits for p in points], [p.value for p in points]
    grid = [[" "] * CHART_COLUMNS for _ in range(CHART_ROWS)]
    for point in points:
        column = _position(point.bits, bits, CHART_COLUMNS)
        row = CHART_ROWS - 1 - _position(point.value, values, CHART_ROWS)
        grid[row][column] = SYMBOLS[names.index(point.method) % len(SYMBOLS)]
    lines = [f"{'':>9}|{''.join(row)}" for row in grid]
    lines[0] = f"{value(metric, max(values)):>8} |{''.join(grid[0])}"
    lines[-1] = f"{value(metric, min(values)):>8} |{''.join(grid[-1])}"
    lines.append(" " * 9 + "+" + "-" * CHART_COLUMNS)
    last = f"{max(bits):.2f} {title}"
    lines.append(" " * 10 + f"{min(bits):.2f}".ljust(CHART_COLUMNS - len(last)) + last)
    keys = (f"{SYMBOLS[index % len(SYMBOLS)]} {name}" for index, name in enumerate(names))
    return [*lines, " " * 10 + "   ".join(keys)]


def render_sweep(runs: Sequence[Metrics], failed: Sequence[Mapping[str, str]] = ()) -> str:
    """The runs as one HTML file that loads nothing. Equal metrics give equal text.

    Args:
        runs: at least one, all of one network and one data set.
        failed: method, budget and reason of what could not be made.
    """
    # matplotlib takes longer to import than most commands run, and none of them draws
    from actpress.report.curves import NARROW_PX, WIDE_PX, curves_chart  # noqa: PLC0415

    template = environment().get_template("sweep.html.j2")
    entries, title = compare(runs)
    placed, first = [entry.point for entry in entries], runs[0].compared
    close = _least(entries)
    charts = [
        curves_chart(placed, first.before, title, metric=first.metric, width_px=px)
        for px in (WIDE_PX, NARROW_PX)
    ]
    return template.render(
        entries=entries,
        close=close,
        lost_words="" if close is None else clause_of(close.run.compared),
        floor=value(first.metric, first.before),
        first=runs[0],
        curves=methods_of(placed),
        charts=charts,
        title=title,
        failed=failed,
    )


def _least(entries: Sequence[Entry]) -> Entry | None:
    """Of the runs close to the float network, in the view that most are in, that of fewest bits."""
    views = [entry.view for entry in entries]
    usual = max(View, key=views.count)
    close = [e for e in entries if e.view is usual and e.run.compared.drop_pp <= CLOSE]
    return min(close, key=lambda e: (e.point.bits, e.run.compared.drop_pp), default=None)


def _values(run: Metrics) -> tuple[str | float, ...]:
    return (
        run.method,
        run.budget,
        run.compared.after,
        run.compared.drop_pp,
        run.bits_per_value.entropy,
        run.bits_per_value.fixed,
        run.traffic.ratio_8bit.entropy,
        run.traffic.ratio_8bit.fixed,
        run.traffic.net_ratio_8bit.entropy,
        run.traffic.net_ratio_8bit.fixed,
        run.search_seconds,
        run.tune_seconds,
    )


def _position(value: float, values: Sequence[float], cells: int) -> int:
    low, high = min(values), max(values)
    share = (value - low) / (high - low) if high > low else 0.5
    return round(share * (cells - 1))
