"""What the states of one kind would store and lose, counted batch by batch on search images."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from actpress.allocate.states import Offer, Shown
from actpress.codec import Basis, contexts_for, on_grid, per_component, stored_step
from actpress.kernels import Columns, tally_states
from actpress.plan import SHIFTS_PER_OCTAVE

FINEST, COARSEST, RUNGS_PER_OCTAVE = -3.0, 3.5, 2
"""Octaves of the steps that are tried, about the root mean square of a component."""

COUNTED_VALUES, COUNTED_IMAGES = 1 << 20, (8, 64)
"""Symbols are counted on so many of the values that the search images make at a site, but on no
fewer and no more images than these. `GROUPS` tables of 25 contexts hardly change with more; and
counting takes ten times as long as rounding."""

COUNTS = 1 << 23
"""Counts of symbols, of four bytes each, that are held at once, unless one state has more."""

ROUNDED = 2.0**-20
"""Share of a value that is lost by computing it in float32, roughly and at most."""

GROUPS = 8
"""Components of a site that are coded alike, roughly as the classes of the network's tables."""

MOST_LEVELS = 256
"""Of a state; finer ones are no use, and tables and ranges are not made for them."""

SHAPE_FLOOR = 1.0
"""Added to the sensitivity of each component, of mean 1: errors are not small, and what looks
insensitive at the operating point may not be away from it."""


@dataclass(frozen=True)
class Tallies:
    """What the states of one kind do to a batch, or to several, shape (states,) each, float64.

    Attributes:
        independent: squared errors of the components, each times its sensitivity.
        squared: squared errors.
        coherent: squared weighed errors of the images.
        bits: of the symbols that were counted.
        too_fine: whether a state has more levels than are made tables for.
        images: how many were seen, and `counted` of them whose symbols were.
        positions: of a component in an image.
    """

    independent: Tensor
    squared: Tensor
    coherent: Tensor
    bits: Tensor
    too_fine: Tensor
    images: int
    counted: int
    positions: int

    def plus(self, other: "Tallies") -> "Tallies":
        """Both together."""
        return Tallies(
            self.independent + other.independent,
            self.squared + other.squared,
            self.coherent + other.coherent,
            self.bits + other.bits,
            self.too_fine | other.too_fine,
            self.images + other.images,
            self.counted + other.counted,
            other.positions,
        )


