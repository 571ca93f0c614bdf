"""Learned projections: decoders in closed form, then training, within the bits of a budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import LinearProjection, stored_step
from actpress.errors import BudgetError
from actpress.methods.job import Job, Outcome
from actpress.methods.scaling import scale_steps
from actpress.plan import Plan, Transform
from actpress.pressing import CompressedModel, fit_tables, preserved_tables, press
from actpress.tune import align_rate_model, fit_decoders, held_out_divergence, tune

COARSENINGS = 10

UNTRAINED = "untrained"
"""Variant of a result that training did not improve."""

ROUNDING = 0.0005
"""Share of the bits that rounding what was learned to half precision may add."""

SAVED_PER_OCTAVE = 0.6
"""Share of the bits that doubling all steps saves, roughly."""


def learn(job: Job, start: Outcome, *others: Outcome, method: str = "cap") -> Outcome:
    """Train the projections of a plan within its budget; then fix tables anew.

    Of several plans the one is trained that loses least on held-out training images once its
    decoders are fitted in closed form. With an accuracy budget the bits stay at those of the plan.
    Where nothing that was learned beats the plan as it was on held-out training images, it is
    handed back, with the variant `untrained`.

    Args:
        job: data and settings.
        start: an outcome with PCA projections.
        others: more of them, for the same budget.
        method: name for the results.
    """
    began = perf_counter()
    start, pressed = _best_start(job, (start, *others), method)
    fitting_seconds = perf_counter() - began
    bound = _bound(job, start)
    settings = job.settings.tune
    job.progress.start("tune", settings.steps)
    report = tune(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        target_bits=bound,
        measure=watch_cost(job, pressed, bound) if math.isfinite(bound) else None,
        purpose=f"{job.settings.calibration_images}, {job.settings.decoder_images} images",
        checkpoint=_checkpoint(job),
        on_step=lambda step: job.progress.advance(1, f"loss {step.loss:.4f}"),
    )
    seconds = fitting_seconds + report.seconds
    if report.loss_after >= _held_out(job, start.pressed):
        return untrained(start, method, seconds)
    finish(job, pressed, bound)
    return replace(start, pressed=pressed, method=method, variant="", tune_seconds=seconds)


def untrained(start: Outcome, method: str, tune_seconds: float) -> Outcome:
    """An outcome as it was before training, as the result of a method that trains."""
    start.pressed.plan = start.pressed.plan.model_copy(update={"method": method})
    return replace(start, method=method, variant=UNTRAINED, tune_seconds=tune_seconds)


def _best_start(
    job: Job, starts: Sequence[Outcome], method: str
) -> tuple[Outcome, CompressedModel]:
    """The outcome whose plan loses least with decoders in closed form, and that network."""
    best: tuple[float, Outcome, CompressedModel] | None = None
    for start in starts:
        plan = start.pressed.plan.with_transform(Transform.LEARNED)
        plan = plan.model_copy(update={"method": method})
        pressed = compensate(job, plan, start.statistics, _bound(job, start))
        loss = _held_out(job, pressed) if len(starts) > 1 else 0.0
        if best is None or loss < best[0]:
            best = loss, start, pressed
    assert best is not None, "there is at least one start"
    return best[1:]


def _bound(job: Job, start: Outcome) -> float:
    """Largest cost of what is learned; infinite where groups of fixed widths bound it already."""
    if job.budget.view is View.FIXED and any(site.groups for site in start.pressed.plan):
        return math.inf
    return job.cost_target() or job.cost(start.pressed)


def _held_out(job: Job, pressed: CompressedModel) -> float:
    """Divergence on the images that validate training."""
    return held_out_divergence(pressed, job.graph, job.validation(), job.settings.tune)


def compensate(job: Job, plan: Plan, statistics: Statistics, bound: float) -> CompressedModel:
    """Press a plan and fit all its decoders in closed form (see `fit_decoders`).

    With values restored better, the sites after them have less noise to code; steps are scaled
    together so that what this saves is spent on finer ones.

    Args:
        job: data and settings.
        plan: with learned transforms.
        statistics: for the plan's placements.
        bound: largest cost (see `Job.cost`); infinity leaves the steps as they are.
    """
    images = job.decoder_batches()

    def press_and_fit(plan: Plan) -> CompressedModel:
        pressed = press(job.graph, plan, statistics)
        if images:
            fit_decoders(pressed, job.graph, images)
        fit_tables(pressed, job.calibration_batches())
        return pressed

    job.progress.start("decoders", 1)
    if not images or not math.isfinite(bound):
        pressed = press_and_fit(plan)
    else:
        pressed = scale_steps(
            plan, press_and_fit, lambda pressed: job.cost(pressed) / bound - 1 + ROUNDING
        ).pressed
    job.progress.advance(1)
    return pressed


def watch_cost(job: Job, pressed: CompressedModel, bound: float) -> Callable[[], float]:
    """Align the smooth rate with the tables now, and get a function that does so again.

    It fits tables to the present state, without keeping them, and returns the excess of their cost
    over the bound, as a share.
    """
    batches = job.rate_batches()
    align_rate_model(pressed, batches, job.costs(pressed))

    def measure() -> float:
        with preserved_tables(pressed):
            fit_tables(pressed, job.calibration_batches(), within_ranges=True)
            costs = job.costs(pressed)
        align_rate_model(pressed, batches, costs)
        return sum(costs.values()) / bound - 1 + ROUNDING

    return measure


def finish(job: Job, pressed: CompressedModel, bound: float) -> None:
    """Round what was learned to its stored precision, fit the final tables, and check the bits.

    Training kept a state whose exact tables met the bound. Should rounding spoil that, all steps
    are coarsened together until they do; that costs accuracy, since the projections were trained
    for their steps.

    Args:
        job: data and budget.
        pressed: changed in place; its tables are fitted on return.
        bound: largest cost (see `Job.cost`).

    Raises:
        BudgetError: coarser steps do not meet the bound either.
    """
    for codec in pressed.codecs.values():
        if isinstance(codec.projection, LinearProjection):
            codec.projection.round_to_half()
    excess = 0.0
    for _ in range(COARSENINGS):
        fit_tables(pressed, job.calibration_batches(), within_ranges=True)
        excess = job.cost(pressed) / bound - 1
        if excess <= 0:
            return
        for codec in pressed.codecs.values():
            codec.step.copy_(stored_step(codec.step * 2 ** (excess / SAVED_PER_OCTAVE)))
    raise BudgetError(
        f"the tuned network exceeds its bits by {100 * excess:.1f} % and coarser steps do not mend "
        f"it; ask for more than {job.budget}, or tune longer"
    )


def _checkpoint(job: Job) -> Path | None:
    return None if job.folder is None else job.folder / "tune.pt"
