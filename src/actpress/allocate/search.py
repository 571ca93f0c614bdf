"""From statistics and a budget to plans: ladders, screening, replay and the greedy path."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from actpress.allocate.greedy import Costs, Criterion, Move, greedy_path, screened_start
from actpress.allocate.ladder import Ladder, LadderKind, build_ladders
from actpress.allocate.replay import Replay
from actpress.allocate.sensitivity import estimate_losses
from actpress.budget import Budget, BudgetKind
from actpress.calibration import Statistics
from actpress.errors import BudgetError
from actpress.graph import Graph
from actpress.plan import Plan, SitePlan, Transform

CODED_BIT_WIDTH = 12
"""Bound on the symbols of a plan for the entropy coder; calibration narrows it."""

CHUNK = 64

SCREENED_LOSS = 0.003
"""Moves are taken on Fisher estimates alone up to this total loss, in nats per image."""

MEASURED_LOSS = 0.006
"""What such a start may really lose."""


@dataclass(frozen=True)
class SearchSettings:
    """How the greedy search runs.

    Attributes:
        criterion: what makes a move the next one.
        ladder: what a move changes.
        transform: of the channels.
        screen: take the first, harmless moves on Fisher estimates and order the others by them;
            without, every site's every first move is measured.
        contenders: so many of the best-looking moves are measured before one is taken; more are
            slower and closer to measuring all of them. With 0 moves are ordered by their Fisher
            estimates, and only the one that is taken is measured. On a few hundred images a
            measured loss is mostly chance, and a site that is ruined already looks cheap to ruin
            further; the estimates suffer from neither. Without `screen` at least 1 is measured.
        slack: the path goes on to this share of the budget, so that a plan whose real tables
            cost a little more than the estimate can still be met.
        seed: of the labels drawn for the Fisher estimate.
    """

    criterion: Criterion = Criterion.LOSS_PER_BIT
    ladder: LadderKind = LadderKind.WATER_FILLING
    transform: Transform = Transform.FISHER_PCA
    screen: bool = True
    contenders: int = 0
    slack: float = 0.75
    seed: int = 0


@dataclass(frozen=True)
class GreedySearch:
    """A finished search: every prefix of its path is a plan.

    Attributes:
        ladders: of all sites.
        path: the start and all moves.
        transform: of the channels.
        values: original values per inference over all sites.
        node_evals: graph nodes executed.
        seconds: wall clock.
    """

    fingerprint: str
    ladders: tuple[Ladder, ...]
    path: tuple[Move, ...]
    transform: Transform
    values: int
    node_evals: int
    seconds: float

    def within(self, cost: float) -> int:
        """Index of the first state whose cost is at most `cost`; the last one if there is none."""
        indices = range(len(self.path))
        return next((i for i in indices if self.path[i].cost <= cost), len(self.path) - 1)

    def plan(self, index: int, *, method: str) -> Plan:
        """The plan of one state of the path."""
        sites = []
        for ladder, level in zip(self.ladders, self.path[index].levels, strict=True):
            state = ladder.levels[level]
            sites.append(
                SitePlan(
                    site=ladder.site,
                    placement=ladder.placement,
                    transform=self.transform,
                    channels=len(ladder.mean) // ladder.block**2,
                    block=ladder.block,
                    rank=state.rank,
                    step=state.step,
                    bit_width=CODED_BIT_WIDTH,
                )
            )
        return Plan(method=method, fingerprint=self.fingerprint, sites=tuple(sites))


def search(
    graph: Graph,
    statistics: Statistics,
    images: Tensor,
    budget: Budget,
    settings: SearchSettings,
    *,
    on_move: Callable[[Move, float], None] = lambda move, target: None,
) -> GreedySearch:
    """Search a path of plans that reaches the budget.

    With an accuracy budget the path goes to the end of the ladders, or to where the search images
    lose five times the allowed agreement; which plan meets it is for the caller to measure.

    Args:
        graph: the captured network.
        statistics: of its sites.
        images: search images (training split), network input, shape (n, c, h, w).
        budget: when to stop.
        settings: how to search.
        on_move: called after every move with the move and the cost to reach, for progress.

    Raises:
        BudgetError: even the last level of every site does not reach the budget; says the floor.
    """
    began = time.perf_counter()
    chunks = images.split(CHUNK)
    ladders = build_ladders(
        graph,
        statistics,
        chunks,
        view=budget.view,
        kind=settings.ladder,
        transform=settings.transform,
    )
    costs = Costs(ladders, budget.view, _weights(ladders, budget))
    target = cost_target(ladders, budget)
    _check_reachable(costs, target, budget)
    floor = target * settings.slack
    estimates = None
    if settings.screen and settings.criterion.evaluates:
        estimates = estimate_losses(graph, ladders, chunks, seed=settings.seed)
    replay, start = start_search(graph, costs, images, target, estimates)

    def stop(move: Move) -> bool:
        if budget.kind is BudgetKind.ACCURACY_DROP:
            return move.outcome.agreement < 1 - 5 * max(budget.amount, 1) / 100
        return move.cost <= floor

    path = greedy_path(
        replay,
        costs,
        stop=stop,
        criterion=settings.criterion,
        estimates=estimates,
        start=start,
        contenders=settings.contenders,
        on_move=lambda move: on_move(move, floor),
    )
    return GreedySearch(
        graph.fingerprint,
        tuple(ladders),
        tuple(path),
        settings.transform,
        sum(ladder.values for ladder in ladders),
        replay.node_evals,
        time.perf_counter() - began,
    )


def start_search(
    graph: Graph,
    costs: Costs,
    images: Tensor,
    target: float,
    estimates: Sequence[Sequence[float]] | None,
) -> tuple[Replay, list[int]]:
    """Where the search begins: the lowest screened state that measures as harmless.

    The estimate hears only of small errors; a start that turns out to lose more than
    `MEASURED_LOSS` is tried again with a quarter of the estimated loss, and at last given up.
    """
    max_loss, node_evals = SCREENED_LOSS, 0
    while estimates is not None and max_loss > SCREENED_LOSS / 100:
        start = screened_start(costs, estimates, stop_cost=target, max_loss=max_loss)
        replay = Replay(graph, costs.ladders, images, start)
        replay.node_evals += node_evals
        if replay.current.loss <= MEASURED_LOSS:
            return replay, start
        max_loss, node_evals = max_loss / 4, replay.node_evals
    start = [0] * len(costs.ladders)
    replay = Replay(graph, costs.ladders, images, start)
    replay.node_evals += node_evals
    return replay, start


class Stored(Protocol):
    """A value that is stored once and read a number of times; `Site` and `Ladder` are two."""

    @property
    def values(self) -> int:
        """Original values per inference."""

    @property
    def reads(self) -> int:
        """Consumers."""


def cost_target(sites: Sequence[Stored], budget: Budget) -> float:
    """The cost (see `Move.cost`) that a budget allows; zero for an accuracy budget."""
    values = sum(site.values for site in sites)
    if budget.kind is BudgetKind.BITS_PER_VALUE:
        return budget.amount * values
    if budget.kind is BudgetKind.TRAFFIC_RATIO:
        moved = sum((1 + site.reads) * site.values for site in sites)
        return 8 * moved / budget.amount
    return 0.0


def _weights(ladders: Sequence[Ladder], budget: Budget) -> list[float]:
    if budget.kind is BudgetKind.TRAFFIC_RATIO:
        return [1.0 + ladder.reads for ladder in ladders]
    return [1.0] * len(ladders)


def _check_reachable(costs: Costs, target: float, budget: Budget) -> None:
    if budget.kind is BudgetKind.ACCURACY_DROP or costs.lowest() <= target:
        return
    best = best_reachable(budget, lowest=costs.lowest(), target=target)
    raise BudgetError(
        f"the budget {budget} cannot be reached; the best reachable for this network is {best} by "
        f"estimate, and real tables may need a few percent more"
    )


def best_reachable(budget: Budget, *, lowest: float, target: float) -> str:
    """The budget, in the words of the one asked, whose cost is `lowest`; rounded to be met."""
    if budget.kind is BudgetKind.TRAFFIC_RATIO:
        return f"{math.floor(100 * budget.amount * target / lowest) / 100:.2f}x"
    return f"{math.ceil(1000 * budget.amount * lowest / target) / 1000:.3f}bits"
