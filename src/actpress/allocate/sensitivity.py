"""Fisher estimates: what a state of a site would cost, from one backward pass for all sites."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actpress.allocate.ladder import Ladder
from actpress.graph import Graph, insert_codecs


class _Tap(nn.Module):
    """Passes a value through and keeps it, so that its gradient can be read."""

    value: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x.retain_grad()
        self.value = x
        return x, x.new_zeros(())


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
    taps = {ladder.site: _Tap() for ladder in ladders}
    network = insert_codecs(graph, taps, {ladder.site: ladder.placement for ladder in ladders})
    network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    dropped = [torch.zeros(len(ladder.basis.variances)) for ladder in ladders]
    noisy = [torch.zeros(len(ladder.basis.variances)) for ladder in ladders]
    images = 0
    for batch in inputs:
        logits = network(batch.clone().requires_grad_())[0]
        drawn = torch.multinomial(logits.detach().softmax(1).cpu(), 1, generator=generator)[:, 0]
        F.cross_entropy(logits, drawn.to(logits.device), reduction="sum").backward()
        for index, ladder in enumerate(ladders):
            whole, noise = _component_terms(ladder, taps[ladder.site].value)
            dropped[index] += whole
            noisy[index] += noise
        images += len(batch)
    return [
        _level_losses(ladder, dropped[index] / images, noisy[index] / images)
        for index, ladder in enumerate(ladders)
    ]


def _component_terms(ladder: Ladder, value: Tensor) -> tuple[Tensor, Tensor]:
    """Per component, summed over images: (g . y)^2 over all pixels, and |g|^2; each (c,)."""
    assert value.grad is not None
    vectors = ladder.basis.vectors.float().to(value.device)
    mean = ladder.mean.float().to(value.device)
    centred = value.detach().flatten(2) if value.ndim > 2 else value.detach()[:, :, None]
    gradient = value.grad.reshape(centred.shape)
    y = torch.einsum("jc,ncp->njp", vectors, centred - mean[:, None])
    g = torch.einsum("jc,ncp->njp", vectors, gradient)
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
