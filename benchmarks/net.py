"""Net traffic: every method at equal net budgets, on the full test set (`make bench-net`).

One row after the other, the ones of most interest first, into `benchmarks/results/net.json`; what
is there already is not measured again, so that a run that was stopped goes on. `--minutes` stops
before the next row once so much time is spent; `--only` takes the rows whose key, written as
`vgg16_bn/cap/labels1800/0/7x (entropy, batch 1)`, a regular expression finds; `--page` only writes
docs/results-net.md anew.
"""

import argparse
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch.nn import functional as F

from actpress.allocate import SearchSettings
from actpress.budget import Budget, Count, View
from actpress.cost import EnergyModel
from actpress.data import Dataset, Split, load_dataset
from actpress.errors import BudgetError, TuningError
from actpress.evaluation import Metrics, Reference, RunInfo, evaluate, refer
from actpress.graph import Graph, capture
from actpress.methods import METHODS, Job, Outcome, Settings
from actpress.plan import Transform
from actpress.settings import NumberBits, Trainable
from actpress.tune import TuneSettings, WidthSettings
from actpress.zoo import reference, resnet18
from benchmarks.net_page import write_page
from benchmarks.store import Row, environment

RESULTS = Path("benchmarks/results/net.json")
MODELS = ("resnet18", "vgg16_bn", "mobilenet_v2")
LARGE = "resnet18_224"
"""torchvision's layout at 3x224x224; weights are random, so that accuracy says nothing there."""

HEADLINES = {
    View.ENTROPY: {"resnet18": 9.0, "vgg16_bn": 7.0, "mobilenet_v2": 6.0},
    View.FIXED: {"resnet18": 4.5, "vgg16_bn": 4.0, "mobilenet_v2": 3.5},
}
"""Net ratios that are to be reached with at most half a point lost."""

BUDGETS = (6.0, 4.0, 8.0, 3.0, 10.0)
BASELINES = ("layerwise_ilp", "layerwise_search", "entropy_training", "lsq", "transform_coding")
OWN = ("codesign", "cap", "gdr")
SEEDS = (0, 1, 2)
STEPS, WIDTH_STEPS = 300, 60
NETWORK, NETWORK_LONG, LABELS, LABELS_LONG = "network", "network1800", "labels1800", "labels3600"
NETWORK_STEPS = {NETWORK: 600, NETWORK_LONG: 1800, LABELS: 1800, LABELS_LONG: 3600}
"""Variants in which the network's own weights are trained besides (`--train network`), and their
steps; 1,800 show almost every training image once. In `WITH_LABELS` the labels' loss counts too."""
WITH_LABELS = (LABELS, LABELS_LONG)

ANY_TRANSFORM = "any"
"""Variant of a budget of activations alone whose sites may take any transform, as users have it."""

WIDTHS = {"matrices16": NumberBits.HALF, "matrices4": NumberBits.NIBBLE}
"""Variants of a plan whose matrices are stored in other widths than the one it was made for."""

PUBLISHED_BLOCK = 2
"""Side of the blocks of pixels that the co-design as published projects."""

CALIBRATION_IMAGES = 500


