"""Training quantization steps as LSQ does (Esser et al. 2020, arXiv 1902.08153).

What the baselines without a projection share.
"""

import math
from collections.abc import Callable
from time import perf_counter

import torch

from actpress.calibration import Statistics
from actpress.codec import on_grid
from actpress.errors import BudgetError
from actpress.pipeline.bound import ROUNDING, PriceBound
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.learn import SMALLEST_STEP, UNTRAINED, tied_steps
from actpress.pipeline.scaling import scale_steps
from actpress.plan import Plan
from actpress.pressing import CompressedModel
from actpress.tune import (
    Learned,
    Trainable,
    TuneSettings,
    network_parameters,
    tune,
)


def train_steps(
    job: Job,
    plan: Plan,
    statistics: Statistics,
    *,
    method: str,
    hold_bits: bool = False,
    finest: float = 0.0,
    attempt: str = "tune",
) -> Outcome:
    """Press a plan without projections and train its steps.

    Where what codecs need is counted, a site has one step, as a tensor in the original: one for
    each channel would have to be fetched. Where activations alone are counted, each channel has its
    own, which can only do better. With `Trainable.NETWORK` the network's weights are trained as
    well.

    Args:
        job: data and settings.
        plan: of sites with identity transforms.
        statistics: for the plan's placements.
        method: name for the results.
        hold_bits: keep what the budget counts within it, from before training on; else the bits end
            up where the accuracy wants them.
        finest: octaves by which all steps may become finer before that, where a budget is left
            over; at most 0.
        attempt: name of the checkpoint, where a method trains several plans.

    Raises:
        BudgetError: no step is coarse enough to begin within the bits that are to be held.
    """
    settings, began = job.settings.tune, perf_counter()
    plan = plan.model_copy(update={"method": method})
    if hold_bits:
        pressed = _scaled_to_fit(job, plan, statistics, finest)
    else:
        pressed = job.press(plan, statistics)
    pressing_s = perf_counter() - began
    bound = PriceBound(job, pressed, job.target() if hold_bits else math.inf)
    one_each = job.objective.kind.counts_codecs
    job.progress.start("tune", settings.steps)
    report = tune(
        pressed,
        job.graph,
        job.data.train,
        job.validation(),
        settings,
        target_bits=bound.symbol_target,
        learned=_learned(pressed, settings),
        purpose=method,
        settle=bound.settle if hold_bits else None,
        checkpoint=None if job.folder is None else job.folder / f"{attempt}.pt",
        adjust=tied_steps(pressed) if one_each else kept_positive(pressed),
        on_step=lambda step: job.progress.advance(1, f"loss {step.loss:.4f}"),
        team=job.team,
    )
    for codec in pressed.codecs.values():
        codec.step.copy_(on_grid(codec.step))
    bound.finish()
    variant = UNTRAINED if report.loss_after >= report.loss_before else ""
    return Outcome(pressed, statistics, method, variant, tune_seconds=pressing_s + report.seconds)


def kept_positive(pressed: CompressedModel) -> Callable[[int, torch.optim.Optimizer], None]:
    """What keeps steps above a share of where they began while they are trained."""
    floors = {name: SMALLEST_STEP * codec.step.clone() for name, codec in pressed.codecs.items()}

    @torch.no_grad()
    def keep(_step: int, _optimizer: torch.optim.Optimizer) -> None:
        for name, codec in pressed.codecs.items():
            codec.step.copy_(torch.maximum(codec.step, floors[name]))

    return keep


def _scaled_to_fit(job: Job, plan: Plan, statistics: Statistics, finest: float) -> CompressedModel:
    """The plan, pressed, with all its steps scaled alike until it costs what it may."""
    target = job.target()
    found = scale_steps(
        plan,
        lambda scaled: job.press(scaled, statistics),
        lambda pressed: job.price(pressed) / target - 1 + ROUNDING,
        finest=finest,
    )
    if found.excess > 0:
        raise BudgetError(
            f"steps as coarse as they may be exceed the budget {job.budget} by "
            f"{100 * found.excess:.1f} %: code tables have a floor; ask for more"
        )
    return found.pressed


def _learned(pressed: CompressedModel, settings: TuneSettings) -> list[Learned]:
    """Steps move by a share of themselves; each site is a group, as its steps have one size."""
    steps = [
        Learned((codec.step,), settings.step_lr * float(codec.step.mean()))
        for codec in pressed.codecs.values()
    ]
    if settings.trainable is Trainable.NETWORK:
        steps.append(network_parameters(pressed, settings))
    return steps
