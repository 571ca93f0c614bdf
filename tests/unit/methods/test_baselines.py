"""The baselines meet their budgets, train what they say, and choose what is best."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from actpress.budget import Budget, View
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.graph import Graph
from actpress.methods import (
    Outcome,
    Settings,
    Task,
    entropy_training,
    layerwise_ilp,
    layerwise_search,
    lsq,
)
from actpress.methods.lsq import train_steps
from actpress.methods.mixed_precision import choose_widths_by_ilp, sensitivities
from actpress.methods.uniform import uniform_plan
from actpress.plan import Placement, Transform
from actpress.tune import TuneSettings, WidthSettings

SMALL = Settings(
    calibration_images=128,
    search_images=48,
    holdout_images=48,
    tune=TuneSettings(steps=6, batch_size=32, validate_every=3, validation_images=32),
    widths=WidthSettings(steps=10, move_every=2),
)
BASELINES = (lsq, layerwise_ilp, layerwise_search, entropy_training)
Make = Callable[..., Task]


@pytest.fixture
def task(graph: Graph, dataset: Dataset) -> Make:
    def make(budget: str, *, view: View = View.ENTROPY, tune: TuneSettings = SMALL.tune) -> Task:
        wanted = Budget.parse(budget, view=view)
        return Task(graph, dataset, wanted, replace(SMALL, tune=tune))

    return make


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("budget", ["3bits", "1.6bits", "4x"])
def test_the_real_tables_meet_an_entropy_budget(
    task: Make, method: Callable[[Task], Outcome], budget: str
) -> None:
    given = task(budget)
    outcome = method(given)
    assert outcome.method == outcome.pressed.plan.method == method.__name__
    assert given.cost(outcome.pressed) <= given.cost_target()
    for site in outcome.pressed.plan:
        assert site.transform is Transform.IDENTITY
        assert site.placement is Placement.POST_ACT
        assert site.rank == site.channels


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_a_fixed_budget_is_met_by_the_widths(task: Make, method: Callable[[Task], Outcome]) -> None:
    given = task("3.5bits", view=View.FIXED)
    outcome = method(given)
    nominal = sum(
        site.bit_width * given.graph.site(site.site).values for site in outcome.pressed.plan
    )
    assert given.cost(outcome.pressed) <= nominal <= given.cost_target()
    if method is not lsq:  # the integer program fills what one width for all leaves over
        assert nominal > 3 / 3.5 * given.cost_target()


@pytest.mark.parametrize("method", BASELINES)
def test_accuracy_budgets_are_refused(task: Make, method: Callable[[Task], Outcome]) -> None:
    with pytest.raises(BudgetError, match=f"{method.__name__} has no accuracy budget; give bits"):
        method(task("1pp"))


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_less_than_one_bit_at_every_site_is_refused(
    task: Make, method: Callable[[Task], Outcome]
) -> None:
    with pytest.raises(BudgetError, match="one bit at every site"):
        method(task("0.5bits", view=View.FIXED))


def test_training_steps_helps_coarse_ones(task: Make) -> None:
    """Two bits over the whole calibrated range are far too coarse; LSQ shrinks them."""
    tune = TuneSettings(
        steps=60, batch_size=64, validate_every=20, validation_images=48, step_lr=0.02
    )
    given = task("3bits", view=View.FIXED, tune=tune)
    statistics = given.calibrate(Placement.POST_ACT)
    plan = uniform_plan(given, statistics, {site.name: 2 for site in given.graph.sites})
    before = given.held_out_accuracy(given.press(plan, statistics))
    outcome = train_steps(given, plan, statistics, method="lsq")
    assert given.held_out_accuracy(outcome.pressed) >= before
    ratios = [
        float(outcome.pressed.codecs[site.site].step.mean()) / site.step
        for site in outcome.pressed.plan
    ]
    assert min(ratios) < 0.9
    assert all(torch.isfinite(codec.step).all() for codec in outcome.pressed.codecs.values())


@pytest.mark.parametrize("target", [9.0, 13.0, 20.0, 31.0])
def test_the_integer_program_is_as_good_as_trying_everything(target: float) -> None:
    generator = np.random.default_rng(int(target))
    losses = np.sort(generator.random((3, 8)))[:, ::-1].copy()
    costs = np.cumsum(generator.random((3, 8)) + 0.5, axis=1)
    widths = choose_widths_by_ilp(losses, costs, target)

    def total(table: np.ndarray, choice: tuple[int, ...]) -> float:
        return float(sum(table[row, width - 1] for row, width in enumerate(choice)))

    allowed = [
        choice
        for choice in itertools.product(range(1, 9), repeat=3)
        if total(costs, choice) <= target
    ]
    assert total(costs, tuple(widths)) <= target * (1 + 1e-9)
    assert total(losses, tuple(widths)) == pytest.approx(min(total(losses, c) for c in allowed))


def test_more_bits_never_look_worse(task: Make) -> None:
    given = task("3bits", view=View.FIXED)
    losses, costs = sensitivities(given, given.calibrate(Placement.POST_ACT))
    assert (losses[:, 0] > losses[:, -1]).all()
    assert (losses >= 0).all()
    values = [site.values for site in given.graph.sites]
    np.testing.assert_allclose(costs, np.outer(values, range(1, 9)))
