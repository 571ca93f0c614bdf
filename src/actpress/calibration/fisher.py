"""The Fisher information of every site: which directions of a pixel the prediction depends on."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from actpress.codec import as_blocks
from actpress.graph import Graph, insert_codecs
from actpress.plan import Placement


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

    Yields:
        (value, gradient) by site name, each of shape (n, c, ...), cut into blocks (`as_blocks`).
    """
    taps = {name: _Tap() for name in placements}
    network = insert_codecs(graph, taps, placements).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for batch in inputs:
        with torch.enable_grad():
            output = network(batch.clone().requires_grad_())[0]
            graph.task.score(output, generator).backward()
        yield {name: _in_blocks(tap.value, blocks.get(name, 1)) for name, tap in taps.items()}


def fisher_information(
    graph: Graph,
    inputs: Iterable[Tensor],
    placements: Mapping[str, Placement],
    *,
    seed: int = 0,
    blocks: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """Sum of g g^T over images and pixels (or blocks), by site name; shape (c, c), float64.

    Sums of parts add up to the sum of the whole; only their direction is used, not their scale.
    """
    sums: dict[str, Tensor] = {}
    for gradients in site_gradients(graph, inputs, placements, seed=seed, blocks=blocks):
        for name, (_, gradient) in gradients.items():
            columns = gradient.transpose(0, 1).flatten(1).double()
            outer = (columns @ columns.T).cpu()
            sums[name] = sums[name] + outer if name in sums else outer
    return sums


def _in_blocks(value: Tensor, side: int) -> tuple[Tensor, Tensor]:
    gradient = torch.zeros_like(value) if value.grad is None else value.grad
    return as_blocks(value.detach(), side), as_blocks(gradient, side)
