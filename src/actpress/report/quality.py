"""What a task measures, in words: accuracy, agreement, and whatever else a metric is."""

from actpress.evaluation.confidence import Comparison
from actpress.evaluation.metrics import Metrics
from actpress.report.quantities import percent, points
from actpress.tasks import Metric
from actpress.tasks.metric import ACCURACY, AGREEMENT

LARGE_DROP_PP = 1.0


def value(metric: Metric, number: float) -> str:
    """A metric with its unit: `'71.20 %'`, `'31.20 dB'`, `'0.0412'`."""
    if metric.is_share:
        return percent(number)
    return f"{number:.4g}" if not metric.unit else f"{number:.2f} {metric.unit}"


def change(metric: Metric, lost: float, error: float | None = None) -> str:
    """What was lost as a signed change of points, or in the metric's unit as `0.12 dB lost`.

    Args:
        metric: whose.
        lost: see `Metric.lost`.
        error: half of its interval.
    """
    around = "" if error is None else f" \N{PLUS-MINUS SIGN} {_amount(metric, error)}"
    if metric in KNOWN:
        return points(lost).replace(" points", f"{around} points")
    unit = " points" if metric.is_share else f" {metric.unit}".rstrip()
    amount = _amount(metric, abs(lost))
    if float(amount) == 0:
        return f"unchanged{around}{unit}" if around else "unchanged"
    return f"{amount}{around}{unit} {'lost' if lost > 0 else 'gained'}"


KNOWN = (ACCURACY, AGREEMENT)
"""Metrics of which a change is told with its sign."""


def _amount(metric: Metric, number: float) -> str:
    return f"{number:.2f}" if metric.unit else f"{number:.3g}"


def decisions_fact(metrics: Metrics) -> str:
    """The metric before and after, or, without labels, how many decisions are kept."""
    compared = metrics.compared
    after = value(compared.metric, compared.after)
    if compared.metric == AGREEMENT:
        return f"{after} with the float network ({drop(metrics)})"
    return f"{value(compared.metric, compared.before)} -> {after} ({drop(metrics)})"


def agreement(metrics: Metrics) -> str:
    """Of the images, as a clause; nothing where it stands in the place of the metric."""
    if metrics.compared.metric == AGREEMENT:
        return ""
    kept = "agreement" if metrics.compared.metric.is_share else "of the outputs' variance kept"
    return f", {percent(metrics.agreement)} {kept}"


def drop(metrics: Metrics) -> str:
    """What was lost with its interval, beside that on the images that decided."""
    text = _told(metrics.compared)
    if metrics.held_out is None:
        return text
    return f"{text}; on {metrics.held_out.images:,} held-out images {_told(metrics.held_out)}"


def _told(compared: Comparison) -> str:
    return change(compared.metric, compared.drop_pp, compared.drop_error_pp)


def clause(metrics: Metrics, *, is_gain: bool) -> str:
    """What the metric became, for the end of a sentence that says what was saved."""
    compared = metrics.compared
    lost, after = compared.drop_pp, value(compared.metric, compared.after)
    if compared.metric == AGREEMENT:
        return f"at {after} agreement with the float network (the images have no labels)"
    if compared.metric != ACCURACY:
        return f"{compared.name} {after}, {change(compared.metric, lost)}"
    before = value(compared.metric, compared.before)
    if round(lost, 2) == 0:
        return f"with accuracy unchanged at {after}"
    if lost >= LARGE_DROP_PP:
        turn = "but" if is_gain else "and"
        return f"{turn} loses {lost:.2f} points of accuracy: {after} instead of {before}"
    return f"at {after} accuracy instead of {before} ({points(lost)})"


def clause_of(compared: Comparison) -> str:
    """What was lost, for the end of a sentence about one run of many."""
    lost = change(compared.metric, compared.drop_pp)
    if compared.metric in KNOWN:
        return f"at {lost} of {compared.name}"
    return f"{compared.name} {value(compared.metric, compared.after)}, {lost}"


def upper_first(text: str) -> str:
    """The first letter as a capital, the others as they are: `'Mean IoU'`."""
    return text[:1].upper() + text[1:]
