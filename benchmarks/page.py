"""What the pages of results share."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.store import Row

TITLES = {"resnet18": "ResNet18", "vgg16_bn": "VGG16-BN", "mobilenet_v2": "MobileNetV2"}


TARGETS = "## Targets\n\n| what | target | measured | met |\n|---|---|---|---|"
"""Heading of a table of `target_line`s."""


Target = dict[str, Any]
"""What was asked, what was measured, and whether that is enough; None is not judged."""


def target_of(what: str, target: str, measured: str, *, met: bool | None) -> Target:
    """As it stands in the JSON file."""
    return {"what": what, "target": target, "measured": measured, "met": met}


def write_results(
    rows: Sequence[Row],
    targets: Sequence[Target],
    path: Path,
    **more: Sequence[Row] | Sequence[str],
) -> None:
    """Rows, targets and what else was measured as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps({"rows": rows, **more, "targets": targets}, indent=1) + "\n")
    partial.replace(path)


def target_line(what: str, target: str, measured: str, *, met: bool | None) -> str:
    """A line of a table of targets; None is not judged."""
    verdict = "-" if met is None else "yes" if met else "**no**"
    return f"| {what} | {target} | {measured} | {verdict} |"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table whose first columns hold words, and the others numbers."""
    rule = "|" + "---|" * words + "--:|" * (len(columns) - words)
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def variant_of(row: Row) -> str:
    """With a mark where the plan is the greedy search's, and where training did not improve it."""
    marks = ["greedy"] if row.get("learned_widths") is False else []
    marks += ["untrained"] if row.get("untrained") else []
    return f"{row['variant']} ({', '.join(marks)})" if marks else str(row["variant"])


def commits_line(rows: Sequence[Row]) -> str:
    """Of which commits the rows are, since not all are measured anew for every change."""
    counts = Counter(row.get("commit") or row["environment"]["commit"] for row in rows)
    listed = ", ".join(f"{commit} ({count})" for commit, count in counts.items())
    return f"Rows by the commit that measured them: {listed}.\n"
