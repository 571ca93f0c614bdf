"""What the greedy search executes, against the naive loop that it must agree with.

The naive loop measures the next move of every site with a full run of the network before every
move, starting from the top of every ladder. Both get the same ladders, estimates and images, and
score a measured move by the same rule. Both plans are then tried on other held-out images as well.
"""

import time
from collections.abc import Sequence

import torch

from actpress.allocate import (
    Costs,
    Replay,
    SearchSettings,
    build_ladders,
    estimate_losses,
    greedy_path,
)
from actpress.allocate.greedy import MIN_LOSS, PRIOR, Network
from actpress.allocate.replay import FREE_OPS, Trial
from actpress.allocate.search import start_search
from actpress.budget import Budget, View
from actpress.data import Dataset
from actpress.graph import Graph
from actpress.methods import Job, Settings
from actpress.plan import Placement

IMAGES = 32
OTHER_IMAGES = 1000
BITS_PER_VALUE = 1.34


class NaiveNetwork:
    """Trials by full runs, without any cache; counts the graph nodes they execute."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.nodes = sum(node.op not in FREE_OPS for node in replay.nodes)
        self.node_evals = 0
        self.current = replay.current

    def trial(self, site: int, level: int) -> Trial:
        """Run everything with one site changed."""
        self.node_evals += self.nodes
        return self.replay.full_run(site, level)

    def accept(self, site: int, level: int) -> Trial:
        """Change the site for good."""
        self.current = self.replay.full_run(site, level)
        self.replay.codecs[site].level = level
        return self.current


def naive_path(
    network: Network, costs: Costs, estimates: Sequence[Sequence[float]], stop_cost: float
) -> list[list[int]]:
    """Levels after every move of the naive greedy loop."""
    levels = [0] * len(costs.ladders)
    path = [list(levels)]
    while costs.total(levels) > stop_cost:
        scores = {}
        for site, level in enumerate(levels):
            if costs.can_move(site, level):
                loss = network.trial(site, level + 1).loss - network.current.loss
                prior = PRIOR * (estimates[site][level + 1] - estimates[site][level])
                saving = costs.cost(site, level) - costs.cost(site, level + 1)
                scores[site] = saving / max(loss, prior, MIN_LOSS)
        best = max(scores, key=lambda site: scores[site])
        levels[best] += 1
        network.accept(best, levels[best])
        path.append(list(levels))
    return path


def measure_search_cost(graph: Graph, data: Dataset) -> dict[str, float | int]:
    """Node evaluations, seconds and the loss reached by both, at one budget."""
    budget = Budget.parse(f"{BITS_PER_VALUE}bits")
    job = Job(graph, data, budget, Settings(calibration_images=500))
    statistics = job.calibrate_with_fisher(Placement.PRE_ACT)
    ladders = build_ladders(graph, statistics, [job.search_images()])
    costs = Costs(ladders, View.ENTROPY, [1.0] * len(ladders))
    images = job.search_images()[:IMAGES]
    target = BITS_PER_VALUE * sum(ladder.values for ladder in ladders)

    began = time.perf_counter()
    estimates = estimate_losses(graph, ladders, [images], seed=0)
    replay, start = start_search(graph, costs, images, target, estimates)
    path = greedy_path(
        replay,
        costs,
        stop=lambda move: move.cost <= target,
        estimates=estimates,
        start=start,
        contenders=SearchSettings().contenders,
    )
    fast_seconds = time.perf_counter() - began

    began = time.perf_counter()
    naive = NaiveNetwork(Replay(graph, ladders, images, [0] * len(ladders)))
    naive_levels = naive_path(naive, costs, estimates, target)[-1]
    naive_seconds = time.perf_counter() - began
    others = torch.cat([x for x, _ in data.holdout.take(OTHER_IMAGES).batches(100)]).to(job.device)
    same = sum(a == b for a, b in zip(path[-1].levels, naive_levels, strict=True))
    return {
        "images": IMAGES,
        "bits_per_value": BITS_PER_VALUE,
        "naive_node_evals": naive.node_evals,
        "search_node_evals": replay.node_evals,
        "node_evals_ratio": naive.node_evals / replay.node_evals,
        "naive_seconds": naive_seconds,
        "search_seconds": fast_seconds,
        "naive_loss": naive.current.loss,
        "search_loss": path[-1].outcome.loss,
        "other_images": OTHER_IMAGES,
        "naive_loss_on_others": Replay(graph, ladders, others, naive_levels).current.loss,
        "search_loss_on_others": Replay(graph, ladders, others, path[-1].levels).current.loss,
        "naive_bits": costs.stored_bits(naive_levels),
        "search_bits": path[-1].bits,
        "sites": len(ladders),
        "sites_at_same_level": same,
    }
