"""What was achieved, in words: the headline and the caveats that belong next to it."""

import math
from collections import Counter
from collections.abc import Iterator

from actpress.budget import REFERENCE_BITS, Budget, BudgetKind, Count, View
from actpress.errors import BudgetError
from actpress.evaluation.confidence import is_guessing
from actpress.evaluation.metrics import Metrics, SiteMetrics
from actpress.plan import Transform
from actpress.report.quality import clause
from actpress.report.quantities import percent, ratio

_HOW = {View.FIXED: "when packed at fixed width", View.ENTROPY: "with ideal entropy coding"}
_EVEN = 0.005
_LARGE_EXCESS = 0.02


def headline(metrics: Metrics) -> str:
    """One plain sentence: all that is moved against 8 bit, codecs included, and the metric.

    In the view of the budget (`view_of`). Growth, no gain and lost accuracy are called what they
    are; what is no gain names the command that would be one.
    """
    subject = f"{metrics.model} on {metrics.data}"
    if not metrics.sites:
        return f"No activation of {subject} was compressed, {_clause(metrics)}."
    return f"{subject} now moves {_net(metrics)}, {_clause(metrics)}.{_way_out(metrics)}"


def account_parts(metrics: Metrics) -> tuple[tuple[str, float], ...]:
    """What the device moves per inference in the view of the budget, in bits, part by part."""
    traffic, view = metrics.traffic, view_of(metrics)
    indices = traffic.index_bits if view is View.ENTROPY else 0.0
    tables = traffic.table_bits if view is View.ENTROPY else 0.0
    return (
        ("activations", traffic.bits[view]),
        ("codec parameters", (traffic.fetched_bits[view] - indices) / traffic.batch),
        ("indices", indices / traffic.batch),
        ("code tables", tables / traffic.batch),
    )


def left_alone(metrics: Metrics) -> str:
    """How many sites take no transform, and why; empty where every site takes one."""
    plain = sum(site.transform == Transform.IDENTITY for site in metrics.sites)
    if not plain:
        return ""
    return (
        f"{plain} of {len(metrics.sites)} sites take no transform: there the matrices of one would "
        f"cost more than they save at the same loss"
    )


def view_of(metrics: Metrics) -> View:
    """The view of the budget: figures are given in it where there is room for one.

    Without a budget it is plain packing, since entropy is a bound until real streams are measured.
    """
    try:
        return Budget.parse(metrics.budget).view
    except BudgetError:
        return View.FIXED


def caveats(metrics: Metrics) -> tuple[str, ...]:
    """Sentences that a reader of the headline has to know; empty when there is nothing to add."""
    view, traffic, spent = view_of(metrics), metrics.traffic, metrics.energy
    found = [*_doubts(metrics)]
    if traffic.net_ratio_8bit[view] < 1 <= traffic.ratio_8bit[view]:
        found.append(
            f"At batch {traffic.batch} the codecs' own parameters and tables cost more traffic "
            f"than they save, though activations alone take {ratio(traffic.ratio_8bit[view])} "
            f"fewer bits{_break_even(metrics, view)}."
        )
    if spent.after_pj[view] > spent.before_pj and traffic.ratio_8bit[view] > 1:
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


def _doubts(metrics: Metrics) -> Iterator[str]:
    """Why the accuracies may mean little."""
    guess, held_out = metrics.guessing_accuracy, metrics.held_out
    before = metrics.compared.before
    if guess is not None and is_guessing(before, guess, metrics.images):
        yield (
            f"The float network is right on {percent(before)} of the test images, "
            f"no more than by guessing ({percent(guess)}): check its weights, the order of classes "
            f"and how images are prepared."
        )
    if held_out is None:
        return
    allowed = Budget.parse(metrics.budget).amount
    error, unit = held_out.drop_error_pp, held_out.metric.unit
    unit = "points" if held_out.metric.is_share else unit
    if error is not None and error > allowed:
        yield (
            f"{held_out.images:,} held-out images are too few to tell a drop of {allowed:g} "
            f"{unit}: theirs is known to \N{PLUS-MINUS SIGN} {error:.2f} {unit}."
        )


