"""The one search that meets a budget: press what is proposed, see its real price, propose anew."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from actpress.errors import BudgetError
from actpress.pipeline.job import Job
from actpress.pipeline.scaling import scale_steps
from actpress.plan import Plan
from actpress.pressing import CompressedModel

ATTEMPTS = 8
"""Plans that are pressed, at most, before steps are scaled."""

PROPOSALS = 40
"""Plans that are asked for, at most; the same one may come again."""

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


@dataclass
class _Aims:
    """What to ask proposals for.

    Attributes:
        target: real price.
        aim: estimated price to ask for next.
        fitting: highest aim whose plan was within the target.
        exceeding: lowest aim whose plan was not.
    """

    target: float
    aim: float
    fitting: float = 0.0
    exceeding: float = math.inf

    @property
    def is_bracket(self) -> bool:
        """Whether both kinds of aims are known."""
        return self.fitting > 0 and self.exceeding < math.inf

    def learn(self, price: float) -> None:
        """Go on from the real price of the present aim's plan."""
        if price <= self.target:
            self.fitting = max(self.fitting, self.aim)
        else:
            self.exceeding = min(self.exceeding, self.aim)
        self.aim *= (1 - CLOSE_ENOUGH / 2) * self.target / price
        if not self.fitting < self.aim < self.exceeding:
            self.aim = (self.fitting + self.exceeding) / 2


def meet(
    job: Job,
    propose: Callable[[float], Plan],
    press: Callable[[Plan], CompressedModel],
    *,
    target: float,
) -> Met:
    """The plan whose real price is closest below a target.

    Prices of proposals are estimates. Each plan that is pressed tells by how much they are off,
    which says what to ask for next, between what fitted and what did not once there are both. What
    no proposal spends goes into finer steps of the best one, and where all are too expensive, the
    last gets coarser ones.

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
    prices: dict[Plan, float] = {}
    aims = _Aims(target, target)
    for _ in range(PROPOSALS):
        plan = propose(aims.aim)
        if plan not in prices:
            if len(prices) == ATTEMPTS:
                break
            pressed = press(plan)
            last = Met(pressed, job.price(pressed))
            prices[plan] = last.price
            if last.price <= target and (best is None or last.price > best.price):
                best = last
            if best is not None and best.price >= target * (1 - CLOSE_ENOUGH):
                return best
        elif not aims.is_bracket:
            break
        aims.learn(prices[plan])
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
