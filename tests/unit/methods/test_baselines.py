"""The baselines meet their budgets, train what they say, and choose what is best."""

import importlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actpress.budget import Budget
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
)
from actpress.methods.fixed_width import best_step, uniform_plan
from actpress.methods.layerwise import choose_by_ilp
from actpress.methods.learned_steps import train_steps
from actpress.plan import Placement, Plan, Transform
from actpress.pressing import covering_step, lowest_symbol
from actpress.settings import WidthSettings
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=128,
    search_images=32,
    holdout_images=48,
    tune=TuneSettings(steps=2, batch_size=32, validate_every=1, validation_images=32),
    widths=WidthSettings(steps=4, move_every=2),
)
BASELINES = (lsq, layerwise_ilp, layerwise_search, entropy_training)
Method = Callable[[Job], Outcome]
Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset, tmp_path: Path) -> Make:
    def make(budget: str, *, tune: TuneSettings = SMALL.tune) -> Job:
        settings = replace(SMALL, tune=tune)
        return Job(graph, dataset, Budget.parse(budget), settings, folder=tmp_path / "run")

    return make


@pytest.mark.parametrize("method", BASELINES)
def test_the_real_tables_meet_an_entropy_budget(job: Make, method: Method) -> None:
    given = job("1.6bits (entropy, activations)")
    outcome = method(given)
    assert outcome.method == outcome.pressed.plan.method == method.__name__
    assert 0.5 * given.target() < given.price(outcome.pressed) <= given.target()
    for site in outcome.pressed.plan:
        assert site.transform == Transform.IDENTITY
        assert site.placement is Placement.POST_ACT
        assert site.rank == site.channels


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_a_fixed_budget_is_met_by_the_widths(job: Make, method: Method) -> None:
    given = job("3.5bits (fixed, activations)")
    outcome = method(given)
    nominal = sum(
        site.bit_width * given.graph.site(site.site).values for site in outcome.pressed.plan
    )
    allowed = 3.5 * sum(site.values for site in given.graph.sites)
    assert given.price(outcome.pressed) <= nominal <= allowed
    if method is not lsq:  # the integer program fills what one width for all leaves over
        assert nominal > 0.9 * allowed


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
@pytest.mark.parametrize("budget", ["2x (fixed, batch 1)", "2x (fixed, activations)"])
def test_steps_of_channels_are_trained_where_they_cost_nothing(
    job: Make, method: Method, budget: str
) -> None:
    """Widths that just meet a budget leave nothing for steps that have to be fetched."""
    given = job(budget, tune=replace(SMALL.tune, steps=8, lr_scale=10))
    outcome = method(given)
    assert outcome.variant == "", "training helped, and was kept"
    assert given.price(outcome.pressed) <= given.objective.target(given.graph.sites, given.budget)
    codecs = outcome.pressed.codecs.values()
    differ = any(len(codec.step.unique()) > 1 for codec in codecs)
    assert differ == ("activations" in budget)


@pytest.mark.parametrize("method", BASELINES)
def test_accuracy_budgets_are_refused(job: Make, method: Method) -> None:
    with pytest.raises(BudgetError, match=f"{method.__name__} has no budget of quality"):
        method(job("1pp"))


@pytest.mark.parametrize("method", [lsq, layerwise_ilp, layerwise_search])
def test_less_than_one_bit_at_every_site_is_refused(job: Make, method: Method) -> None:
    with pytest.raises(BudgetError, match="one bit at every site"):
        method(job("0.5bits (fixed, activations)"))


def test_lsq_goes_on_to_fewer_bits_when_training_raises_the_entropy(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has a checkpoint of its own, also when the run is resumed."""
    given = job("3bits (entropy, activations)")
    module = importlib.import_module("actpress.methods.fixed_width")
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
    assert given.price(first.pressed) == given.price(again.pressed) <= given.target()


@pytest.mark.parametrize("signed", [False, True])
def test_the_best_step_is_that_of_least_error_on_the_values_themselves(*, signed: bool) -> None:
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
        found = best_step(statistics, bit_width)
        assert error(found) <= 1.1 * least, "bins are an eighth of an octave"
        assert found < widest
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
        steps=40, batch_size=64, validate_every=20, validation_images=48, step_lr=0.02
    )
    given = job("3bits (fixed, activations)", tune=tune)
    statistics = given.calibrate(Placement.POST_ACT)
    plan = uniform_plan(
        given, {name: covering_step(own, 2) for name, own in statistics.sites.items()}, 2
    )
    before = given.held_out_loss(given.press(plan, statistics))
    outcome = train_steps(given, plan, statistics, method="lsq")
    ratios = [
        float(outcome.pressed.codecs[site.site].step.mean()) / site.step
        for site in outcome.pressed.plan
    ]
    assert min(ratios) < 0.9
    assert given.held_out_loss(outcome.pressed) < before
    assert all(torch.isfinite(codec.step).all() for codec in outcome.pressed.codecs.values())


def test_a_plan_that_costs_too_much_is_coarsened_before_its_steps_are_trained(job: Make) -> None:
    given = job("2bits (entropy, activations)")
    statistics = given.calibrate(Placement.POST_ACT)
    steps = {name: covering_step(own, 8) for name, own in statistics.sites.items()}
    plan = uniform_plan(given, steps, 8)
    assert given.price(given.press(plan, statistics)) > 1.5 * given.target()
    outcome = train_steps(given, plan, statistics, method="lsq", hold_bits=True)
    assert 0.9 * given.target() <= given.price(outcome.pressed) <= given.target()


@pytest.mark.parametrize("target", [9.0, 13.0, 20.0, 31.0])
def test_the_integer_program_is_as_good_as_trying_everything(target: float) -> None:
    generator = np.random.default_rng(int(target))
    losses = np.sort(generator.random((3, 8)))[:, ::-1].copy()
    prices = np.cumsum(generator.random((3, 8)) + 0.5, axis=1)
    chosen = choose_by_ilp(losses, prices, target)

    def total(table: np.ndarray, choice: tuple[int, ...]) -> float:
        return float(sum(table[row, index] for row, index in enumerate(choice)))

    allowed = [
        choice
        for choice in itertools.product(range(8), repeat=3)
        if total(prices, choice) <= target
    ]
    assert total(prices, tuple(chosen)) <= target * (1 + 1e-9)
    assert total(losses, tuple(chosen)) == pytest.approx(min(total(losses, c) for c in allowed))
