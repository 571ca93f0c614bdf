"""Steps are scaled until a plan fits closely, also where the first guess of the slope is bad."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actpress.pipeline.scaling import ATTEMPTS, CLOSE_ENOUGH, MOST_LEVELS, Scaled, scale_steps
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel


@dataclass
class Trials:
    """Scales a plan whose cost is known, and notes what was tried.

    Attributes:
        excess_of: cost over the target by the octaves of every site.
        levels: of every site at its first step.
        tried: octaves of every site, by attempt.
    """

    excess_of: Callable[[dict[str, float]], float]
    levels: dict[str, int]
    tried: list[dict[str, float]]

    def press(self, plan: Plan) -> CompressedModel:
        octaves = {site.site: math.log2(site.step) for site in plan}
        self.tried.append(octaves)
        codecs = {}
        for name, own in octaves.items():
            highest = max(round(self.levels[name] * 2**-own), 1) - 1
            codecs[name] = SimpleNamespace(q_max=torch.tensor([highest]), q_min=torch.tensor([0]))
        return cast(CompressedModel, SimpleNamespace(octaves=octaves, codecs=codecs))

    def scale(self, **limits: float) -> Scaled:
        def excess_of(pressed: Any) -> float:
            return self.excess_of(pressed.octaves)

        plan = Plan(method="m", fingerprint="f", sites=tuple(map(site_of, self.levels)))
        return scale_steps(plan, self.press, excess_of, **limits)


def site_of(name: str) -> SitePlan:
    return SitePlan(
        site=name,
        placement=Placement.PRE_ACT,
        transform=Transform.PCA,
        channels=4,
        rank=2,
        step=1.0,
        bit_width=12,
    )


def one_site(excess_of: Callable[[float], float], levels: int = 1) -> Trials:
    return Trials(lambda octaves: excess_of(octaves["a"]), {"a": levels}, [])


@given(st.floats(-0.5, 0.5), st.floats(0.1, 3.0))
def test_any_slope_ends_close_below_the_target(start: float, slope: float) -> None:
    trials = one_site(lambda octaves: start - slope * octaves)
    assert -CLOSE_ENOUGH <= trials.scale().excess <= 0
    assert len(trials.tried) <= ATTEMPTS + 1


@pytest.mark.parametrize("start", [-0.04, 0.03])
def test_a_slope_that_overshoots_by_as_much_does_not_swing_for_ever(start: float) -> None:
    trials = one_site(lambda octaves: start - 2.0 * octaves)
    assert -CLOSE_ENOUGH <= trials.scale().excess <= 0
    assert len(trials.tried) <= 6


def test_what_never_fits_is_returned_with_its_excess() -> None:
    assert one_site(lambda octaves: 0.3).scale().excess == pytest.approx(0.3)


def test_a_budget_that_finer_steps_cannot_spend_is_left_over() -> None:
    trials = one_site(lambda octaves: min(-0.5 * octaves, 0.2) - 0.4)
    assert trials.scale().excess == pytest.approx(-0.2)
    assert min(octaves["a"] for octaves in trials.tried) > -10, "steps stay numbers"


def test_nothing_finer_than_asked_is_tried() -> None:
    trials = one_site(lambda octaves: -0.5 * octaves - 0.4)
    assert trials.scale(finest=0.0).octaves == 0.0
    assert trials.tried == [{"a": 0.0}]


def test_a_site_with_many_levels_does_not_hold_back_the_others() -> None:
    """Two sites, each of half the bits; one has room for half an octave, the other for five."""
    limits = {"wide": -0.5, "narrow": -5.0}
    levels = {name: round(MOST_LEVELS * 2**octaves) for name, octaves in limits.items()}
    trials = Trials(lambda octaves: -0.4 - 0.2 * sum(octaves.values()), levels, [])
    assert -CLOSE_ENOUGH <= trials.scale().excess <= 0
    for name, limit in limits.items():
        assert min(octaves[name] for octaves in trials.tried) >= limit - 0.01
    assert min(octaves["wide"] for octaves in trials.tried) == pytest.approx(-0.5, abs=0.01)
    assert min(octaves["narrow"] for octaves in trials.tried) == pytest.approx(-1.5, abs=0.05)


def test_where_all_sites_have_many_levels_the_rest_is_left_over() -> None:
    trials = one_site(lambda octaves: -0.5 * octaves - 0.9, levels=MOST_LEVELS // 2)
    assert trials.scale().excess == pytest.approx(-0.4, abs=0.01)
    assert min(octaves["a"] for octaves in trials.tried) == pytest.approx(-1.0, abs=0.01)
