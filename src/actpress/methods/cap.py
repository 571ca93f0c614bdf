"""GDR and CAP: greedy dimension reduction, then a learned projection (arXiv 2110.08828).

What the paper states and what is our choice: docs/methods.md.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from actpress.allocate import GreedySearch, Move, search
from actpress.budget import BudgetKind, View
from actpress.calibrate import Statistics
from actpress.codec import LinearProjection, stored_step
from actpress.errors import BudgetError
from actpress.evaluate import PathPoint
from actpress.methods.record import SearchRecord, read_record, write_record
from actpress.methods.scaling import scale_steps
from actpress.methods.task import Outcome, Task
from actpress.plan import Placement, Plan, Transform
from actpress.press import PressedModel, fit_tables, preserved_tables, press
from actpress.tune import align_rate_model, fit_decoders, tune

ATTEMPTS = 10

CLOSE_ENOUGH = 0.005
"""A plan that leaves no more of its budget unused is not improved on."""

ROUNDING = 0.0005
"""Share of the bits that rounding what was learned to half precision may add."""

SAVED_PER_OCTAVE = 0.6
"""Share of the bits that doubling all steps saves, roughly."""


def gdr(task: Task) -> Outcome:
    """Choose ranks and steps greedily, compress with PCA; no training.

    With a folder, the finished search is kept there and a resumed task does not search again.
    """
    statistics = task.calibrate_with_fisher(Placement.PRE_ACT)
    record = None if task.folder is None else read_record(task.folder, task)
    if record is not None:
        return record.outcome(task.press(record.plan, statistics), statistics)
    outcome = take_from(task, statistics, run_search(task, statistics))
    if task.folder is not None:
        write_record(task.folder, SearchRecord.of(task, outcome))
    return outcome


def cap(task: Task) -> Outcome:
    """GDR's plan with learned projections, trained within the same budget.

    Training follows the float network's predictions, not the labels. Where that costs more accuracy
    than the budget allows, GDR's plan is handed back as it was, with the variant `untrained`.
    """
    start = gdr(task)
    tuned = learn(task, start)
    if task.budget.kind is not BudgetKind.ACCURACY_DROP:
        return tuned
    if task.held_out_accuracy(tuned.pressed) >= task.accuracy_floor():
        return tuned
    return replace(start, method="cap", variant="untrained", tune_seconds=tuned.tune_seconds)


def run_search(task: Task, statistics: Statistics) -> GreedySearch:
    """The greedy path that reaches the task's budget."""
    images = task.search_images()
    done = 0.0

    def on_move(move: Move, target: float) -> None:
        nonlocal done
        share = min(target / move.cost, 1.0) if target else 1 - move.outcome.agreement
        task.progress.advance(100 * share - done, f"loss {move.outcome.loss:.4f}")
        done = 100 * share

    task.progress.start("search", 100)
    return search(
        task.graph, statistics, images, task.budget, task.settings.search, on_move=on_move
    )


def take_from(task: Task, statistics: Statistics, found: GreedySearch) -> Outcome:
    """The first plan of a search whose real tables meet the task's budget."""
    if task.budget.kind is BudgetKind.ACCURACY_DROP:
        index, pressed = _within_accuracy(task, statistics, found)
    else:
        index, pressed = _within_cost(task, statistics, found)
    return Outcome(
        pressed,
        statistics,
        "gdr",
        variant=str(task.settings.search.criterion),
        path=_path_points(found, index),
        search_node_evals=found.node_evals,
        search_seconds=found.seconds,
    )


def learn(task: Task, start: Outcome, *, method: str = "cap", variant: str = "") -> Outcome:
    """Train the projections of a plan within its budget; then fix tables anew.

    With an accuracy budget the bits stay at those of the plan. Groups of fixed bit-widths cannot
    cost more than they do; nothing needs to hold their bits.

    Args:
        task: data and settings.
        start: an outcome with PCA projections.
        method: name for the results.
        variant: of the method, likewise.
    """
    plan = start.pressed.plan.with_transform(Transform.LEARNED)
    plan = plan.model_copy(update={"method": method})
    fixed_groups = task.budget.view is View.FIXED and any(site.groups for site in plan)
    bound = task.cost_target() or task.cost(start.pressed)
    pressed = compensate(task, plan, start.statistics, None if fixed_groups else bound)
    measure = watch_cost(task, pressed, bound)
    settings = task.settings.tune
    task.progress.start("tune", settings.steps)
    report = tune(
        pressed,
        task.graph,
        task.data.train,
        task.validation(),
        settings,
        target_bits=math.inf if fixed_groups else bound,
        measure=None if fixed_groups else measure,
        checkpoint=_checkpoint(task),
        on_step=lambda step: task.progress.advance(1, f"loss {step.loss:.4f}"),
    )
    finish(task, pressed, bound)
    return replace(
        start, pressed=pressed, method=method, variant=variant, tune_seconds=report.seconds
    )


