"""Layer-wise mixed precision: one bit-width per site, found in two ways, steps trained afterwards.

`layerwise_ilp` weighs sensitivities by integer programming, as HAWQ does (Dong et al. 2019, arXiv
1905.03696; Yao et al. 2021, arXiv 2011.10680). `layerwise_search` learns which width to take, as
EdMIPS does (Cai and Vasconcelos 2020, arXiv 2004.05795). Neither drops nor mixes channels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from actpress.allocate import CODED_BIT_WIDTH, grouped_entropy_bits
from actpress.budget import View
from actpress.calibration import Statistics, visit_gradients
from actpress.codec import IdentityProjection, MixtureCodec, contexts_for, quantizer_bits
from actpress.cost import SiteUse
from actpress.errors import BudgetError
from actpress.graph import Site, insert_codecs
from actpress.kernels import count_in_contexts
from actpress.methods.fixed_width import best_step, refuse_accuracy, uniform_plan
from actpress.methods.learned_steps import train_steps
from actpress.methods.quiet import stdout_discarded
from actpress.pipeline.job import RESERVE, Job, Outcome
from actpress.pipeline.meet import CLOSE_ENOUGH
from actpress.pipeline.widths import rate_scales, symbol_target, train_widths
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
    candidates = _Candidates(_best_steps(statistics), BIT_WIDTHS)
    losses, prices = sensitivities(job, statistics, candidates)
    plan = _plan_by_real_price(job, statistics, candidates, losses, prices)
    return _train(job, plan, statistics, "layerwise_ilp", perf_counter() - began)


def layerwise_search(job: Job) -> Outcome:
    """Bit-widths learned with all of 1 to 8 as candidates of each site, then trained steps.

    Raises:
        BudgetError: an accuracy budget, or one that no step is coarse enough for.
    """
    refuse_accuracy(job, "layerwise_search")
    statistics = job.calibrate(Placement.POST_ACT)
    began = perf_counter()
    network, target = _all_widths(job, statistics)
    train_widths(job, network, target)
    codecs = mixtures(network)
    if job.budget.view is View.ENTROPY:
        # A width is a resolution there: its price follows from the step, and symbols go far.
        learned = {
            name: [2 ** (float(codec.log2_range) - bit_width) for bit_width in BIT_WIDTHS]
            for name, codec in codecs.items()
        }
        candidates = _Candidates(learned, (CODED_BIT_WIDTH,) * len(BIT_WIDTHS))
    else:
        # A wider word may take a wider range than the one learned for the width that won.
        candidates = _Candidates(_best_steps(statistics), BIT_WIDTHS)
    losses, prices = sensitivities(job, statistics, candidates)
    aim = job.planned_target() / (1 - RESERVE)
    if job.budget.view is View.ENTROPY:
        aim = max(job.planned_target(), float(prices.min(axis=1).sum()))  # steps follow
    logits = np.array([codec.logits[0].tolist() for codec in codecs.values()])
    regrets = _regrets(logits) + TIE_BREAK * losses / losses.max()
    plan = candidates.plan(job, choose_by_ilp(regrets, prices, aim))
    finest = -math.inf  # symbols go as far as they are needed
    return _train(job, plan, statistics, "layerwise_search", perf_counter() - began, finest=finest)


@dataclass(frozen=True)
class _Candidates:
    """Steps of each site for the widths 1 to 8.

    Attributes:
        steps: by site name.
        levels: of each candidate, as the bits that number them.
    """

    steps: Mapping[str, Sequence[float]]
    levels: Sequence[int]

    def plan(self, job: Job, chosen: Sequence[int]) -> Plan:
        """The candidate of each site whose index was chosen."""
        columns = {site.name: index for site, index in zip(job.sites, chosen, strict=True)}
        steps = {name: self.steps[name][column] for name, column in columns.items()}
        return uniform_plan(
            job, steps, {name: self.levels[column] for name, column in columns.items()}
        )


def _plan_by_real_price(
    job: Job,
    statistics: Statistics,
    candidates: _Candidates,
    losses: np.ndarray,
    prices: np.ndarray,
) -> Plan:
    """The plan of the integer program that spends most of the budget, as real tables count.

    In the entropy view its prices are estimates; each plan that is pressed says by how much they
    are off. Where none fits, it is the cheapest: training begins with steps as coarse as need be.
    """
    target, lowest = job.planned_target(), float(prices.min(axis=1).sum())
    if job.budget.view is View.FIXED:
        return candidates.plan(job, choose_by_ilp(losses, prices, target / (1 - RESERVE)))
    aim = max(target, lowest)
    tried: list[tuple[float, Plan]] = []
    for _ in range(PROGRAMS):
        plan = candidates.plan(job, choose_by_ilp(losses, prices, aim))
        price = job.price(job.press(plan, statistics)) - job.untouched_price
        tried.append((price, plan))
        if target * (1 - CLOSE_ENOUGH) <= price <= target:
            break
        aim = max(aim * target / price, lowest)
    fitting = [pair for pair in tried if pair[0] <= target]
    if fitting:
        return max(fitting, key=lambda pair: pair[0])[1]
    return min(tried, key=lambda pair: pair[0])[1]


def _best_steps(statistics: Statistics) -> dict[str, list[float]]:
    """The step of least squared error for every bit-width, by site."""
    return {
        name: [best_step(own, bit_width) for bit_width in BIT_WIDTHS]
        for name, own in statistics.sites.items()
    }


def sensitivities(
    job: Job, statistics: Statistics, candidates: _Candidates
) -> tuple[np.ndarray, np.ndarray]:
    """Estimated loss and price of every candidate at every site, on the search images.

    The loss is 1/2 E[(g . e)^2], with the quantization error e and the gradient g of the
    log-likelihood of labels drawn from the network.

    Args:
        job: data and budget.
        statistics: after the activations.
        candidates: of each site.

    Returns:
        losses in nats per image and prices, both of shape (sites, widths).
    """
    sites, levels = job.sites, candidates.levels
    images = job.search_images()
    own: dict[str, list[tuple[float, float]]] = {}

    def see(name: str, _: Placement, x: Tensor, g: Tensor) -> None:
        own[name] = []
        for step, bit_width in zip(candidates.steps[name], levels, strict=True):
            low = lowest_symbol(statistics.sites[name], step, 2**bit_width)
            q = torch.round(x / step).clamp(low, low + 2**bit_width - 1)
            errors = ((q * step - x) * g).flatten(1).sum(1)
            loss = 0.5 * float(errors.square().sum())
            own[name].append((loss, _bits(q, bit_width, job.budget.view)))

    shown = visit_gradients(
        job.graph,
        images.split(64),
        statistics.placements.items(),
        see,
        seed=job.settings.seed,
        part=job.team.part,
    )
    summed = np.zeros((len(sites), len(levels), 2))
    for batch in job.team.in_order(dict(own) for _ in shown):
        summed += np.array([batch[site.name] for site in sites])
    losses, bits = np.moveaxis(summed / len(images), 2, 0)
    prices = np.array(
        [
            [job.objective.price(_use(site, count)) for count in counts]
            for site, counts in zip(sites, bits, strict=True)
        ]
    )
    return losses, prices


def _use(site: Site, stored_bits: float) -> SiteUse:
    return SiteUse(site.values, site.reads, stored_bits, quantizer_bits(site.channels, 1))


def choose_by_ilp(losses: np.ndarray, prices: np.ndarray, target: float) -> list[int]:
    """One candidate per site with the least sum of losses whose prices stay within the target.

    Args:
        losses: shape (sites, candidates).
        prices: likewise.
        target: largest sum of prices.

    Returns:
        Index of each site's candidate.

    Raises:
        BudgetError: the cheapest candidates cost more.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - loads slowly

    if prices.min(axis=1).sum() > target:
        floor = prices.min(axis=1).sum() / target
        raise BudgetError(
            f"the cheapest widths, one bit at every site, cost {floor:.2f} times the budget; ask "
            f"for so much more, or for another view"
        )
    sites, candidates = losses.shape
    one_each = np.kron(np.eye(sites), np.ones(candidates))
    with stdout_discarded():
        solution = milp(
            losses.ravel() * (OBJECTIVE / max(np.abs(losses).max(), 1e-300)),
            constraints=[
                LinearConstraint(one_each, 1, 1),
                LinearConstraint(prices.ravel()[None] / target, -np.inf, 1),
            ],
            integrality=np.ones(losses.size),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
    if not solution.success:
        raise BudgetError(f"the integer program found no widths: {solution.message}")
    return [int(index) for index in solution.x.reshape(sites, candidates).argmax(axis=1)]


def _regrets(logits: np.ndarray) -> np.ndarray:
    """What it takes to go below the width that won; going above it takes nothing."""
    won = logits.argmax(axis=1)[:, None]
    below = np.arange(logits.shape[1]) < won
    return np.where(below, logits.max(axis=1, keepdims=True) - logits, 0.0)


def _bits(q: Tensor, bit_width: int, view: View) -> float:
    """Bits of a batch of symbols, shape (n, c, ...), under the budget's view."""
    if view is View.FIXED:
        return float(q.numel() * bit_width)
    lowest, highest = int(q.min()), int(q.max())
    levels = highest - lowest + 1
    shape = q.shape[1], contexts_for(q, levels), levels
    counts = torch.zeros(shape, dtype=torch.int64, device=q.device)
    count_in_contexts(q, lowest, counts)
    return grouped_entropy_bits(counts, -lowest)


def _all_widths(job: Job, statistics: Statistics) -> tuple[CompressedModel, float]:
    """The network with all widths at every site, and what its symbols may cost.

    Every site is one group, its rate aligned to tables.
    """
    steps = {name: best_step(own, START) for name, own in statistics.sites.items()}
    plan = uniform_plan(job, steps, START)
    start = job.press(plan, statistics)
    scales = rate_scales(job, start)
    codecs = {}
    for site in job.sites:
        codecs[site.name] = MixtureCodec(
            IdentityProjection(site.channels),
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
    return CompressedModel(network, plan).eval().to(job.device), symbol_target(job, start)


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
