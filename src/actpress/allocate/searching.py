"""From observations and an objective to plans: states, measured corrections, the greedy path."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from types import MappingProxyType

from torch import Tensor, nn

from actpress.allocate.exploration import explore
from actpress.allocate.greedy import Criterion, Move, greedy_path, taken_back
from actpress.allocate.measure import SingleSites
from actpress.allocate.offering import ruled_offers
from actpress.allocate.states import Offer, SiteStates, State
from actpress.calibration import Statistics
from actpress.cost import Objective
from actpress.graph import Graph, Site, give_back_freed, images_at_once
from actpress.plan import Plan, SitePlan
from actpress.pressing import build_codec
from actpress.rules import FREE, Rule
from actpress.settings import SEARCHED, NumberBits
from actpress.tasks import Task
from actpress.team import ALONE, Team

REACH = 3.0, 12.0
"""Ratios between which what the path comes by is measured for a budget of accuracy."""

EXPLORING, LEFT = 1 / 3, 0.5
"""Share of the work that exploring is, and what each round of measuring leaves of the rest,
roughly."""

LEAST_FACTOR, MOST_FACTOR = 0.2, 100.0
"""Of a correction: measured loss over the estimate."""

HOPE = 0.75
"""What a kind of states is taken for before it is measured, times what its corrections elsewhere
and those of others at its site suggest. Without such a guess, what is not measured yet would look
better than all that is, and nearly every kind would have to be."""


@dataclass(frozen=True)
class SearchSettings:
    """How states are searched.

    Attributes:
        criterion: what makes a move the next one.
        transforms: that sites may take.
        number_bits: of a stored number of a projection's matrices.
        rounds: times that the loss of what the path takes at the target is measured, one site
            at a time, and estimates of these kinds of states are corrected by it. Estimates hear of
            small errors alone; among many kinds the one that is underestimated most would win.
            Where there is a target, kinds that no round measured are not taken.
        seed: of the labels drawn for the Fisher estimate; None takes that of the tuning, and no
            other is taken (see `Settings`).
    """

    criterion: Criterion = Criterion.LOSS_PER_BIT
    transforms: tuple[str, ...] = SEARCHED
    number_bits: NumberBits = NumberBits.BYTE
    rounds: int = 8
    seed: int | None = None


@dataclass(frozen=True)
class Search:
    """A finished search: every prefix of its path is a plan.

    Attributes:
        fingerprint: of the network.
        states: of all sites, corrected.
        objective: that they were priced by.
        criterion: of the path.
        ladders: of all sites.
        path: the start and all moves.
        node_evals: graph nodes executed.
        seconds: wall clock.
    """

    fingerprint: str
    states: tuple[SiteStates, ...]
    objective: Objective
    criterion: Criterion
    ladders: tuple[tuple[State, ...], ...]
    path: tuple[Move, ...]
    node_evals: int
    seconds: float

    def within(self, price: float) -> int:
        """Index of the first state of the path of at most this price; the last if there is none."""
        indices = range(len(self.path))
        return next((i for i in indices if self.path[i].price <= price), len(self.path) - 1)

    def chosen(self, index: int) -> tuple[State, ...]:
        """State of every site at one point of the path."""
        return self._states(self.path[index].levels)

    def plan(self, index: int, *, method: str) -> Plan:
        """The plan of one point of the path."""
        return self._plan(self.path[index].levels, method)

    def plan_within(self, price: float, *, method: str) -> Plan:
        """The plan of the first point of at most a price, with what that leaves spent."""
        move = self.path[self.within(price)]
        levels = taken_back(self.ladders, move, self.objective, price, criterion=self.criterion)
        return self._plan(levels, method)

    def kinds_between(self, low: float, high: float, aim: float) -> dict[tuple[str, Offer], State]:
        """What the path comes by at some prices, and what it ends with if it never does.

        Args:
            low: price.
            high: price.
            aim: of a kind's states, the one is given that is taken at the closest price.
        """
        near = [i for i, move in enumerate(self.path) if low <= move.price <= high]
        indices = sorted(near or [self.within(aim)], key=lambda i: abs(self.path[i].price - aim))
        kinds: dict[tuple[str, Offer], State] = {}
        for index in indices:
            for state in self.chosen(index):
                kinds.setdefault((state.plan.site, state.offer), state)
        return kinds

    def _states(self, levels: Sequence[int]) -> tuple[State, ...]:
        return tuple(ladder[level] for ladder, level in zip(self.ladders, levels, strict=True))

    def _plan(self, levels: Sequence[int], method: str) -> Plan:
        sites = tuple(state.plan for state in self._states(levels))
        return Plan(method=method, fingerprint=self.fingerprint, sites=sites)


@dataclass
class SearchTask:
    """What a search works on.

    Attributes:
        graph: the captured network.
        parts: calibrations with Fisher information, see `explore`.
        images: search images (training split), shape (n, c, h, w).
        batch: images whose values and gradients are held at once.
        objective: prices of states.
        settings: how.
        task: what outputs mean.
        press_site: the codec of a planned site, to be measured.
        on_progress: called with the share that is done.
        team: shares the images.
        node_evals: graph nodes executed so far, by all processes.
    """

    graph: Graph
    parts: Sequence[Statistics]
    images: Tensor
    batch: int
    objective: Objective
    settings: SearchSettings
    task: Task
    on_progress: Callable[[float], None] = lambda share: None
    team: Team = ALONE
    node_evals: int = 0
    measured: dict[tuple[str, Offer], float] = field(default_factory=dict)

    def codec(self, site: SitePlan) -> nn.Module:
        """Of a planned site, without tables."""
        part = next(part for part in self.parts if part.observed(site))
        return build_codec(site, part).to(self.images.device)

    def measure(self, states: Sequence[State]) -> dict[str, float]:
        """Loss of each site's state alone, in nats per image."""
        codecs = {state.plan.site: self.codec(state.plan) for state in states}
        placements = {state.plan.site: state.plan.placement for state in states}
        single = SingleSites(self.graph, codecs, placements, self.task)
        losses = single.losses(self.images.split(images_at_once(self.graph, self.batch)), self.team)
        self.node_evals += single.node_evals
        del single
        give_back_freed(networks=True)
        return losses


