"""Layer-wise mixed precision: one bit-width per site, found in two ways, steps trained afterwards.

`layerwise_ilp` weighs sensitivities by integer programming, as HAWQ does (Dong et al. 2019, arXiv
1905.03696; Yao et al. 2021, arXiv 2011.10680). `layerwise_search` learns which width to take, as
EdMIPS does (Cai and Vasconcelos 2020, arXiv 2004.05795). Neither drops nor mixes channels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from actpress.allocate import CODED_BIT_WIDTH
from actpress.budget import View
from actpress.calibration import Statistics, site_gradients
from actpress.codec import IdentityProjection, MixtureCodec, coded_bits
from actpress.errors import BudgetError
from actpress.graph import insert_codecs
from actpress.methods.job import RESERVE, Job, Outcome
from actpress.methods.lsq import train_steps
from actpress.methods.quiet import stdout_discarded
from actpress.methods.scaling import CLOSE_ENOUGH
from actpress.methods.uniform import best_step, refuse_accuracy, uniform_plan
from actpress.methods.widths import rate_scales, train_widths
from actpress.plan import Placement, Plan
from actpress.pressing import CompressedModel, lowest_symbol
from actpress.tune import mixtures

BIT_WIDTHS = tuple(range(1, 9))
START = 4
"""Bit-width that a search starts from."""

PROGRAMS = 4
"""Integer programs that are solved, at most, to spend a budget."""

OBJECTIVE = 1e3
"""Largest loss that the solver sees, whose solution may be 1e-6 from the best; it complains of much
larger ones."""

TIE_BREAK = 1e-3
"""Weight of the estimated losses where a search leaves bits over: they decide who gets them."""


def layerwise_ilp(job: Job) -> Outcome:
    """Bit-widths of least estimated loss within the budget, then trained steps.

    Raises:
        BudgetError: an accuracy budget, or one bit at every site costs more.
    """
    refuse_accuracy(job, "layerwise_ilp")
    statistics = job.calibrate(Placement.POST_ACT)
    began = perf_counter()
    candidates = _best_steps(statistics)
    losses, costs = sensitivities(job, statistics, candidates, BIT_WIDTHS)
    plan = _plan_by_real_cost(job, statistics, candidates, losses, costs)
    return _train(job, plan, statistics, "layerwise_ilp", perf_counter() - began)


def layerwise_search(job: Job) -> Outcome:
    """Bit-widths learned with all of 1 to 8 as candidates of each site, then trained steps.

    Raises:
        BudgetError: an accuracy budget, or one that no step is coarse enough for.
    """
    refuse_accuracy(job, "layerwise_search")
    statistics = job.calibrate(Placement.POST_ACT)
    began = perf_counter()
    network = _all_widths(job, statistics)
    train_widths(job, network)
    codecs = mixtures(network)
    candidates = {
        name: [2 ** (float(codec.log2_range) - bit_width) for bit_width in BIT_WIDTHS]
        for name, codec in codecs.items()
    }
    if job.budget.view is View.ENTROPY:
        # A width is a resolution there: its cost follows from the step, and symbols go far.
        levels: Sequence[int] = (CODED_BIT_WIDTH,) * len(BIT_WIDTHS)
        losses, costs = sensitivities(job, statistics, candidates, levels)
        aim = max(job.cost_target(), float(costs.min(axis=1).sum()))  # steps follow
    else:
        # A wider word may take a wider range than the one learned for the width that won.
        levels = BIT_WIDTHS
        losses, costs = sensitivities(job, statistics, _best_steps(statistics), levels)
        aim = _widest(job)
    logits = np.array([codec.logits[0].tolist() for codec in codecs.values()])
    regrets = _regrets(logits) + TIE_BREAK * losses / losses.max()
    chosen = choose_widths_by_ilp(regrets, costs, aim)
    plan = _plan(job, candidates, levels, chosen)
    finest = -math.inf  # symbols go as far as they are needed
    return _train(job, plan, statistics, "layerwise_search", perf_counter() - began, finest=finest)


def _plan_by_real_cost(
    job: Job,
    statistics: Statistics,
    candidates: Mapping[str, Sequence[float]],
    losses: np.ndarray,
    costs: np.ndarray,
) -> Plan:
    """The plan of the integer program that spends most of the budget, as real tables count.

    In the entropy view its costs are estimates; each plan that is pressed says by how much they are
    off. Where none fits, it is the cheapest: training begins with steps as coarse as need be.
    """
    target, lowest = job.cost_target(), float(costs.min(axis=1).sum())
    if job.budget.view is View.FIXED:
        chosen = choose_widths_by_ilp(losses, costs, _widest(job))
        return _plan(job, candidates, BIT_WIDTHS, chosen)
    aim = max(target, lowest)
    tried: list[tuple[float, Plan]] = []
    for _ in range(PROGRAMS):
        plan = _plan(job, candidates, BIT_WIDTHS, choose_widths_by_ilp(losses, costs, aim))
        cost = job.cost(job.press(plan, statistics))
        tried.append((cost, plan))
        if target * (1 - CLOSE_ENOUGH) <= cost <= target:
            break
        aim = max(aim * target / cost, lowest)
    fitting = [pair for pair in tried if pair[0] <= target]
    if fitting:
        return max(fitting, key=lambda pair: pair[0])[1]
    return min(tried, key=lambda pair: pair[0])[1]


def _widest(job: Job) -> float:
    """The whole budget: widths that fit never cost more, whatever training makes of them."""
    return job.cost_target() / (1 - RESERVE)


def _best_steps(statistics: Statistics) -> dict[str, list[float]]:
    """The step of least squared error for every bit-width, by site."""
    return {
        name: [best_step(own, bit_width) for bit_width in BIT_WIDTHS]
        for name, own in statistics.sites.items()
    }


def _plan(
    job: Job,
    candidates: Mapping[str, Sequence[float]],
    levels: Sequence[int],
    chosen: Sequence[int],
) -> Plan:
    """The candidate of each site whose bit-width was chosen."""
    columns = {
        site.name: BIT_WIDTHS.index(width)
        for site, width in zip(job.graph.sites, chosen, strict=True)
    }
    steps = {name: candidates[name][column] for name, column in columns.items()}
    return uniform_plan(job, steps, {name: levels[column] for name, column in columns.items()})


def sensitivities(
    job: Job,
    statistics: Statistics,
    candidates: Mapping[str, Sequence[float]],
    levels: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Estimated loss and cost of every candidate at every site, on the search images.

    The loss is 1/2 E[(g . e)^2], with the quantization error e and the gradient g of the
    log-likelihood of labels drawn from the network; the cost is what the budget counts.

    Args:
        job: data and budget.
        statistics: after the activations.
        candidates: steps by site name.
        levels: of each candidate, as the bits that number them.

    Returns:
        losses in nats per image and costs in bits per inference, both of shape (sites, widths).
    """
    sites = job.graph.sites
    losses, costs = (np.zeros((len(sites), len(levels))) for _ in range(2))
    images = job.search_images()
    batches = images.split(64)
    seed = job.settings.search.seed
    for gradients in site_gradients(job.graph, batches, statistics.placements, seed=seed):
        for row, site in enumerate(sites):
            x, g = gradients[site.name]
            for column, bit_width in enumerate(levels):
                step = candidates[site.name][column]
                low = lowest_symbol(statistics.sites[site.name], step, 2**bit_width)
                q = torch.round(x / step).clamp(low, low + 2**bit_width - 1)
                errors = ((q * step - x) * g).flatten(1).sum(1)
                losses[row, column] += 0.5 * float(errors.square().sum())
                costs[row, column] += _bits(q, bit_width, job.budget.view)
    weights = np.array([[job.weight(site.name)] for site in sites])
    return losses / len(images), costs * weights / len(images)


