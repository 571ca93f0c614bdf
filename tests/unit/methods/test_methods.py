"""The recipes keep what they promise, by the tables that are really used."""

import copy
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from actpress.allocate import Criterion, SearchSettings, cost_target
from actpress.budget import Budget, BudgetKind, View
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.evaluation import RunInfo, evaluate, predict
from actpress.graph import Graph
from actpress.methods import (
    METHODS,
    UNTRAINED,
    Job,
    Outcome,
    Settings,
    cap,
    compensate,
    gdr,
    int8,
    learn,
    transform_coding,
)
from actpress.plan import Placement, Transform
from actpress.run import CODEC, PLAN, save_model
from actpress.tasks import CLASSIFICATION
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=256,
    search_images=96,
    holdout_images=96,
    tune=TuneSettings(steps=6, batch_size=32, validate_every=3, validation_images=32),
)

Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset) -> Make:
    def make(budget: str = "1.5bits", *, view: View = View.ENTROPY, **options: object) -> Job:
        wanted = Budget.parse(budget, view=view)
        return replace(Job(graph, dataset, wanted, SMALL), **options)  # type: ignore[arg-type]

    return make


def entropy_cost(job: Job, outcome: Outcome, *, traffic: bool) -> float:
    """Table bits over all sites, counted here once more."""
    return sum(
        outcome.pressed.coded_bits[site.name] * (1 + site.reads if traffic else 1)
        for site in job.graph.sites
    )


def test_int8_costs_nothing_and_eight_bits(job: Make, dataset: Dataset) -> None:
    given = job()
    outcome = int8(given)
    metrics = evaluate(outcome.pressed, given.graph, dataset.test, RunInfo())
    assert metrics.agreement >= 0.97
    assert abs(metrics.accuracy_drop_pp) <= 2.1
    assert metrics.bits_per_value.fixed <= 8
    assert metrics.bits_per_value.entropy < metrics.bits_per_value.fixed
    for site in outcome.pressed.plan:
        assert site.placement is Placement.POST_ACT
        assert site.rank == site.channels
        assert (outcome.pressed.codecs[site.site].fixed_bits() <= 8).all()


@pytest.mark.parametrize("method", [transform_coding, gdr])
@pytest.mark.parametrize("budget", ["2.5bits", "1.2bits", "5x"])
def test_budgets_are_met_by_the_real_tables(
    job: Make, method: Callable[[Job], Outcome], budget: str
) -> None:
    given = job(budget)
    outcome = method(given)
    target = cost_target(given.graph.sites, given.budget)
    spent = entropy_cost(given, outcome, traffic=budget.endswith("x"))
    assert 0.75 * target < spent <= target
    assert {site.site for site in outcome.pressed.plan} == {s.name for s in given.graph.sites}


def test_gdr_meets_a_budget_of_fixed_bits(job: Make) -> None:
    given = job("3bits", view=View.FIXED)
    outcome = gdr(given)
    spent = values = 0
    for site in given.graph.sites:
        spent += int(outcome.pressed.codecs[site.name].fixed_bits().sum()) * (
            site.values // site.channels
        )
        values += site.values
    assert spent <= 3 * values


def test_gdr_loses_less_than_transform_coding(job: Make, dataset: Dataset) -> None:
    given = job("0.9bits")
    agreement = [
        evaluate(method(given).pressed, given.graph, dataset.test, RunInfo()).agreement
        for method in (transform_coding, gdr)
    ]
    assert agreement[1] >= agreement[0] - 0.05


@pytest.mark.parametrize("drop", ["2.1pp", "6.3pp"])
def test_an_accuracy_budget_holds_on_held_out_images(job: Make, drop: str) -> None:
    given = job(drop)
    outcome = gdr(given)
    holdout = given.validation()
    reference = (predict(given.graph.eval_module, holdout) == holdout.labels).float().mean()
    accuracy = (predict(outcome.pressed, holdout) == holdout.labels).float().mean()
    assert float(accuracy) >= float(reference) - given.budget.amount / 100 - 1e-6
    values = sum(site.values for site in given.graph.sites)
    assert entropy_cost(given, outcome, traffic=False) < 4 * values


@pytest.mark.parametrize(("coarser", "variant"), [(1.0, ""), (1000.0, "untrained")])
def test_cap_keeps_an_accuracy_budget_whatever_training_does(
    job: Make, monkeypatch: pytest.MonkeyPatch, coarser: float, variant: str
) -> None:
    def train(_task: Job, start: Outcome) -> Outcome:
        pressed = copy.deepcopy(start.pressed)
        for codec in pressed.codecs.values():
            codec.step.mul_(coarser)
        return replace(start, pressed=pressed, method="cap", variant="")

    monkeypatch.setattr(importlib.import_module("actpress.methods.cap"), "learn", train)
    given = job("2.1pp")
    outcome = cap(given)
    assert outcome.method == "cap"
    assert outcome.variant == variant
    assert given.held_out_accuracy(outcome.pressed) >= given.accuracy_floor()


def test_the_search_and_validation_share_no_image(job: Make, dataset: Dataset) -> None:
    given = job(settings=replace(SMALL, search_images=40))
    searched, validation = given.search_images(), given.validation()
    held_out = dataset.holdout.source.load(torch.arange(len(dataset.holdout)))
    assert len(searched) == 40
    assert len(validation) + len(searched) == len(dataset.holdout)
    assert torch.equal(searched, held_out[len(validation) :])