@dataclass
class Tally:
    """Sums over batches for the states of one kind at one site, under the entropy view.

    Attributes:
        offer: the kind.
        basis: of its transform, K components; the unit basis for the identity.
        mean: that the transform subtracts, shape (K,); zeros for the identity.
        sensitivity: of each component: mean over images of its summed squared gradient, shape (K,).
        bases: step of each state, shape (states,), and `shifts` in eighths of an octave from it.
        steps: of every component in each state, shape (states, K).
        ranks: components kept in each state.
    """

    offer: Offer
    basis: Basis
    mean: Tensor
    sensitivity: Tensor
    bases: Tensor = field(init=False)
    steps: Tensor = field(init=False)
    shifts: list[int] = field(init=False)
    ranks: list[int] = field(init=False)
    summed: Tallies | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        variances = self.basis.variances
        rms = max(math.sqrt(max(float(variances.mean()), 1e-30)), finest_reach(self.mean))
        octaves = np.arange(FINEST, COARSEST + 1e-9, 1 / RUNGS_PER_OCTAVE)
        self.shifts = _shifts(self.sensitivity) if self.offer.shaped else []
        shape = torch.tensor(self.shifts or [0] * len(variances)) / SHIFTS_PER_OCTAVE
        base = stored_step(torch.tensor(rms * 2.0**octaves))
        self.bases = base
        self.steps = on_grid_rows(base[:, None] * torch.exp2(-shape)[None])
        self.ranks = [self._rank(float(step)) for step in base]

    @torch.no_grad()
    def seen(self, shown: Shown) -> Tallies:
        """Of a batch."""
        y, pull = self._components(shown.value), shown.gradient
        if self.offer.transform != "identity":
            pull = mixed(self.basis.inverse.T.float(), pull)
        least, most = COUNTED_IMAGES
        wanted = min(max(COUNTED_VALUES // y[0].numel(), least), most)
        counted = min(max(wanted - shown.place.first, 0), len(y))
        columns, too_fine = self._columns(y) if counted else _uncounted(len(self.ranks))
        squared, pulled, bits = list[Tensor](), list[Tensor](), list[float]()
        for own in self._counted_together(columns):
            part = Columns(columns.lowest[own], columns.levels[own], columns.contexts[own])
            found = tally_states(y, pull, self.steps[own], self.ranks[own], part, counted)
            squared.append(found.squared)
            pulled.append(found.pulled)
            bits += [
                0.0 if counts is None else grouped_entropy_bits(counts, -int(lowest))
                for counts, lowest in zip(found.counts, part.lowest, strict=True)
            ]
        squares = torch.cat(squared)
        return Tallies(
            independent=squares @ self.sensitivity,
            squared=squares.sum(1),
            coherent=torch.cat(pulled).square().sum(1),
            bits=torch.tensor(bits, dtype=torch.float64),
            too_fine=too_fine,
            images=len(y),
            counted=counted,
            positions=y[0, 0].numel(),
        )

    def add(self, seen: Tallies) -> None:
        """Add what was seen of a batch."""
        self.summed = seen if self.summed is None else self.summed.plus(seen)

    @property
    def total(self) -> Tallies:
        """Of all batches."""
        assert self.summed is not None, "batches are seen before states are asked for"
        return self.summed

    def losses(self) -> list[float]:
        """Estimated divergence of each state, in nats per image.

        Half of it is the second-order loss of independent errors, half that of the errors as they
        were: the one does not hear of errors that add up, the other of little but chance where
        images are few.
        """
        seen = self.total
        independent = 0.5 * seen.independent / (seen.images * seen.positions)
        coherent = 0.5 * seen.coherent / seen.images
        return [float(loss) for loss in (independent + coherent) / 2]

    def stored_bits(self, state: int) -> float:
        """Per inference."""
        return float(self.total.bits[state]) / self.total.counted

    def distortion(self, state: int) -> float:
        """Mean squared error of a component."""
        values = self.total.images * self.total.positions * self.steps.shape[1]
        return float(self.total.squared[state]) / values

    def _components(self, value: Tensor) -> Tensor:
        if self.offer.transform == "identity":
            return value
        centred = value - per_component(self.mean.float(), value)
        return mixed(self.basis.vectors.float(), centred)

    def _rank(self, step: float) -> int:
        """Reverse water-filling: components below the noise of a kept one are not worth a bit."""
        if self.offer.transform == "identity":
            return len(self.basis.variances)
        return max(int((self.basis.variances > step**2 / 12).sum()), 1)

    def _counted_together(self, columns: Columns) -> Iterator[slice]:
        """States whose counts take at most `COUNTS` together, one after the other, one at least."""
        sizes = (torch.tensor(self.ranks) * columns.contexts * columns.levels).tolist()
        first = taken = 0
        for state, size in enumerate(sizes):
            if state > first and taken + size > COUNTS:
                yield slice(first, state)
                first, taken = state, 0
            taken += size
        yield slice(first, len(sizes))

    def _columns(self, y: Tensor) -> tuple[Columns, Tensor]:
        """The symbols that each state makes of components, shape (n, K, ...).

        And which states make too many of them, which are not counted.
        """
        axes = [0, *range(2, y.ndim)]
        ends = [y.amin(axes).cpu(), y.amax(axes).cpu()]
        found, too_fine = [], []
        for step, rank in zip(self.steps, self.ranks, strict=True):
            low, high = (torch.round(end[:rank] / step[:rank]) for end in ends)
            lowest, levels = int(low.min()), int(high.max()) - int(low.min()) + 1
            too_fine.append(levels > MOST_LEVELS)
            levels = 0 if too_fine[-1] else levels
            found.append((lowest, levels, contexts_for(y, levels)))
        columns = Columns(*(torch.tensor(column) for column in zip(*found, strict=True)))
        return columns, torch.tensor(too_fine)


def finest_reach(mean: Tensor) -> float:
    """What differences from a mean are at least taken for; smaller ones are float32's rounding."""
    return float(mean.abs().max()) * ROUNDED


def grouped_entropy_bits(counts: Tensor, zero: int) -> float:
    """Bits of counted symbols where components with about as many zeros share their tables.

    Args:
        counts: by component, context and level, shape (k, contexts, levels), integers.
        zero: column of the symbol zero.
    """
    zeros = counts[:, :, min(max(zero, 0), counts.shape[2] - 1)].sum(1)
    groups = min(GROUPS, len(counts))
    group = torch.empty_like(zeros)
    group[zeros.argsort(stable=True)] = torch.arange(len(counts)) * groups // len(counts)
    shape = groups, *counts.shape[1:]
    summed = torch.zeros(shape, dtype=torch.float64).index_add_(0, group, counts.double())
    flat = summed.reshape(-1, counts.shape[2])
    total = flat.sum(1)
    lengths = total.clamp(min=1).log2()[:, None] - flat.clamp(min=1).log2()
    return float((flat * lengths).sum())


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the channel axis of x, shape (n, c, ...), by a matrix of shape (k, c)."""
    matrix = matrix.to(x.device)
    if x.ndim == 2:
        return x @ matrix.T
    planes = x.flatten(2)[:, :, None]
    return F.conv2d(planes, matrix[:, :, None, None]).reshape(len(x), -1, *x.shape[2:])


def _uncounted(states: int) -> tuple[Columns, Tensor]:
    nothing = torch.zeros(states, dtype=torch.int64)
    return Columns(nothing, nothing, nothing), torch.zeros(states, dtype=torch.bool)


def on_grid_rows(steps: Tensor) -> Tensor:
    """Steps of every state as they would be stored, shape (states, k)."""
    return torch.stack([on_grid(row) for row in steps])


def _shifts(sensitivity: Tensor) -> list[int]:
    """Eighths of an octave by which sensitive components get finer steps, of mean about 0."""
    relative = sensitivity / sensitivity.mean().clamp(min=1e-30) + SHAPE_FLOOR
    octaves = 0.5 * relative.log2()
    return (torch.round((octaves - octaves.mean()) * SHIFTS_PER_OCTAVE)).long().tolist()
