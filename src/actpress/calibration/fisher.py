"""The Fisher information of every site: which directions of a pixel the prediction depends on."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from actpress.codec import as_blocks
from actpress.graph import Graph, insert_codecs
from actpress.plan import Placement
from actpress.tasks.nest import mapped
from actpress.team import ALONE, Team


class _Tap(nn.Module):
    """Passes a value through and keeps it, so that its gradient can be read."""

    value: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x.retain_grad()
        self.value = x
        return x, x.new_zeros(())


def site_gradients(
    graph: Graph,
    inputs: Iterable[Tensor],
    placements: Mapping[str, Placement],
    *,
    seed: int,
    blocks: Mapping[str, int] = MappingProxyType({}),
    part: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Values and score gradients of every site, batch by batch.

    The gradient is that of each image's log-likelihood for a target drawn from the network's own
    output (`Task.score`), so that its second moment is the Fisher information.

    Args:
        graph: the captured network.
        inputs: batches of images, best such that the network was not trained on.
        placements: value of each site.
        seed: of the drawn targets.
        blocks: side of the blocks of pixels, by site name; 1 where none is named.
        part: first of the batches that are wanted, and the distance from each to the next; targets
            are drawn as if all were.

    Yields:
        (value, gradient) by site name, each of shape (n, c, ...), cut into blocks (`as_blocks`).
    """
    taps = {name: _Tap() for name in placements}
    network = insert_codecs(graph, taps, placements).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    first, stride = part
    for number, batch in enumerate(inputs):
        if number % stride != first:
            _skip(graph, len(batch), generator)
            continue
        with torch.enable_grad():
            output = network(batch.clone().requires_grad_())[0]
            graph.task.score(output, generator).backward()
        yield {name: _in_blocks(tap.value, blocks.get(name, 1)) for name, tap in taps.items()}


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

    def products() -> Iterator[tuple[str, Tensor]]:
        for gradients in site_gradients(
            graph, inputs, placements, seed=seed, blocks=blocks, part=team.part
        ):
            for name, (_, gradient) in gradients.items():
                columns = gradient.transpose(0, 1).flatten(1).double()
                yield name, (columns @ columns.T).cpu()

    sums: dict[str, Tensor] = {}
    for name, outer in team.in_order(products()):
        sums[name] = sums[name] + outer if name in sums else outer
    return sums


def _in_blocks(value: Tensor, side: int) -> tuple[Tensor, Tensor]:
    gradient = torch.zeros_like(value) if value.grad is None else value.grad
    return as_blocks(value.detach(), side), as_blocks(gradient, side)
