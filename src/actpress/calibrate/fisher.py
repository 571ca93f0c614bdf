"""The Fisher information of every site: which directions of a pixel the prediction depends on."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

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
    graph: Graph, inputs: Iterable[Tensor], placements: Mapping[str, Placement], *, seed: int
) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Values and random gradients whose second moment is the Fisher information, batch by batch.

    For the prediction p of an image, the covariance of the logits' score, diag(p) - p p^T, is that
    of sum_y s_y sqrt(p_y) (e_y - p) with random signs s; one backward pass carries such a vector to
    every site. The score of labels drawn from p has the same covariance, but where the network is
    sure, nearly all of these gradients vanish and a few are huge.

    Args:
        graph: the captured network.
        inputs: batches of training images.
        placements: value of each site.
        seed: of the signs.

    Yields:
        (value, gradient) by site name, each of shape (n, c, ...).
    """
    taps = {name: _Tap() for name in placements}
    network = insert_codecs(graph, taps, placements).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for batch in inputs:
        with torch.enable_grad():
            logits = network(batch.clone().requires_grad_())[0]
            logits.backward(_random_score(logits.detach().cpu(), generator).to(logits.device))
        yield {name: (tap.value.detach(), _gradient(tap.value)) for name, tap in taps.items()}


def fisher_information(
    graph: Graph, inputs: Iterable[Tensor], placements: Mapping[str, Placement], *, seed: int = 0
) -> dict[str, Tensor]:
    """Sum of g g^T over images and pixels, by site name; shape (c, c), float64.

    Sums of parts add up to the sum of the whole; only their direction is used, not their scale.
    """
    sums: dict[str, Tensor] = {}
    for gradients in site_gradients(graph, inputs, placements, seed=seed):
        for name, (_, gradient) in gradients.items():
            columns = gradient.transpose(0, 1).flatten(1).double()
            outer = (columns @ columns.T).cpu()
            sums[name] = sums[name] + outer if name in sums else outer
    return sums


def _random_score(logits: Tensor, generator: torch.Generator) -> Tensor:
    """sum_y s_y sqrt(p_y) (e_y - p), shape (n, classes)."""
    prediction = logits.softmax(1)
    signs = torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1
    weights = signs * prediction.sqrt()
    return weights - prediction * weights.sum(1, keepdim=True)


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad
