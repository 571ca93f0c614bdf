"""The states of one kind under plain packing: a bit-width and a step for every component."""

from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from actpress.allocate.states import Offer, Shown
from actpress.allocate.tally import finest_reach
from actpress.codec import WIDEST, Basis, on_grid
from actpress.plan import GroupPlan

SHRINK, SHRINKS = 2**-0.25, 20
"""Steps that are tried for a width, each so much smaller than the one before."""

SLOPES = 18
"""States: exchanges of loss for bits, from nearly 8 bits to nearly none."""


@dataclass
class PackedTally:
    """Samples of a site's values, and what each width of its components would lose.

    Kinds that differ by their transform alone hold the same samples, which are many, once.

    Attributes:
        offer: the kind.
        basis: of its transform, K components; the unit basis for the identity.
        mean: that the transform subtracts, shape (K,); zeros for the identity.
        sensitivity: of each component, see `Tally`.
        unsigned: whether no value is below zero, so that symbols begin at zero.
    """

    offer: Offer
    basis: Basis
    mean: Tensor
    sensitivity: Tensor
    unsigned: bool
    parts: list[Tensor] = field(default_factory=list)
    positions: int = 0

    @property
    def between_levels(self) -> bool:
        """Whether zero lies between two levels: a projection's offset takes half a step."""
        return self.offer.transform != "identity"

    def seen(self, shown: Shown) -> tuple[Tensor, int]:
        """Some columns of a batch as they are, and positions of a component."""
        return shown.columns, shown.value[0, 0].numel()

    def add(self, seen: tuple[Tensor, int]) -> None:
        """Keep what was seen of a batch."""
        columns, self.positions = seen
        self.parts.append(columns)

    @torch.no_grad()
    def choices(self) -> list[tuple[tuple[GroupPlan, ...], float, float]]:
        """Groups of components, estimated loss in nats, and mean squared error of a component.

        With each exchange of loss for bits every component takes the width that is best for it.
        """
        errors, steps = self._errors()
        lost = 0.5 * errors * self.sensitivity[:, None]
        widths = torch.arange(WIDEST + 1)
        saved = (lost[:, :-1] - lost[:, 1:]).clamp(min=1e-18)
        low, high = saved.log().quantile(0.02), saved.log().amax()
        found = []
        for slope in torch.linspace(float(low), float(high), SLOPES).exp():
            chosen = (lost + slope * widths).argmin(1)
            if not chosen.any():  # a site keeps at least its most important component
                chosen[int(lost[:, 0].argmax())] = 1
            pick = chosen[:, None]
            loss, error = lost.gather(1, pick).sum(), errors.gather(1, pick).mean()
            own = steps.gather(1, pick)[:, 0]
            found.append((self._groups(chosen, own), float(loss), float(error)))
        return found

    def _groups(self, chosen: Tensor, steps: Tensor) -> tuple[GroupPlan, ...]:
        kinds = sorted(
            (width, step if width else 1.0, index)
            for index, (width, step) in enumerate(zip(chosen.tolist(), steps.tolist(), strict=True))
        )
        return tuple(
            GroupPlan(
                components=tuple(index for *_, index in members),
                bit_width=width,
                step=step,
                between_levels=self.between_levels and width > 0,
            )
            for (width, step), members in groupby(kinds, key=lambda kind: kind[:2])
        )

    def _errors(self) -> tuple[Tensor, Tensor]:
        """Squared error of each component at each width 0..8, and its best step; both (K, 9)."""
        y = torch.cat(self.parts, dim=1) - self.mean.float()[:, None]
        if self.offer.transform != "identity":
            y = self.basis.vectors.float() @ y
        reach = y.abs().amax(1).clamp(min=max(finest_reach(self.mean), 1e-30))
        errors, steps = [y.square().mean(1)], [torch.ones_like(reach)]
        for width in range(1, WIDEST + 1):
            best, best_step = torch.full_like(reach, torch.inf), reach.clone()
            levels = 2**width
            widest = reach / (levels - 1 if self.unsigned else levels / 2)
            for power in range(SHRINKS):
                step = on_grid(widest * SHRINK**power)
                error = (y - self._quantized(y, step[:, None], levels)).square().mean(1)
                better = error < best
                best, best_step = (
                    torch.where(better, error, best),
                    torch.where(better, step, best_step),
                )
                if power > 6 and not better.any():
                    break
            errors.append(best)
            steps.append(best_step)
        return torch.stack(errors, dim=1).double(), torch.stack(steps, dim=1)

    def _quantized(self, y: Tensor, step: Tensor, levels: int) -> Tensor:
        half = 0.5 if self.between_levels else 0.0
        lowest = 0 if self.unsigned else -levels // 2
        return (torch.round(y / step - half).clamp(lowest, lowest + levels - 1) + half) * step
