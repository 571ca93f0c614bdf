"""What was achieved, in words: the headline and the caveats that belong next to it."""

from actpress.budget import Budget, BudgetKind
from actpress.errors import BudgetError
from actpress.evaluate.metrics import Metrics, SiteMetrics
from actpress.report.quantities import percent, points, ratio

_EVEN = 0.005
_LARGE_DROP_PP = 1.0
_LARGE_EXCESS = 0.02


def headline(metrics: Metrics) -> str:
    """One plain sentence: traffic against 8 bit under both views, and accuracy.

    The fixed view comes first, since entropy is a bound until real streams are measured. Growth,
    no gain and lost accuracy are called what they are.
    """
    subject = f"{metrics.model} on {metrics.data}"
    if not metrics.sites:
        return f"No activation of {subject} was compressed, {_accuracy(metrics)}."
    return f"{subject} now moves {_traffic(metrics)}, {_accuracy(metrics)}."


def caveats(metrics: Metrics) -> tuple[str, ...]:
    """Sentences that a reader of the headline has to know; empty when there is nothing to add."""
    traffic, spent = metrics.traffic, metrics.energy
    found = []
    if traffic.net_ratio_8bit.entropy < 1 <= traffic.ratio_8bit.entropy:
        found.append(
            "At batch 1 the parameters of the codecs cost more traffic than the codecs save "
            f"(net {ratio(traffic.net_ratio_8bit.entropy)})."
        )
    if spent.after_pj.entropy > spent.before_pj and traffic.ratio_8bit.entropy > 1:
        found.append(
            "Extra multiply-accumulates and codec parameters cost more energy than the smaller "
            "traffic saves."
        )
    excess = _excess(metrics)
    if excess > _LARGE_EXCESS:
        found.append(
            f"The bits exceed the budget {metrics.budget} by {percent(excess, 1)} on these images; "
            f"more calibration images bring them closer."
        )
    return tuple(found)


def rank(site: SiteMetrics) -> str:
    """Components kept of those that there are, and the blocks that they are of."""
    block = f" of {site.block}x{site.block}" if site.block > 1 else ""
    return f"{site.rank}/{site.components}{block}"


def _excess(metrics: Metrics) -> float:
    """By how much the bits exceed the budget, as a share; 0 without a budget of bits."""
    try:
        budget = Budget.parse(metrics.budget)
    except BudgetError:  # int8 has none
        return 0.0
    if budget.kind is BudgetKind.ACCURACY_DROP:
        return 0.0
    if budget.kind is BudgetKind.TRAFFIC_RATIO:
        reached = float(getattr(metrics.traffic.ratio_8bit, budget.view))
        return budget.amount / reached - 1 if reached > 0 else 0.0
    return float(getattr(metrics.bits_per_value, budget.view)) / budget.amount - 1


def _traffic(metrics: Metrics) -> str:
    factors = metrics.traffic.ratio_8bit
    fixed, entropy = _change(factors.fixed), _change(factors.entropy)
    comparison = "as" if fixed == "as many" else "than"
    return (
        f"{fixed} activation bits {comparison} at 8 bit when packed at fixed width "
        f"({entropy} with ideal entropy coding)"
    )


def _change(factor: float) -> str:
    if factor >= 1 + _EVEN:
        return f"{ratio(factor)} fewer"
    if factor > 1 - _EVEN:
        return "as many"
    return f"{ratio(1 / factor)} more" if factor > 0 else "more"


def _accuracy(metrics: Metrics) -> str:
    before, after = percent(metrics.float_accuracy), percent(metrics.accuracy)
    drop = metrics.accuracy_drop_pp
    if round(drop, 2) == 0:
        return f"with accuracy unchanged at {after}"
    if drop >= _LARGE_DROP_PP:
        turn = "but" if metrics.traffic.ratio_8bit.entropy >= 1 + _EVEN else "and"
        return f"{turn} loses {drop:.2f} points of accuracy: {after} instead of {before}"
    return f"at {after} accuracy instead of {before} ({points(drop)})"
