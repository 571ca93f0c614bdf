"""Fisher estimates: what a state of a site would cost, from one backward pass for all sites."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from actpress.allocate.ladder import Ladder
from actpress.calibration import site_gradients
from actpress.graph import Graph


def estimate_losses(
    graph: Graph, ladders: Sequence[Ladder], inputs: Iterable[Tensor], *, seed: int
) -> list[list[float]]:
    """Estimated KL divergence from the float network, in nats, per site and level.

    To second order, an error e at a site costs 1/2 E[(g . e)^2] with g the gradient of the
    log-likelihood of labels drawn from the network itself (the Fisher information). A dropped
    component errs by all of itself, a kept one by independent noise of variance step^2 / 12.

    Args:
        graph: the captured network.
        ladders: one per site.
        inputs: batches of training images.
        seed: of the drawn labels.
    """
    return [
        _level_losses(ladder, *terms)
        for ladder, terms in zip(
            ladders, component_losses(graph, ladders, inputs, seed=seed), strict=True
        )
    ]


def component_losses(
    graph: Graph, ladders: Sequence[Ladder], inputs: Iterable[Tensor], *, seed: int
) -> list[tuple[Tensor, Tensor]]:
    """What each component is worth: twice the estimated loss, in nats per image.

    Args: as for `estimate_losses`.

    Returns:
        Per site: of dropping the component, and of noise of variance 1 in it; each shape (c,).
    """
    placements = {ladder.site: ladder.placement for ladder in ladders}
    blocks = {ladder.site: ladder.block for ladder in ladders}
    dropped = [torch.zeros(len(ladder.basis.variances)) for ladder in ladders]
    noisy = [torch.zeros(len(ladder.basis.variances)) for ladder in ladders]
    images = 0
    for gradients in site_gradients(graph, inputs, placements, seed=seed, blocks=blocks):
        for index, ladder in enumerate(ladders):
            whole, noise = _component_terms(ladder, *gradients[ladder.site])
            dropped[index] += whole
            noisy[index] += noise
        images += len(gradients[ladders[0].site][0])
    return [(whole / images, noise / images) for whole, noise in zip(dropped, noisy, strict=True)]


def _component_terms(ladder: Ladder, value: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Per component, summed over images: (g . y)^2 over all blocks, and |g|^2; each (c,)."""
    device = value.device
    centred = value.reshape(*value.shape[:2], -1) - ladder.mean.float().to(device)[:, None]
    y = torch.einsum("jc,ncp->njp", ladder.basis.vectors.float().to(device), centred)
    g = torch.einsum(
        "cj,ncp->njp", ladder.basis.inverse.float().to(device), gradient.reshape(centred.shape)
    )
    whole = (g * y).sum(2).square().sum(0)
    return whole.cpu(), g.square().sum((0, 2)).cpu()


def _level_losses(ladder: Ladder, dropped: Tensor, noisy: Tensor) -> list[float]:
    variances = ladder.basis.variances.float()
    losses = []
    for level in ladder.levels:
        noise = torch.clamp(variances[: level.rank], max=level.step**2 / 12)
        kept = (noise * noisy[: level.rank]).sum()
        losses.append(0.5 * float(kept + dropped[level.rank :].sum()))
    return losses