def offers(
    sites: Iterable[Site],
    transforms: Collection[str],
    *,
    block: int | None,
    rules: Mapping[str, Rule] = MappingProxyType({}),
) -> dict[str, tuple[Offer, ...]]:
    """Kinds of states of some sites.

    Raises:
        PlanError: a rule leaves nothing that a site could be.
    """
    return {
        site.name: ruled_offers(site, transforms, block=block, rule=rules.get(site.name, FREE))
        for site in sites
    }


def search(work: SearchTask, kinds: Mapping[str, Sequence[Offer]], target: float) -> Search:
    """Search states of all sites for a price.

    Args:
        work: network, observations, images.
        kinds: offered to each site.
        target: the price at which losses are measured; zero for an accuracy budget, which measures
            at a sixth of the price without codecs.
    """
    began = time.perf_counter()
    settings, objective = work.settings, work.objective
    sites = explore(
        work.graph,
        work.parts,
        kinds,
        work.images.split(work.batch),
        objective,
        seed=settings.seed or 0,
        number_bits=settings.number_bits,
        on_batch=lambda share: work.on_progress(EXPLORING * share),
        team=work.team,
    )
    reference = objective.reference(work.graph.sites)
    aim = target or reference / math.sqrt(math.prod(REACH))
    low, high = (aim, aim) if target else (reference / REACH[1], reference / REACH[0])
    for number in range(settings.rounds):
        factors = corrections(sites, work.measured)
        believed = [site.corrected(factors) for site in sites]
        near = _path(work, believed, objective, began).kinds_between(low, high, aim)
        fresh = {kind: near[kind] for kind in near if kind not in work.measured}
        if not fresh:
            break
        before, after = (1 - (1 - EXPLORING) * LEFT**count for count in (number, number + 1))
        losses = _measured(work, fresh, before, after)
        work.measured |= {
            kind: bounded(factors[kind] * loss / max(fresh[kind].loss, 1e-12))
            for kind, loss in losses.items()
        }
    factors = corrections(sites, work.measured)
    sites = [site.corrected(factors) for site in sites]
    work.on_progress(1.0)
    if settings.rounds and target:
        sites = [site.restricted(work.measured) for site in sites]
    return path_to(work, sites, target, began)


def path_to(
    work: SearchTask, sites: Sequence[SiteStates], target: float, began: float = 0.0
) -> Search:
    """The greedy path of searched sites.

    Where weighing arithmetic keeps it above the target, it is that of prices alone.

    Args:
        work: its objective and criterion.
        sites: their states.
        target: price; zero for none.
        began: when the search did.
    """
    found = _path(work, sites, work.objective, began)
    if target and found.path[found.within(target)].price > target:
        return _path(work, sites, replace(work.objective, weighs_arithmetic=False), began)
    return found


def corrections(
    sites: Sequence[SiteStates], measured: Mapping[tuple[str, Offer], float]
) -> dict[tuple[str, Offer], float]:
    """Corrections of all kinds: those measured, and what is hoped of the others (see `HOPE`)."""
    hoped = _hopes(measured)
    kinds = [(site.site, state.offer) for site in sites for state in site.states]
    return {kind: measured[kind] if kind in measured else hoped(*kind) for kind in kinds}


def _hopes(measured: Mapping[tuple[str, Offer], float]) -> Callable[[str, Offer], float]:
    """What corrections of kinds that were not measured are taken for.

    The mean of their offer elsewhere, and as far from it as other offers at their site are from
    theirs; that as if one more had been measured there, with nothing out of the usual.
    """
    logs: dict[Offer, list[float]] = defaultdict(list)
    for (_, offer), factor in measured.items():
        logs[offer].append(math.log(factor))
    usual = {offer: fmean(own) for offer, own in logs.items()}
    apart: dict[str, list[float]] = defaultdict(lambda: [0.0])
    for (site, offer), factor in measured.items():
        apart[site].append(math.log(factor) - usual[offer])

    def hoped(site: str, offer: Offer) -> float:
        return HOPE * math.exp(usual[offer] + fmean(apart[site])) if offer in usual else 1.0

    return hoped


def _measured(
    work: SearchTask, fresh: Mapping[tuple[str, Offer], State], before: float, after: float
) -> dict[tuple[str, Offer], float]:
    """Loss of each kind's state, in nats per image; a site has one codec at a time.

    Progress goes from one share to another meanwhile.
    """
    found: dict[tuple[str, Offer], float] = {}
    while waiting := [kind for kind in fresh if kind not in found]:
        now = {site: (site, offer) for site, offer in reversed(waiting)}
        losses = work.measure([fresh[kind] for kind in now.values()])
        found |= {now[site]: loss for site, loss in losses.items()}
        work.on_progress(before + (after - before) * len(found) / len(fresh))
    return found


def bounded(factor: float) -> float:
    """A correction within its limits; a loss that is no number is as bad as can be."""
    return MOST_FACTOR if math.isnan(factor) else min(max(factor, LEAST_FACTOR), MOST_FACTOR)


def _path(
    work: SearchTask, sites: Sequence[SiteStates], objective: Objective, began: float
) -> Search:
    ladders = tuple(site.ladder(objective) for site in sites)
    path = greedy_path(ladders, objective, criterion=work.settings.criterion)
    return Search(
        work.graph.fingerprint,
        tuple(sites),
        objective,
        work.settings.criterion,
        ladders,
        tuple(path),
        work.node_evals,
        time.perf_counter() - began,
    )
