"""The baselines meet their budgets, train what they say, and choose what is best."""

import importlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from actpress.methods.job import RESERVE
from actpress.methods.mixed_precision import BIT_WIDTHS, choose_widths_by_ilp, sensitivities

from actpress.budget import Budget, View
from actpress.calibration import observe
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.graph import Graph
from actpress.methods import (
    Job,
    Outcome,
    Settings,
    entropy_training,
    layerwise_ilp,
    layerwise_search,
    lsq,
    transform_coding,
)
from actpress.methods.lsq import train_steps
from actpress.methods.uniform import best_step, covering_step, uniform_plan
from actpress.plan import Placement, Plan, Transform
from actpress.pressing import lowest_symbol
from actpress.tune import TuneSettings, WidthSettings

SMALL = Settings(
    calibration_images=128,
    search_images=48,
    holdout_images=48,
    tune=TuneSettings(steps=6, batch_size=32, validate_every=3, validation_images=32),
    widths=WidthSettings(steps=10, move_every=2),
)
BASELINES = (lsq, layerwise_ilp, layerwise_search, entropy_training)
Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset, tmp_path: Path) -> Make:
    def make(budget: str, *, view: View = View.ENTROPY, tune: TuneSettings = SMALL.tune) -> Job:
        wanted = Budget.parse(budget, view=view)
        return Job(graph, dataset, wanted, replace(SMALL, tune=tune), tmp_path / "run")

    return make


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("budget", ["3bits", "1.6bits", "4x"])
def test_the_real_tables_meet_an_entropy_budget(
    job: Make, method: Callable[[Job], Outcome], budget: str
) -> None:
    given = job(budget)
    outcome = method(given)
    assert outcome.method == outcome.pressed.plan.method == method.__name__
    assert given.cost(outcome.pressed) <= given.cost_target()
    for site in outcome.pressed.plan:
        assert site.transform is Transform.IDENTITY
        assert site.placement is Placement.POST_ACT
        assert site.rank == site.channels


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_a_fixed_budget_is_met_by_the_widths(job: Make, method: Callable[[Job], Outcome]) -> None:
    given = job("3.5bits", view=View.FIXED)
    outcome = method(given)
    nominal = sum(
        site.bit_width * given.graph.site(site.site).values for site in outcome.pressed.plan
    )
    assert given.cost(outcome.pressed) <= nominal <= given.cost_target() / (1 - RESERVE)
    if method is not lsq:  # the integer program fills what one width for all leaves over
        assert nominal > 0.9 * given.cost_target()


@pytest.mark.parametrize("method", BASELINES)
def test_accuracy_budgets_are_refused(job: Make, method: Callable[[Job], Outcome]) -> None:
    with pytest.raises(BudgetError, match=f"{method.__name__} has no accuracy budget; give bits"):
        method(job("1pp"))


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_less_than_one_bit_at_every_site_is_refused(
    job: Make, method: Callable[[Job], Outcome]
) -> None:
    with pytest.raises(BudgetError, match="one bit at every site"):
        method(job("0.5bits", view=View.FIXED))


@pytest.mark.parametrize("budget", ["0.0001bits", "100000x"])
def test_entropy_training_says_when_no_step_is_coarse_enough(job: Make, budget: str) -> None:
    with pytest.raises(BudgetError, match=r"exceed the budget .* by \d+\.\d %"):
        entropy_training(job(budget))


