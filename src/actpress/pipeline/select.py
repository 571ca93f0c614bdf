"""The greedy search as a step of recipes: what sites are offered, and the plan that is taken."""

from collections.abc import Sequence

from actpress.allocate import Search, SearchTask, offers, search
from actpress.calibration import Statistics
from actpress.errors import BudgetError
from actpress.evaluation import PathPoint
from actpress.pipeline.job import ROUNDING, Job, Outcome
from actpress.pipeline.meet import meet
from actpress.pipeline.ram import with_integer_form, within_ram
from actpress.plan import Plan
from actpress.pressing import CompressedModel


def select(job: Job, *, method: str) -> Outcome:
    """Search states of all sites, and take the plan that meets the job's budget.

    Raises:
        BudgetError: no plan meets it; says what can be reached.
    """
    kinds = offers(
        job.sites,
        job.settings.search.transforms,
        block=job.settings.block,
        rules=job.treatments,
    )
    if job.budget.is_ram:
        kinds = with_integer_form(kinds)
    parts = job.observe(kinds)
    job.progress.start("search", 100)
    done = 0.0

    def on_progress(share: float) -> None:
        nonlocal done
        job.progress.advance(100 * share - done)
        done = 100 * share

    work = SearchTask(
        job.graph,
        parts,
        job.search_images(),
        job.images_with_gradients,
        job.objective,
        job.settings.search,
        job.graph.task,
        on_progress,
        job.team,
    )
    target = job.planned_target()
    target = max(target - _shared_price(job), target / 2)  # zero stays zero
    return take_from(job, parts, search(work, kinds, target), method=method)


def take_from(job: Job, parts: Sequence[Statistics], found: Search, *, method: str) -> Outcome:
    """The plan of a finished search that meets a budget.

    Args:
        job: which budget.
        parts: calibrations that the search was made from.
        found: the search.
        method: name for the plan.
    """

    def press(plan: Plan) -> CompressedModel:
        return job.press(plan, Statistics.chosen(parts, plan))

    if job.budget.is_quality:
        index, pressed = _within_quality(job, parts, found, method)
    elif job.budget.is_ram:
        index, pressed = within_ram(job, found, press, method=method)
    else:
        shared = _shared_price(job) + job.untouched_price
        pressed = meet(
            job,
            lambda aim: found.plan_within(aim - shared, method=method),
            press,
            target=job.target(),
        ).pressed
        index = found.within(job.price(pressed) - shared)
    return Outcome(
        pressed,
        Statistics.chosen(parts, pressed.plan),
        method,
        variant=str(job.settings.search.criterion),
        path=path_points(found, index),
        search_node_evals=found.node_evals,
        search_seconds=found.seconds,
        search=found,
    )


SHARED_TABLE_BITS = 24_000.0
"""Of a network's code tables, for a first proposal."""


def _within_quality(
    job: Job, parts: Sequence[Statistics], found: Search, method: str
) -> tuple[int, CompressedModel]:
    """Bisect the path for the last plan that keeps the quality on held-out training images."""
    metric = job.graph.task.metric
    unit = "points" if metric.is_share else metric.unit
    low, high = 0, len(found.path) - 1
    best: tuple[int, CompressedModel] | None = None
    job.progress.start("budget of quality", (high + 1).bit_length())
    while low <= high:
        middle = (low + high) // 2
        plan = found.plan(middle, method=method)
        pressed = job.press(plan, Statistics.chosen(parts, plan))
        loss = job.held_out_loss(pressed)
        if loss <= job.budget.amount + ROUNDING:
            best, low = (middle, pressed), middle + 1
        else:
            high = middle - 1
        job.progress.advance(1, f"{metric.name}: {loss:.2f} {unit} lost")
    if best is None:
        raise BudgetError(
            f"no plan loses at most {job.budget.amount:g} {unit} of {metric.name} on held-out "
            f"training images; allow a larger loss"
        )
    return best


def _shared_price(job: Job) -> float:
    """Of what all sites share, which is no part of their states' prices."""
    return job.objective.table_price(SHARED_TABLE_BITS)


def path_points(found: Search, index: int) -> tuple[PathPoint, ...]:
    """The moves of a path up to a point."""
    points = []
    for number, move in enumerate(found.path[1 : index + 1], start=1):
        states = found.chosen(number)
        moved = states[move.site].plan
        bits = sum(state.use.stored_bits for state in states)
        values = sum(state.use.values for state in states)
        points.append(
            PathPoint(
                site=moved.site,
                transform=moved.transform,
                rank=moved.rank,
                step=moved.step,
                bits_per_value=bits / values,
                price=move.price,
                loss=move.loss,
            )
        )
    return tuple(points)
