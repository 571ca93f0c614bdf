"""`best` keeps the method that loses least on held-out images, and says which."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from actpress.budget import Budget
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.graph import Graph
from actpress.methods import gdr
from actpress.methods.best_of import CANDIDATES, best
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.settings import Settings

Method = Callable[[Job], Outcome]


def coarse(job: Job) -> Outcome:
    """GDR with half of what the budget allows: it loses more."""
    tighter = job.budget.with_ratio(2 * job.budget.ratio)
    return replace(gdr(replace(job, budget=tighter)), method="coarse")


def out_of_reach(_job: Job) -> Outcome:
    raise BudgetError("too little")


@pytest.fixture
def job(graph: Graph, dataset: Dataset) -> Job:
    budget = Budget.parse("2x (entropy, activations)")
    return Job(graph, dataset, budget, Settings(calibration_images=64, search_images=16))


@pytest.mark.parametrize("first", [True, False])
def test_the_least_loss_wins_whatever_the_order(
    *, job: Job, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    methods: dict[str, Method] = {"a": out_of_reach, "b": coarse, "c": gdr}
    ordered = methods if first else dict(reversed(methods.items()))
    monkeypatch.setattr("actpress.methods.best_of.CANDIDATES", ordered)
    outcome = best(job)
    assert outcome.method == "best"
    assert outcome.variant.startswith("gdr")


def test_where_nothing_is_a_gain_every_reason_is_told(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actpress.methods.best_of.CANDIDATES", {"a": out_of_reach})
    with pytest.raises(BudgetError, match=r"no method is a net win within 2x .*a: too little"):
        best(job)


def test_fast_methods_come_first() -> None:
    assert next(iter(CANDIDATES)) == "gdr"
