"""The JSON file and the page of `make bench-net`, with its targets judged."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

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

PAGE = Path("docs/results-net.md")
TABLES = Path("benchmarks/results/tables.json")
DEMO_TIME = Path("benchmarks/results/demo_time.json")
DROP_PP = 0.5
NET = {
    "entropy": {"resnet18": 9.0, "vgg16_bn": 7.0, "mobilenet_v2": 6.0},
    "fixed": {"resnet18": 4.5, "vgg16_bn": 4.0, "mobilenet_v2": 3.5},
}
ENERGY = {"resnet18": 7.0, "vgg16_bn": 6.0, "mobilenet_v2": 5.0}
OWN = ("codesign", "cap", "gdr")
VARIANTS = {
    "any": "any transform",
    "network": "network trained",
    "network1800": "network trained for 1,800 steps",
    "labels1800": "network trained for 1,800 steps, with labels",
    "labels3600": "network trained for 3,600 steps, with labels",
    "matrices16": "matrices in 16 bits",
    "matrices4": "matrices in 4 bits",
}
TRAINED = ("", "network", "network1800", "labels1800", "labels3600")
LARGE, TITLE_LARGE = "resnet18_224", "ResNet18 of 64 channels at 3x224x224, random weights"
INTRODUCTION = (
    "What `make bench-net` measures: the three reference networks on all 10,000 test images of "
    "Fashion-MNIST. Budgets count everything that is moved at batch 1: activations (one write, a "
    "read for each consumer), what is left of the codecs' parameters after folding, class indices "
    "and code tables. Rows are in `benchmarks/results/net.json`, each with its commit; rows that a "
    "stopped run did not reach are missing here.\n\n"
    "Energy counts the arithmetic of codecs less the multiply-accumulates that folding saves in "
    "the layers beside the same codec, never more than that codec's own. Earlier versions of this "
    "page did not count that saving, and are compared with the column `neighbours uncounted`.\n"
)

TRIED = """## What was tried against the misses

From trial runs that no committed command repeats:

- *Training the network's own weights too* (`--train network --lr-scale 0.33`): 600 steps in rows
  "network trained", 1,800 with the labels' loss besides (`--label-weight 1`) in rows "with labels".
  ResNet18 at 9x lost 0.89 points after 600 steps and 0.79 after 1,800, both before code tables and
  search were mended as below; each of the three changes has no row of its own. VGG16-BN at 7x lost
  0.66 points after 1,800 steps with labels, and takes 3,600 (two rows below).
- *Code tables that name every symbol* took 5.2 KiB of ResNet18, and the same plan moved 3 % more
  than with symbols escaped that are not worth an entry.
- *Kinds of states that no round had measured* could be taken where the final plan lies below the
  price that losses were measured at: one such move tripled the divergence of VGG16-BN at 7x on
  held-out images. Untrained, ResNet18 at 9x lost 1.50 points with such kinds, and 0.75 without.
- *What a jump of the greedy path leaves* in the fixed view (VGG16-BN ended at 4.18x where 4x was
  asked) is spent by taking back the moves that lost most.
- *Arithmetic that no budget of traffic counts* is weighed by searches now, by its energy. A row of
  commits before, taken out since, needed 12.3 % more multiply-accumulates at 3x224x224, for 3.57x
  less energy at the same net traffic.
- *Aims that were scaled by the last error alone* left up to 2.6 % of a budget of fixed widths
  (ResNet18 at 4.62x where 4.5x was asked); plans between what fitted and what did not are tried.
- *Other rates of learning* for the weights (three times and a third of what is used) gave the same
  divergence after 300 steps, or more.
- *Plain PCA that became trainable* had been given the basis of Fisher PCA, while its steps
  were meant for its own: such sites took twice their bits, and all steps were made coarser
  to pay for it. Rows of commits before that was mended are not in the file any more.
- *Bits that training leaves* are spent now, by scaling all steps to just below the bound
  before a state is judged; networks had ended up to 7 % below their budget.
- *Decoders in closed form* raise the divergence where few sites are projected; they are kept
  only where held-out images gain.
- *Four times the search images* choose a plan that is hardly better, in four times the time.
- *Activations alone*, as published: every site takes Fisher PCA, of single pixels for CAP and of
  blocks of 2x2 pixels for the co-design, which loses half as much or less.
