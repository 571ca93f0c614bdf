"""Scaling the steps of a plan together until its real tables cost what they may."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from actpress.codec import SiteCodec
from actpress.plan import Plan
from actpress.pressing import CompressedModel

ATTEMPTS = 12

CLOSE_ENOUGH = 0.01
"""A plan that leaves no more of its budget unused is not improved on."""

MOST_LEVELS = 1024
"""Of a site that steps are made finer for; the entropy coder takes twice as many."""

PROGRESS = 0.001
"""Finer steps that cost no more than this share of the target more buy nothing: every symbol has
reached its bound."""

OCTAVES_PER_EXCESS = 1.5
"""First guess: steps that double save two thirds of the bits, roughly."""

COARSEST = 24.0
"""Octaves above which no step is coarsened: every symbol has long been zero."""

SHORTEST = 0.05
"""Octaves that an attempt moves at least; less would tell too little about the slope."""


@dataclass(frozen=True)
class Scaled:
    """A plan that was pressed.

    Attributes:
        octaves: by which its steps are scaled, those of sites at their limit less.
        excess: of its cost over the target, as a share; at most 0 where it fits.
        pressed: the network.
    """

    octaves: float
    excess: float
    pressed: CompressedModel


def scale_steps(
    plan: Plan,
    press_plan: Callable[[Plan], CompressedModel],
    excess_of: Callable[[CompressedModel], float],
    *,
    finest: float = -math.inf,
) -> Scaled:
    """The plan closest below its target that some attempts find.

    Attempts are extrapolated, twice as far each time, until one fits and one does not, and
    interpolated between these from then on, never closer to either end than a tenth of the way.
    Steps of a site stop becoming finer where it would get more symbols than code tables and symbol
    ranges are made for. A plan below its target is returned where no site can go further, or finer
    steps do not make it cost more.

    Args:
        plan: whose steps are scaled.
        press_plan: presses it.
        excess_of: its cost over the target, as a share; falls with larger steps.
        finest: octaves below which nothing is tried.

    Returns:
        The best that fits, or, where none does, the last.
    """
    over: Scaled | None = None
    fits: Scaled | None = None
    limits = {site.site: -math.inf for site in plan}

    def attempt(octaves: float) -> Scaled:
        applied = {name: max(octaves, limit) for name, limit in limits.items()}
        pressed = press_plan(
            plan.with_scaled_steps({name: 2**own for name, own in applied.items()})
        )
        for name, own in applied.items():
            limits[name] = own - _room_octaves(pressed.codecs[name])
        return Scaled(octaves, excess_of(pressed), pressed)

    tried = attempt(0.0)
    for reach in range(ATTEMPTS):
        if tried.excess > 0:
            over = tried
        elif over is None and fits is not None and tried.excess <= fits.excess + PROGRESS:
            return fits
        else:
            fits = tried
        floor = max(finest, min(limits.values()))
        if fits is not None and (fits.excess >= -CLOSE_ENOUGH or fits.octaves <= floor):
            return fits
        if fits is None and tried.octaves >= COARSEST:
            return tried
        tried = attempt(min(max(_next(tried, over, fits, 2.0**reach), floor), COARSEST))
    return fits or tried


def _room_octaves(codec: SiteCodec) -> float:
    """By how many octaves the steps of a site can become finer before it has too many levels."""
    levels = int(codec.q_max.max()) - int(codec.q_min.min()) + 1
    return max(math.log2(MOST_LEVELS / levels), 0.0)


def _next(last: Scaled, over: Scaled | None, fits: Scaled | None, reach: float) -> float:
    aim = -CLOSE_ENOUGH / 2
    if over is None or fits is None:
        move = OCTAVES_PER_EXCESS * reach * (last.excess - aim)
        return last.octaves + math.copysign(max(abs(move), SHORTEST), move)
    share = (over.excess - aim) / (over.excess - fits.excess)
    share = min(max(share, 0.1), 0.9)
    return over.octaves + share * (fits.octaves - over.octaves)
