"""Decoders in closed form: what best restores the float network's values from the symbols.

PCA's decoder restores what the encoder was given. In a compressed network that is already wrong:
the sites before have changed it. Here each decoder is fitted to the *float* network's value
instead, by least squares, one site after the other, so that it takes back what earlier sites did to
the value as far as a linear map can. No gradient is needed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from actpress.codec import LinearProjection, SiteCodec, as_blocks, per_component
from actpress.graph import Graph, site_values, values_before
from actpress.pressing import CompressedModel
from actpress.team import team_of

RIDGE = 0.01
"""Weight of staying with the present decoder, as a share of each component's power."""


@torch.no_grad()
def fit_decoders(pressed: CompressedModel, graph: Graph, inputs: Iterable[Tensor]) -> None:
    """Fit decoder matrices and offsets, in place; tables must be fitted anew afterwards.

    The inputs pass both networks side by side, site by site, so that what is alive of their values
    stays in memory: about twice what inference on all of them needs.

    Args:
        pressed: whose decoders; encoders, steps and codecs without a projection stay as they are.
        graph: of the float network.
        inputs: batches of training images; a team may share them (`Shared`).
    """
    team, inputs = team_of(inputs), list(inputs)
    names = {path: name for name, path in pressed.network.codec_paths.items()}
    placements = {site.site: site.placement for site in pressed.plan}
    passes: list[Iterator[tuple[str, Tensor]]] = [
        values_before(pressed.network.eval_module, batch, names) for batch in inputs
    ]
    references = [site_values(graph, batch, placements) for batch in inputs]
    codecs = pressed.codecs

    def sums() -> Iterator[tuple[str, _LeastSquares | None]]:
        for given, reference in zip(passes, references, strict=True):
            path, x = next(given)
            name, target = next(reference)
            assert names[path] == name, "both networks compute their sites in one order"
            codec, part = codecs[name], None
            if _fitted(codec) is not None:
                y_hat = codec.encode(x) * per_component(codec.step, x)
                part = _LeastSquares.of(y_hat, as_blocks(target, codec.block))
            yield name, part

    for _ in pressed.plan:
        fit: _LeastSquares | None = None
        projection: LinearProjection | None = None
        for name, part in team.in_order(sums()):  # all are of one site
            fit = part if fit is None or part is None else fit.plus(part)
            projection = _fitted(codecs[name])
        if fit is not None and projection is not None:
            fit.solve_into(projection)


def _fitted(codec: SiteCodec) -> LinearProjection | None:
    """The projection whose decoder is free to be another than the encoder's transpose, if it is."""
    projection = codec.projection
    free = isinstance(projection, LinearProjection) and projection.family.trained
    return projection if free else None


@dataclass(frozen=True)
class _LeastSquares:
    """Sums of products of components, a one appended, with themselves and with the target.

    Attributes:
        own: shape (k + 1, k + 1), float64.
        cross: shape (k + 1, c), float64.
        columns: that the sums are over.
    """

    own: Tensor
    cross: Tensor
    columns: int

    @classmethod
    def of(cls, y_hat: Tensor, target: Tensor) -> "_LeastSquares":
        """Of a batch: y_hat (n, k, ...), target (n, c, ...)."""
        rows = y_hat.transpose(0, 1).flatten(1).double()
        rows = torch.cat([rows, torch.ones_like(rows[:1])])
        cross = rows @ target.transpose(0, 1).flatten(1).double().T
        return cls(rows @ rows.T, cross, rows.shape[1])

    def plus(self, other: "_LeastSquares") -> "_LeastSquares":
        """The sums over both."""
        device = self.own.device
        return _LeastSquares(
            self.own + other.own.to(device),
            self.cross + other.cross.to(device),
            self.columns + other.columns,
        )

    def solve_into(self, projection: LinearProjection) -> None:
        """Minimise |target - D y_hat - offset|^2 plus the price of leaving the present D."""
        present = torch.cat([projection.decoder.T, projection.offset[None]]).double()
        own, cross = self.own.to(present.device), self.cross.to(present.device)
        price = RIDGE * own.diagonal().clamp(min=1e-12 * self.columns)
        price[-1] = 0.0  # the offset is free
        regular = torch.diag(price)
        solved = torch.linalg.solve(own + regular, cross + regular @ present)
        projection.decoder.copy_(solved[:-1].T)
        projection.offset.copy_(solved[-1])
        projection.round_to_stored()