- *The co-design at a net budget* kept the plan of the greedy search on ResNet18 at 9x, and training
  its steps and projections for 300 steps did not help on the test set. With the network trained
  too, for 1,800 steps, it comes near `cap` trained in the same way; which is better would take
  more seeds to say.
- *Steps of channels* of the baselines, one each, have to be fetched: where widths alone just met
  a budget they exceeded it by 0.8 %. Sites train one step each now, where codecs are counted.
  `lsq` has one width for all sites, and cannot come near a budget between two widths.
- *Entropy training under plain packing* coarsens all steps alike until ranges need fewer bits,
  clips nothing, and ends at guessing: it is a method for entropy coding.
- *Less measured in searches*: what the path takes at the budget alone, and kinds that come to the
  same once. Untrained, ResNet18 at 9x loses 0.82 points with searches of today, VGG16-BN at 7x 1.00
  and MobileNetV2 at 6x 0.43; rows of earlier commits, taken out since, lost 0.98, 1.00 and 0.72.
- *The demo's time* is training for the greater part: 120 steps, most of them on images whose float
  predictions are not known yet.
- *Tables at small ratios* name more symbols, and take more than 6 KiB of ResNet18 at 3x.
- *A dead zone* around zero, without shifted levels, ruined the network; steps for every
  component of a site cost more than they gain; offsets for channels that are not mixed gain
  nothing.
