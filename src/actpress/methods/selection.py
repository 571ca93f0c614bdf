"""Which plan of a greedy path is taken: the first one whose real tables, or accuracy, fit."""

from actpress.allocate import GreedySearch
from actpress.budget import BudgetKind
from actpress.calibration import Statistics
from actpress.errors import BudgetError
from actpress.evaluation import PathPoint
from actpress.methods.job import Job, Outcome
from actpress.methods.scaling import CLOSE_ENOUGH, scale_steps
from actpress.pressing import CompressedModel

PRESSES = 10
"""Plans of a path that are pressed, at most."""

PATH_SLACK = 0.005
"""The search along a path ends with a plan that leaves no more of its budget unused."""


def take_from(job: Job, statistics: Statistics, found: GreedySearch) -> Outcome:
    """The first plan of a search whose real tables meet the job's budget."""
    if job.budget.kind is BudgetKind.ACCURACY_DROP:
        index, pressed = _within_accuracy(job, statistics, found)
    else:
        index, pressed = _within_cost(job, statistics, found)
        pressed = _scale_to_budget(job, statistics, pressed)
    return Outcome(
        pressed,
        statistics,
        "gdr",
        variant=str(job.settings.search.criterion),
        path=_path_points(found, index),
        search_node_evals=found.node_evals,
        search_seconds=found.seconds,
    )


def _within_cost(
    job: Job, statistics: Statistics, found: GreedySearch
) -> tuple[int, CompressedModel]:
    """The first plan of the path whose fitted tables cost no more than the budget, or the last one.

    The path's costs are estimates. Each plan that is pressed tells by how much they are off, which
    says where to look next between the last plan that failed and the first that fits.
    """
    target = job.cost_target()
    last = len(found.path) - 1
    failed: tuple[int, CompressedModel] | None = None
    fits: tuple[int, CompressedModel] | None = None
    index, cost = found.within(target), target
    for _ in range(PRESSES):
        pressed = job.press(found.plan(index, method="gdr"), statistics)
        cost = job.cost(pressed)
        if cost > target:
            failed = index, pressed
        else:
            fits = index, pressed
            if cost >= target * (1 - PATH_SLACK):
                break
        lowest = 0 if failed is None else failed[0] + 1
        highest = last if fits is None else fits[0] - 1
        if lowest > highest:
            break
        aim = found.path[index].cost * target / cost
        index = min(max(found.within(aim), lowest), highest)
    chosen = fits or failed
    assert chosen is not None, "at least one plan is pressed"
    return chosen


def _scale_to_budget(job: Job, statistics: Statistics, pressed: CompressedModel) -> CompressedModel:
    """Other steps at all sites, where a plan leaves more of its budget than it should.

    They are coarser where even the end of the path exceeds the budget: a few small search images
    underestimate what real tables cost.

    Raises:
        BudgetError: no steps are coarse enough.
    """
    target = job.cost_target()
    if target * (1 - CLOSE_ENOUGH) <= job.cost(pressed) <= target:
        return pressed
    found = scale_steps(
        pressed.plan,
        lambda scaled: job.press(scaled, statistics),
        lambda scaled: job.cost(scaled) / target - 1,
    )
    if found.excess > 0:
        raise BudgetError(
            f"no plan of the search meets the budget {job.budget}: with real tables the last that "
            f"was tried exceeds it by {100 * found.excess:.1f} %; ask for a looser budget"
        )
    return found.pressed


def _within_accuracy(
    job: Job, statistics: Statistics, found: GreedySearch
) -> tuple[int, CompressedModel]:
    """Bisect the path for the last plan that keeps the accuracy on held-out training images."""
    floor = job.accuracy_floor()
    low, high = 0, len(found.path) - 1
    best: tuple[int, CompressedModel] | None = None
    job.progress.start("accuracy budget", (high + 1).bit_length())
    while low <= high:
        middle = (low + high) // 2
        pressed = job.press(found.plan(middle, method="gdr"), statistics)
        accuracy = job.held_out_accuracy(pressed)
        if accuracy >= floor:
            best, low = (middle, pressed), middle + 1
        else:
            high = middle - 1
        job.progress.advance(1, f"accuracy {accuracy:.4f}")
    if best is None:
        raise BudgetError(
            f"no plan keeps a drop of at most {job.budget.amount:g} points on held-out training "
            f"images: they need at least {floor:.4f}; allow a larger drop"
        )
    return best


def _path_points(found: GreedySearch, index: int) -> tuple[PathPoint, ...]:
    points = []
    for move in found.path[1 : index + 1]:
        ladder = found.ladders[move.site]
        level = ladder.levels[move.levels[move.site]]
        points.append(
            PathPoint(
                site=ladder.site,
                rank=level.rank,
                step=level.step,
                bits_per_value=move.bits / found.values,
                loss=move.outcome.loss,
                agreement=move.outcome.agreement,
            )
        )
    return tuple(points)
