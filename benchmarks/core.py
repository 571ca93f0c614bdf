"""The core comparison: int8, transform coding, GDR and CAP on three networks, full test set.

    python -m benchmarks.core [--models resnet18 ...] [--groups headline ...] [--device cuda]

Every row is written to `benchmarks/results/core.json` as soon as it is measured; rows that are
there already are skipped, so that a stopped run goes on. Then `docs/results.md` is written anew.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from actpress.allocate import Criterion, GreedySearch, LadderKind, SearchSettings
from actpress.api import run_info
from actpress.budget import Budget
from actpress.calibration import Statistics
from actpress.data import Dataset, load_fashion_mnist
from actpress.evaluation import evaluate, predict
from actpress.graph import Graph, capture, hash_weights
from actpress.methods import (
    UNTRAINED,
    Job,
    Outcome,
    Settings,
    compensate,
    int8,
    learn,
    run_search,
    take_from,
)
from actpress.methods.transform_coding import plan_at
from actpress.plan import Placement, Transform
from actpress.run import Source
from actpress.tune import Trainable, TuneSettings
from actpress.zoo import reference
from benchmarks.results_page import write_results_page
from benchmarks.search_cost import measure_search_cost
from benchmarks.step_cost import measure_step_cost
from benchmarks.store import Row, Store

RESULTS = Path("benchmarks/results/core.json")
MODELS = ("resnet18", "vgg16_bn", "mobilenet_v2")
DECIBELS = (18.0, 15.0, 12.0, 9.0, 6.0, 3.0)
BUDGETS = ("2bits", "1.34bits", "0.75bits", "0.5bits")
HEADLINE, AGGRESSIVE = "1.34bits", "0.5bits"
SEEDS = (0, 1, 2)
SETTINGS = Settings(
    calibration_images=1000,
    search_images=128,
    tune=TuneSettings(steps=300, validate_every=50, mixed_precision=True),
)
LONGER = replace(SETTINGS.tune, steps=600)
"""What more training does at the most aggressive point; no target is judged by it."""

LOSSES = {
    "task": {"distillation": 0.0, "task": 1.0},
    "task+distillation": {"task": 1.0},
    "distillation+reconstruction": {"reconstruction": 0.1},
}


@dataclass
class Bench:
    """One network, with everything that its rows share computed once."""

    name: str
    device: torch.device
    store: Store
    searches: dict[str, GreedySearch] = field(default_factory=dict)

    @cached_property
    def data(self) -> Dataset:
        """The full set."""
        return load_fashion_mnist()

    @cached_property
    def graph(self) -> Graph:
        """Of the trained float network."""
        model = reference.load(self.name).to(self.device)
        return capture(model, next(self.data.train.batches(2))[0].to(self.device))

    @cached_property
    def float_predictions(self) -> Tensor:
        """On the test split."""
        return predict(self.graph.eval_module, self.data.test)

    @cached_property
    def statistics(self) -> Statistics:
        """Of the values before the activations."""
        return self.job(HEADLINE).calibrate_with_fisher(Placement.PRE_ACT)

    def gdr_search(self, budget: str) -> GreedySearch:
        """The greedy path down to a budget, searched once."""
        if budget not in self.searches:
            self.searches[budget] = run_search(self.job(budget), self.statistics)
        return self.searches[budget]

    def job(self, budget: str, settings: Settings = SETTINGS) -> Job:
        """The job of a budget."""
        return Job(self.graph, self.data, Budget.parse(budget), settings)

    def measure(
        self,
        method: str,
        variant: str,
        make: Callable[[], Outcome],
        settings: Settings = SETTINGS,
    ) -> None:
        """Make and evaluate an outcome with some settings, unless its row is there."""
        seed = settings.tune.seed
        if self.store.has(self.name, method, variant, seed):
            return
        row = self.evaluate(make(), Budget.parse(HEADLINE), settings, variant, seed)
        row |= {"method": method, "budget": variant}
        self.store.add(row)
        print(said(row), flush=True)

    def evaluate(
        self, outcome: Outcome, budget: Budget, settings: Settings, variant: str, seed: int
    ) -> Row:
        """The row of an outcome, on the full test set."""
        source = Source(
            model=self.name,
            data=self.data.name,
            input=self.data.input_shape,
            weights_sha256=hash_weights(self.graph.root),
        )
        info = replace(run_info(outcome, source, budget, settings), variant=variant, seed=seed)
        metrics = evaluate(
            outcome.pressed,
            self.graph,
            self.data.test,
            info,
            float_predictions=self.float_predictions,
        )
        row = metrics.model_dump(mode="json", exclude={"sites", "search"})
        return row | {"untrained": UNTRAINED in outcome.variant.split(",")}


def said(row: Row) -> str:
    """A row in one line."""
    bits = row["bits_per_value"]
    return (
        f"{row['model']} {row['method']} {row['variant']} seed {row['seed']}: "
        f"{100 * row['accuracy']:.2f} % (drop {row['accuracy_drop_pp']:.2f}) at "
        f"{bits['entropy']:.3f} entropy / {bits['fixed']:.3f} fixed bits/value"
    )


def gdr_at(bench: Bench, budget: str) -> Outcome:
    """GDR at a budget."""
    return take_from(bench.job(budget), bench.statistics, bench.gdr_search(budget))


def measure_cap(
    bench: Bench, budget: str, tune: TuneSettings = SETTINGS.tune, variant: str = ""
) -> None:
    """CAP with GDR's ranks."""
    settings = replace(SETTINGS, tune=tune)

    def make() -> Outcome:
        return learn(bench.job(budget, settings), gdr_at(bench, budget))

    bench.measure("cap", ",".join(filter(None, (budget, variant))), make, settings)


