"""From observations to the states of every site: one pass of gradients over the search images."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, product
from typing import Any

import torch
from torch import Tensor

from actpress.allocate.packed_tally import PackedTally
from actpress.allocate.states import PINNED_BITS, Offer, Place, Shown, SiteStates, State
from actpress.allocate.tally import Tally
from actpress.budget import View
from actpress.calibration import SiteStatistics, Statistics, visit_gradients
from actpress.codec import (
    Basis,
    as_blocks,
    index_bits,
    quantizer_bits,
)
from actpress.cost import Objective, use_of_plan
from actpress.graph import Graph, Site, give_back_freed
from actpress.plan import GroupPlan, Placement, SitePlan, Transform
from actpress.pressing import covering_step
from actpress.settings import NumberBits
from actpress.team import ALONE, Team

CODED_BIT_WIDTH = 12
"""Bound on the symbols of a plan for the entropy coder; calibration narrows it."""

CLASSES = 32
"""Of the network's code tables, for the estimate of what naming them takes."""

AnyTally = Tally | PackedTally


def explore(
    graph: Graph,
    parts: Sequence[Statistics],
    offers: Mapping[str, Sequence[Offer]],
    images: Sequence[Tensor],
    objective: Objective,
    *,
    seed: int,
    number_bits: NumberBits = NumberBits.BYTE,
    on_batch: Callable[[float], None] = lambda share: None,
    team: Team = ALONE,
) -> list[SiteStates]:
    """What every site could be, at what price and loss.

    Args:
        graph: the captured network.
        parts: passes of calibration with Fisher information, which observed among them every
            placement and block that is offered.
        offers: kinds of states, by site.
        images: batches of held-out training images.
        objective: whose view of bits counts.
        seed: of the drawn labels.
        number_bits: of a stored number of a matrix.
        on_batch: called with the share of the batches that is done.
        team: shares the batches, which all its processes are given whole.
    """
    tallies = _tallies(graph, parts, offers, objective.view)
    shown = _seen(graph, images, tallies, seed, team)
    for number, batch in enumerate(team.in_order(shown), start=1):
        for where, seen in batch.items():
            for tally, own in zip(tallies[where], seen, strict=True):
                tally.add(own)
        on_batch(number / len(images))
    found: dict[str, list[State]] = defaultdict(list)
    for (name, _), own in tallies.items():
        for tally in own:
            states = _states(graph.site(name), tally, number_bits)
            if tally.offer.pinned:
                observed = _observed(parts, name, tally.offer).sites[name]
                states = [_pinned(states, observed, objective.view)]
            found[name] += states
    return [
        SiteStates(site.name, tuple(found[site.name])) for site in graph.sites if found[site.name]
    ]


def _tallies(
    graph: Graph,
    parts: Sequence[Statistics],
    offers: Mapping[str, Sequence[Offer]],
    view: View,
) -> dict[tuple[str, Placement], list[AnyTally]]:
    """Of all kinds of states, but for those that come to the same as one before them."""
    found: dict[tuple[str, Placement], list[AnyTally]] = defaultdict(list)
    for placement, (name, kinds) in product(Placement, offers.items()):
        for offer in kinds:
            if offer.placement is placement:
                tally = _tally(offer, _observed(parts, name, offer), name, graph, view)
                known = found[name, placement]
                if not any(_come_to_the_same(tally, other) for other in known):
                    known.append(tally)
    return found


def _seen(
    graph: Graph,
    images: Sequence[Tensor],
    tallies: Mapping[tuple[str, Placement], Sequence[AnyTally]],
    seed: int,
    team: Team,
) -> Iterator[dict[tuple[str, Placement], list[Any]]]:
    """What every tally sees of each batch of this process."""
    begins = list(accumulate((len(batch) for batch in images), initial=0))
    first, stride = team.part
    places = (Place(begin, begins[-1]) for begin in begins[first:-1:stride])
    place = Place(0, begins[-1])  # of the batch under way, which `see` is called for
    own: dict[tuple[str, Placement], list[Any]] = {}

    def see(name: str, placement: Placement, value: Tensor, gradient: Tensor) -> None:
        wanted = tallies[name, placement]
        shown = {
            block: Shown(as_blocks(value, block), as_blocks(gradient, block), place)
            for block in {tally.offer.block for tally in wanted}
        }
        own[name, placement] = [tally.seen(shown[tally.offer.block]) for tally in wanted]
        give_back_freed()  # between values and gradients it would pile up until the batch ends

    batches = visit_gradients(graph, images, tallies, see, seed=seed, part=team.part)
    for place in places:  # noqa: B007 - `see` reads it
        next(batches)
        yield dict(own)