def choose_widths_by_ilp(losses: np.ndarray, costs: np.ndarray, target: float) -> list[int]:
    """One width per site with the least sum of losses whose costs stay within the target.

    Args:
        losses: shape (sites, widths).
        costs: likewise.
        target: largest sum of costs.

    Raises:
        BudgetError: the cheapest widths cost more.
    """
    if costs.min(axis=1).sum() > target:
        floor = costs.min(axis=1).sum() / target
        raise BudgetError(
            f"the cheapest widths, one bit at every site, cost {floor:.2f} times the budget; ask "
            f"for so much more, or for another view"
        )
    sites, widths = losses.shape
    one_each = np.kron(np.eye(sites), np.ones(widths))
    with stdout_discarded():
        solution = milp(
            losses.ravel() * (OBJECTIVE / max(np.abs(losses).max(), 1e-300)),
            constraints=[
                LinearConstraint(one_each, 1, 1),
                LinearConstraint(costs.ravel()[None] / target, -np.inf, 1),
            ],
            integrality=np.ones(losses.size),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
    if not solution.success:
        raise BudgetError(f"the integer program found no widths: {solution.message}")
    chosen = solution.x.reshape(sites, widths).argmax(axis=1)
    return [BIT_WIDTHS[index] for index in chosen]


def _regrets(logits: np.ndarray) -> np.ndarray:
    """What it takes to go below the width that won; going above it takes nothing."""
    won = logits.argmax(axis=1)[:, None]
    below = np.arange(logits.shape[1]) < won
    return np.where(below, logits.max(axis=1, keepdims=True) - logits, 0.0)


def _bits(q: Tensor, bit_width: int, view: View) -> float:
    """Bits of a batch of symbols, shape (n, c, ...), under the budget's view."""
    return float(q.numel() * bit_width) if view is View.FIXED else coded_bits(q)


def _all_widths(job: Job, statistics: Statistics) -> CompressedModel:
    """The network with all widths at every site, one group each, its rate aligned to tables."""
    steps = {name: best_step(own, START) for name, own in statistics.sites.items()}
    plan = uniform_plan(job, steps, START)
    scales = rate_scales(job, job.press(plan, statistics))
    codecs = {}
    for site in job.graph.sites:
        codecs[site.name] = MixtureCodec(
            IdentityProjection(),
            torch.zeros(site.channels, dtype=torch.int64),
            torch.log2(torch.tensor([steps[site.name]])) + START,
            torch.tensor([START]),
            view=job.budget.view,
            signed=bool(statistics.sites[site.name].minimum.min() < 0),
            candidates=len(BIT_WIDTHS),
            narrowest=BIT_WIDTHS[0],
        )
        codecs[site.name].rate_scale.fill_(scales[site.name])
    network = insert_codecs(job.graph, codecs, statistics.placements)
    return CompressedModel(network, plan).eval().to(job.device)


def _train(
    job: Job,
    plan: Plan,
    statistics: Statistics,
    method: str,
    seconds: float,
    *,
    finest: float = 0.0,
) -> Outcome:
    """Train the steps; bits that can grow by that, those of the entropy view, are held."""
    hold_bits = job.budget.view is View.ENTROPY
    outcome = train_steps(job, plan, statistics, hold_bits=hold_bits, finest=finest, method=method)
    return replace(outcome, search_seconds=seconds)