def closed_form(bench: Bench, budget: str) -> Outcome:
    """GDR's plan with decoders fitted in closed form, and nothing trained."""
    job, start = bench.job(budget), gdr_at(bench, budget)
    plan = start.pressed.plan.with_transform(Transform.LEARNED)
    pressed = compensate(job, plan, start.statistics, job.cost_target())
    return replace(start, pressed=pressed)


def headline(bench: Bench) -> None:
    """The methods, with CAP's headline point and its most aggressive one."""
    bench.measure("int8", "8bits", lambda: int8(bench.job(HEADLINE)))
    for budget in BUDGETS:
        bench.measure("gdr", budget, partial(gdr_at, bench, budget))
    for budget in (HEADLINE, AGGRESSIVE):
        measure_cap(bench, budget)
    measure_cap(bench, AGGRESSIVE, LONGER, f"{LONGER.steps}steps")


def curve(bench: Bench) -> None:
    """Transform coding at one signal to noise ratio for all sites."""
    job = bench.job(HEADLINE)
    for decibels in DECIBELS:

        def make(decibels: float = decibels) -> Outcome:
            plan = plan_at(job, bench.statistics, decibels)
            return Outcome(job.press(plan, bench.statistics), bench.statistics, plan.method)

        bench.measure("transform_coding", f"{decibels:g}dB", make)


def seeds(bench: Bench) -> None:
    """The other seeds of the learned headline point."""
    for seed in SEEDS[1:]:
        measure_cap(bench, HEADLINE, replace(SETTINGS.tune, seed=seed))


def controls(bench: Bench) -> None:
    """Other criteria for the greedy search, other moves, and moves measured beforehand."""
    variants = {
        str(criterion): SearchSettings(criterion=criterion)
        for criterion in Criterion
        if criterion is not Criterion.LOSS_PER_BIT
    }
    variants["two_measured"] = SearchSettings(contenders=2)
    variants["rank_moves"] = SearchSettings(ladder=LadderKind.RANK)
    variants["plain_pca"] = SearchSettings(transform=Transform.PCA)
    for variant, search in variants.items():
        settings = replace(SETTINGS, search=search)

        def make(settings: Settings = settings) -> Outcome:
            job = bench.job(HEADLINE, settings)
            return take_from(job, bench.statistics, run_search(job, bench.statistics))

        bench.measure("gdr", f"{HEADLINE},{variant}", make, settings)


def ablation(bench: Bench) -> None:
    """What CAP trains, and on which loss, at the most aggressive point (ResNet18)."""
    if bench.name != "resnet18":
        return
    bench.measure("cap", f"{AGGRESSIVE},closed_form", partial(closed_form, bench, AGGRESSIVE))
    settings = replace(SETTINGS, decoder_images=0)
    bench.measure(
        "cap",
        f"{AGGRESSIVE},pca_decoders",
        lambda: learn(bench.job(AGGRESSIVE, settings), gdr_at(bench, AGGRESSIVE)),
        settings,
    )
    variants = {
        trainable.value: replace(SETTINGS.tune, trainable=trainable)
        for trainable in Trainable
        if trainable is not Trainable.PROJECTIONS
    }
    variants |= {
        name: replace(SETTINGS.tune, **weights)  # type: ignore[arg-type]
        for name, weights in LOSSES.items()
    }
    for variant, tune in variants.items():
        measure_cap(bench, AGGRESSIVE, tune, variant)


def costs(bench: Bench) -> None:
    """Search cost against the naive loop, and a tuning step against a float step (ResNet18)."""
    if bench.name != "resnet18":
        return
    for method, measure in (("search_cost", measure_search_cost), ("step_cost", measure_step_cost)):
        if not bench.store.has(bench.name, method, "", 0):
            row = measure(bench.graph, bench.data)
            bench.store.add(
                {"model": bench.name, "method": method, "variant": "", "seed": 0, **row}
            )
            print(method, row, flush=True)


GROUPS: dict[str, Callable[[Bench], None]] = {
    "headline": headline,
    "seeds": seeds,
    "controls": controls,
    "curve": curve,
    "costs": costs,
    "ablation": ablation,
}


def _work(models: list[str], groups: list[str]) -> Iterator[tuple[str, str]]:
    for group in groups:
        for model in models:
            yield group, model


def _is_trained(name: str) -> bool:
    if (reference.WEIGHTS_FOLDER / f"{name}.safetensors").exists():
        return True
    print(f"{name} has no weights; make them with python -m benchmarks.train_reference {name}")
    return False


def main() -> None:
    """Run what is missing, then write the results page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--groups", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    store = Store(RESULTS)
    benches = {name: Bench(name, torch.device(arguments.device), store) for name in MODELS}
    models = [name for name in arguments.models if _is_trained(name)]
    for group, model in _work(models, arguments.groups):
        GROUPS[group](benches[model])
        write_results_page(store.rows)


if __name__ == "__main__":
    main()
