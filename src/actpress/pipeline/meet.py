"""The one search that meets a budget: press what is proposed, see its real price, propose anew."""

from collections.abc import Callable
from dataclasses import dataclass

from actpress.errors import BudgetError
from actpress.pipeline.job import Job
from actpress.pipeline.scaling import scale_steps
from actpress.plan import Plan
from actpress.pressing import CompressedModel

ATTEMPTS = 8
"""Plans that are pressed, at most, before steps are scaled."""

CLOSE_ENOUGH = 0.01
"""A plan that leaves no more of its budget unused is not improved on."""


@dataclass(frozen=True)
class Met:
    """A plan within its budget.

    Attributes:
        pressed: the network, its tables fitted.
        price: what the budget bounds.
    """

    pressed: CompressedModel
    price: float


def meet(
    job: Job,
    propose: Callable[[float], Plan],
    press: Callable[[Plan], CompressedModel],
    *,
    target: float,
) -> Met:
    """The plan whose real price is closest below a target.

    Prices of proposals are estimates. Each plan that is pressed tells by how much they are off,
    which says what to ask for next; what no proposal spends goes into finer steps of the best one,
    and where all are too expensive, the cheapest gets coarser ones.

    Args:
        job: prices.
        propose: a plan whose estimated price is at most what is asked; cheaper plans for less.
        press: applies it and fits tables.
        target: the price to stay below.

    Raises:
        BudgetError: no step is coarse enough; says what can be reached, and what limits it.
    """
    best: Met | None = None
    last: Met | None = None
    tried: set[Plan] = set()
    aim = target
    for _ in range(ATTEMPTS):
        plan = propose(aim)
        if plan in tried:
            break
        tried.add(plan)
        pressed = press(plan)
        last = Met(pressed, job.price(pressed))
        if last.price <= target and (best is None or last.price > best.price):
            best = last
        if best is not None and best.price >= target * (1 - CLOSE_ENOUGH):
            return best
        aim *= (1 - CLOSE_ENOUGH / 2) * target / last.price
    start = best or last
    assert start is not None, "the first proposal is always new"
    found = scale_steps(start.pressed.plan, press, lambda pressed: job.price(pressed) / target - 1)
    scaled = Met(found.pressed, job.price(found.pressed))
    if scaled.price <= target:
        return scaled
    if best is not None:
        return best
    raise BudgetError(unreachable(job, scaled))


def unreachable(job: Job, met: Met) -> str:
    """What to say of a budget that is below what can be reached."""
    ratio = job.objective.reference(job.graph.sites) / met.price
    uses = job.uses(met.pressed)
    fetched = sum(use.fetched_bits for use in uses.values()) + met.pressed.table_bits()
    moved = sum(use.moved_bits for use in uses.values())
    limit = "what is fetched of the codecs" if fetched > moved else "the activations themselves"
    counted = f" at batch {job.budget.batch}" if job.objective.kind.counts_codecs else ""
    best = job.budget.with_ratio(max(int(100 * ratio) / 100, 1.0))
    return (
        f"the budget {job.budget} cannot be reached; the best reachable for this network{counted} "
        f"is {best.amount:g}{best.kind}, where most of the price is {limit}"
    )
