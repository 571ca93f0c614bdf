"""The JSON file and the page of `make reach`, with its targets judged."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.page import (
    TARGETS,
    Target,
    commits_line,
    table,
    target_line,
    target_of,
    write_results,
)
from benchmarks.reach_networks import TIMED
from benchmarks.store import Row

PAGE = Path("docs/reach.md")
NETWORKS = 120
SHARE = 0.97
SECONDS = {"fx": 2, "export": 15}
"""Of capturing `TIMED`, by the way it goes."""

INTRODUCTION = (
    "# Reach\n\n"
    "What `make reach` measures (extra `reach`): networks of other people's libraries with "
    "random weights, each in a process of its own, at inputs as small as they allow. *Captured* "
    "says whether torch.fx or torch.export found what the network computes, *identical* whether "
    "the captured network gives the same bits in eval mode, for three images where it was "
    "captured with two, with codecs that change nothing at every site. *Compressed* says "
    "whether the greedy search (`gdr`) made a compressed network of it on random images; a dash "
    "where that was not tried, a number of seconds where it took longer. Seconds are of capture, "
    "of the processor, with one thread, peak memory is that of the process. Rows "
    "are in `benchmarks/results/reach.json`.\n"
)


def read_rows(results: Path) -> list[Row]:
    """The rows measured so far."""
    if not results.exists():
        return []
    rows: list[Row] = json.loads(results.read_text())["rows"]
    return rows


def write_page(rows: Sequence[Row], results: Path) -> None:
    """Write rows and targets as JSON, and the page."""
    rows = [{**row, "refused": _portable(row["refused"])} for row in rows]
    targets = list(judged(rows))
    write_results(rows, targets, results)
    PAGE.write_text(page(rows, targets))


def _portable(message: str | None) -> str | None:
    """Without the folder in which libraries are installed."""
    return message and re.sub(r"/\S*/site-packages/", "", message)


def judged(rows: Sequence[Row]) -> Iterator[Target]:
    """The targets that rows exist for."""
    yield target_of(
        "networks of the table", f"at least {NETWORKS}", f"{len(rows)}", met=len(rows) >= NETWORKS
    )
    equal = sum(row["identical"] is True for row in rows)
    share = equal / max(len(rows), 1)
    yield target_of(
        "captured, and equal with identity codecs",
        f"at least {SHARE:.0%}",
        f"{equal} of {len(rows)} ({share:.1%})",
        met=share >= SHARE,
    )
    for way, most in SECONDS.items():
        times = [r["seconds"] for r in rows if TIMED in r["network"] and r["captured"] == way]
        if times:
            yield target_of(
                f"capture of `{TIMED}` at 224, {way}",
                f"at most {most} s",
                f"{times[0]:.1f} s",
                met=times[0] <= most,
            )
    tried = [row for row in rows if row["compressed"] is not None or row.get("unfinished_s")]
    if tried:
        done = sum(row["compressed"] is True for row in tried)
        slow = sum(row["compressed"] is None for row in tried)
        yield target_of(
            "compressed with `gdr`, of those tried",
            "all",
            f"{done} of {len(tried)}; {slow} were not done in the time that they were given",
            met=done == len(tried),
        )


def page(rows: Sequence[Row], targets: Sequence[Target]) -> str:
    """The page in Markdown."""
    sources = dict.fromkeys(row["source"] for row in rows)
    parts = [INTRODUCTION, TARGETS, *(target_line(**target) for target in targets), ""]
    parts += [_overview(rows, list(sources)), *(_refused(rows)), commits_line(rows)]
    for source in sources:
        parts += [f"## {source}\n", _networks([row for row in rows if row["source"] == source])]
    return "\n".join(parts).rstrip() + "\n"


def _overview(rows: Sequence[Row], sources: Sequence[str]) -> str:
    def counts(source: str) -> list[str]:
        own = [row for row in rows if row["source"] == source]
        return [
            source,
            f"{len(own)}",
            *(f"{sum(row['captured'] == way for row in own)}" for way in ("fx", "export")),
            f"{sum(row['identical'] is True for row in own)}",
            f"{sum(row['compressed'] is True for row in own)}",
        ]

    columns = ["library", "networks", "through fx", "through export", "identical", "compressed"]
    return "## Libraries\n\n" + table(columns, map(counts, sources))


def _refused(rows: Sequence[Row]) -> list[str]:
    refused = [row for row in rows if row["refused"]]
    if not refused:
        return []
    lines = [f"- `{row['network']}` ({row['source']}): {row['refused']}" for row in refused]
    return ["## Refused\n", *lines, ""]


def _networks(rows: Sequence[Row]) -> str:
    columns = ["network", "input", "captured", "identical", "compressed", "sites", "s", "MiB"]
    return table(columns, map(_line, rows), words=5)


def _line(row: Row) -> list[str]:
    return [
        row["network"].partition(":")[2] if row["source"] == "timm" else row["network"],
        row["input"],
        row["captured"] or "no",
        _verdict(row["identical"]),
        _compressed(row),
        _number(row["sites"]),
        _number(row["seconds"], ".1f"),
        _number(row["peak_mib"], ".0f"),
    ]


def _compressed(row: Row) -> str:
    slow = row.get("unfinished_s")
    return (
        f"not in {slow:g} s" if slow and row["compressed"] is None else _verdict(row["compressed"])
    )


def _verdict(value: bool | None) -> str:  # noqa: FBT001 - a verdict
    return "-" if value is None else "yes" if value else "**no**"


def _number(value: float | None, form: str = "d") -> str:
    return "-" if value is None else format(value, form)