"""


LATER = (
    "Searches have changed since the earlier of them (what arithmetic weighs, how budgets are "
    "met), so that the code of today may choose other plans there.\n"
)


def write_page(rows: Sequence[Row], results: Path) -> None:
    """Write rows and targets as JSON, and the page."""
    targets = list(judged(rows))
    write_results(rows, targets, results)
    PAGE.write_text(page(rows, targets))


def judged(rows: Sequence[Row]) -> list[Target]:
    """The targets that rows exist for."""
    found: list[Target] = []
    for view, ratios in NET.items():
        for model, ratio in ratios.items():
            found += _headline(rows, model, view, ratio)
    measured = [
        row
        for row in rows
        if "net_ratio_batch1" in row
        and "activations" not in row["budget"]
        and row["variant"] in TRAINED
    ]
    asked = [(row, float(row["budget"].split("x")[0])) for row in measured if row["method"] in OWN]
    off = [row["net_ratio_batch1"] / ratio - 1 for row, ratio in asked]
    if off:
        found.append(
            target_of(
                "net budget hit by codesign, cap and gdr, on the test set",
                "0 to 2 % below what was asked",
                f"ratios {100 * min(off):+.1f} to {100 * max(off):+.1f} % of what was asked",
                met=min(off) >= 0 and max(off) <= 0.0205,
            )
        )
    tables = [
        row["table_kib"] + row["index_kib"]
        for row in measured
        if row["model"] == "resnet18" and row["view"] == "entropy" and row["method"] in OWN
    ]
    found += _codesign(rows) + _widths(rows) + _published(rows) + _large(rows)
    found += _same_symbols() + _demo()
    if tables:
        found.append(
            target_of(
                "tables and indices of ResNet18",
                "at most 6 KiB",
                f"{min(tables):.1f} to {max(tables):.1f} KiB",
                met=max(tables) <= 6,
            )
        )
    return found


def _headline(rows: Sequence[Row], model: str, view: str, ratio: float) -> list[Target]:
    """Net ratio and energy at the point where half a point may be lost, by the best own method."""
    budget = f"{ratio:g}x ({view}, batch 1)"
    asked = [row for row in _tried(rows, model, budget) if row["method"] in OWN]
    if not asked:
        return []
    ways, drops = _by_way(asked)
    way = min(drops, key=lambda way: drops[way])
    drop, own = drops[way], ways[way]
    net = mean(row["net_ratio_batch1"] for row in own)
    seeds = f"{way}, {len(own)} seed{'s' if len(own) > 1 else ''}"
    found = [
        target_of(
            f"{TITLES[model]}, {view} view: net at batch 1, at most {DROP_PP:g} points lost",
            f"at least {ratio:g}x",
            f"{net:.2f}x with {drop:.2f} points lost ({seeds})",
            met=net >= ratio and drop <= DROP_PP,
        )
    ]
    if view == "entropy":
        energy = mean(row["energy_ratio"] for row in own)
        unaided = mean(row["energy_ratio_unaided"] for row in own)
        found.append(
            target_of(
                f"{TITLES[model]}: net energy there (LPDDR4, batch 1, extra arithmetic counted)",
                f"at least {ENERGY[model]:g}x less",
                f"{energy:.2f}x less; {unaided:.2f}x without what neighbours save by folding",
                met=energy >= ENERGY[model] and drop <= DROP_PP,
            )
        )
    return found


def _codesign(rows: Sequence[Row]) -> list[Target]:
    """The best of the co-design against the best of all else, where both were tried."""
    found = []
    for view, ratios in NET.items():
        for model, ratio in ratios.items():
            budget = f"{ratio:g}x ({view}, batch 1)"
            ways, drops = _by_way(_tried(rows, model, budget))
            own = [way for way in ways if ways[way][0]["method"] == "codesign"]
            others = [way for way in ways if way not in own]
            if not own or not others:
                continue
            way, other = (min(some, key=lambda way: drops[way]) for some in (own, others))
            behind, spread = drops[way] - drops[other], max(map(_spread, (ways[way], ways[other])))
            seeds = min(len(ways[way]), len(ways[other]))
            found.append(
                target_of(
                    f"{TITLES[model]}, {budget}: the co-design against the best of all others",
                    "not below by more than the spread of three seeds",
                    f"{drops[way]:.2f} points lost ({way}), {drops[other]:.2f} ({other}), "
                    + (f"spread {spread:.2f}" if seeds > 1 else "one seed, spread not known"),
                    met=behind <= spread,
                )
            )
    return found


def _tried(rows: Sequence[Row], model: str, budget: str) -> list[Row]:
    """What was measured at a budget, each plan with matrices in its own width."""
    return [
        row
        for row in rows
        if (row["model"], row["budget"]) == (model, budget)
        and "accuracy_drop_pp" in row
        and row["variant"] in TRAINED
    ]


def _by_way(rows: Sequence[Row]) -> tuple[dict[str, list[Row]], dict[str, float]]:
    """Rows of all seeds by method and variant, and the mean of what they lose."""
    ways: dict[str, list[Row]] = {}
    for row in rows:
        ways.setdefault(_way(row), []).append(row)
    return ways, {way: mean(row["accuracy_drop_pp"] for row in own) for way, own in ways.items()}


def _spread(rows: Sequence[Row]) -> float:
    """Between the seeds that lose most and least, in points."""
    drops = [float(row["accuracy_drop_pp"]) for row in rows]
    return max(drops) - min(drops)


def _demo() -> list[Target]:
    """Time of the demo against that of the earlier build (`benchmarks.demo_time`)."""
    if not DEMO_TIME.exists():
        return []
    found = json.loads(DEMO_TIME.read_text())
    now, before = (found[build]["processor_seconds"] for build in ("present", "earlier"))
    net = found["present"]["net_ratio_8bit_batch1"]["entropy"]
    return [
        target_of(
            "`make demo`'s command, processor time against that of aab34da, side by side",
            "at most 0.6x, with the better net result",
            f"{found['ratio']:.2f}x ({now:.0f} s against {before:.0f}), {net:.2f}x net at "
            f"{found['present']['accuracy_drop_pp']:.2f} points lost; the earlier one told no net "
            f"figure and lost {found['earlier']['accuracy_drop_pp']:.2f}",
            met=found["ratio"] <= 0.6 and net > 1,
        )
    ]


def _same_symbols() -> list[Target]:
    """The network's code tables against those of the earlier build (`benchmarks.tables`)."""
    if not TABLES.exists():
        return []
    row = json.loads(TABLES.read_text())
    more = 100 * (row["symbol_bits_ratio"] - 1)
    now, before = (row[build]["table_bits"] / 8192 for build in ("now", "earlier"))
    return [
        target_of(
            f"{TITLES[row['model']]}, symbols of gdr at {row['budget']}: bits with the network's "
            f"tables, against tables of each site as of aab34da",
            "at most 3 % more",
            f"{more:+.1f} %; tables and indices take {now:.1f} KiB, not {before:.1f}",
            met=more <= 3,
        )
    ]