def rank(site: SiteMetrics) -> str:
    """Components kept of those that there are, and the blocks that they are of."""
    block = f" of {site.block}x{site.block}" if site.block > 1 else ""
    return f"{site.rank}/{site.components}{block}"


def block_fact(metrics: Metrics) -> str:
    """At how many sites which blocks are projected; empty where all take single pixels."""
    sides = Counter(site.block for site in metrics.sites)
    if set(sides) <= {1}:
        return ""
    parts = (f"{side}x{side} pixels at {sides[side]}" for side in sorted(sides, reverse=True))
    return f"{', '.join(parts)} of {len(metrics.sites)} sites"


def widths(site: SiteMetrics) -> str:
    """How many components take how many bits: `'2 at 7 bits, 8 at 5; 54 not stored'`."""
    stored = [f"{count} at {bits}" for bits, count in site.widths if bits]
    if stored:
        stored[0] += " bit" if stored[0].endswith(" at 1") else " bits"
    dropped = [f"{count} not stored" for bits, count in site.widths if not bits]
    return "; ".join(filter(None, (", ".join(stored), *dropped)))


def _excess(metrics: Metrics) -> float:
    """By how much the bits exceed the budget, as a share; 0 without a budget of bits."""
    try:
        budget = Budget.parse(metrics.budget)
    except BudgetError:  # int8 has none
        return 0.0
    if budget.is_quality or budget.is_ram:
        return 0.0
    reached = reached_ratio(metrics, budget)
    return budget.ratio / reached - 1 if reached > 0 else 0.0


def reached_ratio(metrics: Metrics, budget: Budget) -> float:
    """How many times less there is of what a budget counts."""
    if budget.kind is BudgetKind.ENERGY:
        return metrics.energy.before_pj / max(metrics.energy.after_pj[budget.view], 1e-9)
    if budget.count is Count.NET:
        return metrics.traffic.net_ratio_8bit[budget.view]
    if budget.kind is BudgetKind.BITS_PER_VALUE:
        return REFERENCE_BITS / max(metrics.bits_per_value[budget.view], 1e-9)
    return metrics.traffic.ratio_8bit[budget.view]


def _break_even(metrics: Metrics, view: View) -> str:
    """From which batch size on the codecs save, and what makes their parameters fewer."""
    traffic = metrics.traffic
    saved = traffic.bits_8bit - traffic.bits[view]
    if saved <= 0:
        return ""
    fetched = traffic.fetched_bits[view] + (traffic.table_bits if view is View.ENTROPY else 0.0)
    batch = math.floor(fetched / saved) + 1
    smaller = "; smaller blocks have fewer" if any(site.block > 1 for site in metrics.sites) else ""
    return f"; fetched once per batch, they pay off from {batch:,} images on{smaller}"


def _net(metrics: Metrics) -> str:
    """`8.01x less than at 8 bit, codecs included, with ideal entropy coding (activations ...)`."""
    view, traffic = view_of(metrics), metrics.traffic
    alone = f"activations alone {_change(traffic.ratio_8bit[view], 'fewer bits')}"
    batch = f" at batch {traffic.batch}" if traffic.batch > 1 else ""
    change = _change(traffic.net_ratio_8bit[view], "less")
    comparison = "as" if change == _SAME else "than"
    return f"{change} {comparison} at 8 bit{batch}, codecs included, {_HOW[view]} ({alone})"


_SAME = "as much"


def _change(factor: float, fewer: str) -> str:
    if factor >= 1 + _EVEN:
        return f"{ratio(factor)} {fewer}"
    if factor > 1 - _EVEN:
        return _SAME
    return f"{ratio(1 / factor)} more" if factor > 0 else "more"


def _clause(metrics: Metrics) -> str:
    is_gain = metrics.traffic.net_ratio_8bit[view_of(metrics)] >= 1 + _EVEN
    return clause(metrics, is_gain=is_gain)


def _way_out(metrics: Metrics) -> str:
    """For a run that is no gain: the command that would be one."""
    if metrics.traffic.net_ratio_8bit[view_of(metrics)] >= 1 + _EVEN:
        return ""
    return (
        " That is no gain; `actpress compress --method gdr --budget 4x`, which weighs what codecs "
        "cost, would be one."
    )
