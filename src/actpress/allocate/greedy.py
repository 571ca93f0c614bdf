"""GDR: greedy dimension reduction, and the criteria it is compared with (docs/methods.md)."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from actpress.allocate.ladder import Ladder, Level
from actpress.allocate.replay import Trial
from actpress.budget import View

MIN_LOSS = 1e-7
"""Loss of a move that did not hurt, so that a score stays finite; in nats."""

OPTIMISM = 0.8
"""A screened loss is discounted: a good move must not be buried by a rough estimate."""

PRIOR = 0.5
"""A measured loss is at least this share of the estimated one, where there is an estimate. On a
finite set of images some moves do not hurt by luck; taken for free, they hurt on other images."""


class Criterion(StrEnum):
    """What makes a move the next one.

    `loss_per_bit` is GDR. The others are its controls: `loss` looks at accuracy only, `bits` at
    bits only, `energy` at retained variance only, `uniform` gives all sites one ratio.
    """

    LOSS_PER_BIT = "loss_per_bit"
    LOSS = "loss"
    BITS = "bits"
    ENERGY = "energy"
    UNIFORM = "uniform"

    @property
    def evaluates(self) -> bool:
        """Whether a score needs the network to be run."""
        return self in (Criterion.LOSS_PER_BIT, Criterion.LOSS)


class Network(Protocol):
    """What the search needs of a network; `Replay` is one."""

    current: Trial
    node_evals: int

    def trial(self, site: int, level: int) -> Trial:
        """Outcome of one site at another level."""

    def accept(self, site: int, level: int) -> Trial:
        """Make a level the site's current one."""


@dataclass(frozen=True)
class Move:
    """One accepted move and the state of the whole network after it.

    Attributes:
        site: index of the site that moved.
        levels: of all sites.
        bits: stored per inference, over all sites.
        cost: what the budget counts: `bits`, or bits moved when traffic is bounded.
        outcome: on the search images.
    """

    site: int
    levels: tuple[int, ...]
    bits: float
    cost: float
    outcome: Trial


@dataclass(frozen=True)
class Costs:
    """How the states of all sites are priced.

    Attributes:
        ladders: one per site.
        view: which bits count.
        weights: per site; 1 when stored bits are bounded, 1 + reads when traffic is.
    """

    ladders: Sequence[Ladder]
    view: View
    weights: Sequence[float]

    def level(self, site: int, level: int) -> Level:
        """One state of one site."""
        return self.ladders[site].levels[level]

    def cost(self, site: int, level: int) -> float:
        """Weighted bits of one site per inference."""
        return self.weights[site] * self.level(site, level).bits(self.view)

    def total(self, levels: Sequence[int]) -> float:
        """Weighted bits of all sites."""
        return sum(self.cost(site, level) for site, level in enumerate(levels))

    def stored_bits(self, levels: Sequence[int]) -> float:
        """Unweighted bits of all sites."""
        return sum(self.level(s, level).bits(self.view) for s, level in enumerate(levels))

    def can_move(self, site: int, level: int) -> bool:
        """Whether a site has a level below this one."""
        return level + 1 < len(self.ladders[site].levels)

    def lowest(self) -> float:
        """Cost with every site at its last level."""
        return self.total([len(ladder.levels) - 1 for ladder in self.ladders])


def screened_start(
    costs: Costs, estimates: Sequence[Sequence[float]], *, stop_cost: float, max_loss: float
) -> list[int]:
    """Take the moves that surely do not hurt, on their estimates alone.

    Args:
        costs: of the states.
        estimates: loss per site and level, in nats.
        stop_cost: never go below this cost.
        max_loss: stop before the estimated losses of all sites add up to more, in nats.

    Returns:
        Level of every site.
    """
    levels = [0] * len(costs.ladders)

    def gain(site: int) -> tuple[float, float]:
        """(score, loss) of a site's next move."""
        level = levels[site]
        loss = max(estimates[site][level + 1] - estimates[site][level], MIN_LOSS)
        return (costs.cost(site, level) - costs.cost(site, level + 1)) / loss, loss

    total = sum(estimate[0] for estimate in estimates)
    queue = [(-gain(site)[0], site) for site in range(len(levels)) if costs.can_move(site, 0)]
    heapq.heapify(queue)
    while queue and costs.total(levels) > stop_cost:
        site = heapq.heappop(queue)[1]
        total += gain(site)[1]
        if total > max_loss:
            break
        levels[site] += 1
        if costs.can_move(site, levels[site]):
            heapq.heappush(queue, (-gain(site)[0], site))
    return levels


