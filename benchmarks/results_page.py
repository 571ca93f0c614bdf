"""`docs/results.md`, written from the rows of `benchmarks/results/core.json`."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from benchmarks.page import TARGETS, TITLES, commits_line, table, target_line, variant_of
from benchmarks.store import Row

PAGE = Path("docs/results.md")
HEADLINE, AGGRESSIVE = "1.34bits", "0.5bits"
CRITERIA = ("loss", "bits", "energy", "uniform")

INTRO = """# Results

Written by `make bench-core` from `benchmarks/results/core.json`; do not edit by hand. Learned
bit-widths are in [results-codesign.md](results-codesign.md), real bytes in
[results-codec.md](results-codec.md).

Full Fashion-MNIST test set (10,000 images); the bundled float checkpoints; every stored activation
of the network is a site, input and logits excluded. Statistics, ranges, code tables, searches and
training use training images only. *entropy* is the ideal code length under static tables that a
symbol's neighbours choose, *alone* the entropy of the components one by one, which tables without
contexts cannot go below, *fixed* what plain packing stores; all count dropped components in the
denominator. The drop is in percentage points of top-1. *net* is the traffic ratio with codec
parameters fetched at batch 1. CAP trains for 300 steps of 32 images in bfloat16. The most
aggressive point of the curve is 0.5 bits (0.75 before code tables had contexts).
"""
COLUMNS = (
    "network",
    "method",
    "variant",
    "seed",
    "accuracy",
    "drop",
    "entropy",
    "alone",
    "fixed",
    "vs 8 bit",
    "net, batch 1",
    "search s",
    "tune s",
)


def write_results_page(rows: Sequence[Row]) -> None:
    """Write the page anew."""
    parts = [INTRO, _targets(rows), _methods(rows), _curve(rows), _controls(rows), _ablation(rows)]
    parts.append(commits_line(rows))
    PAGE.write_text("\n".join(part for part in parts if part).rstrip() + "\n")


def _targets(rows: Sequence[Row]) -> str:
    lines = []
    for model, title in TITLES.items():
        lines += _headline_target(rows, model, title)
        lines += _recovery_target(rows, model, title)
        lines += _criterion_target(rows, model, title)
    lines += _cost_targets(rows)
    return "\n".join([TARGETS, *lines]) + "\n"


def _headline_target(rows: Sequence[Row], model: str, title: str) -> list[str]:
    runs = _select(rows, model=model, method="cap", variant=HEADLINE)
    what = f"{title}: CAP + GDR, drop at most 0.5 points (mean of 3 seeds)"
    if not runs:
        return [target_line(what, "1.34 bits/value, entropy", "not measured", met=None)]
    drop = mean(row["accuracy_drop_pp"] for row in runs)
    bits = mean(row["bits_per_value"]["entropy"] for row in runs)
    spread = f" ± {stdev(row['accuracy_drop_pp'] for row in runs):.2f}" if len(runs) > 1 else ""
    seeds = f"{len(runs)} seed" + ("s" if len(runs) > 1 else "")
    alone = mean(row["context_free_bits_per_value"] for row in runs)
    measured = (
        f"{bits:.3f} bits/value ({alone:.3f} without contexts), drop {drop:.2f}{spread} ({seeds})"
    )
    met = bits <= 1.34 and drop <= 0.5
    return [
        target_line(what, "1.34 bits/value, entropy", measured, met=met if len(runs) > 2 else None)
    ]


def _recovery_target(rows: Sequence[Row], model: str, title: str) -> list[str]:
    gdr = _select(rows, model=model, method="gdr", variant=AGGRESSIVE)
    cap = _select(rows, model=model, method="cap", variant=AGGRESSIVE)
    what = f"{title}: lost accuracy that CAP wins back at {AGGRESSIVE}"
    if not (gdr and cap):
        return [target_line(what, "at least half", "not measured", met=None)]
    before, after = gdr[0]["accuracy_drop_pp"], cap[0]["accuracy_drop_pp"]
    share = (before - after) / before
    measured = f"{100 * share:.0f} % (drop {before:.2f} to {after:.2f})"
    return [target_line(what, "at least half", measured, met=share >= 0.5)]


def _criterion_target(rows: Sequence[Row], model: str, title: str) -> list[str]:
    own = _select(rows, model=model, method="gdr", variant=HEADLINE)
    others = [
        row
        for row in _select(rows, model=model, method="gdr")
        if row["variant"].startswith(f"{HEADLINE},") and row["variant"].split(",")[1] in CRITERIA
    ]
    what = f"{title}: GDR against its controls at {HEADLINE}"
    if not (own and others):
        return [target_line(what, "not worse than any", "not measured", met=None)]
    best = min(others, key=lambda row: row["accuracy_drop_pp"])
    measured = (
        f"drop {own[0]['accuracy_drop_pp']:.2f}; best control "
        f"({best['variant'].split(',')[1]}) {best['accuracy_drop_pp']:.2f}"
    )
    met = own[0]["accuracy_drop_pp"] <= best["accuracy_drop_pp"]
    return [target_line(what, "not worse than any", measured, met=met)]


def _cost_targets(rows: Sequence[Row]) -> list[str]:
    lines = []
    for row in _select(rows, method="search_cost"):
        excess = row["search_loss"] / row["naive_loss"] - 1
        unseen = row["search_loss_on_others"] / row["naive_loss_on_others"] - 1
        measured = (
            f"{row['node_evals_ratio']:.1f}x fewer; loss {100 * excess:+.1f} % on the search "
            f"images, {100 * unseen:+.1f} % on {row['other_images']} others; "
            f"{row['sites_at_same_level']} of {row['sites']} sites at the same level"
        )
        met = row["node_evals_ratio"] >= 10 and excess <= 0.01
        what = "ResNet18: GDR search against the naive loop, node evaluations"
        lines.append(target_line(what, "10x fewer, at most 1 % worse", measured, met=met))
    for row in _select(rows, method="step_cost"):
        measured = f"{row['ratio']:.2f}x (median of {row['rounds']}, side by side)"
        what = "ResNet18: a tuning step against a float training step"
        lines.append(target_line(what, "at most 2x", measured, met=row["ratio"] <= 2))
    return lines


def _methods(rows: Sequence[Row]) -> str:
    chosen = [row for row in _evaluated(rows) if "," not in row["variant"]]
    chosen = [row for row in chosen if row["method"] != "transform_coding"]
    return _table("## Methods", chosen)


def _curve(rows: Sequence[Row]) -> str:
    text = "## Transform coding\n\nPCA, one signal to noise ratio for all sites, no training."
    return _table(text, [row for row in _evaluated(rows) if row["method"] == "transform_coding"])


def _controls(rows: Sequence[Row]) -> str:
    text = (
        "## Criteria of the greedy search\n\nThe same search at 1.34 bits/value with other scores; "
        "`rank_moves` drops components and leaves the steps alone, `plain_pca` leaves the "
        "Fisher metric out, and `two_measured` runs the two best-looking moves before it takes one."
    )
    chosen = [
        row
        for row in _evaluated(rows)
        if row["method"] == "gdr" and row["variant"].startswith(HEADLINE)
    ]
    return _table(text, chosen) if len(chosen) > len(TITLES) else ""


def _ablation(rows: Sequence[Row]) -> str:
    text = (
        f"## What CAP learns\n\nAt {AGGRESSIVE}. `600steps` trains twice as long; it was added "
        "after ResNet18 had missed its target on the test images, so no target is judged by it. "
        "`closed_form` has decoders fitted in closed form and nothing trained, `pca_decoders` "
        "trains without that start, the rest change what learns or the loss."
    )
    chosen = [
        row
        for row in _evaluated(rows)
        if row["method"] == "cap" and row["variant"].startswith(AGGRESSIVE)
    ]
    return _table(text, chosen) if any("," in row["variant"] for row in chosen) else ""


def _table(heading: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    order = list(TITLES)
    ordered = sorted(rows, key=lambda row: order.index(row["model"]))
    return f"{heading}\n\n{table(COLUMNS, map(_cells, ordered), words=3)}"


def _cells(row: Row) -> list[str]:
    bits = row["bits_per_value"]
    return [
        TITLES[row["model"]],
        row["method"],
        variant_of(row),
        str(row["seed"]),
        f"{100 * row['accuracy']:.2f}",
        f"{row['accuracy_drop_pp']:.2f}",
        f"{bits['entropy']:.3f}",
        f"{row['context_free_bits_per_value']:.3f}",
        f"{bits['fixed']:.3f}",
        f"{row['ratio_vs_8bit']:.2f}x",
        f"{row['net_ratio_vs_8bit_batch1']:.2f}x",
        f"{row['search_seconds']:.0f}",
        f"{row['tune_seconds']:.0f}",
    ]


def _evaluated(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "accuracy" in row]


def _select(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]
