"""Steps are scaled until a plan fits closely, also where the first guess of the slope is bad."""

import math
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actpress.methods.scaling import ATTEMPTS, CLOSE_ENOUGH, scale_steps
from actpress.press import PressedModel


def no_limit(_: PressedModel) -> float:
    return math.inf


def scaled(start: float, slope: float) -> tuple[float, int]:
    """Final excess where bits fall linearly with octaves, and the attempts made."""
    tried: list[float] = []

    def press_at(octaves: float) -> PressedModel:
        tried.append(octaves)
        return cast(PressedModel, octaves)

    def excess_of(pressed: Any) -> float:
        return start - slope * pressed

    return scale_steps(press_at, excess_of, room_of=no_limit).excess, len(tried)


@given(st.floats(-0.5, 0.5), st.floats(0.1, 3.0))
def test_any_slope_ends_close_below_the_target(start: float, slope: float) -> None:
    excess, attempts = scaled(start, slope)
    assert -CLOSE_ENOUGH <= excess <= 0
    assert attempts <= ATTEMPTS + 1


@pytest.mark.parametrize("start", [-0.04, 0.03])
def test_a_slope_that_overshoots_by_as_much_does_not_swing_for_ever(start: float) -> None:
    excess, attempts = scaled(start, 2.0)
    assert -CLOSE_ENOUGH <= excess <= 0
    assert attempts <= 6


def test_what_never_fits_is_returned_with_its_excess() -> None:
    excess, _ = scaled(0.3, 0.0)
    assert excess == pytest.approx(0.3)


def test_a_budget_that_finer_steps_cannot_spend_is_left_over() -> None:
    tried: list[float] = []

    def press_at(octaves: float) -> PressedModel:
        tried.append(octaves)
        return cast(PressedModel, octaves)

    def excess_of(pressed: Any) -> float:
        return min(-0.5 * cast(float, pressed), 0.2) - 0.4

    found = scale_steps(press_at, excess_of, room_of=no_limit)
    assert found.excess == pytest.approx(-0.2)
    assert min(tried) > -10, "steps stay numbers"
    tried.clear()
    found = scale_steps(press_at, excess_of, finest=0.0, room_of=no_limit)
    assert (found.octaves, tried) == (0.0, [0.0])
    tried.clear()
    found = scale_steps(press_at, excess_of, room_of=lambda octaves: cast(float, octaves) + 0.1)
    assert min(tried) >= -0.1 - 1e-9, "no finer than there is room for"
    assert found.excess == pytest.approx(-0.35)