def greedy_path(
    network: Network,
    costs: Costs,
    *,
    stop: Callable[[Move], bool],
    criterion: Criterion = Criterion.LOSS_PER_BIT,
    estimates: Sequence[Sequence[float]] | None = None,
    start: Sequence[int] | None = None,
    contenders: int = 2,
    on_move: Callable[[Move], None] = lambda move: None,
) -> list[Move]:
    """Take the best move until `stop`, or until no site can move.

    The queue is lazy: a score from an earlier state is kept, and only the best-looking moves
    (`contenders`) are measured again. With `estimates` a site that was not measured yet enters with
    its estimated loss, corrected by how far the estimate was off the last time, and no measured
    loss counts less than `PRIOR` times the estimated one.

    Args:
        network: runs the trials; its sites are at the levels of `start`.
        costs: of the states.
        stop: asked after every move, and once before the first.
        criterion: what is best.
        estimates: loss per site and level, in nats; None measures every site's first move.
        start: level of every site; None is level 0 everywhere.
        contenders: so many of the best-looking moves are measured before one of them is taken; 0
            takes the one with the best estimate, where there are estimates.
        on_move: called after every move, for progress.

    Returns:
        The start (site -1) and the moves, in order.
    """
    levels = [0] * len(costs.ladders) if start is None else list(start)
    if estimates is None:
        contenders = max(contenders, 1)
    search = _Search(network, costs, criterion, estimates, levels, contenders)
    path = [search.state(-1)]
    while not stop(path[-1]) and (site := search.best()) is not None:
        path.append(search.advance(site))
        on_move(path[-1])
    return path


@dataclass
class _Search:
    """The queue: one entry (negative score, site, measured at which move) per site."""

    network: Network
    costs: Costs
    criterion: Criterion
    estimates: Sequence[Sequence[float]] | None
    levels: list[int]
    contenders: int
    queue: list[tuple[float, int, int]] = field(default_factory=list)
    corrections: list[float] = field(default_factory=list)
    moves: int = 0

    def __post_init__(self) -> None:
        self.corrections = [1.0] * len(self.levels)
        for site in range(len(self.levels)):
            self._enqueue(site)

    @property
    def _trusts_estimates(self) -> bool:
        """Whether moves are taken without being measured before."""
        return self.contenders == 0 and self.estimates is not None

    def state(self, site: int) -> Move:
        return Move(
            site,
            tuple(self.levels),
            self.costs.stored_bits(self.levels),
            self.costs.total(self.levels),
            self.network.current,
        )

    def best(self) -> int | None:
        """The site with the best score as of now."""
        if self.queue and self._trusts_estimates:
            return self.queue[0][1]
        while self.queue:
            best_looking = heapq.nsmallest(self.contenders, self.queue)
            stale = next((entry for entry in best_looking if entry[2] != self.moves), None)
            if stale is None or not self.criterion.evaluates:
                return best_looking[0][1]
            _, site, _ = stale
            self.queue.remove(stale)
            heapq.heapify(self.queue)
            heapq.heappush(self.queue, (-self._measured_score(site), site, self.moves))
        return None

    def advance(self, site: int) -> Move:
        """Move a site down one level."""
        heapq.heappop(self.queue)
        self.levels[site] += 1
        self.network.accept(site, self.levels[site])
        self.moves += 1
        self._enqueue(site)
        return self.state(site)

    def _enqueue(self, site: int) -> None:
        if not self.costs.can_move(site, self.levels[site]):
            return
        if not self.criterion.evaluates:
            entry = (-self._static_score(site), site, self.moves)
        elif self.estimates is None:
            entry = (-self._measured_score(site), site, self.moves)
        else:
            discount = 1.0 if self._trusts_estimates else OPTIMISM * self.corrections[site]
            loss = discount * self._estimated_loss(site)
            entry = (-self._score(site, loss), site, -1)
        heapq.heappush(self.queue, entry)

    def _measured_score(self, site: int) -> float:
        outcome = self.network.trial(site, self.levels[site] + 1)
        loss = outcome.loss - self.network.current.loss
        if self.estimates is not None:
            estimated = self._estimated_loss(site)
            loss = max(loss, PRIOR * estimated)
            self.corrections[site] = loss / estimated
        return self._score(site, loss)

    def _estimated_loss(self, site: int) -> float:
        assert self.estimates is not None
        level = self.levels[site]
        return max(self.estimates[site][level + 1] - self.estimates[site][level], MIN_LOSS)

    def _score(self, site: int, loss: float) -> float:
        loss = max(loss, MIN_LOSS)
        if self.criterion is Criterion.LOSS:
            return -loss
        return self._saving(site) / loss

    def _static_score(self, site: int) -> float:
        """Scores that need no run: bits saved, variance retained, or bits per value now."""
        ladder, level = self.costs.ladders[site], self.levels[site]
        if self.criterion is Criterion.BITS:
            return self._saving(site)
        if self.criterion is Criterion.ENERGY:
            total = max(float(ladder.basis.variances.sum()), math.ulp(0))
            return -ladder.levels[level + 1].distortion / total
        return ladder.levels[level].bits(self.costs.view) / ladder.values

    def _saving(self, site: int) -> float:
        level = self.levels[site]
        return self.costs.cost(site, level) - self.costs.cost(site, level + 1)
