"""GDR: greedy dimension reduction, and the criteria it is compared with (docs/methods.md)."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from actpress.allocate.states import State
from actpress.cost import Objective

MIN_LOSS = 1e-9
"""Loss of a move that does not hurt, so that a score stays finite; in nats."""


class Criterion(StrEnum):
    """What makes a move the next one.

    `loss_per_bit` is GDR: weight saved per loss (see `Objective.weight`). The others are its
    controls: `loss` looks at accuracy only, `bits` at the weight only, `energy` at retained
    variance only, `uniform` gives all sites one ratio.
    """

    LOSS_PER_BIT = "loss_per_bit"
    LOSS = "loss"
    BITS = "bits"
    ENERGY = "energy"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class Move:
    """A state of the whole network on a greedy path.

    Attributes:
        site: index of the site that moved; -1 for the start.
        levels: rung of every site on its ladder.
        price: of all sites together.
        loss: the sum of the sites' estimates, in nats per image.
    """

    site: int
    levels: tuple[int, ...]
    price: float
    loss: float


def greedy_path(
    ladders: Sequence[Sequence[State]],
    objective: Objective,
    *,
    criterion: Criterion = Criterion.LOSS_PER_BIT,
    floor: float = 0.0,
) -> list[Move]:
    """Take the best move until a price is reached, or until no site can move.

    Args:
        ladders: of each site, by falling weight.
        objective: what a price is.
        criterion: what is best.
        floor: the price at which to stop.

    Returns:
        The start, every site at its first rung, and the moves in order.
    """
    levels = [0] * len(ladders)
    price = sum(objective.price(ladder[0].use) for ladder in ladders)
    loss = sum(ladder[0].loss for ladder in ladders)
    path = [Move(-1, tuple(levels), price, loss)]
    queue = [
        (-_score(ladder, 0, objective, criterion), site)
        for site, ladder in enumerate(ladders)
        if len(ladder) > 1
    ]
    heapq.heapify(queue)
    while queue and price > floor:
        _, site = heapq.heappop(queue)
        before, after = ladders[site][levels[site] : levels[site] + 2]
        levels[site] += 1
        price += objective.price(after.use) - objective.price(before.use)
        loss += after.loss - before.loss
        path.append(Move(site, tuple(levels), price, loss))
        if levels[site] + 1 < len(ladders[site]):
            score = _score(ladders[site], levels[site], objective, criterion)
            heapq.heappush(queue, (-score, site))
    return path


def taken_back(
    ladders: Sequence[Sequence[State]],
    move: Move,
    objective: Objective,
    price: float,
    *,
    criterion: Criterion = Criterion.LOSS_PER_BIT,
) -> tuple[int, ...]:
    """Rungs of all sites, higher where moves can be taken back within a price.

    A path may jump far past a price, where the next move is one of a large site. The moves of the
    lowest score that fit are taken back, a site's last one first, until none fits any more.

    Args:
        ladders: of each site, by falling weight.
        move: the state of the path to begin with.
        objective: what a price is.
        price: that all sites together may have.
        criterion: of the path.
    """
    levels, room = list(move.levels), price - move.price
    queue = [
        (_score(ladder, level - 1, objective, criterion), site)
        for site, (ladder, level) in enumerate(zip(ladders, levels, strict=True))
        if level > 0
    ]
    heapq.heapify(queue)
    while queue:
        _, site = heapq.heappop(queue)
        above, present = ladders[site][levels[site] - 1 : levels[site] + 1]
        extra = objective.price(above.use) - objective.price(present.use)
        if extra > room:  # and this site's other moves come after this one
            continue
        room -= extra
        levels[site] -= 1
        if levels[site] > 0:
            score = _score(ladders[site], levels[site] - 1, objective, criterion)
            heapq.heappush(queue, (score, site))
    return tuple(levels)


def _score(
    ladder: Sequence[State], level: int, objective: Objective, criterion: Criterion
) -> float:
    """Of the move down from a rung; the higher, the sooner it is taken."""
    before, after = ladder[level], ladder[level + 1]
    saved = objective.weight(before.use) - objective.weight(after.use)
    lost = max(after.loss - before.loss, MIN_LOSS)
    if criterion is Criterion.LOSS:
        return -lost
    if criterion is Criterion.BITS:
        return saved
    if criterion is Criterion.ENERGY:
        return -after.distortion / max(ladder[-1].distortion, 1e-30)
    if criterion is Criterion.UNIFORM:
        return before.use.stored_bits / before.use.values
    return saved / lost
