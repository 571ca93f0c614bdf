"""Learned projections: decoders in closed form, then training, within the bits of a budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import family_of
from actpress.cost import folds_of
from actpress.errors import BudgetError, TuningError
from actpress.pipeline.bound import PriceBound
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.ram import fits_ram
from actpress.pipeline.scaling import scale_steps
from actpress.plan import Plan, SitePlan, Transform
from actpress.pressing import CompressedModel, fit_tables, press
from actpress.tune import fit_decoders, held_out_divergence, tune

UNTRAINED = "untrained"
"""Variant of a result that training did not improve."""

SMALLEST_STEP = 0.05
"""Share of where it began that a trained step is kept above."""

MOST_GAIN, TRIALS = 2.0, 3
"""For an accuracy budget: how much more training may save, and how often that is bisected."""

LEARNED_FROM: dict[str, Transform] = {
    Transform.FISHER_PCA: Transform.LEARNED,
    Transform.PCA: Transform.LEARNED_PCA,
}
"""What may be trained from where; a plan's steps are in units of its transform's components."""

MOST_SETTLED = 0.02
"""Share by which what training begins with may exceed its bound, where steps are scaled to it."""


def learn(job: Job, start: Outcome, *others: Outcome, method: str = "cap") -> Outcome:
    """Train what a plan's codecs may change, within its budget; then fix tables anew.

    Of several plans the one is trained that loses least on held-out training images once its
    decoders are fitted in closed form. With an accuracy budget the price stays at that of the plan.
    Where nothing that was learned beats the plan as it was on held-out training images, or maps
    became wider than a budget of peak RAM allows, it is handed back, with the variant `untrained`.

    Args:
        job: data and settings.
        start: an outcome of a search.
        others: more of them, for the same budget.
        method: name for the results.
    """
    began = perf_counter()
    start, pressed = _best_start(job, (start, *others), method)
    fitting_seconds = perf_counter() - began
    settings = job.settings.tune
    bound = PriceBound(job, pressed, _bound(job, start))
    if bound.symbol_target <= 0:  # what is fetched alone costs all there is
        return untrained(start, method, fitting_seconds)
    job.progress.start("tune", settings.steps)
    report = tune(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        target_bits=bound.symbol_target,
        settle=bound.settle if bound.is_finite else None,
        purpose=f"{job.settings.calibration_images}, {job.settings.decoder_images} images",
        checkpoint=_checkpoint(job),
        team=job.team,
        adjust=tied_steps(pressed),
        on_step=lambda step: job.progress.advance(1, f"loss {step.loss:.4f}"),
    )
    seconds = fitting_seconds + report.seconds
    if report.loss_after >= _held_out(job, start.pressed):
        return untrained(start, method, seconds)
    bound.finish()
    if not fits_ram(job, pressed):
        return untrained(start, method, seconds)
    return replace(start, pressed=pressed, method=method, variant="", tune_seconds=seconds)


def untrained(start: Outcome, method: str, tune_seconds: float) -> Outcome:
    """An outcome as it was before training, as the result of a method that trains."""
    start.pressed.plan = start.pressed.plan.model_copy(update={"method": method})
    return replace(start, method=method, variant=UNTRAINED, tune_seconds=tune_seconds)


def _best_start(
    job: Job, starts: Sequence[Outcome], method: str
) -> tuple[Outcome, CompressedModel]:
    """The outcome whose network loses least before training, and that network."""
    best: tuple[float, Outcome, CompressedModel] | None = None
    for start in starts:
        plan = learnable(job, start.pressed.plan, method)
        pressed = compensate(job, plan, start.statistics, _bound(job, start))
        loss = _held_out(job, pressed) if len(starts) > 1 else 0.0
        if best is None or loss < best[0]:
            best = loss, start, pressed
    assert best is not None, "there is at least one start"
    return best[1:]


def learnable(job: Job, plan: Plan, method: str) -> Plan:
    """The plan with free encoders and decoders where these cost no more than what it has.

    Two matrices of their own are stored instead of one for both; where the layer before takes in
    the encoder, or the codecs' parameters are not counted, that costs nothing.
    """

    def freed(site: SitePlan) -> SitePlan:
        if site.is_identity or family_of(site.transform).trained:
            return site
        folds = folds_of(job.graph.site(site.site), site)
        free = folds.encoder or not folds.decodes or not job.objective.kind.counts_codecs
        learned = LEARNED_FROM.get(site.transform)
        if learned is None or not (free or site.transform == Transform.FISHER_PCA):
            return site
        return site.model_copy(update={"transform": learned})

    return plan.model_copy(update={"method": method, "sites": tuple(map(freed, plan))})


def _bound(job: Job, start: Outcome) -> float:
    """Largest price of what is learned; infinite where groups of fixed widths bound it already."""
    if job.budget.view is View.FIXED and any(site.groups for site in start.pressed.plan):
        return math.inf
    return job.target() or job.price(start.pressed)


def _held_out(job: Job, pressed: CompressedModel) -> float:
    """Divergence on the images that validate training."""
    return held_out_divergence(
        pressed, job.graph, job.validation(), job.settings.tune, team=job.team
    )


def compensate(job: Job, plan: Plan, statistics: Statistics, bound: float) -> CompressedModel:
    """Press a plan, and fit its decoders in closed form (see `fit_decoders`) where that helps.

    It helps where much is projected, and everything after has less noise to code. Where little is,
    least squares shrink values for hardly less error; held-out images decide.

    Args:
        job: data and settings.
        plan: with learned transforms.
        statistics: for the plan's placements.
        bound: largest price (see `Job.price`).
    """
    job.progress.start("decoders", 1)
    pressed = job.press(plan, statistics)
    if job.price(pressed) > bound * (1 + MOST_SETTLED):
        pressed = scale_steps(
            plan, lambda plan: job.press(plan, statistics), lambda own: job.price(own) / bound - 1
        ).pressed
        plan = pressed.plan
    images = job.decoder_batches()
    if images is not None and any(
        family_of(site.transform).trained for site in plan if not site.is_identity
    ):
        fitted = press(job.graph, plan, statistics)
        fit_decoders(fitted, job.graph, images)
        fit_tables(fitted, job.calibration_batches())
        # In the entropy view steps are scaled to the bound whenever training validates.
        room = MOST_SETTLED if job.budget.view is View.ENTROPY else 0.0
        held = job.price(fitted) <= max(bound * (1 + room), job.price(pressed))
        if held and _held_out(job, fitted) < _held_out(job, pressed):
            pressed = fitted
    job.progress.advance(1)
    return pressed


def tied_steps(pressed: CompressedModel) -> Callable[[int, torch.optim.Optimizer], None]:
    """What keeps the steps of a site in their proportions while they are trained.

    A step of its own for every component would have to be fetched, which costs more than it gains.
    """
    start = {
        name: codec.step.detach().clone()
        for name, codec in pressed.codecs.items()
        if not codec.pinned
    }

    @torch.no_grad()
    def tie(_step: int, _optimizer: torch.optim.Optimizer) -> None:
        for name, step in start.items():
            codec = pressed.codecs[name]
            moved = (codec.step / step).clamp(min=SMALLEST_STEP).log().mean().exp()
            codec.step.copy_(step * moved)

    return tie


def _checkpoint(job: Job) -> Path | None:
    return None if job.folder is None else job.folder / "tune.pt"


def within_accuracy(
    job: Job, found: Outcome, method: Callable[[Job], Outcome], *, method_name: str
) -> Outcome:
    """The least price at which a method that trains keeps the accuracy on held-out images.

    Ratios between that of a plan which keeps it untrained and `MOST_GAIN` times it are bisected.

    Args:
        job: with an accuracy budget.
        found: the plan without training.
        method: run with budgets of a ratio.
        method_name: for the result where nothing that was trained keeps the accuracy.
    """
    reference = job.objective.reference(job.graph.sites)
    least = reference / job.price(found.pressed)
    low, high = 1.0, MOST_GAIN
    best: Outcome | None = None
    trials_s = found.search_seconds
    for _ in range(TRIALS):
        gain = math.sqrt(low * high)
        budget = job.budget.with_ratio(gain * least)
        folder = None if job.folder is None else job.folder / f"{budget.ratio:.4f}x"
        began = perf_counter()
        try:
            outcome = method(replace(job, budget=budget, folder=folder))
        except (BudgetError, TuningError):  # too little to reach, or to train within
            trials_s += perf_counter() - began
            high = gain
            continue
        trials_s += outcome.search_seconds + outcome.tune_seconds
        if job.keeps_quality(outcome.pressed):
            low, best = gain, outcome
        else:
            high = gain
    if best is None:
        return replace(untrained(found, method_name, 0.0), search_seconds=trials_s)
    return replace(best, search_seconds=trials_s - best.tune_seconds)
