"""The target table of `docs/results-codesign.md`, from the rows of the co-design bench."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.core import SEEDS
from benchmarks.page import TARGETS, TITLES, target_line
from benchmarks.store import Row

HEADLINE = {"0.8bits,entropy": ("entropy", 0.80), "1.34bits,fixed": ("fixed", 1.34)}
"""Budgets of the headline points: the view and the bits."""

LAYERWISE = ("layerwise_ilp", "layerwise_search")
MARGINS = {"resnet18": (3.54, 0.18), "mobilenet_v2": (1.27, 2.02)}
"""Points of accuracy and bits/value to be ahead of the best layer-wise baseline, both at once."""

CURVE = ("0.6bits", "0.8bits", "1bits", "1.5bits", "2bits")
"""Budgets at which methods are compared."""

AGGRESSIVE = {"resnet18": ("0.4bits",)}
"""More budgets of the co-design, below those of the layer-wise methods it is to be ahead of."""

EVERY_METHOD = (
    "codesign",
    "cap",
    "layerwise_ilp",
    "layerwise_search",
    "entropy_training",
    "lsq",
    "transform_coding",
)
FEW_METHODS = ("codesign", "cap", *LAYERWISE)
METHODS = {"resnet18": EVERY_METHOD, "vgg16_bn": FEW_METHODS, "mobilenet_v2": FEW_METHODS}
"""What is compared on each network; nothing is met before all of it was tried. Which layer-wise
baseline is the best one depends on the budget."""

CLOSE_POINTS = 0.2
"""Methods no further apart than this with one seed are compared with all: it may be chance."""

NOT_MEASURED = "not measured"


def close_calls(rows: Sequence[Row], model: str) -> list[tuple[str, str]]:
    """Method and variant of what lies close to the co-design at the same budget, with one seed."""
    leads = _leads([row for row in rows if row["model"] == model], seeds=(0,))
    return [rival for rival, lead in leads.items() if abs(lead.points) <= CLOSE_POINTS]


def target_table(rows: Sequence[Row]) -> str:
    """Every target with what was measured."""
    lines = [TARGETS]
    for model, title in TITLES.items():
        own = [row for row in rows if row["model"] == model and "accuracy" in row]
        tried = {
            (row["method"], row["variant"], row["seed"]) for row in rows if row["model"] == model
        }
        lines += [_headline(own, title, budget) for budget in HEADLINE]
        if model in MARGINS:
            lines.append(_ahead(own, model, tried))
        lines.append(_never_below(own, model, tried))
    lines += [_budget_hit(rows)]
    lines += [_step_cost(row) for row in rows if row["method"] == "width_step_cost"]
    return "\n".join(lines) + "\n"


def _headline(own: Sequence[Row], title: str, budget: str) -> str:
    view, most = HEADLINE[budget]
    what = f"{title}: co-design, drop at most 0.5 points"
    target = f"{most:g} bits/value, {view}"
    runs = _select(own, "codesign", budget)
    if not runs:
        return target_line(what, target, NOT_MEASURED, met=None)
    drop = mean(row["accuracy_drop_pp"] for row in runs)
    bits = mean(row["bits_per_value"][view] for row in runs)
    measured = f"{bits:.3f} bits/value, drop {drop:.2f} ({_seeds(len(runs))})"
    met = drop <= 0.5 and bits <= most
    return target_line(what, target, measured, met=met if len(runs) > 2 or not met else None)


def _ahead(own: Sequence[Row], model: str, tried: set[tuple[str, str, int]]) -> str:
    """The pair of points, ours and theirs, that comes closest to both margins at once."""
    points, bits = MARGINS[model]
    what = (
        f"{TITLES[model]}: co-design ahead of the best layer-wise baseline, at one pair of points"
    )
    target = f"+{points} points and {bits} bits/value less"
    best = _best_at_each_budget(_seed_0(own, LAYERWISE))
    pairs = [(ours, theirs) for ours in _seed_0(own, ("codesign",)) for theirs in best]
    if not pairs:
        return target_line(what, target, NOT_MEASURED, met=None)
    gains = [(_points(a) - _points(b), _bits(b) - _bits(a), b["variant"]) for a, b in pairs]
    gain, saved, variant = max(gains, key=lambda pair: min(pair[0] / points, pair[1] / bits))
    measured = f"{gain:+.2f} points, {saved:.2f} bits/value less"
    met = gain >= points and saved >= bits
    whole = all((rival, variant, 0) in tried for rival in LAYERWISE)
    return target_line(what, target, measured, met=met if whole or not met else None)


def _never_below(own: Sequence[Row], model: str, tried: set[tuple[str, str, int]]) -> str:
    """The smallest lead over another method at the same budget."""
    what = f"{TITLES[model]}: co-design against the other methods at equal budgets, entropy view"
    leads = _leads(own)
    if not leads:
        return target_line(what, "never below", NOT_MEASURED, met=None)
    (method, variant), least = min(leads.items(), key=lambda pair: pair[1].points)
    agreement = min(lead.agreement for lead in leads.values())
    measured = (
        f"smallest lead {least.points:+.2f} points, over {method} at {variant} "
        f"({_seeds(least.seeds)}; {len(leads)} compared); in *agree* {agreement:+.2f} at least"
    )
    every = {(method, f"{budget},entropy", 0) for method in METHODS[model] for budget in CURVE}
    for rival, at in close_calls(own, model):
        every |= {(each, at, seed) for each in ("codesign", rival) for seed in SEEDS}
    ours = {("codesign", row["variant"], row["seed"]) for row in own if row["method"] == "codesign"}
    whole = every <= tried and {key for key in every if key[0] == "codesign"} <= ours
    decided = whole or least.points < 0
    return target_line(what, "never below", measured, met=least.points >= 0 if decided else None)


@dataclass(frozen=True)
class _Lead:
    """By how much the co-design is ahead of another method, at one budget.

    Attributes:
        points: of accuracy, mean over the seeds that both have.
        agreement: with the float network, likewise, in percentage points.
        seeds: so many.
    """

    points: float
    agreement: float
    seeds: int


def _leads(own: Sequence[Row], seeds: Sequence[int] = SEEDS) -> dict[tuple[str, str], _Lead]:
    """Leads of one network by method and variant."""
    runs = {
        (row["method"], row["variant"], row["seed"]): row
        for row in own
        if "accuracy" in row and row["variant"].endswith("bits,entropy")
    }
    leads = {}
    for method, variant in dict.fromkeys((method, variant) for method, variant, _ in runs):
        pairs = [
            (runs["codesign", variant, seed], runs[method, variant, seed])
            for seed in seeds
            if ("codesign", variant, seed) in runs and (method, variant, seed) in runs
        ]
        if method != "codesign" and pairs:
            leads[method, variant] = _Lead(
                mean(_points(ours) - _points(theirs) for ours, theirs in pairs),
                mean(100 * (ours["agreement"] - theirs["agreement"]) for ours, theirs in pairs),
                len(pairs),
            )
    return leads


def _seeds(count: int) -> str:
    return f"{count} seed" + ("s" if count > 1 else "")


def _budget_hit(rows: Sequence[Row]) -> str:
    """How far the bits of the co-design are from what was asked, at most."""
    what, target = "co-design: bits against the budget, every run", "within 2 %"
    off, there = [], set()
    for row in rows:
        if row["method"] == "codesign" and "accuracy" in row:
            asked, view = row["variant"].split(",")[:2]
            amount = float(asked.removesuffix("bits"))
            off.append(100 * (row["bits_per_value"][view] / amount - 1))
            there.add((row["model"], row["variant"], row["seed"]))
    if not off:
        return target_line(what, target, NOT_MEASURED, met=None)
    measured = f"{min(off):+.1f} to {max(off):+.1f} % on test images ({len(off)} runs)"
    met = max(map(abs, off)) <= 2
    wanted = {(model, budget, seed) for model in METHODS for budget in HEADLINE for seed in SEEDS}
    wanted |= {(model, f"{budget},entropy", 0) for model in METHODS for budget in CURVE}
    return target_line(what, target, measured, met=met if wanted <= there or not met else None)


def _step_cost(row: Row) -> str:
    ratio = row["search_3_ratio"]
    measured = f"{ratio:.2f}x; with all nine candidates {row['search_9_ratio']:.2f}x"
    what = "ResNet18: a step of the search against a CAP step"
    return target_line(what, "at most 2x", measured, met=ratio <= 2)


def _select(own: Sequence[Row], method: str, variant: str) -> list[Row]:
    return [row for row in own if (row["method"], row["variant"]) == (method, variant)]


def _seed_0(own: Sequence[Row], methods: Iterable[str]) -> list[Row]:
    """Points of the curves in the entropy view."""
    return [
        row
        for row in own
        if row["method"] in methods and row["seed"] == 0 and row["variant"].endswith("bits,entropy")
    ]


def _best_at_each_budget(rows: Sequence[Row]) -> list[Row]:
    variants = dict.fromkeys(row["variant"] for row in rows)
    return [max((r for r in rows if r["variant"] == v), key=_points) for v in variants]


def _points(row: Row) -> float:
    return 100 * float(row["accuracy"])


def _bits(row: Row) -> float:
    return float(row["bits_per_value"]["entropy"])