def compensate(task: Task, plan: Plan, statistics: Statistics, bound: float | None) -> PressedModel:
    """Press a plan and fit all its decoders in closed form (see `fit_decoders`).

    With values restored better, the sites after them have less noise to code; steps are scaled
    together so that what this saves is spent on finer ones.

    Args:
        task: data and settings.
        plan: with learned transforms.
        statistics: for the plan's placements.
        bound: largest cost (see `Task.cost`); None leaves the steps as they are.
    """
    images = task.decoder_batches()

    def press_at(octaves: float) -> PressedModel:
        pressed = press(task.graph, plan, statistics)
        for codec in pressed.codecs.values():
            codec.step.copy_(stored_step(codec.step * 2**octaves))
        if images:
            fit_decoders(pressed, task.graph, images)
        fit_tables(pressed, task.calibration_batches())
        return pressed

    task.progress.start("decoders", 1)
    if bound is None or not images:
        pressed = press_at(0.0)
    else:
        pressed = scale_steps(
            press_at, lambda pressed: task.cost(pressed) / bound - 1 + ROUNDING
        ).pressed
    task.progress.advance(1)
    return pressed


def watch_cost(task: Task, pressed: PressedModel, bound: float) -> Callable[[], float]:
    """Align the smooth rate with the tables now, and get a function that does so again.

    It fits tables to the present state, without keeping them, and returns the excess of their cost
    over the bound, as a share.
    """
    batches = list(islice(task.calibration_batches(), 3))
    align_rate_model(pressed, batches, task.costs(pressed))

    def measure() -> float:
        with preserved_tables(pressed):
            fit_tables(pressed, task.calibration_batches(), within_ranges=True)
            costs = task.costs(pressed)
        align_rate_model(pressed, batches, costs)
        return sum(costs.values()) / bound - 1 + ROUNDING

    return measure


def finish(task: Task, pressed: PressedModel, bound: float) -> None:
    """Round what was learned to its stored precision, fit the final tables, and check the bits.

    Training kept a state whose exact tables met the bound. Should rounding spoil that, all steps
    are coarsened together until they do; that costs accuracy, since the projections were trained
    for their steps.

    Args:
        task: data and budget.
        pressed: changed in place; its tables are fitted on return.
        bound: largest cost (see `Task.cost`).

    Raises:
        BudgetError: coarser steps do not meet the bound either.
    """
    for codec in pressed.codecs.values():
        if isinstance(codec.projection, LinearProjection):
            codec.projection.round_to_half()
    excess = 0.0
    for _ in range(ATTEMPTS):
        fit_tables(pressed, task.calibration_batches(), within_ranges=True)
        excess = task.cost(pressed) / bound - 1
        if excess <= 0:
            return
        for codec in pressed.codecs.values():
            codec.step.copy_(stored_step(codec.step * 2 ** (excess / SAVED_PER_OCTAVE)))
    raise BudgetError(
        f"the tuned network exceeds its bits by {100 * excess:.1f} % and coarser steps do not mend "
        f"it; ask for more than {task.budget}, or tune longer"
    )


def _within_cost(
    task: Task, statistics: Statistics, found: GreedySearch
) -> tuple[int, PressedModel]:
    """The first plan of the path whose fitted tables cost no more than the budget.

    The path's costs are estimates. Each plan that is pressed tells by how much they are off, which
    says where to look next between the last plan that failed and the first that fits.
    """
    target = task.cost_target()
    failed, fits, last = -1, None, len(found.path) - 1
    index, cost = found.within(target), target
    for _ in range(ATTEMPTS):
        pressed = task.press(found.plan(index, method="gdr"), statistics)
        cost = task.cost(pressed)
        if cost > target:
            failed = index
        else:
            fits = index, pressed
            if cost >= target * (1 - CLOSE_ENOUGH):
                break
        lowest, highest = failed + 1, last if fits is None else fits[0] - 1
        if lowest > highest:
            break
        aim = found.path[index].cost * target / cost
        index = min(max(found.within(aim), lowest), highest)
    if fits is None:
        raise BudgetError(
            f"the budget {task.budget} was missed by {100 * (cost / target - 1):.1f} % after "
            f"{ATTEMPTS} attempts; ask for a little less, or search on more images"
        )
    return fits


def _within_accuracy(
    task: Task, statistics: Statistics, found: GreedySearch
) -> tuple[int, PressedModel]:
    """Bisect the path for the last plan that keeps the accuracy on held-out training images."""
    floor = task.accuracy_floor()
    low, high = 0, len(found.path) - 1
    best: tuple[int, PressedModel] | None = None
    task.progress.start("accuracy budget", (high + 1).bit_length())
    while low <= high:
        middle = (low + high) // 2
        pressed = task.press(found.plan(middle, method="gdr"), statistics)
        accuracy = task.held_out_accuracy(pressed)
        if accuracy >= floor:
            best, low = (middle, pressed), middle + 1
        else:
            high = middle - 1
        task.progress.advance(1, f"accuracy {accuracy:.4f}")
    if best is None:
        raise BudgetError(
            f"no plan keeps a drop of at most {task.budget.amount:g} points on held-out training "
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


def _checkpoint(task: Task) -> Path | None:
    return None if task.folder is None else task.folder / "tune.pt"
