"""A replayed trial is the whole network run again, at the price of what comes after the site."""

import pytest
import torch
from actpress.allocate.replay import FREE_OPS, ElasticCodec
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.allocate import Ladder, Replay, build_ladders
from actpress.calibration import Statistics
from actpress.graph import Graph, insert_codecs


@pytest.fixture(scope="module")
def ladders(graph: Graph, statistics: Statistics, images: Tensor) -> list[Ladder]:
    return build_ladders(graph, statistics, [images[:64]])


@pytest.fixture
def replay(graph: Graph, ladders: list[Ladder], images: Tensor) -> Replay:
    return Replay(graph, ladders, images[:64], [0] * len(ladders))


def whole(
    graph: Graph, ladders: list[Ladder], images: Tensor, levels: list[int]
) -> tuple[float, float, int]:
    """Loss, agreement and nodes of one full forward pass."""
    codecs: dict[str, nn.Module] = {
        ladder.site: ElasticCodec(ladder, level)
        for ladder, level in zip(ladders, levels, strict=True)
    }
    places = {ladder.site: ladder.placement for ladder in ladders}
    network = insert_codecs(graph, codecs, places).eval()
    with torch.no_grad():
        logits, reference = network(images)[0], graph.eval_module(images)
    loss = F.kl_div(
        logits.log_softmax(1), reference.log_softmax(1), log_target=True, reduction="batchmean"
    )
    agreement = (logits.argmax(1) == reference.argmax(1)).float().mean()
    nodes = sum(node.op not in FREE_OPS for node in network.eval_module.graph.nodes)
    return float(loss), float(agreement), nodes


def test_trials_and_accepted_moves_equal_full_passes(
    graph: Graph, ladders: list[Ladder], images: Tensor, replay: Replay
) -> None:
    levels = [0] * len(ladders)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        site = int(torch.randint(len(ladders), (1,), generator=generator))
        level = int(torch.randint(len(ladders[site].levels), (1,), generator=generator))
        trial = replay.trial(site, level)
        tried = [*levels[:site], level, *levels[site + 1 :]]
        loss, agreement, _ = whole(graph, ladders, images[:64], tried)
        assert trial.loss == pytest.approx(loss, abs=1e-6)
        assert trial.agreement == pytest.approx(agreement)
        if torch.rand((), generator=generator) < 0.6:
            assert replay.accept(site, level) == trial
            levels = tried
        present, _, _ = whole(graph, ladders, images[:64], levels)
        assert replay.current.loss == pytest.approx(present, abs=1e-6)


def test_accepting_what_was_just_tried_runs_nothing(replay: Replay) -> None:
    replay.trial(1, 2)
    before = replay.node_evals
    replay.accept(1, 2)
    assert replay.node_evals == before


def test_accepting_another_move_than_the_last_tried_is_right(
    graph: Graph, ladders: list[Ladder], images: Tensor, replay: Replay
) -> None:
    replay.trial(0, 3)
    replay.trial(2, 3)
    accepted = replay.accept(0, 3)
    loss, _, _ = whole(graph, ladders, images[:64], [3, 0, 0, 0, 0])
    assert accepted.loss == pytest.approx(loss, abs=1e-6)
    assert [codec.level for codec in replay.codecs] == [3, 0, 0, 0, 0]


def test_a_trial_leaves_the_present_state(replay: Replay) -> None:
    before = replay.current
    replay.trial(0, 4)
    assert replay.current == before
    assert [codec.level for codec in replay.codecs] == [0, 0, 0, 0, 0]


def test_node_evals_count_the_suffix(
    graph: Graph, ladders: list[Ladder], images: Tensor, replay: Replay
) -> None:
    _, _, nodes = whole(graph, ladders, images[:2], [0] * len(ladders))
    assert replay.node_evals == nodes

    spent = []
    for site in range(len(ladders)):
        before = replay.node_evals
        replay.trial(site, 1)
        spent.append(replay.node_evals - before)

    assert spent == sorted(spent, reverse=True)
    assert spent[0] < nodes
    assert spent[-1] <= 5, "codec, its two results, perhaps a view, and the head"


def test_losses_are_zero_for_a_lossless_network(graph: Graph, images: Tensor) -> None:
    reference = Replay(graph, [], images[:16], [])
    assert reference.current.loss == pytest.approx(0, abs=1e-7)
    assert reference.current.agreement == 1