def _observed(parts: Sequence[Statistics], site: str, offer: Offer) -> Statistics:
    for part in parts:
        if part.placements.get(site) == offer.placement and part.block(site) == offer.block:
            return part
    raise AssertionError("every offer is observed before states are explored")


def _tally(offer: Offer, statistics: Statistics, site: str, graph: Graph, view: View) -> AnyTally:
    own = statistics.sites[site]
    if offer.transform == Transform.IDENTITY:
        channels = graph.site(site).channels
        unit = torch.eye(channels, dtype=torch.float64)
        basis = Basis(unit, own.outer.diagonal() / own.count, unit).single()
        mean = torch.zeros(channels)
    else:
        basis, mean = statistics.basis(site, offer.transform), own.mean
    # E[g_j^2] of the components, summed over the pixels of an image.
    metric = statistics.fisher[site] / max(statistics.fisher_images, 1)
    inverse = basis.inverse.double()
    sensitivity = torch.einsum("kj,kl,lj->j", inverse, metric, inverse).clamp(min=0)
    if view is View.ENTROPY:
        return Tally(offer, basis, mean, sensitivity)
    unsigned = offer.transform == Transform.IDENTITY and not float(own.minimum.min()) < 0
    return PackedTally(offer, basis, mean, sensitivity, unsigned)


def _come_to_the_same(one: AnyTally, other: AnyTally) -> bool:
    """Whether two kinds of states of one value differ in nothing but what they store."""
    if isinstance(one, Tally) and isinstance(other, Tally) and not one.steps.equal(other.steps):
        return False
    return (
        one.offer.block == other.offer.block
        and (one.offer.transform == Transform.IDENTITY)
        == (other.offer.transform == Transform.IDENTITY)
        and torch.equal(one.basis.vectors, other.basis.vectors)
        and torch.equal(one.basis.inverse, other.basis.inverse)
    )


def _states(site: Site, tally: AnyTally, number_bits: NumberBits) -> list[State]:
    if isinstance(tally, PackedTally):
        return [
            _packed_state(site, tally, groups, (loss, error), number_bits)
            for groups, loss, error in tally.choices()
        ]
    losses = tally.losses()
    return [
        _coded_state(site, tally, number, loss, number_bits)
        for number, loss in enumerate(losses)
        if not tally.total.too_fine[number]
    ]


def _pinned(states: Sequence[State], statistics: SiteStatistics, view: View) -> State:
    """The state that covers all calibrated values with 8 bits, at the estimate of the closest."""
    step = covering_step(statistics, PINNED_BITS)
    closest = min(states, key=lambda state: abs(math.log(state.plan.step / step)))
    plan = closest.plan.model_copy(
        update={
            "step": step,
            "step_shifts": (),
            "groups": (),
            "rank": closest.plan.channels,
            "bit_width": PINNED_BITS,
            "pinned": True,
        }
    )
    use = closest.use
    if view is View.FIXED:
        use = replace(use, stored_bits=float(PINNED_BITS * use.values))
    return replace(closest, plan=plan, use=use)


def _coded_state(
    site: Site, tally: Tally, number: int, loss: float, number_bits: NumberBits
) -> State:
    rank = tally.ranks[number]
    plan = SitePlan(
        site=site.name,
        placement=tally.offer.placement,
        transform=tally.offer.transform,
        channels=site.channels,
        block=tally.offer.block,
        rank=rank,
        step=float(tally.bases[number]),
        step_shifts=tuple(tally.shifts),
        bit_width=CODED_BIT_WIDTH,
        number_bits=number_bits,
    )
    kinds = len(tally.steps[number, :rank].unique())
    use = use_of_plan(
        site,
        plan,
        stored_bits=tally.stored_bits(number),
        quantizer_bits=quantizer_bits(rank, kinds),
        index_bits=float(index_bits(rank, CLASSES)),
    )
    return State(tally.offer, plan, use, loss, tally.distortion(number))


def _packed_state(
    site: Site,
    tally: PackedTally,
    groups: tuple[GroupPlan, ...],
    estimate: tuple[float, float],
    number_bits: NumberBits,
) -> State:
    kept = [group for group in groups if group.bit_width]
    plan = SitePlan(
        site=site.name,
        placement=tally.offer.placement,
        transform=tally.offer.transform,
        channels=site.channels,
        block=tally.offer.block,
        rank=sum(len(group.components) for group in kept),
        step=min(group.step for group in kept),
        bit_width=max(group.bit_width for group in kept),
        groups=groups,
        number_bits=number_bits,
    )
    bits = tally.positions * sum(group.bit_width * len(group.components) for group in kept)
    use = use_of_plan(
        site,
        plan,
        stored_bits=float(bits),
        quantizer_bits=quantizer_bits(plan.rank, len(kept)),
    )
    return State(tally.offer, plan, use, *estimate)
