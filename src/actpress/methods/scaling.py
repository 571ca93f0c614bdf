"""Scaling all steps of a plan together until its real tables cost what they may."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from actpress.press import PressedModel

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
        octaves: by which its steps are scaled.
        excess: of its cost over the target, as a share; at most 0 where it fits.
        pressed: the network.
    """

    octaves: float
    excess: float
    pressed: PressedModel


def scale_steps(
    press_at: Callable[[float], PressedModel],
    excess_of: Callable[[PressedModel], float],
    *,
    finest: float = -math.inf,
    room_of: Callable[[PressedModel], float] | None = None,
) -> Scaled:
    """The plan closest below its target that some attempts find.

    Attempts are extrapolated, twice as far each time, until one fits and one does not, and
    interpolated between these from then on, never closer to either end than a tenth of the way. A
    plan below its target is returned where finer steps do not make it cost more, or would give a
    site more symbols than code tables and symbol ranges are made for.

    Args:
        press_at: the network with steps scaled by so many octaves; bits fall with them.
        excess_of: its cost over the target, as a share.
        finest: octaves below which nothing is tried.
        room_of: octaves by which a network's steps may become finer; None is `room_octaves`.

    Returns:
        The best that fits, or, where none does, the last.
    """
    over: Scaled | None = None
    fits: Scaled | None = None
    tried = _attempt(0.0, press_at, excess_of)
    for reach in range(ATTEMPTS):
        if tried.excess > 0:
            over = tried
        elif over is None and fits is not None and tried.excess <= fits.excess + PROGRESS:
            return fits
        else:
            fits = tried
        floor = max(finest, tried.octaves - (room_of or room_octaves)(tried.pressed))
        if fits is not None and (fits.excess >= -CLOSE_ENOUGH or fits.octaves <= floor):
            return fits
        if fits is None and tried.octaves >= COARSEST:
            return tried
        octaves = min(max(_next(tried, over, fits, 2.0**reach), floor), COARSEST)
        tried = _attempt(octaves, press_at, excess_of)
    return fits or tried


def room_octaves(pressed: PressedModel) -> float:
    """By how many octaves all steps can become finer before a site has too many levels."""
    codecs = pressed.codecs.values()
    levels = max(int(codec.q_max.max()) - codec.lowest + 1 for codec in codecs)
    return max(math.log2(MOST_LEVELS / levels), 0.0)


def _attempt(
    octaves: float,
    press_at: Callable[[float], PressedModel],
    excess_of: Callable[[PressedModel], float],
) -> Scaled:
    pressed = press_at(octaves)
    return Scaled(octaves, excess_of(pressed), pressed)


def _next(last: Scaled, over: Scaled | None, fits: Scaled | None, reach: float) -> float:
    aim = -CLOSE_ENOUGH / 2
    if over is None or fits is None:
        move = OCTAVES_PER_EXCESS * reach * (last.excess - aim)
        return last.octaves + math.copysign(max(abs(move), SHORTEST), move)
    share = (over.excess - aim) / (over.excess - fits.excess)
    share = min(max(share, 0.1), 0.9)
    return over.octaves + share * (fits.octaves - over.octaves)
