"""The JSON file and the page of `make bench-tasks`, with its targets judged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from actpress.tasks import Metric
from benchmarks.page import (
    TARGETS,
    TITLES,
    Target,
    commits_line,
    table,
    target_line,
    target_of,
    write_results,
)
from benchmarks.store import Row

PAGE = Path("docs/results-tasks.md")
NAMES = {"unet": "U-Net", "super_resolution": "super-resolution"} | TITLES
MOST_LOST = {"unet": 1.0, "super_resolution": 0.3}
"""Points of IoU, or dB, at a net budget of 4x."""

MOST_APART = 0.1
"""Points between calibration with labels and without."""

INTRODUCTION = (
    "What `make bench-tasks` measures. The U-Net (three levels, 32x32 images of shapes on noise, "
    "four classes) and the super-resolution network (16x16 to 32x32, drawings of waves and edges) "
    "are trained by the bench on data it makes, then compressed to 4x net at batch 1 in the "
    "entropy view. The three classifiers are the bundled ones, compressed by gdr to 6x net with "
    "the labels of the bundled Fashion-MNIST subset, and once more without them; accuracy is of "
    "the subset's test images either way. One seed. Rows are in `benchmarks/results/tasks.json`.\n"
)


def write_page(rows: Sequence[Row], results: Path, finishes: Sequence[Row] = ()) -> None:
    """Write rows and targets as JSON, and the page.

    Args:
        rows: of `make bench-tasks`.
        results: the JSON file.
        finishes: one network of every task and rank, see `benchmarks.task_kinds`.
    """
    targets = [*judged(rows), *finishing(finishes)]
    write_results(rows, targets, results, finishes=finishes)
    PAGE.write_text(page(rows, targets, finishes))


def finishing(rows: Sequence[Row]) -> Iterator[Target]:
    """Whether gdr comes to its end with every task and rank."""
    if rows:
        finished = sum(row["finished"] for row in rows)
        yield target_of(
            "gdr finishes on one network of each task and rank",
            "all",
            f"{finished} of {len(rows)}",
            met=finished == len(rows),
        )


def judged(rows: Sequence[Row]) -> Iterator[Target]:
    """The targets that rows exist for."""
    for network, most in MOST_LOST.items():
        own = [row for row in rows if row["network"] == network]
        if own:
            best = min(own, key=lambda row: float(row["lost"]))
            unit = "points of IoU" if best["unit"] == "%" else best["unit"]
            asked = "1 point of IoU" if most == 1.0 else f"{most:g} {unit}"
            yield target_of(
                f"{NAMES[network]}, net 4x ({best['metric']})",
                f"at most {asked} lost",
                f"{best['lost']:.2f} {unit} lost with {best['method']}, "
                f"net {best['net_ratio_batch1']:.2f}x",
                met=best["lost"] <= most and best["net_ratio_batch1"] >= 4 * 0.99,
            )
    for network in TITLES:
        found = {row["labels"]: row for row in rows if row["network"] == network}
        if len(found) == 2:
            apart = 100 * (found[False]["after"] - found[True]["after"])
            yield target_of(
                f"{NAMES[network]}, calibrated without labels against with labels, net 6x",
                f"within {MOST_APART:g} points",
                f"{apart:+.2f} points",
                met=abs(apart) <= MOST_APART,
            )


def page(rows: Sequence[Row], targets: Sequence[Target], finishes: Sequence[Row] = ()) -> str:
    """The whole page."""
    columns = ("network", "method", "labels", "metric", "before", "after", "lost", "net", "seconds")
    lines = [
        "# Other tasks than classification\n",
        INTRODUCTION,
        "\n".join([TARGETS, *(target_line(**target) for target in targets)]) + "\n",
        "## Rows\n",
        table(columns, map(_cells, rows), words=4),
        commits_line(rows),
        *_missing(rows),
        *_finishes(finishes),
    ]
    return "\n".join(lines)


def _finishes(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield "## Every task and rank\n"
    yield (
        "gdr at 3 bits a value on small networks with random weights (`benchmarks/task_kinds.py`): "
        "that it finishes, and what is stored, under entropy coding.\n"
    )
    yield table(
        ("input", "task", "finishes", "bits/value", "seconds"),
        [
            (
                row["rank"],
                row["task"],
                "yes" if row["finished"] else row["refused"],
                f"{row['bits_per_value']:.2f}" if row["finished"] else "",
                f"{row['seconds']:.0f}",
            )
            for row in rows
        ],
        words=3,
    )
    yield commits_line(rows)


def _missing(rows: Sequence[Row]) -> Iterator[str]:
    """What a stopped run did not reach."""
    found = {row["network"] for row in rows}
    missing = [NAMES[network] for network in (*MOST_LOST, *TITLES) if network not in found]
    if missing:
        yield (
            f"Not measured yet: {', '.join(missing)}; `make bench-tasks` goes on with them. That "
            f"searches and training read no label is tested (tests/unit/data/test_loaders.py).\n"
        )


def _cells(row: Row) -> tuple[str, ...]:
    metric = Metric(row["metric"], row["unit"])
    before, after = (
        f"{100 * row[key]:.2f} %" if metric.is_share else f"{row[key]:.2f} {row['unit']}"
        for key in ("before", "after")
    )
    unit = "points" if metric.is_share else metric.unit
    error = "" if row["lost_error"] is None else f" ± {row['lost_error']:.2f}"
    return (
        NAMES[row["network"]],
        row["method"],
        "with" if row["labels"] else "without",
        row["metric"],
        before,
        after,
        f"{row['lost']:.2f}{error} {unit}",
        f"{row['net_ratio_batch1']:.2f}x",
        f"{row['seconds']:.0f}",
    )
