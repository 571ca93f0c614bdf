"""Uniform quantization without a transform: what int8 deployment does, and fewer bits with LSQ."""

from collections.abc import Mapping

import torch

from actpress.calibration import SiteStatistics
from actpress.errors import BudgetError
from actpress.methods.learned_steps import train_steps
from actpress.pipeline.job import Job, Outcome
from actpress.plan import Placement, Plan, SitePlan, Transform
from actpress.pressing import covering_step, lowest_symbol

BIT_WIDTH = 8

SHRINK, SHRINKS = 0.93, 60
"""Steps that are tried, each so much smaller than the one before."""


def int8(job: Job) -> Outcome:
    """Eight bits per value after the activation, range from calibration; ignores the budget."""
    return uniform(job, bit_width=BIT_WIDTH)


def uniform(job: Job, *, bit_width: int) -> Outcome:
    """One step per site, so that `2**bit_width` levels cover the calibrated range and zero."""
    statistics = job.calibrate(Placement.POST_ACT)
    steps = {site.name: covering_step(statistics.sites[site.name], bit_width) for site in job.sites}
    plan = uniform_plan(job, steps, bit_width)
    plan = plan.model_copy(update={"method": f"int{bit_width}"})
    return Outcome(job.press(plan, statistics), statistics, plan.method)


def lsq(job: Job) -> Outcome:
    """The largest bit-width for all sites that meets the budget, with trained steps.

    Raises:
        BudgetError: an accuracy budget, or one bit at every site costs more.
    """
    refuse_accuracy(job, "lsq")
    statistics, sites = job.calibrate(Placement.POST_ACT), job.sites
    for bit_width in range(BIT_WIDTH, 0, -1):
        steps = {site.name: best_step(statistics.sites[site.name], bit_width) for site in sites}
        plan = uniform_plan(job, steps, bit_width)
        if job.price(job.press(plan, statistics)) > job.target():
            continue
        attempt = f"tune-{bit_width}"
        outcome = train_steps(job, plan, statistics, method="lsq", attempt=attempt)
        if job.price(outcome.pressed) <= job.target():
            return outcome
    raise BudgetError(f"one bit at every site exceeds the budget {job.budget}; ask for more")


def uniform_plan(job: Job, steps: Mapping[str, float], bit_widths: Mapping[str, int] | int) -> Plan:
    """Every channel its own component, after the activation.

    Args:
        job: of the network.
        steps: by site name.
        bit_widths: by site name, or one for all.
    """
    widths = dict.fromkeys(steps, bit_widths) if isinstance(bit_widths, int) else bit_widths
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.POST_ACT,
            transform=Transform.IDENTITY,
            channels=site.channels,
            rank=site.channels,
            step=steps[site.name],
            bit_width=widths[site.name],
        )
        for site in job.sites
    )
    return Plan(method="uniform", fingerprint=job.graph.fingerprint, sites=sites)


def best_step(statistics: SiteStatistics, bit_width: int) -> float:
    """The step of least squared error with `2**bit_width` levels, clamping what they do not reach.

    Taken from the calibration histogram, whose bins are an eighth of an octave or finer. With few
    levels it is far below `covering_step`, and training starts much better from it.
    """
    values, counts = statistics.values_and_counts()
    widest = covering_step(statistics, bit_width)
    steps = [widest * SHRINK**power for power in range(SHRINKS)]

    def squared_error(step: float) -> float:
        low = lowest_symbol(statistics, step, 2**bit_width)
        q = torch.round(values / step).clamp(low, low + 2**bit_width - 1)
        return float(((q * step - values).square() * counts).sum())

    return min(steps, key=squared_error)


def refuse_accuracy(job: Job, method: str) -> None:
    """Baselines are asked for bits.

    Raises:
        BudgetError: a budget of quality.
    """
    if job.budget.is_quality:
        raise BudgetError(
            f"{method} has no budget of quality, such as {job.budget}; give bits (1.34bits) or a "
            f"ratio of traffic (6x)"
        )
