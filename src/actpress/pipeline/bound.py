"""Holding a network within its price while it learns, and once it has."""

import math

import torch

from actpress.budget import View
from actpress.codec import on_grid
from actpress.errors import BudgetError
from actpress.pipeline.job import Job
from actpress.pipeline.scaling import MOST_LEVELS
from actpress.pressing import CompressedModel, fit_tables, preserved_tables
from actpress.tune import align_rate_model

ROUNDING = 0.0005
"""Share of the bits that rounding what was learned to half precision may add."""

SETTLED, SETTLINGS, RESCUES = 0.005, 4, 4
"""Share of the bits that training may leave unused, how often steps are scaled for the rest, and
how often more where nothing was below the bound; tables of few symbols jump."""

MOST_SCALED = 0.5
"""Octaves that steps are scaled by at once, at most; further on, the ranges would not follow."""

LEAST_SAVED, MOST_SAVED = 0.1, 2.0
"""Between these lies what doubling all steps is believed to save, as a share of the bits."""

SAVED_PER_OCTAVE = 0.6
"""Share of the bits that doubling all steps saves, roughly."""

COARSENINGS = 10
"""Times that the steps of a finished network are made coarser, at most."""

LEAST_MOVE = 1 / 64
"""Octaves that they are coarsened by at least; less would be rounded away everywhere."""


class PriceBound:
    """The largest price of a network that learns.

    Attributes:
        price: the bound (see `Job.price`); infinite where nothing that is learned costs bits.
        symbol_target: what the stored bits of all sites may cost: the bound, less what is fetched
            and computed whatever the symbols are. At most 0 where that alone is too much.
    """

    def __init__(self, job: Job, pressed: CompressedModel, price: float) -> None:
        """Align the smooth rate with the tables as they are."""
        self.job, self.pressed, self.price = job, pressed, price
        self._batches = job.rate_batches()
        prices = job.symbol_prices(pressed)
        align_rate_model(pressed, self._batches, prices)
        self.symbol_target = price - (job.price(pressed) - sum(prices.values()))

    def settle(self) -> float:
        """Scale all steps to just below the bound and align the smooth rate.

        Widths of the fixed view jump with steps, which stay there as they are. Tables are fitted
        to see the price, and not kept.

        Returns:
            The excess of the price over the bound, as a share of the symbols' target.
        """
        excess, prices = self._present()
        moved, saved_per_octave = 0.0, SAVED_PER_OCTAVE
        held = [0.0] if excess <= 0 else []
        tries = SETTLINGS + RESCUES if self.job.budget.view is View.ENTROPY else 0
        for number in range(tries):
            if -SETTLED <= excess <= 0 or (number >= SETTLINGS and held):
                break
            before, octaves = excess, (excess + SETTLED / 2) / saved_per_octave
            octaves = min(max(octaves, -MOST_SCALED), MOST_SCALED)
            if octaves < 0 and most_levels(self.pressed) > MOST_LEVELS * 2**octaves:
                break
            scale_symbols(self.pressed, 2**octaves)
            moved += octaves
            excess, prices = self._present()
            held += [moved] if excess <= 0 else []
            saved_per_octave = min(max((before - excess) / octaves, LEAST_SAVED), MOST_SAVED)
        if excess > 0 and held:
            scale_symbols(self.pressed, 2 ** (min(held) - moved))
            excess, prices = self._present()
        align_rate_model(self.pressed, self._batches, prices)
        return excess

    def finish(self) -> None:
        """Round what was learned to its stored precision, fit the final tables, check the price.

        Training kept a state whose exact tables met the bound. Should rounding spoil that, all
        steps are coarsened together until they do; that costs accuracy, since the projections were
        trained for their steps.

        Raises:
            BudgetError: coarser steps do not meet the bound either.
        """
        job, pressed = self.job, self.pressed
        trained = {name: codec.step.detach().clone() for name, codec in pressed.codecs.items()}
        for codec in pressed.codecs.values():
            codec.round_to_stored()
        moved = excess = 0.0
        for left in reversed(range(COARSENINGS + 1)):
            fit_tables(pressed, job.calibration_batches(), within_ranges=True)
            excess = job.price(pressed) / self.price - 1
            if excess <= 0:
                return
            if left:  # from what was trained: a move that is rounded away now adds to the next one
                moved += max(excess / SAVED_PER_OCTAVE, LEAST_MOVE)
                for name, codec in pressed.codecs.items():
                    codec.step.copy_(on_grid(trained[name] * (1 if codec.pinned else 2**moved)))
        raise BudgetError(
            f"the tuned network exceeds its bits by {100 * excess:.1f} % and coarser steps do not "
            f"mend it; ask for more than {job.budget}, or tune longer"
        )

    def _present(self) -> tuple[float, dict[str, float]]:
        """Excess as in `settle`, and the prices of symbols."""
        with preserved_tables(self.pressed):
            fit_tables(self.pressed, self.job.calibration_batches(), within_ranges=True)
            excess = (self.job.price(self.pressed) - self.price) / self.symbol_target
            return excess + ROUNDING, self.job.symbol_prices(self.pressed)

    @property
    def is_finite(self) -> bool:
        """Whether anything is bounded."""
        return math.isfinite(self.price)


def most_levels(pressed: CompressedModel) -> int:
    """Symbols that the widest range of any component holds."""
    codecs = pressed.codecs.values()
    return max(int((codec.q_max - codec.q_min).max()) + 1 for codec in codecs)


@torch.no_grad()
def scale_symbols(pressed: CompressedModel, factor: float) -> None:
    """Make all steps that are not pinned larger by a factor, and ranges of symbols smaller by it.

    Values at the ends of the ranges stay where they were, as far as whole numbers allow.
    """
    for codec in pressed.codecs.values():
        if codec.pinned:
            continue
        codec.step.mul_(factor)
        for bound in (codec.q_min, codec.q_max):
            bound.copy_((bound / factor).round())
