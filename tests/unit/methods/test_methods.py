"""The recipes keep what they promise, by the tables that are really used."""

import copy
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from actpress.budget import Budget
from actpress.data.dataset import Dataset
from actpress.errors import BudgetError
from actpress.evaluation import RunInfo, evaluate, predict
from actpress.graph import Graph
from actpress.methods import METHODS, Job, Outcome, Settings, cap, gdr, int8, transform_coding
from actpress.pipeline import learn as learning
from actpress.plan import Placement, Transform
from actpress.run import CODEC, PLAN, save_model
from actpress.settings import WidthSettings
from actpress.tune import TuneSettings

SMALL = Settings(
    calibration_images=128,
    search_images=32,
    decoder_images=128,
    holdout_images=64,
    tune=TuneSettings(steps=4, batch_size=32, validate_every=2, validation_images=32),
    widths=WidthSettings(steps=4, move_every=2),
)
FEW = replace(SMALL, search=replace(SMALL.search, rounds=0, transforms=("identity", "fisher_pca")))
"""A short search, for what does not depend on how good it is."""

Make = Callable[..., Job]


@pytest.fixture
def job(graph: Graph, dataset: Dataset) -> Make:
    def make(budget: str = "1.5bits (entropy, activations)", **options: object) -> Job:
        return replace(Job(graph, dataset, Budget.parse(budget), FEW), **options)  # type: ignore[arg-type]

    return make


def stored_bits(job: Job, outcome: Outcome, *, traffic: bool) -> float:
    """Table bits over all sites, counted here once more."""
    return sum(
        outcome.pressed.coded_bits[site.name] * (1 + site.reads if traffic else 1)
        for site in job.graph.sites
    )


def divergence(job: Job, model: nn.Module) -> float:
    (x, _) = next(job.validation().batches(96))
    with torch.no_grad():
        return float(job.graph.task.divergence(model(x), job.graph.eval_module(x)))


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
@pytest.mark.parametrize("budget", ["2.5bits", "5x"])
def test_budgets_of_activations_are_spent_by_the_real_tables(
    job: Make, method: Callable[[Job], Outcome], budget: str
) -> None:
    given = job(f"{budget} (entropy, activations)")
    outcome = method(given)
    values = sum(s.values * (1 + s.reads if budget == "5x" else 1) for s in given.graph.sites)
    target = values * (8 / 5 if budget == "5x" else 2.5)
    spent = stored_bits(given, outcome, traffic=budget == "5x")
    assert 0.75 * target < spent <= target
    assert {site.site for site in outcome.pressed.plan} <= {s.name for s in given.graph.sites}


def test_gdr_loses_less_than_transform_coding(job: Make) -> None:
    given = job("0.9bits (entropy, activations)", settings=SMALL)
    losses = [divergence(given, method(given).pressed) for method in (transform_coding, gdr)]
    assert losses[1] < 0.9 * losses[0]


def test_an_accuracy_budget_holds_on_held_out_images(job: Make) -> None:
    given = job("6.3pp")
    outcome = gdr(given)
    holdout = given.validation().take(FEW.holdout_images)
    reference = (predict(given.graph.eval_module, holdout) == holdout.labels).float().mean()
    accuracy = (predict(outcome.pressed, holdout) == holdout.labels).float().mean()
    assert float(accuracy) >= float(reference) - 0.063 - 1e-6
    assert given.price(outcome.pressed) < given.objective.reference(given.graph.sites) / 1.5


@pytest.mark.parametrize(("coarser", "variant"), [(1.0, ""), (1000.0, "untrained")])
def test_cap_keeps_an_accuracy_budget_whatever_training_does(
    job: Make, monkeypatch: pytest.MonkeyPatch, coarser: float, variant: str
) -> None:
    def train(_: Job, start: Outcome) -> Outcome:
        pressed = copy.deepcopy(start.pressed)
        for codec in pressed.codecs.values():
            codec.step.mul_(coarser)
        return replace(start, pressed=pressed, method="cap", variant="")

    monkeypatch.setattr(importlib.import_module("actpress.methods.greedy"), "learn", train)
    given = job("6.3pp")
    outcome = cap(given)
    assert outcome.method == "cap"
    assert outcome.variant == variant
    assert given.held_out_loss(outcome.pressed) <= 6.3


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
    given = job(data=small, settings=replace(SMALL, search_images=60))
    images = given.search_images()
    assert len(images) == 60
    assert len(given.validation()) == held_out - searched
    train, _ = next(dataset.train.batches(len(images)))
    assert torch.equal(images[searched:], train[: len(images) - searched])


