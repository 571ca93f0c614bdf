"""The co-design: plans say what was learned, and what cannot be is told."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from actpress.budget import Budget
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.graph import Graph
from actpress.methods import Job, Outcome, Settings, choose_widths, gdr
from actpress.plan import Plan
from actpress.settings import WidthSettings
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=64,
    search_images=16,
    holdout_images=32,
    tune=TuneSettings(steps=2, batch_size=16, validate_every=1, validation_images=16),
    widths=WidthSettings(steps=4, move_every=2),
)
FEW = replace(SMALL, search=replace(SMALL.search, rounds=0, transforms=("identity", "pca")))
Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset) -> Make:
    def make(**options: object) -> Job:
        budget = Budget.parse("3bits (fixed, activations)")
        return Job(graph, dataset, budget, replace(FEW, **options))  # type: ignore[arg-type]

    return make


def searched(job: Job) -> Outcome:
    """Learned widths, from the greedy start."""
    return choose_widths(job, gdr(job))


def test_plans_of_groups_name_every_component_and_meet_the_budget(job: Make) -> None:
    given = job(groups=2)
    outcome = searched(given)
    plan = outcome.pressed.plan
    assert Plan.from_json(plan.to_json()) == plan
    assert given.price(outcome.pressed) <= given.objective.target(given.graph.sites, given.budget)
    for site in plan:
        sizes = [len(group.components) for group in site.groups]
        assert sorted(j for group in site.groups for j in group.components) == [
            *range(site.components)
        ]
        assert len(sizes) == 2
        assert max(sizes) - min(sizes) <= 1
        assert site.rank == len(site.kept_components()) >= 1


def test_more_groups_than_components_names_the_site(job: Make) -> None:
    with pytest.raises(BudgetError, match=r"site \S+: its \d+ components cannot be cut into 100"):
        searched(job(groups=100))
