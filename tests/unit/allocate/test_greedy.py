"""GDR against a naive oracle, and the criteria on costs made by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from actpress.allocate.replay import FREE_OPS, ElasticCodec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
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
from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import Basis
from actpress.graph import Graph, insert_codecs
from actpress.plan import Placement

LOWEST_SHARE = 0.15  # of the first cost: how far down the paths are compared


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


State = tuple[tuple[int, ...], float, float]


@pytest.fixture(scope="module")
def oracle(
    graph: Graph, ladders: list[Ladder], costs: Costs, images: Tensor
) -> tuple[list[State], int]:
    """The naive path, and the graph nodes that it executed."""
    naive = Oracle(graph, ladders, images[:128])
    return naive.path(costs, LOWEST_SHARE * costs.total([0] * len(ladders))), naive.evals


def excess_over(naive: Sequence[State], path: Sequence[Move]) -> float:
    """Geometric mean, over a path, of its loss against the naive path's at the same budget.

    A state is compared with the first naive one that is at least as cheap. One by one they differ
    both ways, as neither greedy path is optimal; a worse search is worse on the average.
    """
    first, last = naive[0][1], naive[-1][1]
    ratios = [
        move.outcome.loss / next(loss for _, cost, loss in naive if cost <= move.cost)
        for move in path
        if last <= move.cost <= 0.8 * first
    ]
    assert len(ratios) > 20
    return float(torch.tensor(ratios).log().mean().exp()) - 1


@pytest.mark.parametrize(("contenders", "excess"), [(2, 0.02), (3, 0.01), (5, 1e-6)])
def test_the_lazy_search_comes_close_to_the_oracle_and_is_cheaper(  # noqa: PLR0917
    graph: Graph,
    ladders: list[Ladder],
    costs: Costs,
    images: Tensor,
    oracle: tuple[list[State], int],
    contenders: int,
    excess: float,
) -> None:
    """With all five sites contending, it is the naive search, with cached prefixes."""
    naive, naive_evals = oracle
    replay = Replay(graph, ladders, images[:128], [0] * len(ladders))

    path = greedy_path(
        replay, costs, stop=lambda move: move.cost <= naive[-1][1], contenders=contenders
    )

    assert excess_over(naive, path) <= excess
    assert replay.node_evals * (3.5 - contenders / 2) < naive_evals
    checked = path[len(path) // 2]
    whole = Oracle(graph, ladders, images[:128])
    assert checked.outcome.loss == pytest.approx(whole.loss(checked.levels), abs=1e-6)
    assert checked.cost == pytest.approx(costs.total(checked.levels))


def test_the_screened_search_loses_little_and_is_cheaper_still(
    graph: Graph,
    ladders: list[Ladder],
    costs: Costs,
    images: Tensor,
    oracle: tuple[list[State], int],
) -> None:
    naive, naive_evals = oracle
    floor = naive[-1][1]
    estimates = estimate_losses(graph, ladders, images[:128].split(64), seed=0)
    start = screened_start(costs, estimates, stop_cost=floor, max_loss=0.003)
    replay = Replay(graph, ladders, images[:128], start)

    path = greedy_path(
        replay, costs, stop=lambda move: move.cost <= floor, estimates=estimates, start=start
    )

    assert excess_over(naive, path) <= 0.05
    assert replay.node_evals * 2.5 < naive_evals


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
    for before, after in pairwise(path):
        assert after.cost < before.cost
        assert after.bits < before.bits
        changed = [s for s, level in enumerate(after.levels) if level != before.levels[s]]
        assert changed == [after.site]


# Criteria on hand-made costs


def ladder(*bits: float, values: int = 100, distortions: Sequence[float] | None = None) -> Ladder:
    identity = torch.eye(2, dtype=torch.float64)
    basis = Basis(identity, torch.tensor([3.0, 1.0]).double(), identity)
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


def naive_order(sites: Sequence[Ladder], losses: Sequence[Sequence[float]]) -> list[int]:
    """Every next move compared, every time."""
    costs = Costs(sites, View.ENTROPY, [1.0] * len(sites))
    levels, taken = [0] * len(sites), []
    while movable := [s for s, level in enumerate(levels) if costs.can_move(s, level)]:

        def score(site: int) -> float:
            level = levels[site]
            lost = losses[site][level + 1] - losses[site][level]
            return (costs.cost(site, level) - costs.cost(site, level + 1)) / max(lost, MIN_LOSS)

        taken.append(max(movable, key=lambda site: (score(site), -site)))
        levels[taken[-1]] += 1
    return taken


@settings(max_examples=50, deadline=None)
@given(data=st.data(), screened=st.booleans())
def test_where_sites_do_not_interact_the_lazy_path_is_the_naive_one(
    data: st.DataObject,
    screened: bool,  # noqa: FBT001
) -> None:
    """Also with estimates, as long as they are optimistic by no more than what is corrected."""
    sites, losses = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        drops = data.draw(st.lists(st.integers(1, 97), min_size=1, max_size=5))
        lost = data.draw(st.lists(st.integers(1, 89), min_size=len(drops), max_size=len(drops)))
        sites.append(ladder(*(1000.0 - sum(drops[:i]) for i in range(len(drops) + 1))))
        losses.append([sum(lost[:i]) / 64 for i in range(len(lost) + 1)])
    network = FakeNetwork(losses, [0] * len(sites))

    path = greedy_path(
        network,
        Costs(sites, View.ENTROPY, [1.0] * len(sites)),
        stop=lambda _: False,
        estimates=losses if screened else None,
    )

    scores = [
        (one.levels[i].entropy_bits - one.levels[i + 1].entropy_bits) / (row[i + 1] - row[i])
        for one, row in zip(sites, losses, strict=True)
        for i in range(len(row) - 1)
    ]
    assume(len(set(scores)) == len(scores))  # ties are broken by measuring time
    assert [move.site for move in path[1:]] == naive_order(sites, losses)


def test_without_contenders_estimates_decide_and_only_what_is_taken_is_run() -> None:
    sites = [ladder(100, 50, 40), ladder(100, 90, 80)]
    estimates = [[0, 0.10, 0.20], [0, 0.01, 0.20]]
    misleading = [[0, 0.0, 0.0], [0, 5.0, 9.0]]
    costs = Costs(sites, View.ENTROPY, [1.0, 1.0])

    network = FakeNetwork(misleading, [0, 0])
    path = greedy_path(network, costs, stop=lambda _: False, estimates=estimates, contenders=0)
    assert [move.site for move in path[1:]] == [1, 0, 0, 1]
    assert network.asked == [], "nothing is tried before it is taken"
    assert [move.outcome.loss for move in path[1:]] == [5.0, 5.0, 5.0, 9.0]

    without = greedy_path(
        FakeNetwork(misleading, [0, 0]), costs, stop=lambda _: False, contenders=0
    )
    assert [move.site for move in without[1:]] == [0, 0, 1, 1], "no estimates: moves are measured"


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


def test_only_contenders_are_measured_and_none_twice() -> None:
    sites = [ladder(100, 90, 80, 70), ladder(100, 90), ladder(100, 99), ladder(100, 99)]
    losses = [[0, 0.01, 0.02, 0.03], [0, 0.5], [0, 5.0], [0, 6.0]]
    network = FakeNetwork(losses, [0] * 4)

    greedy_path(
        network,
        Costs(sites, View.ENTROPY, [1.0] * 4),
        stop=lambda move: move.levels[0] == 2,
    )

    assert network.asked[:4] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert network.asked[4:] == [(0, 2), (1, 1), (0, 3)], "one enqueued, one contender beside it"


def test_a_lucky_measurement_does_not_make_a_move_free() -> None:
    sites = [ladder(100, 50), ladder(100, 60)]
    network = FakeNetwork([[0, -0.1], [0, 0.01]], [0, 0])

    path = greedy_path(
        network,
        Costs(sites, View.ENTROPY, [1.0, 1.0]),
        stop=lambda _: False,
        estimates=[[0, 0.1], [0, 0.01]],
    )

    assert [move.site for move in path[1:]] == [1, 0], "site 0 counts as losing 0.05"


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
