"""Recipes meet what is asked, in the unit that is asked, and the same way again."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from actpress.budget import Budget
from actpress.cost import EnergyModel
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError, RunError
from actpress.graph import Graph
from actpress.methods import METHODS, codesign, gdr
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.select import select
from actpress.pipeline.settings import Settings
from actpress.plan import Transform
from actpress.tune import TuneSettings, WidthSettings

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    decoder_images=32,
    tune=TuneSettings(steps=4, batch_size=16, validate_every=2, validation_images=32),
    widths=WidthSettings(steps=4),
)


@pytest.mark.parametrize("view", ["entropy", "fixed"])
@pytest.mark.parametrize("method", ["gdr", "cap", "layerwise_ilp"])
def test_budgets_of_activations_are_met(
    graph: Graph, dataset: Dataset, method: str, view: str
) -> None:
    job = Job(graph, dataset, Budget.parse(f"3bits ({view}, activations)"), SMALL)
    outcome = METHODS[method](job)
    allowed = job.objective.target(graph.sites, job.budget)
    assert 0 < job.price(outcome.pressed) <= allowed


def test_net_budgets_count_parameters_and_tables(graph: Graph, dataset: Dataset) -> None:
    job = Job(graph, dataset, Budget.parse("2x (fixed, batch 100000)"), SMALL)
    outcome = gdr(job)
    uses = job.uses(outcome.pressed)
    moved = sum(use.moved_bits for use in uses.values())
    fetched = sum(use.fetched_bits for use in uses.values())
    assert job.price(outcome.pressed) == pytest.approx(moved + fetched / 100_000)


def test_one_seed_gives_one_plan(graph: Graph, dataset: Dataset) -> None:
    budget = Budget.parse("3bits (entropy, activations)")
    plans = [gdr(Job(graph, dataset, budget, SMALL)).pressed.plan for _ in range(2)]
    assert plans[0] == plans[1]


def test_a_finished_search_is_carried_along(
    graph: Graph, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def counted(job: Job, *, method: str) -> Outcome:
        searched.append(job.budget)
        return select(job, method=method)

    monkeypatch.setattr(sys.modules[gdr.__module__], "select", counted)
    job = Job(graph, dataset, Budget.parse("3bits (entropy, activations)"), SMALL)
    first, tuned = gdr(job), METHODS["cap"](job)
    METHODS["best"](replace(job, folder=None))
    assert searched == [job.budget], "cap, codesign and best begin with what gdr found"
    fresh = METHODS["cap"](Job(graph, dataset, job.budget, SMALL))
    assert fresh.pressed.plan == tuned.pressed.plan
    assert first.pressed.plan.method == "gdr", "nobody else's result is changed"
    gdr(replace(job, budget=Budget.parse("4bits (entropy, activations)")))
    assert len(searched) == 3, "another budget has a search of its own"


def test_a_search_for_another_memory_is_not_taken_up(
    graph: Graph, dataset: Dataset, tmp_path: Path
) -> None:
    job = Job(graph, dataset, Budget.parse("3bits (entropy, activations)"), SMALL, folder=tmp_path)
    gdr(job)
    with pytest.raises(RunError, match="belongs to another network, budget or settings"):
        gdr(replace(job, energy=EnergyModel("mine", pj_per_bit=1.0), searches={}))


def test_transforms_that_are_not_allowed_are_not_used(graph: Graph, dataset: Dataset) -> None:
    search = replace(SMALL.search, transforms=(Transform.IDENTITY,))
    budget = Budget.parse("3bits (entropy, activations)")
    job = Job(graph, dataset, budget, replace(SMALL, search=search))
    plan = gdr(job).pressed.plan
    assert {site.transform for site in plan} == {Transform.IDENTITY}


def test_learned_widths_meet_the_budget(graph: Graph, dataset: Dataset) -> None:
    job = Job(graph, dataset, Budget.parse("3bits (fixed, activations)"), SMALL)
    outcome = codesign(job)
    assert job.price(outcome.pressed) <= job.objective.target(graph.sites, job.budget)


def test_a_budget_out_of_reach_says_what_is_not(graph: Graph, dataset: Dataset) -> None:
    job = Job(graph, dataset, Budget.parse("5000x"), SMALL)
    with pytest.raises(BudgetError, match=r"cannot be reached; the best .* at batch 1 is"):
        gdr(job)
