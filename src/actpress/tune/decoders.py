"""Decoders in closed form: what best restores the float network's values from the symbols.

PCA's decoder restores what the encoder was given. In a compressed network that is already wrong:
the sites before have changed it. Here each decoder is fitted to the *float* network's value
instead, by least squares, one site after the other, so that it takes back what earlier sites did to
the value as far as a linear map can. No gradient is needed.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from actpress.codec import LinearProjection, SiteCodec, as_blocks, per_component
from actpress.graph import Graph, site_values, values_before
from actpress.pressing import CompressedModel

RIDGE = 0.01
"""Weight of staying with the present decoder, as a share of each component's power."""


@torch.no_grad()
def fit_decoders(pressed: CompressedModel, graph: Graph, inputs: Sequence[Tensor]) -> None:
    """Fit decoder matrices and offsets, in place; tables must be fitted anew afterwards.

    The inputs pass both networks side by side, site by site, so that what is alive of their values
    stays in memory: about twice what inference on all of them needs.

    Args:
        pressed: whose decoders; encoders, steps and codecs without a projection stay as they are.
        graph: of the float network.
        inputs: batches of training images.
    """
    names = {path: name for name, path in pressed.network.codec_paths.items()}
    placements = {site.site: site.placement for site in pressed.plan}
    passes: list[Iterator[tuple[str, Tensor]]] = [
        values_before(pressed.network.eval_module, batch, names) for batch in inputs
    ]
    references = [site_values(graph, batch, placements) for batch in inputs]
    codecs = pressed.codecs
    for _ in pressed.plan:
        fit: _LeastSquares | None = None
        codec: SiteCodec | None = None
        for given, reference in zip(passes, references, strict=True):
            path, x = next(given)
            name, target = next(reference)
            assert names[path] == name, "both networks compute their sites in one order"
            codec = codecs[name]
            target = as_blocks(target, codec.block)
            fit = fit or _LeastSquares(codec.rank, target.shape[1], target.device)
            fit.add(codec.encode(x) * per_component(codec.step, x), target)
        if fit is not None and codec is not None:
            fit.solve_into(codec)


class _LeastSquares:
    """Sums of products of components, a one appended, with themselves and with the target."""

    def __init__(self, rank: int, values: int, device: torch.device) -> None:
        self.own = torch.zeros(rank + 1, rank + 1, dtype=torch.float64, device=device)
        self.cross = torch.zeros(rank + 1, values, dtype=torch.float64, device=device)
        self.columns = 0

    def add(self, y_hat: Tensor, target: Tensor) -> None:
        """Add a batch: y_hat (n, k, ...), target (n, c, ...)."""
        rows = y_hat.transpose(0, 1).flatten(1).double()
        rows = torch.cat([rows, torch.ones_like(rows[:1])])
        self.own += rows @ rows.T
        self.cross += rows @ target.transpose(0, 1).flatten(1).double().T
        self.columns += rows.shape[1]

    def solve_into(self, codec: SiteCodec) -> None:
        """Minimise |target - D y_hat - offset|^2 plus the price of leaving the present D."""
        projection = codec.projection
        if not isinstance(projection, LinearProjection) or not projection.family.trained:
            return
        present = torch.cat([projection.decoder.T, projection.offset[None]]).double()
        price = RIDGE * self.own.diagonal().clamp(min=1e-12 * self.columns)
        price[-1] = 0.0  # the offset is free
        regular = torch.diag(price)
        solved = torch.linalg.solve(self.own + regular, self.cross + regular @ present)
        projection.decoder.copy_(solved[:-1].T)
        projection.offset.copy_(solved[-1])
        projection.round_to_stored()
