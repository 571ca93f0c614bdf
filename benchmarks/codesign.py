"""The co-design against CAP + GDR and the mixed-precision baselines, full test set.

    python -m benchmarks.codesign [--models resnet18 ...] [--groups curves ...] [--device cuda]

Every method gets the same sites, images and optimizer steps: what a search for widths spends is
taken from its tuning. Rows go to `benchmarks/results/codesign.json` as soon as they are measured;
rows that are there already are skipped. Then `docs/results-codesign.md` is written anew.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from actpress.budget import Budget, View
from actpress.errors import BudgetError, TuningError
from actpress.methods import METHODS, Job, Outcome, Settings, gdr, int8
from actpress.methods.codesign import BLOCK
from actpress.methods.job import RESERVE
from actpress.tune import ALL_WIDTHS, WidthSettings
from benchmarks import codesign_targets as targets
from benchmarks.codec_sites import Coded
from benchmarks.codec_sizes import measure_sizes
from benchmarks.codesign_page import write_codesign_page
from benchmarks.core import MODELS, SEEDS, SETTINGS, Bench, said
from benchmarks.memory import peak_memory_mib, reset_peak_memory
from benchmarks.store import Store
from benchmarks.width_search import measure_width_search
from benchmarks.width_step_cost import measure_width_step_cost

RESULTS = Path("benchmarks/results/codesign.json")
HEADLINE = tuple(
    Budget.parse(f"{bits}bits", view=View(view)) for view, bits in targets.HEADLINE.values()
)
PEER_BIT_WIDTHS = (4, 3, 2)
SEARCHES = {"greedy": None, "3 candidates": 3, "9 candidates": ALL_WIDTHS}
"""Widths that a group of the search weighs, by variant; None is the plan that it starts from."""

SEARCH_SHARE = 5
"""A fifth of all steps: with two fifths VGG16-BN lost more on held-out images (one run each)."""


def settings_of(method: str, seed: int = 0, *, block: int | None = None) -> Settings:
    """The settings of a run: as many optimizer steps for every method."""
    steps = SETTINGS.tune.steps
    widths = WidthSettings(steps=steps // SEARCH_SHARE)
    searches = method in ("codesign", "layerwise_search")
    tune = replace(
        SETTINGS.tune,
        steps=steps - (widths.steps if searches else 0),
        seed=seed,
    )
    search = replace(SETTINGS.search, seed=seed)
    return replace(SETTINGS, block=block, tune=tune, search=search, widths=widths)


def measure(
    bench: Bench, method: str, budget: Budget, settings: Settings, *, variant: str = ""
) -> None:
    """Run and evaluate a method at a budget, unless its row is there."""
    variant = ",".join(filter(None, (f"{budget.amount:g}bits", str(budget.view), variant)))
    seed = settings.tune.seed
    if bench.store.has(bench.name, method, variant, seed):
        return
    reset_peak_memory()
    try:
        outcome = METHODS[method](Job(bench.graph, bench.data, budget, settings))
    except (BudgetError, TuningError) as error:
        key = {"model": bench.name, "method": method, "variant": variant, "seed": seed}
        bench.store.add(key | {"failed": str(error)})
        print(f"{bench.name} {method} {variant} seed {seed}: {error}", flush=True)
        return
    peak_mib = peak_memory_mib()
    row = bench.evaluate(outcome, budget, settings, variant, seed)
    if method == "codesign":
        row["learned_widths"] = any(site.groups for site in outcome.pressed.plan)
    bench.store.add(row | {"peak_memory_mib": peak_mib})
    print(f"{said(row)}, {peak_mib:.0f} MiB", flush=True)


def headline(bench: Bench) -> None:
    """The co-design at its two target budgets, all seeds."""
    for seed in SEEDS:
        for budget in HEADLINE:
            measure(bench, "codesign", budget, settings_of("codesign", seed))


def curves(bench: Bench) -> None:
    """Methods over budgets: all of them on ResNet18, four on the others, ours below them too."""
    for method in targets.METHODS[bench.name]:
        for budget in targets.CURVE:
            measure(bench, method, Budget.parse(budget), settings_of(method))
    for budget in targets.AGGRESSIVE.get(bench.name, ()):
        measure(bench, "codesign", Budget.parse(budget), settings_of("codesign"))


def ties(bench: Bench) -> None:
    """More seeds of the co-design and of what lies close to it on a curve."""
    for method, variant in targets.close_calls(bench.store.rows, bench.name):
        budget = Budget.parse(variant.split(",")[0])
        for seed in SEEDS:
            for each in ("codesign", method):
                measure(bench, each, budget, settings_of(each, seed))


def control(bench: Bench) -> None:
    """The search with all nine widths instead of a moving window; no blocks, and blocks for CAP."""
    if bench.name != "resnet18":
        return
    for method, block in (("codesign", 1), ("cap", BLOCK)):
        settings = settings_of(method, block=block)
        measure(bench, method, HEADLINE[0], settings, variant=f"blocks of side {block}")
    settings = settings_of("codesign", block=BLOCK)
    job = Job(bench.graph, bench.data, HEADLINE[0], settings)
    start: Outcome | None = None
    for variant, candidates in SEARCHES.items():
        if bench.store.has(bench.name, "width_search", variant, 0):
            continue
        start = start or gdr(job)
        row = measure_width_search(job, start, candidates)
        key = {"model": bench.name, "method": "width_search", "variant": variant, "seed": 0}
        bench.store.add(key | row)
        print("width_search", variant, row, flush=True)


def lossless(bench: Bench) -> None:
    """8 bits after the activation under lossless coders: no training, no loss."""
    if bench.store.has(bench.name, "int8_lossless", "8bits", 0):
        return
    outcome = int8(bench.job(str(HEADLINE[0].amount) + "bits"))
    row = measure_sizes(bench.name, Coded(outcome.pressed, bench.graph, bench.data))
    bench.store.add(row | {"method": "int8_lossless", "variant": "8bits"})
    print(bench.name, "int8_lossless", row["bits_per_symbol"], flush=True)


def peer(bench: Bench) -> None:
    """Our uniform LSQ against brevitas, at the same widths and steps (ResNet18)."""
    if bench.name != "resnet18":
        return
    for bit_width in PEER_BIT_WIDTHS:
        most = math.ceil(1e4 * bit_width / (1 - RESERVE)) / 1e4
        budget = Budget.parse(f"{most}bits", view=View.FIXED)
        settings = settings_of("lsq")
        measure(bench, "lsq", budget, settings)
        variant = f"{bit_width}bits,fixed"
        if not bench.store.has(bench.name, "brevitas", variant, 0):
            from benchmarks.brevitas_peer import measure_brevitas  # noqa: PLC0415 - optional

            row = measure_brevitas(Job(bench.graph, bench.data, budget, settings), bit_width)
            key = {"model": bench.name, "method": "brevitas", "variant": variant, "seed": 0}
            bench.store.add(key | row)
            print("brevitas", variant, row, flush=True)


def costs(bench: Bench) -> None:
    """A step of the search against a CAP step (ResNet18)."""
    if bench.name != "resnet18" or bench.store.has(bench.name, "width_step_cost", "", 0):
        return
    row = measure_width_step_cost(bench.graph, bench.data)
    key = {"model": bench.name, "method": "width_step_cost", "variant": "", "seed": 0}
    bench.store.add(key | row)
    print("width_step_cost", row, flush=True)


GROUPS: dict[str, Callable[[Bench], None]] = {
    "headline": headline,
    "curves": curves,
    "ties": ties,
    "control": control,
    "lossless": lossless,
    "peer": peer,
    "costs": costs,
}


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    store = Store(RESULTS)
    for group in arguments.groups:
        for name in arguments.models:
            GROUPS[group](Bench(name, torch.device(arguments.device), store))
            write_codesign_page(store.rows)


if __name__ == "__main__":
    main()
