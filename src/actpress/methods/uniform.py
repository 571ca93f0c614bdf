"""Uniform quantization without a transform: what int8 deployment does."""

from actpress.calibrate import SiteStatistics
from actpress.methods.task import Outcome, Task
from actpress.plan import Placement, Plan, SitePlan, Transform

BIT_WIDTH = 8


def int8(task: Task) -> Outcome:
    """Eight bits per value after the activation, range from calibration; ignores the budget."""
    return uniform(task, bit_width=BIT_WIDTH)


def uniform(task: Task, *, bit_width: int) -> Outcome:
    """One step per site, so that `2**bit_width` levels cover the calibrated range and zero."""
    statistics = task.calibrate(Placement.POST_ACT)
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.POST_ACT,
            transform=Transform.IDENTITY,
            channels=site.channels,
            rank=site.channels,
            step=_step(statistics.sites[site.name], bit_width),
            bit_width=bit_width,
        )
        for site in task.graph.sites
    )
    plan = Plan(method=f"int{bit_width}", fingerprint=task.graph.fingerprint, sites=sites)
    return Outcome(task.press(plan, statistics), statistics, plan.method)


def _step(statistics: SiteStatistics, bit_width: int) -> float:
    lowest = min(float(statistics.minimum.min()), 0.0)
    highest = max(float(statistics.maximum.max()), 0.0)
    return float(max(highest - lowest, 1e-12) / (2**bit_width - 1))