def test_transform_coding_refuses_what_it_cannot_do(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BudgetError, match=r"no budget of quality, .*; give bits"):
        transform_coding(job("1pp"))
    monkeypatch.setattr(importlib.import_module(transform_coding.__module__), "LOWEST_DB", 10.0)
    with pytest.raises(BudgetError, match=r"0\.001bits"):
        transform_coding(job("0.001bits (entropy, activations)"))


def test_decoders_in_closed_form_keep_and_spend_the_budget(job: Make) -> None:
    given = job("1.2bits (entropy, activations)")
    start = gdr(given)
    plan = learning.learnable(given, start.pressed.plan, "cap")
    assert any(site.transform == Transform.LEARNED for site in plan)
    pressed = learning.compensate(given, plan, start.statistics, given.target())
    assert 0.96 * given.target() < given.price(pressed) <= given.target()


def test_without_decoder_images_decoders_start_as_they_were_fitted(job: Make) -> None:
    given = job("1.2bits (entropy, activations)", settings=replace(FEW, decoder_images=0))
    start = gdr(given)
    plan = learning.learnable(given, start.pressed.plan, "cap")
    pressed = learning.compensate(given, plan, start.statistics, given.target())
    free = [site.site for site in plan if site.transform == Transform.LEARNED]
    assert free
    for name in free:
        ours, theirs = (net.codecs[name].projection.decoder for net in (pressed, start.pressed))
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


def test_what_training_does_not_improve_stays_as_it_was(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job("1.2bits (entropy, activations)")
    start = gdr(given)
    monkeypatch.setattr(learning, "held_out_divergence", lambda *given, team: 0.0)
    outcome = learning.learn(given, start)
    assert outcome.variant == learning.UNTRAINED
    assert outcome.pressed is start.pressed
    assert outcome.tune_seconds > 0


def test_a_bound_below_what_is_fetched_leaves_the_plan_as_it_was(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = job("2x (entropy, batch 1)")
    start = gdr(given)
    monkeypatch.setattr(learning, "_bound", lambda job, start: 1.0)
    outcome = learning.learn(given, start)
    assert (outcome.variant, outcome.pressed) == (learning.UNTRAINED, start.pressed)


def test_cap_learns_at_the_bits_of_gdr(job: Make, tmp_path: Path) -> None:
    longer = replace(FEW, tune=replace(FEW.tune, steps=12))
    given = job("1.2bits (entropy, activations)", folder=tmp_path, settings=longer)
    outcome = cap(given)
    assert outcome.method == outcome.pressed.plan.method == "cap"
    assert outcome.variant == ""
    assert Transform.LEARNED in {site.transform for site in outcome.pressed.plan}
    values = sum(site.values for site in given.graph.sites)
    assert stored_bits(given, outcome, traffic=False) <= 1.2 * values
    assert {"search.json", "tune.pt"} <= {file.name for file in tmp_path.iterdir()}
    before = {name: tensor.clone() for name, tensor in outcome.pressed.state_dict().items()}
    for codec in outcome.pressed.codecs.values():
        codec.round_to_stored()
    assert all(tensor.equal(before[name]) for name, tensor in outcome.pressed.state_dict().items())


@pytest.mark.parametrize("method", ["entropy_training", "layerwise_search"])
def test_two_runs_are_equal_to_the_byte(job: Make, tmp_path: Path, method: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        torch.manual_seed(ord(name))
        save_model(METHODS[method](job("3bits (entropy, activations)")).pressed, tmp_path / name)
    for file in (PLAN, CODEC):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
