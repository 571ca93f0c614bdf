"""Transform coding without training (Chmiel et al. 2019, arXiv 1905.10830), calibrated.

PCA across channels, one step per site, entropy-coded symbols. Every site gets the same signal to
noise ratio; it is lowered until the budget is met. Unlike the published code, means, ranges and
tables come from calibration images, and linear bottlenecks are compressed and counted too.
"""

import torch
from torch import Tensor

from actpress.calibration import Statistics
from actpress.errors import BudgetError
from actpress.methods.fixed_width import refuse_accuracy
from actpress.pipeline.job import Job, Outcome
from actpress.pipeline.meet import Met, unreachable
from actpress.plan import Placement, Plan, SitePlan, Transform

HIGHEST_DB, LOWEST_DB, GRID_DB = 36.0, -6.0, 0.05
BIT_WIDTH = 12


def transform_coding(job: Job) -> Outcome:
    """Lower the signal to noise ratio of all sites together until the budget is met.

    Raises:
        BudgetError: an accuracy budget, or one that the lowest ratio does not reach.
    """
    refuse_accuracy(job, "transform_coding")
    statistics = job.calibrate(Placement.PRE_ACT, in_blocks=True)
    target = job.target()
    low, high = 0, round((HIGHEST_DB - LOWEST_DB) / GRID_DB)  # grid index of the decibels dropped
    job.progress.start("transform coding", high.bit_length())
    pressed = job.press(plan_at(job, statistics, LOWEST_DB), statistics)
    cheapest = Met(pressed, job.price(pressed))
    if cheapest.price > target:
        raise BudgetError(f"transform coding: {unreachable(job, cheapest)}")
    while low < high:
        middle = (low + high) // 2
        decibels = HIGHEST_DB - middle * GRID_DB
        candidate = job.press(plan_at(job, statistics, decibels), statistics)
        if job.price(candidate) <= target:
            high, pressed = middle, candidate
        else:
            low = middle + 1
        job.progress.advance(1, f"{decibels:.2f} dB")
    return Outcome(pressed, statistics, "transform_coding")


def plan_at(job: Job, statistics: Statistics, decibels: float) -> Plan:
    """The plan that gives every site one signal to noise ratio, all components kept."""
    sites = []
    for site in job.sites:
        variances = statistics.basis(site.name, Transform.PCA).variances
        level = water_level(variances, float(variances.sum()) / 10 ** (decibels / 10))
        sites.append(
            SitePlan(
                site=site.name,
                placement=Placement.PRE_ACT,
                transform=Transform.PCA,
                channels=site.channels,
                block=statistics.block(site.name),
                rank=len(variances),
                step=max((12 * level) ** 0.5, 1e-12),
                bit_width=BIT_WIDTH,
            )
        )
    return Plan(method="transform_coding", fingerprint=job.graph.fingerprint, sites=tuple(sites))


def water_level(variances: Tensor, distortion: float) -> float:
    """T with sum(min(variance, t)) = distortion, solved on the sorted spectrum."""
    ascending = variances.flip(0).double()
    below = torch.cat([torch.zeros(1, dtype=torch.float64), ascending.cumsum(0)])
    remaining = torch.arange(len(ascending), 0, -1, dtype=torch.float64)
    candidates = (distortion - below[:-1]) / remaining
    fits = candidates <= ascending
    index = int(fits.nonzero()[0]) if fits.any() else len(ascending) - 1
    return float(candidates[index].clamp(min=1e-30))