def _widths(rows: Sequence[Row]) -> list[Target]:
    """Matrices in 8 bits against 16, the same plan."""
    plans = [row for row in rows if row["method"] == "gdr" and "agreement" in row]
    found = []
    for wide in plans:
        if wide["variant"] != "matrices16":
            continue
        for row in plans:
            same = all(row[key] == wide[key] for key in ("model", "budget", "seed"))
            if same and not row["variant"]:
                lost = row["accuracy_drop_pp"] - wide["accuracy_drop_pp"]
                apart = 100 * (row["agreement"] - wide["agreement"])
                found.append(
                    target_of(
                        f"{TITLES[row['model']]}, {row['budget']}: matrices in 8 bits, not 16",
                        "at most 0.05 points lost, agreement within 0.2 %",
                        f"{lost:+.2f} points lost, agreement {apart:+.2f} %",
                        met=lost <= 0.05 and abs(apart) <= 0.2,
                    )
                )
    return found


def _published(rows: Sequence[Row]) -> list[Target]:
    """Activations alone, against the drop of the earlier build at the same bits."""
    counted = [row for row in rows if "activations" in row["budget"] and "accuracy_drop_pp" in row]
    found = []
    for budget in dict.fromkeys(row["budget"] for row in counted):
        tried = [row for row in counted if row["budget"] == budget]
        best = min(tried, key=lambda row: float(row["accuracy_drop_pp"]))
        found.append(
            target_of(
                f"{TITLES[best['model']]}, {budget}, activations alone",
                "not worse than 0.39 points lost by more than 0.15",
                f"{best['accuracy_drop_pp']:.2f} points lost ({_way(best)}, one seed; best row)",
                met=best["accuracy_drop_pp"] <= 0.39 + 0.15,
            )
        )
    return found


def _large(rows: Sequence[Row]) -> list[Target]:
    """What codecs cost at 224 x 224."""
    found = []
    for row in rows:
        if row["model"] != LARGE or "net_ratio_batch1" not in row:
            continue
        fetched = 1 - row["net_ratio_batch1"] / row["gross_ratio"]
        found.append(
            target_of(
                f"{TITLE_LARGE}, {row['budget']}: parameters, tables and indices of what is moved; "
                "extra MACs of the network's",
                "at most 10 %; at most 5 %",
                f"{100 * fetched:.1f} %; {100 * row['extra_macs_share']:.1f} %",
                met=fetched <= 0.1 and row["extra_macs_share"] <= 0.05,
            )
        )
    return found


def _way(row: Row) -> str:
    """Method and variant, in words."""
    method, variant = row["method"], row["variant"]
    return f"{method}, {VARIANTS[variant]}" if variant else f"{method}"


def page(rows: Sequence[Row], targets: Sequence[Target]) -> str:
    """docs/results-net.md."""
    parts = [
        "# Net traffic\n",
        INTRODUCTION,
        TARGETS,
        *(target_line(t["what"], t["target"], t["measured"], met=t["met"]) for t in targets),
        "",
        TRIED,
    ]
    for model, title in (TITLES | {LARGE: TITLE_LARGE}).items():
        own = [row for row in rows if row["model"] == model]
        if own:
            parts += [f"## {title}\n", _table(own)]
    parts += [commits_line(rows), LATER]
    failed = [row for row in rows if "failed" in row]
    if failed:
        parts.append("## Out of reach\n")
        parts += [
            f"- {row['model']}, {row['method']}, {row['budget']}: {row['failed']}" for row in failed
        ]
        parts.append("")
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    columns = (
        "method",
        "budget",
        "seed",
        "net",
        "gross",
        "drop, points",
        "agreement, %",
        "parameters, KiB",
        "tables + indices, KiB",
        "extra MACs, %",
        "energy",
        "energy, neighbours uncounted",
        "s",
    )
    lines = [
        (
            _way(row),
            row["budget"],
            str(row["seed"]),
            f"{row['net_ratio_batch1']:.2f}x",
            f"{row['gross_ratio']:.2f}x",
            f"{row['accuracy_drop_pp']:.2f}",
            f"{100 * row['agreement']:.2f}",
            f"{row['parameter_kib']:.1f}",
            f"{row['table_kib'] + row['index_kib']:.1f}",
            f"{100 * row['extra_macs_share']:.1f}",
            f"{row['energy_ratio']:.2f}x",
            f"{row['energy_ratio_unaided']:.2f}x",
            f"{row['seconds']:.0f}",
        )
        for row in rows
        if "net_ratio_batch1" in row
    ]
    return table(columns, lines, words=2)
