"""Ladders: the states a site can be in, from nearly lossless to one component."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from actpress.budget import View
from actpress.calibration import SiteStatistics, Statistics
from actpress.codec import Basis, as_blocks, context_share, entropy_bits, seen_range, stored_step
from actpress.graph import Graph, site_values
from actpress.kernels import count_symbols
from actpress.plan import Placement, Transform

COUNT_LEVELS = 1024
CONTEXT_STRIDE = 4
TOP_DB, STEP_DB, BOTTOM_DB = 32.0, 2.0, 2.0


class LadderKind(StrEnum):
    """What a move changes.

    `water_filling`: the next components are dropped and the step follows the water level.
    `rank`: components are dropped, the step stays.
    """

    WATER_FILLING = "water_filling"
    RANK = "rank"


@dataclass(frozen=True)
class Level:
    """One state of a site.

    Attributes:
        rank: components kept.
        step: quantization step, in activation units.
        fixed_bits, entropy_bits: stored bits per inference, estimated on search images.
        distortion: expected squared error of a block of pixels.
    """

    rank: int
    step: float
    fixed_bits: float
    entropy_bits: float
    distortion: float

    def bits(self, view: View) -> float:
        """Stored bits per inference under one view."""
        return self.fixed_bits if view is View.FIXED else self.entropy_bits


@dataclass(frozen=True)
class Ladder:
    """The states of one site, each cheaper than the one before.

    Attributes:
        site: its name.
        placement: of the stored value.
        values: original values per inference.
        reads: consumers.
        basis: of the transform.
        mean: of the values of a block, shape (c * b^2,), float64.
        levels: by falling bits.
        block: side of the blocks of pixels that are transformed together, b.
    """

    site: str
    placement: Placement
    values: int
    reads: int
    basis: Basis
    mean: Tensor
    levels: tuple[Level, ...]
    block: int = 1


def build_ladders(
    graph: Graph,
    statistics: Statistics,
    inputs: Iterable[Tensor],
    *,
    view: View = View.ENTROPY,
    kind: LadderKind = LadderKind.WATER_FILLING,
    transform: Transform = Transform.FISHER_PCA,
) -> list[Ladder]:
    """Ladders of all sites, priced by counting symbols on search images.

    Args:
        graph: the captured network.
        statistics: of the same network; their placements are used.
        inputs: batches of training images.
        view: the bits that must fall from level to level.
        kind: what a move changes.
        transform: of the channels.
    """
    bases = {name: statistics.basis(name, transform) for name in statistics.sites}
    states = {name: ladder_states(basis.variances, kind) for name, basis in bases.items()}
    tallies = {name: [_Tally.empty(rank, step) for rank, step in states[name]] for name in states}
    for index, batch in enumerate(inputs):
        for name, whole in site_values(graph, (batch,), statistics.placements):
            value = as_blocks(whole, statistics.block(name))
            y = _project(value, bases[name], statistics.sites[name])
            for tally in tallies[name]:
                tally.add(y)
            if index == 0 and view is View.ENTROPY:
                _look_at_contexts(tallies[name], y, value)
    return [
        _assemble(graph, name, statistics, bases[name], tallies[name], view)
        for name in statistics.sites
    ]


def ladder_states(variances: Tensor, kind: LadderKind) -> list[tuple[int, float]]:
    """(rank, step) of every level.

    With reverse water-filling at level t, components of variance below t are dropped and the rest
    share the distortion t, which a uniform quantizer reaches with step sqrt(12 t) (Cover and
    Thomas, Elements of Information Theory, 10.3.3). Levels fall by 2 dB.

    Args:
        variances: per component, falling, shape (c,).
        kind: see `LadderKind`.
    """
    total = float(variances.sum())
    if total <= 0:
        return [(1, 1.0)]
    decibels = np.arange(TOP_DB, BOTTOM_DB - 1e-9, -STEP_DB)
    water = [water_level(variances, total / 10 ** (db / 10)) for db in decibels]
    steps = stored_step((12 * torch.tensor(water, dtype=torch.float64)).sqrt()).tolist()
    ranks = [_rank_above(variances, level) for level in water]
    states = list(zip(ranks, steps, strict=True))
    if kind is LadderKind.RANK:
        states = [(rank, states[0][1]) for rank, _ in states]
    return list(dict.fromkeys(states))


def water_level(variances: Tensor, distortion: float) -> float:
    """T with sum(min(variance, t)) = distortion, solved on the sorted spectrum."""
    ascending = variances.flip(0).double()
    below = torch.cat([torch.zeros(1, dtype=torch.float64), ascending.cumsum(0)])
    remaining = torch.arange(len(ascending), 0, -1, dtype=torch.float64)
    candidates = (distortion - below[:-1]) / remaining
    fits = candidates <= ascending
    index = int(fits.nonzero()[0]) if fits.any() else len(ascending) - 1
    return float(candidates[index].clamp(min=1e-30))


def _rank_above(variances: Tensor, level: float) -> int:
    return max(int((variances > level).sum()), 1)


def _project(value: Tensor, basis: Basis, statistics: SiteStatistics) -> Tensor:
    """Components of a batch, shape (c, m), float32."""
    columns = value.transpose(0, 1).flatten(1)
    device = value.device
    centred = columns - statistics.mean.float().to(device)[:, None]
    return basis.vectors.float().to(device) @ centred


@dataclass
class _Tally:
    """Symbol counts of one state.

    Attributes:
        rank, step: of the state.
        counts: by component, shape (rank, COUNT_LEVELS).
        context_share: bits of tables that depend on contexts over those of tables that do not; from
            the first batch, as counting all states by context would take much memory.
    """

    rank: int
    step: float
    counts: Tensor
    context_share: float = 1.0

    @classmethod
    def empty(cls, rank: int, step: float) -> "_Tally":
        return cls(rank, step, torch.zeros(rank, COUNT_LEVELS, dtype=torch.int64))

    def add(self, y: Tensor) -> None:
        inverse = torch.full((self.rank,), 1 / self.step, device=y.device)
        q_min = torch.full((self.rank,), -COUNT_LEVELS // 2, dtype=torch.int32, device=y.device)
        self.counts = self.counts.to(y.device)
        count_symbols(y[None, : self.rank], inverse, q_min, self.counts)

    def bits_per_block(self) -> tuple[float, float]:
        first, last = seen_range(self.counts > 0)
        fixed = torch.ceil(torch.log2((last - first + 1).double()) - 1e-9).sum()
        return float(fixed), float(entropy_bits(self.counts).sum()) * self.context_share


def _look_at_contexts(tallies: Sequence[_Tally], y: Tensor, value: Tensor) -> None:
    """What contexts save at every few states, and about as much at those after them.

    Args:
        tallies: of one site.
        y: its components, shape (c, n * p).
        value: which they are of, cut into blocks, shape (n, c, ...).
    """
    images, _, *spatial = value.shape
    share = 1.0
    for position, tally in enumerate(tallies):
        if position % CONTEXT_STRIDE == 0:
            q = torch.round(y[: tally.rank] / tally.step).reshape(tally.rank, images, *spatial)
            share = context_share(q.transpose(0, 1))
        tally.context_share = share


def _assemble(
    graph: Graph,
    name: str,
    statistics: Statistics,
    basis: Basis,
    tallies: list[_Tally],
    view: View,
) -> Ladder:
    site = graph.site(name)
    blocks = site.values // len(basis.variances)
    levels: list[Level] = []
    for tally in tallies:
        fixed, entropy = tally.bits_per_block()
        dropped = float(basis.variances[tally.rank :].sum())
        noise = torch.clamp(basis.variances[: tally.rank], max=tally.step**2 / 12).sum()
        level = Level(
            tally.rank, tally.step, fixed * blocks, entropy * blocks, dropped + float(noise)
        )
        if not levels or level.bits(view) < levels[-1].bits(view):
            levels.append(level)
    return Ladder(
        name,
        statistics.placements[name],
        site.values,
        site.reads,
        basis,
        statistics.sites[name].mean,
        tuple(levels),
        statistics.block(name),
    )