@pytest.mark.parametrize(("held_out", "searched"), [(1, 0), (2, 1), (96, 48)])
def test_a_search_takes_at_most_half_of_the_held_out_images(
    job: Make, dataset: Dataset, held_out: int, searched: int
) -> None:
    small = replace(dataset, holdout=dataset.holdout.take(held_out))
    given = job(data=small)
    images = given.search_images()
    assert len(images) == SMALL.search_images
    assert len(given.validation()) == held_out - searched
    train, _ = next(dataset.train.batches(len(images)))
    assert torch.equal(images[searched:], train[: len(images) - searched])


def test_transform_coding_refuses_what_it_cannot_do(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("actpress.methods.transform_coding")
    monkeypatch.setattr(module, "LOWEST_DB", 10.0)
    with pytest.raises(BudgetError, match="no accuracy budget; give bits"):
        transform_coding(job("1pp"))
    with pytest.raises(BudgetError, match=r"cannot reach 0\.001bits .*its best is \d\.\d+bits"):
        transform_coding(job("0.001bits"))


def test_the_path_ends_at_the_plan_that_was_taken(job: Make) -> None:
    outcome = gdr(job("1.2bits"))
    last = {point.site: (point.rank, point.step) for point in outcome.path}
    moved = [site for site in outcome.pressed.plan if site.site in last]
    assert all(site.rank == last[site.site][0] for site in moved)
    factors = [site.step / last[site.site][1] for site in moved]
    assert factors == pytest.approx([factors[0]] * len(moved)), "all steps are scaled alike"
    assert 0.7 < factors[0] <= 1.0
    assert outcome.variant == "loss_per_bit"


def test_decoders_in_closed_form_keep_the_budget_and_win_accuracy_back(job: Make) -> None:
    given = job("1.2bits")
    start = gdr(given)
    plan = start.pressed.plan.with_transform(Transform.LEARNED)
    pressed = compensate(given, plan, start.statistics, given.cost_target())
    assert 0.97 * given.cost_target() < given.cost(pressed) <= given.cost_target()

    def divergence(model: nn.Module) -> float:
        (x, _) = next(given.validation().batches(96))
        with torch.no_grad():
            return float(CLASSIFICATION.divergence(model(x), given.graph.eval_module(x)))

    assert divergence(pressed) < 0.8 * divergence(start.pressed)


@pytest.mark.parametrize("method", [gdr, cap])
def test_a_budget_that_nobody_can_spend_is_left_over(
    job: Make, dataset: Dataset, method: Callable[[Job], Outcome]
) -> None:
    """Ever finer steps would leave the range of the symbols, and what code tables hold."""
    given = replace(job("8bits"), budget=Budget(BudgetKind.BITS_PER_VALUE, 20.0))
    outcome = method(given)
    for codec in outcome.pressed.codecs.values():
        assert codec.counts.shape[1] <= 1024 * 1.01
        assert codec.coder().components == codec.rank
    float_predictions = predict(given.graph.eval_module, dataset.holdout)
    agree = predict(outcome.pressed, dataset.holdout) == float_predictions
    assert agree.float().mean() > 0.98


def test_without_decoder_images_decoders_start_as_pca_made_them(job: Make) -> None:
    given = job("1.2bits", settings=replace(SMALL, decoder_images=0))
    start = gdr(given)
    plan = start.pressed.plan.with_transform(Transform.LEARNED)
    pressed = compensate(given, plan, start.statistics, given.cost_target())
    for name, codec in pressed.codecs.items():
        assert codec.projection.decoder.equal(start.pressed.codecs[name].projection.decoder)


def test_what_training_does_not_improve_stays_as_it_was(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job("1.2bits")
    start = gdr(given)
    module = importlib.import_module("actpress.methods.learning")
    monkeypatch.setattr(module, "held_out_divergence", lambda *given: 0.0)
    outcome = learn(given, start)
    assert outcome.variant == UNTRAINED
    assert outcome.pressed is start.pressed
    assert outcome.tune_seconds > 0


def test_cap_learns_at_the_bits_of_gdr(job: Make, tmp_path: Path) -> None:
    given = job("1.2bits", folder=tmp_path)
    outcome = cap(given)
    target = cost_target(given.graph.sites, given.budget)
    assert outcome.method == "cap"
    assert {site.transform for site in outcome.pressed.plan} == {Transform.LEARNED}
    assert entropy_cost(given, outcome, traffic=False) <= 1.03 * target
    assert (tmp_path / "tune.pt").exists()
    for codec in outcome.pressed.codecs.values():
        for parameter in codec.projection.parameters():
            assert parameter.equal(parameter.half().float()), "stored in half precision"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_two_runs_are_equal_to_the_byte(job: Make, tmp_path: Path, method: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        torch.manual_seed(hash(name) % 1000)
        save_model(METHODS[method](job()).pressed, tmp_path / name)
    for file in (PLAN, CODEC):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods_never_open_the_test_split(job: Make, dataset: Dataset, method: str) -> None:
    class Forbidden:
        def __len__(self) -> int:
            return len(dataset.test)

        def load(self, indices: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the test split was opened")

    sealed = replace(dataset, test=replace(dataset.test, source=Forbidden()))
    METHODS[method](job(data=sealed))


@pytest.mark.parametrize("criterion", Criterion)
def test_every_control_meets_the_budget_through_the_same_code(
    job: Make, criterion: Criterion
) -> None:
    settings = replace(SMALL, search=SearchSettings(criterion=criterion))
    given = job("1.2bits", settings=settings)
    outcome = gdr(given)
    target = cost_target(given.graph.sites, given.budget)
    assert entropy_cost(given, outcome, traffic=False) <= target
    assert outcome.variant == criterion
