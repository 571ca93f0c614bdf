"""`docs/results-codesign.md` and its charts, from `benchmarks/results/codesign.json`."""

from collections.abc import Sequence
from pathlib import Path

from actpress.report.curves import curves_chart
from actpress.report.sweep import Point
from benchmarks.codesign_targets import target_table
from benchmarks.page import TITLES, commits_line, table, variant_of
from benchmarks.store import Row

PAGE = Path("docs/results-codesign.md")
MOST_DRAWN_PP = 10.0
"""Drop, in percentage points, beyond which a row would squeeze all others together in a chart."""

INTRO = """# Co-design

Written by `make bench-codesign` from `benchmarks/results/codesign.json`; do not edit by hand.

Full Fashion-MNIST test set. All methods compress the same sites with the same images; those that
train do so for the same number of optimizer steps, 300, searches for widths included, and the
networks' own weights are frozen. The co-design projects blocks of 2x2 pixels at sites whose height
and width are even and whose channels make at most 384 components in such a block; CAP and transform
coding project single pixels, as published. Rows that say *blocks* have it the other way round.

The co-design trains the plan that is better on held-out images, that of its search for widths or
that of the greedy search it started from: *greedy* where it is the latter. Where training does not
improve the plan on held-out images, it is handed back *untrained*. Runs differ by chance,
by some tenths of a point: see the three seeds of a budget. Curves have one seed; a lead of at most
0.2 points is not called one before both methods have three, whose means are then compared.

- *drop*: percentage points of top-1 below the float network; *agree*: images that get the float
  network's class, in per cent.
- *entropy*, *fixed*: bits/value under entropy coding and plain packing ([results](results.md)).
- *net, batch 1*: traffic at 8 bit over that of activations (entropy coded), projections and tables,
  all fetched for every image. **Below 1x, more is moved than without compression.**
- *search*, *tune*: seconds of one run, on one of two cores; *MiB*: largest memory of the process.
"""

LOSSLESS = """## 8 bits and a lossless coder

Bits/value of `int8`, which trains nothing, under lossless coders; 64 test images.

"""
PEER = """## Uniform LSQ against brevitas

ResNet18, one bit-width for all sites, scales trained for equal steps by the same loop.
`lsq` has one step per channel, brevitas its own one scale per tensor.

"""
SEARCHES = """## The search for widths alone

ResNet18 at 0.8 bits/value; decoders in closed form, nothing tuned. Divergence from the
float network on {images:,} held-out training images.

"""
COLUMNS = (
    "method",
    "budget",
    "seed",
    "accuracy",
    "drop",
    "agree",
    "entropy",
    "fixed",
    "net, batch 1",
    "search",
    "tune",
    "MiB",
)


def write_codesign_page(rows: Sequence[Row]) -> None:
    """Write the page and one chart for each network anew."""
    parts = [INTRO, target_table(rows), _lossless(rows), _peer(rows), _searches(rows)]
    for model, title in TITLES.items():
        own = [row for row in rows if row["model"] == model]
        measured = [row for row in own if "bits_per_value" in row]
        if measured:
            parts += [
                f"## {title}\n",
                _chart(model, measured),
                table(COLUMNS, map(_cells, measured), words=2),
                _failed(own),
            ]
    parts.append(commits_line(rows))
    PAGE.write_text("\n".join(part for part in parts if part).rstrip() + "\n")


def _failed(rows: Sequence[Row]) -> str:
    """What could not be made, and why."""
    return "".join(
        f"- {row['method']} at {row['variant']}: {row['failed']}\n"
        for row in rows
        if "failed" in row
    )


def _lossless(rows: Sequence[Row]) -> str:
    """Bits per value of 8-bit activations under lossless coders, 64 test images."""
    own = [row for row in rows if row["method"] == "int8_lossless"]
    if not own:
        return ""
    coders = list(own[0]["bits_per_symbol"])
    cells = [
        [TITLES[row["model"]], *(f"{row['bits_per_symbol'][coder]:.3f}" for coder in coders)]
        for row in own
    ]
    return LOSSLESS + table(["network", *(coder.replace("_", " ") for coder in coders)], cells)


def _peer(rows: Sequence[Row]) -> str:
    """Our uniform LSQ against brevitas."""
    own = [row for row in rows if row["method"] == "brevitas"]
    if not own:
        return ""
    cells = []
    for row in own:
        bits = int(row["variant"].split("bits")[0])
        ours = [
            f"{other['accuracy_drop_pp']:.2f}"
            for other in rows
            if other["method"] == "lsq"
            and "accuracy_drop_pp" in other
            and other["variant"].endswith("fixed")
            and int(float(other["variant"].split("bits")[0])) == bits
        ]
        cells.append([str(bits), f"{row['accuracy_drop_pp']:.2f}", ", ".join(ours) or "-"])
    return PEER + table(["bits", "brevitas, drop", "`lsq`, drop"], cells, words=0)


def _searches(rows: Sequence[Row]) -> str:
    """Plans of the search for widths, and the greedy plan that it starts from, before tuning."""
    own = [row for row in rows if row["method"] == "width_search"]
    if not own:
        return ""
    cells = [
        [
            row["variant"],
            f"{row['held_out_divergence']:.4f}",
            f"{row['budget_share']:.3f}",
            f"{row['search_seconds']:.0f}" if row["variant"] != "greedy" else "-",
            f"{row['peak_memory_mib']:.0f}" if row["variant"] != "greedy" else "-",
        ]
        for row in own
    ]
    columns = ["plan", "divergence, nats", "share of the budget", "search s", "MiB"]
    return SEARCHES.format(images=own[0]["held_out_images"]) + table(columns, cells)


def _chart(model: str, rows: Sequence[Row]) -> str:
    points = [
        Point(row["method"], row["bits_per_value"]["entropy"], row["accuracy"])
        for row in rows
        if row["variant"].endswith("bits,entropy")
        and row["seed"] == 0
        and row["accuracy_drop_pp"] <= MOST_DRAWN_PP
    ]
    if len(points) < 2:
        return ""
    path = PAGE.with_name(f"codesign-{model}.svg")
    path.write_text(
        curves_chart(points, rows[0]["float_accuracy"], "bits/value, entropy view", legend=True)
        + "\n"
    )
    names = ", ".join(dict.fromkeys(point.method for point in points))
    return (
        f"![Accuracy against bits/value: {names}]({path.name})\n\n"
        f"Rows that lose more than {MOST_DRAWN_PP:g} points are not drawn.\n"
    )


def _cells(row: Row) -> list[str]:
    bits = row["bits_per_value"]
    return [
        row["method"],
        variant_of(row),
        str(row["seed"]),
        f"{100 * row['accuracy']:.2f}",
        f"{row['accuracy_drop_pp']:.2f}",
        f"{100 * row['agreement']:.2f}",
        f"{bits['entropy']:.3f}",
        f"{bits['fixed']:.3f}",
        f"{row['net_ratio_vs_8bit_batch1']:.2f}x",
        f"{row['search_seconds']:.0f}",
        f"{row['tune_seconds']:.0f}",
        f"{row['peak_memory_mib']:.0f}",
    ]