@dataclass(frozen=True)
class Wanted:
    """One row that is to be measured."""

    model: str
    method: str
    budget: Budget
    seed: int = 0
    variant: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells rows apart."""
        return (self.model, self.method, self.variant, str(self.seed), str(self.budget))


def wanted() -> Iterator[Wanted]:
    """All rows, the ones of most interest first."""
    yield from _headlines("cap", 0, NETWORK)
    for method in ("cap", "codesign"):
        yield from _labelled(method, 0)
    yield Wanted("vgg16_bn", "cap", _x(7.0, View.ENTROPY), 0, LABELS_LONG)
    yield from _published()
    yield Wanted(LARGE, "gdr", _x(6.0, View.ENTROPY))
    yield from _headlines("gdr", 0)
    yield from (Wanted("resnet18", "gdr", _x(9.0, View.ENTROPY), 0, name) for name in WIDTHS)
    yield from _headlines("cap", 0)
    yield from _everywhere("gdr")
    yield from _headlines("codesign", 0)
    for method in BASELINES:
        yield from _headlines(method, 0)
    for seed in SEEDS[1:]:
        for method in ("cap", "codesign"):
            yield from _labelled(method, seed)
            yield from _headlines(method, seed)
    for method in (*BASELINES, *OWN):
        yield from _everywhere(method)
    yield from (Wanted(model, "int8", _x(1.0, View.ENTROPY)) for model in MODELS)


def _labelled(method: str, seed: int) -> Iterator[Wanted]:
    """`LABELS` at the points that targets name, of the networks that need it."""
    yield from (row for row in _headlines(method, seed, LABELS) if row.model != "mobilenet_v2")


def _published() -> Iterator[Wanted]:
    """Activations alone: dense projections everywhere, as published, and as the search likes."""
    kinds = [("codesign", ""), ("codesign", ANY_TRANSFORM)]
    kinds += [("cap", variant) for variant in ("", ANY_TRANSFORM, LABELS)]
    for method, variant in kinds:
        for text, view in (("0.8bits", View.ENTROPY), ("1.34bits", View.FIXED)):
            budget = Budget.parse(f"{text} ({view}, activations)")
            yield Wanted("resnet18", method, budget, variant=variant)


def _headlines(method: str, seed: int, variant: str = "") -> Iterator[Wanted]:
    """A method at the points that targets name."""
    for view, ratios in HEADLINES.items():
        for model in MODELS:
            yield Wanted(model, method, _x(ratios[model], view), seed, variant)


def _everywhere(method: str) -> Iterator[Wanted]:
    """A method at all budgets, views and networks."""
    points = itertools.product(View, BUDGETS, MODELS)
    yield from (Wanted(model, method, _x(ratio, view)) for view, ratio, model in points)


def _x(ratio: float, view: View) -> Budget:
    return Budget.parse(f"{ratio:g}x", view=view)


@cache
def data(model: str) -> Dataset:
    """All of Fashion-MNIST; for `LARGE`, some of its images enlarged."""
    whole = load_dataset("fashion-mnist")
    if model != LARGE:
        return whole

    def enlarged(split: Split, size: int) -> Split:
        x, labels = next(split.batches(size))
        wide = F.interpolate(x, size=(224, 224), mode="bilinear").expand(-1, 3, -1, -1)
        return Split.in_memory(wide.contiguous(), labels)

    splits = enlarged(whole.train, 64), enlarged(whole.holdout, 32), enlarged(whole.test, 32)
    return Dataset("fashion-mnist, enlarged", *splits, 1000)


@cache
def graph_of(model: str) -> Graph:
    """The captured network of the zoo."""
    torch.manual_seed(0)
    network = resnet18(num_classes=1000).eval() if model == LARGE else reference.load(model)
    return capture(network, next(data(model).train.batches(2))[0])


@cache
def reference_of(model: str) -> Reference:
    """Of the float network on the test set."""
    return refer(graph_of(model).eval_module, data(model).test)


def with_number_bits(job: Job, outcome: Outcome, number_bits: NumberBits) -> Outcome:
    """The same plan with its matrices stored in other widths."""
    plan = outcome.pressed.plan
    sites = tuple(site.model_copy(update={"number_bits": number_bits}) for site in plan)
    pressed = job.press(plan.model_copy(update={"sites": sites}), outcome.statistics)
    return replace(outcome, pressed=pressed)


def settings_of(row: Wanted) -> Settings:
    """The same for all methods: images, steps, seeds."""
    tune = TuneSettings(steps=STEPS, seed=row.seed, validate_every=100)
    if row.variant in NETWORK_STEPS:
        steps = NETWORK_STEPS[row.variant]
        tune = replace(tune, steps=steps, trainable=Trainable.NETWORK, lr_scale=1 / 3)
        tune = replace(tune, task=1.0 if row.variant in WITH_LABELS else 0.0)
    search = SearchSettings(seed=row.seed)
    if row.budget.count is Count.ACTIVATIONS and not row.variant:  # as published: dense everywhere
        search = replace(search, transforms=(Transform.FISHER_PCA,))
    blocks = row.method == "codesign" and search.transforms == (Transform.FISHER_PCA,)
    return Settings(
        calibration_images=CALIBRATION_IMAGES,
        block=PUBLISHED_BLOCK if blocks else None,
        search=search,
        tune=tune,
        widths=WidthSettings(steps=WIDTH_STEPS),
    )


def measure(row: Wanted) -> Row:
    """Run a method and evaluate it on the whole test set; a method that fails says why."""
    job = Job(graph_of(row.model), data(row.model), row.budget, settings_of(row))
    began = time.perf_counter()
    try:
        outcome = METHODS[row.method](job)
    except (BudgetError, TuningError) as error:
        return _common(row) | {"failed": str(error)}
    seconds = time.perf_counter() - began
    if row.variant in WIDTHS:
        outcome = with_number_bits(job, outcome, WIDTHS[row.variant])
    info = RunInfo(method=row.method, budget=str(row.budget), batch=row.budget.batch)
    metrics = evaluate(
        outcome.pressed,
        job.graph,
        data(row.model).test,
        info,
        reference=reference_of(row.model),
    )
    found = _common(row) | _figures(row, metrics) | {"seconds": seconds, "kept": outcome.variant}
    return found | {"energy_ratio_unaided": energy_unaided(found)}


def _common(row: Wanted) -> Row:
    return {
        "model": row.model,
        "method": row.method,
        "variant": row.variant,
        "seed": row.seed,
        "view": str(row.budget.view),
        "budget": str(row.budget),
        "commit": environment()["commit"],
    }


def _figures(row: Wanted, metrics: Metrics) -> Row:
    view, traffic = row.budget.view, metrics.traffic
    extra = sum(site.folded_extra_macs for site in metrics.sites)
    indices = traffic.index_bits if view is View.ENTROPY else 0.0
    return {
        "net_ratio_batch1": traffic.net_ratio_8bit_batch1[view],
        "gross_ratio": traffic.ratio_8bit[view],
        "bits_per_value": metrics.bits_per_value[view],
        "accuracy": metrics.accuracy,
        "accuracy_drop_pp": metrics.accuracy_drop_pp,
        "agreement": metrics.agreement,
        "parameter_kib": (traffic.fetched_bits[view] - indices) / 8192,
        "table_kib": traffic.table_bits / 8192 if view is View.ENTROPY else 0.0,
        "index_kib": indices / 8192,
        "credit_kib": traffic.credit_bits / 8192,
        "extra_macs_share": extra / macs_of(row.model),
        "energy_ratio": metrics.energy.before_pj / metrics.energy.after_pj[view],
        "untouched_sites": sum(site.transform == Transform.IDENTITY for site in metrics.sites),
        "sites": len(metrics.sites),
    }


def energy_unaided(row: Row) -> float:
    """How much less energy, were what neighbours save by folding not counted.

    A fold saves multiply-accumulates of the layer that takes a matrix in, which pay for the
    arithmetic of the same site's codec; here that arithmetic is counted whole.
    """
    energy, sites = EnergyModel(), graph_of(row["model"]).sites
    before_pj = energy.pj_per_bit * sum(8 * site.values * (1 + site.reads) for site in sites)
    codecs_pj = energy.mac_pj * row["extra_macs_share"] * macs_of(row["model"])
    return float(1 / (1 / row["net_ratio_batch1"] + codecs_pj / before_pj))


@cache
def macs_of(model: str) -> int:
    """Multiply-accumulates of the network's convolutions and linear layers, one image."""
    graph, total = graph_of(model), 0

    def count(module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, torch.Tensor), "convolutions and linear layers have weights"
        total += weight[0].numel() * output[0].numel()

    dense = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [m.register_forward_hook(count) for m in graph.root.modules() if isinstance(m, dense)]
    with torch.no_grad():
        graph.eval_module(graph.example[0][:1])
    for hook in hooks:
        hook.remove()
    return total


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--only", type=re.compile, default=re.compile(""))
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    rows: list[Row] = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    done: set[tuple[str, ...]] = {
        (r["model"], r["method"], r["variant"], str(r["seed"]), r["budget"]) for r in rows
    }
    for row in () if options.page else wanted():
        if row.key in done or not options.only.search("/".join(row.key)):
            continue
        if time.perf_counter() - began > 60 * options.minutes:
            break
        done.add(row.key)
        rows.append(measure(row))
        shown = {k: rows[-1].get(k) for k in ("net_ratio_batch1", "accuracy_drop_pp", "seconds")}
        print(*row.key, shown, flush=True)
        write_page(rows, RESULTS)
    write_page(rows, RESULTS)


if __name__ == "__main__":
    main()
