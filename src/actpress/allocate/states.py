"""The states that a site can be in: what each would store, cost and lose."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from actpress.cost import Objective, SiteUse
from actpress.plan import Placement, SitePlan

PINNED_BITS = 8

SAMPLES = 4096
"""Values of each component that quantizers of fixed widths are chosen on, at most."""


@dataclass(frozen=True)
class Offer:
    """A kind of states: one transform of one of a site's two values.

    Attributes:
        placement: which value is stored.
        transform: of a block of pixels.
        block: side of a block.
        shaped: whether every component has a step of its own, by what the prediction notices of it.
        pinned: whether it is the one state of `PINNED_BITS` bits a value that a rule asks for.
    """

    placement: Placement
    transform: str
    block: int = 1
    shaped: bool = False
    pinned: bool = False


@dataclass(frozen=True)
class Place:
    """Where a batch stands among the search images.

    Attributes:
        first: number of its first image.
        images: in all.
    """

    first: int
    images: int


@dataclass(frozen=True)
class Shown:
    """A batch at a site, as the kinds of states see it that have the same blocks of pixels.

    Attributes:
        value: shape (n, K, ...), cut into blocks.
        gradient: of the score, likewise.
        place: where the batch stands.
    """

    value: Tensor
    gradient: Tensor
    place: Place

    @cached_property
    def columns(self) -> Tensor:
        """Some of the values of all components, shape (K, s); each image gives about as many."""
        before, after = (
            -(-SAMPLES * number // self.place.images)
            for number in (self.place.first, self.place.first + len(self.value))
        )
        columns = self.value.transpose(0, 1).flatten(1)
        # Drawn, as a stride would meet some columns of pixels, such as those of an edge, alone.
        generator = torch.Generator().manual_seed(self.place.first)
        drawn = torch.randperm(columns.shape[1], generator=generator)[: after - before]
        return columns[:, drawn.to(columns.device)]


@dataclass(frozen=True)
class State:
    """One way to compress a site.

    Attributes:
        offer: the kind that it is of.
        plan: all that pressing needs.
        use: what it costs, estimated on search images under the view that was asked.
        loss: estimated divergence from the float network, in nats per image.
        distortion: mean squared error of a value.
    """

    offer: Offer
    plan: SitePlan
    use: SiteUse
    loss: float
    distortion: float


@dataclass(frozen=True)
class SiteStates:
    """All states of one site, in no order.

    Attributes:
        site: its name.
        states: at least one.
    """

    site: str
    states: tuple[State, ...]

    def corrected(self, factors: "dict[tuple[str, Offer], float]") -> "SiteStates":
        """The states with losses multiplied by a factor of their kind, where there is one."""
        states = (
            replace(state, loss=state.loss * factors.get((self.site, state.offer), 1.0))
            for state in self.states
        )
        return replace(self, states=tuple(states))

    def restricted(self, kinds: Collection[tuple[str, Offer]]) -> "SiteStates":
        """The states of these kinds, or all where none is."""
        states = tuple(state for state in self.states if (self.site, state.offer) in kinds)
        return replace(self, states=states or self.states)

    def ladder(self, objective: Objective) -> tuple[State, ...]:
        """The states that are best at some exchange of loss for weight, by falling weight.

        They are the lower convex hull of loss over weight (see `Objective.weight`): from rung to
        rung, a unit saved costs more and more loss.
        """
        return lower_hull(self.states, objective)


def lower_hull(states: Iterable[State], objective: Objective) -> tuple[State, ...]:
    """See `SiteStates.ladder`."""
    by_weight = sorted(states, key=lambda state: (objective.weight(state.use), state.loss))
    hull: list[State] = []
    lowest = float("inf")
    for state in by_weight:  # rising; what does not lose less is of no use
        if state.loss >= lowest:
            continue
        lowest = state.loss
        while len(hull) > 1 and not _bends(hull[-2], hull[-1], state, objective):
            hull.pop()
        hull.append(state)
    return tuple(reversed(hull))


def _bends(first: State, middle: State, last: State, objective: Objective) -> bool:
    """Whether the middle one lies below the line between its neighbours; weights rise."""
    a, b, c = (objective.weight(state.use) for state in (first, middle, last))
    return (first.loss - middle.loss) * (c - b) > (middle.loss - last.loss) * (b - a)