def test_lsq_goes_on_to_fewer_bits_when_training_raises_the_entropy(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has a checkpoint of its own, also when the run is resumed."""
    given = job("3bits")
    module = importlib.import_module("actpress.methods.uniform")
    widths = []

    def too_many_at_first(job: Job, plan: Plan, *rest: object, **options: object) -> Outcome:
        outcome = train_steps(job, plan, *rest, **options)  # type: ignore[arg-type]
        widths.append(plan.sites[0].bit_width)
        if len(widths) in {1, 3}:
            for name in outcome.pressed.coded_bits:
                outcome.pressed.coded_bits[name] *= 1000
        return outcome

    monkeypatch.setattr(module, "train_steps", too_many_at_first)
    first, again = lsq(given), lsq(given)
    assert widths[0] > widths[1]
    assert widths[2:] == widths[:2]
    assert given.cost(first.pressed) == given.cost(again.pressed) <= given.cost_target()


@pytest.mark.parametrize("signed", [False, True])
def test_the_best_step_is_that_of_least_error_on_the_values_themselves(signed: bool) -> None:  # noqa: FBT001
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(10, 4, 10, 10, generator=generator) - 0.5
    x = -uniform.sign() * torch.log1p(-2 * uniform.abs())  # Laplace
    x = x if signed else x.relu()
    statistics = observe(x)
    for bit_width in (2, 3, 4):

        def error(step: float, bit_width: int = bit_width) -> float:
            low = lowest_symbol(statistics, step, 2**bit_width)
            q = (x / step).round().clamp(low, low + 2**bit_width - 1)
            return float((q * step - x).square().mean())

        widest = covering_step(statistics, bit_width)
        least = min(error(widest * share / 100) for share in range(2, 101))
        assert (
            error(best_step(statistics, bit_width)) <= 1.1 * least
        )  # bins are an eighth of an octave
        assert best_step(statistics, bit_width) < widest
    assert best_step(statistics, 2) < 0.7 * covering_step(statistics, 2)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 20, 0), (-20, 20, -4), (-2, 20, -2), (-20, 2, -5), (-3, 4, -3)],
)
def test_ranges_hold_zero_and_are_cut_where_values_reach_further(
    low: int, high: int, expected: int
) -> None:
    statistics = observe(torch.tensor([float(low), float(high)]).reshape(2, 1, 1, 1))
    assert lowest_symbol(statistics, 1.0, 8) == expected


def test_training_steps_helps_coarse_ones(job: Make) -> None:
    """Two bits over the whole calibrated range are far too coarse; LSQ shrinks them."""
    tune = TuneSettings(
        steps=60, batch_size=64, validate_every=20, validation_images=48, step_lr=0.02
    )
    given = job("3bits", view=View.FIXED, tune=tune)
    statistics = given.calibrate(Placement.POST_ACT)
    plan = uniform_plan(
        given, {name: covering_step(own, 2) for name, own in statistics.sites.items()}, 2
    )
    before = given.held_out_accuracy(given.press(plan, statistics))
    outcome = train_steps(given, plan, statistics, method="lsq")
    ratios = [
        float(outcome.pressed.codecs[site.site].step.mean()) / site.step
        for site in outcome.pressed.plan
    ]
    assert min(ratios) < 0.9
    assert given.held_out_accuracy(outcome.pressed) > before
    assert all(torch.isfinite(codec.step).all() for codec in outcome.pressed.codecs.values())


def test_a_plan_that_costs_too_much_is_coarsened_before_its_steps_are_trained(job: Make) -> None:
    given = job("2bits", tune=replace(SMALL.tune, steps=1, validate_every=1))
    statistics = given.calibrate(Placement.POST_ACT)
    steps = {name: covering_step(own, 8) for name, own in statistics.sites.items()}
    plan = uniform_plan(given, steps, 8)
    assert given.cost(given.press(plan, statistics)) > 1.5 * given.cost_target()
    outcome = train_steps(given, plan, statistics, method="lsq", hold_bits=True)
    assert 0.95 * given.cost_target() <= given.cost(outcome.pressed) <= given.cost_target()


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


@pytest.mark.parametrize("method", [entropy_training, layerwise_search])
@pytest.mark.parametrize("budget", ["8bits", "1x"])
def test_a_budget_nobody_can_spend_is_no_trouble(
    job: Make, method: Callable[[Job], Outcome], budget: str
) -> None:
    given = job(budget)
    assert given.cost(method(given).pressed) <= given.cost_target()


@pytest.mark.parametrize("method", [layerwise_ilp, layerwise_search, transform_coding])
@pytest.mark.parametrize("budget", ["1bits", "1.3bits", "2bits"])
def test_a_budget_is_spent(job: Make, method: Callable[[Job], Outcome], budget: str) -> None:
    """Compared at equal budgets, they must not be left with fewer bits than the others."""
    given = job(budget)
    assert given.cost(method(given).pressed) >= 0.97 * given.cost_target()


def test_more_bits_never_look_worse(job: Make) -> None:
    given = job("3bits", view=View.FIXED)
    statistics = given.calibrate(Placement.POST_ACT)
    candidates = {
        name: [best_step(own, bit_width) for bit_width in BIT_WIDTHS]
        for name, own in statistics.sites.items()
    }
    losses, costs = sensitivities(given, statistics, candidates, BIT_WIDTHS)
    assert (losses[:, 0] > losses[:, -1]).all()
    assert (losses >= 0).all()
    values = [site.values for site in given.graph.sites]
    np.testing.assert_allclose(costs, np.outer(values, range(1, 9)))
