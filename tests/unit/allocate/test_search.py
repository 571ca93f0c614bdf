"""Ladders, Fisher estimates, and the search from budget to plan."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from actpress.allocate import (
    Criterion,
    Ladder,
    LadderKind,
    Move,
    Replay,
    SearchSettings,
    build_ladders,
    cost_target,
    estimate_losses,
    search,
)
from actpress.budget import Budget, View
from actpress.calibration import Statistics, calibrate
from actpress.errors import BudgetError
from actpress.graph import Graph, site_values
from actpress.plan import Placement, Transform


@pytest.fixture(scope="module")
def ladders(graph: Graph, statistics: Statistics, images: Tensor) -> list[Ladder]:
    return build_ladders(graph, statistics, images[:128].split(50))


@pytest.mark.parametrize("kind", LadderKind)
@pytest.mark.parametrize("view", View)
def test_ladders_fall_in_the_bits_that_count(
    graph: Graph, statistics: Statistics, images: Tensor, kind: LadderKind, view: View
) -> None:
    for ladder in build_ladders(graph, statistics, [images[:64]], view=view, kind=kind):
        bits = [level.bits(view) for level in ladder.levels]
        assert all(after < before for before, after in pairwise(bits))
        ranks = [level.rank for level in ladder.levels]
        assert ranks == sorted(ranks, reverse=True)
        distortions = [level.distortion for level in ladder.levels]
        assert distortions == sorted(distortions)
        assert len(bits) > 2


def test_a_level_is_priced_by_the_symbols_of_the_images(
    graph: Graph, images: Tensor, ladders: list[Ladder]
) -> None:
    ladder = ladders[-1]  # the 2-D site: one pixel
    level = ladder.levels[1]
    captured = torch.cat(_pre_values(graph, images[:128], ladder.site))
    y = (captured - ladder.mean.float()) @ ladder.basis.vectors.float().T
    q = torch.round(y[:, : level.rank] / level.step)
    entropy = fixed = 0.0
    for column in q.T:
        _, counts = column.unique(return_counts=True)
        share = counts / counts.sum()
        entropy -= float((share * share.log2()).sum())
        fixed += int(column.max() - column.min()).bit_length()  # ceil(log2(span + 1))
    assert level.entropy_bits == pytest.approx(entropy, rel=2e-3)
    assert level.fixed_bits == pytest.approx(fixed, abs=1)


def _pre_values(graph: Graph, images: Tensor, name: str) -> list[Tensor]:
    places = {site.name: Placement.PRE_ACT for site in graph.sites}
    return [value for site, value in site_values(graph, (images,), places) if site == name]


def test_a_dead_site_has_one_level(graph: Graph, images: Tensor, statistics: Statistics) -> None:
    zero = calibrate(graph, [torch.zeros_like(images[:4])], statistics.placements)
    (first, *_) = build_ladders(
        graph, zero, [torch.zeros_like(images[:4])], transform=Transform.PCA
    )
    assert [(level.rank, level.entropy_bits) for level in first.levels] == [(1, 0.0)]


def test_fisher_estimates_follow_the_measured_loss(
    graph: Graph, ladders: list[Ladder], images: Tensor
) -> None:
    estimates = estimate_losses(graph, ladders, images[:128].split(64), seed=0)
    replay = Replay(graph, ladders, images[:128], [0] * len(ladders))
    estimated, measured = [], []
    for site, ladder in enumerate(ladders):
        for level in range(len(ladder.levels)):
            loss = replay.trial(site, level).loss - replay.current.loss
            guess = estimates[site][level] - estimates[site][0]
            if level and loss > 1e-4:
                measured.append(loss)
                estimated.append(guess)

    ranks = torch.stack(
        [torch.tensor(x).argsort().argsort().double() for x in (estimated, measured)]
    )
    assert len(measured) > 20
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.7
    ratio = torch.tensor(estimated) / torch.tensor(measured)
    assert 0.33 < float(ratio.median()) < 3
    assert float(((ratio > 0.1) & (ratio < 10)).double().mean()) > 0.9


def test_estimates_repeat_and_depend_on_the_seed(
    graph: Graph, ladders: list[Ladder], images: Tensor
) -> None:
    first = estimate_losses(graph, ladders, [images[:32]], seed=0)
    assert first == estimate_losses(graph, ladders, [images[:32]], seed=0)
    assert first != estimate_losses(graph, ladders, [images[:32]], seed=1)
    for row in first:
        assert all(loss >= 0 for loss in row)
        assert row == sorted(row)


@pytest.mark.parametrize("criterion", Criterion)
@pytest.mark.parametrize("budget", ["1.5bits", "5x"])
def test_every_criterion_reaches_the_budget(
    graph: Graph, statistics: Statistics, images: Tensor, criterion: Criterion, budget: str
) -> None:
    wanted = Budget.parse(budget)
    moves: list[Move] = []

    found = search(
        graph,
        statistics,
        images[:64],
        wanted,
        SearchSettings(criterion=criterion),
        on_move=lambda move, _: moves.append(move),
    )

    target = cost_target(graph.sites, wanted)
    index = found.within(target)
    assert found.path[index].cost <= target
    assert index == 0 or found.path[index - 1].cost > target
    assert list(found.path[1:]) == moves
    plan = found.plan(index, method="gdr")
    assert [site.site for site in plan] == [site.name for site in graph.sites]
    assert plan.fingerprint == graph.fingerprint
    for site, ladder, level in zip(plan, found.ladders, found.path[index].levels, strict=True):
        state = ladder.levels[level]
        assert (site.rank, site.step, site.transform) == (
            state.rank,
            state.step,
            Transform.FISHER_PCA,
        )


def test_cost_targets_by_hand(graph: Graph) -> None:
    values = [8 * 64, 8 * 16, 8 * 16, 8 * 16, 8]
    reads = [site.reads for site in graph.sites]
    assert [site.values for site in graph.sites] == values
    assert reads == [1, 2, 1, 1, 1]
    assert cost_target(graph.sites, Budget.parse("2bits")) == 2 * sum(values)
    moved = sum((1 + r) * v for r, v in zip(reads, values, strict=True))
    assert cost_target(graph.sites, Budget.parse("4x")) == 2 * moved
    assert cost_target(graph.sites, Budget.parse("1pp")) == 0


def test_an_unreachable_budget_says_the_best_reachable(
    graph: Graph, statistics: Statistics, images: Tensor
) -> None:
    settings = SearchSettings(screen=False)
    with pytest.raises(BudgetError, match=r"0\.01bits.*cannot be reached; the best .* 0\.\d+bits"):
        search(graph, statistics, images[:64], Budget.parse("0.01bits"), settings)
    with pytest.raises(
        BudgetError, match=r"5000x.*best reachable for this network is \d+\.\d\dx by estimate"
    ) as no:
        search(graph, statistics, images[:64], Budget.parse("5000x"), settings)
    best = float(str(no.value).split(" network is ")[1].split("x by")[0])
    offered = Budget.parse(f"{best - 0.01:.2f}x")
    found = search(graph, statistics, images[:64], offered, settings)
    assert found.path[-1].cost <= cost_target(graph.sites, offered)


def test_a_search_that_stopped_early_offers_its_last_state(
    graph: Graph, statistics: Statistics, images: Tensor
) -> None:
    found = search(graph, statistics, images[:64], Budget.parse("3bits"), SearchSettings())
    assert found.within(1.0) == len(found.path) - 1


def test_an_accuracy_budget_stops_after_five_times_its_drop(
    graph: Graph, statistics: Statistics, images: Tensor
) -> None:
    found = search(graph, statistics, images[:128], Budget.parse("2pp"), SearchSettings())
    agreements = [move.outcome.agreement for move in found.path]
    assert agreements[-1] < 0.9
    assert all(agreement >= 0.9 for agreement in agreements[:-1])
