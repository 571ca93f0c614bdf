"""A budget is met closely also where the prices that plans were believed to have are wrong."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from actpress.pipeline.job import Job
from actpress.pipeline.meet import ATTEMPTS, CLOSE_ENOUGH, meet
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import CompressedModel

BELIEVED = [100.0 - 0.2 * number for number in range(400)]
"""Prices of all plans there are."""


def plan_of(number: int) -> Plan:
    site = SitePlan(
        site="a",
        placement=Placement.PRE_ACT,
        transform=Transform.PCA,
        channels=4,
        rank=2,
        step=1.0 + number,
        bit_width=12,
    )
    return Plan(method="m", fingerprint="f", sites=(site,))


def propose(aim: float) -> Plan:
    return plan_of(next((i for i, price in enumerate(BELIEVED) if price <= aim), len(BELIEVED) - 1))


def met_of(target: float, **real: float) -> tuple[float, int]:
    """Price of what is met, and how many plans were pressed; `real` is by number."""
    pressings = []

    def press(plan: Plan) -> CompressedModel:
        pressings.append(plan)
        codec = SimpleNamespace(q_max=_one(1023), q_min=_one(0))  # no step can become finer
        return cast(CompressedModel, SimpleNamespace(plan=plan, codecs={"a": codec}))

    def price(pressed: Any) -> float:
        number = round(pressed.plan.sites[0].step) - 1
        jump = real["jump"] if BELIEVED[number] > real["at"] else 0.0
        return BELIEVED[number] * real["factor"] + jump

    job = cast(Job, SimpleNamespace(price=price))
    return meet(job, propose, press, target=target).price, len(pressings)


def _one(value: int) -> torch.Tensor:
    return torch.tensor([value])


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.0, 1.08, 1.5])
def test_a_constant_error_is_seen_at_once(factor: float) -> None:
    price, pressings = met_of(60.0, factor=factor, jump=0.0, at=0.0)
    assert 60.0 * (1 - CLOSE_ENOUGH) <= price <= 60.0
    assert pressings <= 3


def test_between_what_fits_and_what_does_not_lie_others() -> None:
    """Aims that are scaled by the last error alone swing between both sides of the jump."""
    price, pressings = met_of(60.0, factor=1.0, jump=1.8, at=58.9)
    assert 58.8 <= price <= 58.9, "just below the jump, above which nothing fits"
    assert pressings <= ATTEMPTS + 2
