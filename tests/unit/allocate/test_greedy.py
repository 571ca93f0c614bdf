"""GDR against a naive oracle, and the criteria on costs made by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.allocate import (
    Costs,
    Criterion,
    Ladder,
    Level,
    Move,
    Replay,
    Trial,
    build_ladders,
    estimate_losses,
    greedy_path,
)
from actpress.allocate.greedy import MIN_LOSS, screened_start
from actpress.allocate.replay import FREE_OPS, ElasticCodec
from actpress.budget import View
from actpress.calibrate import Statistics
from actpress.codec import Basis
from actpress.graph import Graph, insert_codecs
from actpress.plan import Placement

BEST_REACHABLE = 0.3  # share of the first cost that the searches go to


@dataclass
class Oracle:
    """The whole network again for every question: no cache, no laziness, no screening."""

    graph: Graph
    ladders: Sequence[Ladder]
    images: Tensor
    evals: int = 0

    def loss(self, levels: Sequence[int]) -> float:
        codecs = {
            ladder.site: ElasticCodec(ladder, level)
            for ladder, level in zip(self.ladders, levels, strict=True)
        }
        places = {ladder.site: ladder.placement for ladder in self.ladders}
        network = insert_codecs(self.graph, codecs, places).eval()
        nodes = network.eval_module.graph.nodes
        self.evals += sum(node.op not in FREE_OPS for node in nodes)
        with torch.no_grad():
            prediction = F.log_softmax(network(self.images)[0], 1)
            reference = F.log_softmax(self.graph.eval_module(self.images), 1)
        return float(F.kl_div(prediction, reference, log_target=True, reduction="batchmean"))

    def path(self, costs: Costs, floor: float) -> list[tuple[tuple[int, ...], float, float]]:
        """(levels, cost, loss) of every state until the cost is at most `floor`."""
        levels = [0] * len(self.ladders)
        states = [(tuple(levels), costs.total(levels), self.loss(levels))]
        while states[-1][1] > floor:
            scores = {}
            for site, level in enumerate(levels):
                if not costs.can_move(site, level):
                    continue
                moved = [*levels[:site], level + 1, *levels[site + 1 :]]
                lost = max(self.loss(moved) - states[-1][2], MIN_LOSS)
                scores[site] = (costs.cost(site, level) - costs.cost(site, level + 1)) / lost
            site = max(scores, key=lambda site: (scores[site], -site))
            levels[site] += 1
            states.append((tuple(levels), costs.total(levels), self.loss(levels)))
        return states


@pytest.fixture(scope="module")
def ladders(graph: Graph, statistics: Statistics, images: Tensor) -> list[Ladder]:
    return build_ladders(graph, statistics, images[:128].split(64))


@pytest.fixture(scope="module")
def costs(ladders: list[Ladder]) -> Costs:
    return Costs(ladders, View.ENTROPY, [1.0] * len(ladders))


@pytest.fixture(scope="module")
def oracle(
    graph: Graph, ladders: list[Ladder], costs: Costs, images: Tensor
) -> tuple[list[tuple[tuple[int, ...], float, float]], int]:
    """The naive path, and the graph nodes that it executed."""
    naive = Oracle(graph, ladders, images[:128])
    floor = BEST_REACHABLE * costs.total([0] * len(ladders))
    return naive.path(costs, floor), naive.evals


def reached(path: Sequence[Move], budget: float) -> Move:
    return next(move for move in path if move.cost <= budget)


@pytest.mark.parametrize("share", [0.7, 0.5, 0.4, BEST_REACHABLE])
def test_the_lazy_search_is_as_good_as_the_oracle(
    graph: Graph,
    ladders: list[Ladder],
    costs: Costs,
    images: Tensor,
    oracle: tuple[list[tuple[tuple[int, ...], float, float]], int],
    share: float,
) -> None:
    states, _ = oracle
    budget = share * states[0][1]
    naive = next(state for state in states if state[1] <= budget)
    replay = Replay(graph, ladders, images[:128], [0] * len(ladders))

    path = greedy_path(replay, costs, stop=lambda move: move.cost <= budget)

    found = reached(path, budget)
    assert found.cost == pytest.approx(costs.total(found.levels))
    assert found.outcome.loss == pytest.approx(
        Oracle(graph, ladders, images[:128]).loss(found.levels), abs=1e-6
    )
    assert found.levels == naive[0] or found.outcome.loss <= 1.01 * naive[2] + 1e-6


def test_lazy_and_screened_searches_run_far_fewer_nodes(
    graph: Graph,
    ladders: list[Ladder],
    costs: Costs,
    images: Tensor,
    oracle: tuple[list[tuple[tuple[int, ...], float, float]], int],
) -> None:
    states, naive_evals = oracle
    budget = BEST_REACHABLE * states[0][1]
    lazy = Replay(graph, ladders, images[:128], [0] * len(ladders))
    greedy_path(lazy, costs, stop=lambda move: move.cost <= budget)
    estimates = estimate_losses(graph, ladders, images[:128].split(64), seed=0)
    start = screened_start(costs, estimates, stop_cost=budget, max_loss=0.003)
    screened = Replay(graph, ladders, images[:128], start)

    path = greedy_path(
        screened,
        costs,
        stop=lambda move: move.cost <= budget,
        estimates=estimates,
        start=start,
    )

    assert lazy.node_evals * 2 < naive_evals
    assert screened.node_evals * 4 < naive_evals
    naive = states[-1]
    assert path[-1].cost <= budget
    assert path[-1].outcome.loss <= 1.1 * naive[2]


def test_a_path_starts_with_the_start_and_falls_in_cost(
    graph: Graph, ladders: list[Ladder], costs: Costs, images: Tensor
) -> None:
    replay = Replay(graph, ladders, images[:32], [1] * len(ladders))
    seen: list[Move] = []

    path = greedy_path(
        replay, costs, stop=lambda _: False, start=[1] * len(ladders), on_move=seen.append
    )

    assert path[0].site == -1
    assert path[0].levels == (1,) * len(ladders)
    assert path[1:] == seen
    assert path[-1].levels == tuple(len(ladder.levels) - 1 for ladder in ladders)
    for before, after in zip(path, path[1:], strict=False):
        assert after.cost < before.cost
        assert after.bits < before.bits
        changed = [s for s, level in enumerate(after.levels) if level != before.levels[s]]
        assert changed == [after.site]


# Criteria on hand-made costs


def ladder(*bits: float, values: int = 100, distortions: Sequence[float] | None = None) -> Ladder:
    basis = Basis(torch.eye(2, dtype=torch.float64), torch.tensor([3.0, 1.0]).double())
    distortion = distortions or [0.0] * len(bits)
    levels = tuple(Level(1, 1.0, 10 * b, b, d) for b, d in zip(bits, distortion, strict=True))
    return Ladder("s", Placement.PRE_ACT, values, 1, basis, torch.zeros(2), levels)


@dataclass
class FakeNetwork:
    """Losses by table; the loss of the network is the sum over its sites."""

    losses: Sequence[Sequence[float]]
    levels: list[int]
    node_evals: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def current(self) -> Trial:
        return Trial(sum(row[i] for row, i in zip(self.losses, self.levels, strict=True)), 1.0)

    def trial(self, site: int, level: int) -> Trial:
        self.asked.append((site, level))
        changed = self.losses[site][level] - self.losses[site][self.levels[site]]
        return Trial(self.current.loss + changed, 1.0)

    def accept(self, site: int, level: int) -> Trial:
        self.levels[site] = level
        return self.current


def order(
    ladders: Sequence[Ladder],
    criterion: Criterion,
    losses: Sequence[Sequence[float]] | None = None,
    weights: Sequence[float] = (1.0, 1.0),
) -> tuple[list[int], FakeNetwork]:
    rows = losses or [[0.0] * len(one.levels) for one in ladders]
    network = FakeNetwork(rows, [0] * len(ladders))
    costs = Costs(ladders, View.ENTROPY, weights)
    path = greedy_path(network, costs, stop=lambda _: False, criterion=criterion)
    return [move.site for move in path[1:]], network


def test_loss_per_bit_takes_the_most_bits_per_loss() -> None:
    sites = [ladder(100, 50, 40), ladder(100, 90, 80)]
    losses = [[0, 0.10, 0.20], [0, 0.01, 0.20]]  # 500, 100 and 1000, 53 bits per nat

    taken, _ = order(sites, Criterion.LOSS_PER_BIT, losses)

    assert taken == [1, 0, 0, 1]


def test_weights_turn_bits_into_traffic() -> None:
    sites = [ladder(100, 60), ladder(100, 70)]
    losses = [[0, 0.1], [0, 0.1]]

    assert order(sites, Criterion.LOSS_PER_BIT, losses)[0] == [0, 1]
    assert order(sites, Criterion.LOSS_PER_BIT, losses, weights=(1.0, 2.0))[0] == [1, 0]


def test_loss_alone_ignores_bits() -> None:
    sites = [ladder(100, 1), ladder(100, 99)]
    taken, _ = order(sites, Criterion.LOSS, [[0, 0.2], [0, 0.1]])
    assert taken == [1, 0]


def test_bits_alone_ignores_losses_and_asks_nothing() -> None:
    sites = [ladder(100, 90, 30), ladder(100, 80, 70)]
    taken, network = order(sites, Criterion.BITS, [[0, 0, 0], [0, 9, 9]])
    assert taken == [1, 0, 0, 1]
    assert network.asked == []


def test_energy_takes_what_distorts_least_of_its_variance() -> None:
    sites = [ladder(9, 8, 7, distortions=[0, 2, 3]), ladder(9, 8, 7, distortions=[0, 1, 2.5])]
    taken, network = order(sites, Criterion.ENERGY)
    assert taken == [1, 0, 1, 0]
    assert network.asked == []


def test_uniform_keeps_bits_per_value_level() -> None:
    sites = [ladder(400, 300, 200, values=100), ladder(90, 60, 25, values=20)]
    taken, network = order(sites, Criterion.UNIFORM)  # 4, 3, 2 and 4.5, 3, 1.25 bits per value
    assert taken == [1, 0, 0, 1]
    assert network.asked == []


def test_a_stale_bound_is_measured_again_before_it_is_taken() -> None:
    class Coupled(FakeNetwork):
        """Moving site 0 makes moving site 1 ten times as bad."""

        def trial(self, site: int, level: int) -> Trial:
            outcome = super().trial(site, level)
            if site == 1 and self.levels[0] > 0:
                extra = 9 * (outcome.loss - self.current.loss)
                return Trial(outcome.loss + extra, 1.0)
            return outcome

    sites = [ladder(100, 40, 10), ladder(100, 41)]
    network = Coupled([[0, 0.1, 0.3], [0, 0.1]], [0, 0])

    path = greedy_path(
        network, Costs(sites, View.ENTROPY, [1.0, 1.0]), stop=lambda move: len(move.levels) == 0
    )

    assert [move.site for move in path[1:]] == [0, 0, 1]


def test_a_fresh_top_is_not_measured_twice() -> None:
    sites = [ladder(100, 90, 80, 70), ladder(100, 99)]
    losses = [[0, 0.01, 0.02, 0.03], [0, 5.0]]

    _, network = order(sites, Criterion.LOSS_PER_BIT, losses)

    assert network.asked.count((1, 1)) <= 2, "a bad move waits at the bottom unasked"
    assert [ask for ask in network.asked if ask[0] == 0] == [(0, 1), (0, 2), (0, 3)]


def test_costs_of_both_views() -> None:
    costs = Costs([ladder(5, 3), ladder(7, 1)], View.FIXED, [2.0, 3.0])
    assert costs.total([0, 1]) == 2 * 50 + 3 * 10
    assert costs.stored_bits([0, 1]) == 50 + 10
    assert costs.lowest() == 2 * 30 + 3 * 10
    assert costs.can_move(0, 0)
    assert not costs.can_move(0, 1)


# Screening


def screening() -> tuple[Costs, list[list[float]]]:
    costs = Costs([ladder(100, 80, 60, 40), ladder(100, 70, 40)], View.ENTROPY, [1.0, 1.0])
    return costs, [[0.0, 0.001, 0.003, 0.1], [0.0, 0.002, 0.02]]


@pytest.mark.parametrize(
    ("max_loss", "expected"),
    [(0.0005, [0, 0]), (0.0015, [1, 0]), (0.004, [1, 1]), (0.0055, [2, 1]), (0.03, [2, 2])],
)
def test_screening_stops_before_the_allowed_loss(max_loss: float, expected: list[int]) -> None:
    costs, estimates = screening()
    assert screened_start(costs, estimates, stop_cost=0, max_loss=max_loss) == expected


@pytest.mark.parametrize(("stop_cost", "expected"), [(200, [0, 0]), (180, [1, 0]), (150, [1, 1])])
def test_screening_stops_at_the_cost(stop_cost: float, expected: list[int]) -> None:
    costs, estimates = screening()
    levels = screened_start(costs, estimates, stop_cost=stop_cost, max_loss=1e9)
    assert levels == expected


def test_screening_counts_what_the_first_levels_lose() -> None:
    costs, estimates = screening()
    shifted = [[loss + 0.01 for loss in row] for row in estimates]
    assert screened_start(costs, shifted, stop_cost=0, max_loss=0.0215) == [1, 0]
    assert screened_start(costs, shifted, stop_cost=0, max_loss=0.019) == [0, 0]
