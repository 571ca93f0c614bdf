"""Uniform quantization without a transform: what int8 deployment does, and fewer bits with LSQ."""

from collections.abc import Mapping

from actpress.budget import BudgetKind
from actpress.calibrate import SiteStatistics, Statistics
from actpress.errors import BudgetError
from actpress.methods.lsq import train_steps
from actpress.methods.task import Outcome, Task
from actpress.plan import Placement, Plan, SitePlan, Transform

BIT_WIDTH = 8


def int8(task: Task) -> Outcome:
    """Eight bits per value after the activation, range from calibration; ignores the budget."""
    return uniform(task, bit_width=BIT_WIDTH)


def uniform(task: Task, *, bit_width: int) -> Outcome:
    """One step per site, so that `2**bit_width` levels cover the calibrated range and zero."""
    statistics = task.calibrate(Placement.POST_ACT)
    plan = uniform_plan(task, statistics, {site.name: bit_width for site in task.graph.sites})
    plan = plan.model_copy(update={"method": f"int{bit_width}"})
    return Outcome(task.press(plan, statistics), statistics, plan.method)


def lsq(task: Task) -> Outcome:
    """The largest bit-width for all sites that meets the budget, with trained steps.

    Raises:
        BudgetError: an accuracy budget, or one bit at every site costs more.
    """
    refuse_accuracy(task, "lsq")
    statistics = task.calibrate(Placement.POST_ACT)
    for bit_width in range(BIT_WIDTH, 0, -1):
        plan = uniform_plan(task, statistics, {site.name: bit_width for site in task.graph.sites})
        if task.cost(task.press(plan, statistics)) > task.cost_target():
            continue
        outcome = train_steps(task, plan, statistics, method="lsq")
        if task.cost(outcome.pressed) <= task.cost_target():
            return outcome
    raise BudgetError(f"one bit at every site exceeds the budget {task.budget}; ask for more")


def uniform_plan(task: Task, statistics: Statistics, bit_widths: Mapping[str, int]) -> Plan:
    """Every channel its own component, after the activation, at the bit-width of its site."""
    sites = tuple(
        SitePlan(
            site=site.name,
            placement=Placement.POST_ACT,
            transform=Transform.IDENTITY,
            channels=site.channels,
            rank=site.channels,
            step=uniform_step(statistics.sites[site.name], bit_widths[site.name]),
            bit_width=bit_widths[site.name],
        )
        for site in task.graph.sites
    )
    return Plan(method="uniform", fingerprint=task.graph.fingerprint, sites=sites)


def uniform_step(statistics: SiteStatistics, bit_width: int) -> float:
    """So that `2**bit_width` levels cover the calibrated range and zero."""
    lowest = min(float(statistics.minimum.min()), 0.0)
    highest = max(float(statistics.maximum.max()), 0.0)
    return float(max(highest - lowest, 1e-12) / (2**bit_width - 1))


def refuse_accuracy(task: Task, method: str) -> None:
    """Baselines are asked for bits.

    Raises:
        BudgetError: an accuracy budget.
    """
    if task.budget.kind is BudgetKind.ACCURACY_DROP:
        raise BudgetError(
            f"{method} has no accuracy budget; give bits (1.34bits) or a ratio of traffic (6x)"
        )
