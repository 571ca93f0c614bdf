"""The Fisher information of every site: which directions of a pixel the prediction depends on."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from actpress.calibration.observers import moments
from actpress.calibration.watch import Watch
from actpress.codec import as_blocks
from actpress.graph import GradientWatch, Graph, Visit, give_back_freed
from actpress.plan import Placement
from actpress.tasks.nest import mapped
from actpress.team import ALONE, Team


def visit_gradients(
    graph: Graph,
    inputs: Iterable[Tensor],
    wanted: Collection[tuple[str, Placement]],
    visit: Visit,
    *,
    seed: int,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Tensor]:
    """Show values and score gradients, batch by batch and site by site.

    The gradient is that of each image's log-likelihood for a target drawn from the network's own
    output (`Task.score`), so that its second moment is the Fisher information.

    Args:
        graph: the captured network.
        inputs: batches of images, best such that the network was not trained on.
        wanted: site names and placements.
        visit: called for each of these in every batch with name, placement, value and gradient,
            both of shape (n, c, ...).
        seed: of the drawn targets.
        part: first of the batches that are wanted, and the distance from each to the next; targets
            are drawn as if all were.

    Yields:
        Each batch, once all of it was shown.
    """
    watch = GradientWatch(graph, wanted)
    generator = torch.Generator().manual_seed(seed)
    first, stride = part
    for number, batch in enumerate(inputs):
        if number % stride != first:
            _skip(graph, len(batch), generator)
            continue
        watch.visit(batch, lambda output: graph.task.score(output, generator), visit)
        give_back_freed()
        yield batch


def _skip(graph: Graph, images: int, generator: torch.Generator) -> None:
    """Draw as many random numbers as a batch takes, which depends on the form of outputs alone."""
    with torch.no_grad():
        output = graph.eval_module(*(x[:1] for x in graph.example))
        graph.task.score(
            mapped(output, lambda own: own.new_zeros(images, *own.shape[1:])), generator
        )


def fisher_information(
    graph: Graph,
    inputs: Iterable[Tensor],
    placements: Mapping[str, Placement],
    *,
    seed: int = 0,
    blocks: Mapping[str, int] = MappingProxyType({}),
    team: Team = ALONE,
) -> dict[str, Tensor]:
    """Sum of g g^T over images and pixels (or blocks), by site name; shape (c, c), float64.

    Sums of parts add up to the sum of the whole; only their direction is used, not their scale.
    A team shares the inputs, which all its processes are given whole.
    """
    return fisher_of(graph, inputs, [Watch(placements, blocks)], seed=seed, team=team)[0]


def fisher_of(
    graph: Graph,
    inputs: Iterable[Tensor],
    watches: Sequence[Watch],
    *,
    seed: int = 0,
    team: Team = ALONE,
) -> list[dict[str, Tensor]]:
    """The same of several values of each site, in one pass."""
    own: dict[tuple[int, str], Tensor] = {}

    def add(name: str, placement: Placement, _: Tensor, gradient: Tensor) -> None:
        for index, watch in enumerate(watches):
            if watch.placements.get(name) == placement:
                own[index, name] = moments(as_blocks(gradient, watch.block(name)))[1].cpu()

    def products() -> Iterator[dict[tuple[int, str], Tensor]]:
        wanted = [pair for watch in watches for pair in watch.placements.items()]
        for _ in visit_gradients(graph, inputs, wanted, add, seed=seed, part=team.part):
            yield dict(own)

    sums: list[dict[str, Tensor]] = [{} for _ in watches]
    for batch in team.in_order(products()):
        for (index, name), outer in batch.items():
            known = sums[index]
            known[name] = known[name] + outer if name in known else outer
    return sums
