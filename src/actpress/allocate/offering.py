"""Which kinds of states a site is offered."""

from collections.abc import Collection, Iterator

from actpress.allocate.states import Offer
from actpress.codec import FAMILIES, MOST_COMPONENTS, divides, family_of
from actpress.errors import PlanError
from actpress.graph import Site
from actpress.plan import Placement, Transform
from actpress.rules import Rule, What

BLOCK = 2
"""Side of the blocks that transforms of several pixels take, unless told otherwise."""


def offers_of(site: Site, transforms: Collection[str], *, block: int | None) -> tuple[Offer, ...]:
    """The kinds of states of a site.

    Projections come before the activation, where the layer before can take in the encoder, and
    after it; without an activation the two are one. The identity comes after it, and with a step
    for each channel besides. Of kinds that may come to the same the cheaper is first.

    Args:
        site: of the graph.
        transforms: names of those that may be used.
        block: side of the blocks of pixels of projections, where it divides the site's map; None is
            pixel by pixel, and `BLOCK` for transforms that take blocks alone.

    Raises:
        PlanError: there is no such transform.
    """
    return tuple(dict.fromkeys(_offers(site, transforms, block)))


def ruled_offers(
    site: Site, transforms: Collection[str], *, block: int | None, rule: Rule
) -> tuple[Offer, ...]:
    """The kinds of states of a site that a rule allows.

    Raises:
        PlanError: it allows none; says what the site could be.
    """
    if rule.what is What.EIGHT_BITS:
        return (Offer(Placement.POST_ACT, Transform.IDENTITY, pinned=True),)
    wanted = transforms if rule.transform is None else (rule.transform,)
    known = offers_of(site, wanted, block=rule.block or block)
    allowed = tuple(
        offer
        for offer in known
        if rule.placement in (None, offer.placement) and rule.block in (None, offer.block)
    )
    if not allowed:
        could = dict.fromkeys(f"{o.transform} {o.placement} in blocks of {o.block}" for o in known)
        raise PlanError(
            f"no state of site {site.name} is what the rules ask for ("
            f"{', '.join(f'{name} {value}' for name, value in rule.settings().items())}); it could "
            f"be {', '.join(could) or 'nothing of that transform'}"
        )
    return allowed


def _offers(site: Site, transforms: Collection[str], block: int | None) -> Iterator[Offer]:
    both = (Placement.PRE_ACT, Placement.POST_ACT) if site.activation else (Placement.POST_ACT,)
    for transform in _cheapest_first(transforms):
        if transform == Transform.IDENTITY:
            yield Offer(Placement.POST_ACT, transform)
            yield Offer(Placement.POST_ACT, transform, shaped=True)
            continue
        side = _side(site, transform, block)
        if side is not None:
            for placement in both:
                yield Offer(placement, transform, side)


def _cheapest_first(transforms: Collection[str]) -> list[str]:
    """Transforms in the order of their registry."""
    for name in transforms:
        if name != Transform.IDENTITY:
            family_of(name)  # raises where there is none
    return [name for name in (Transform.IDENTITY, *FAMILIES) if name in transforms]


def _side(site: Site, transform: str, block: int | None) -> int | None:
    """Of the blocks of a transform at a site; None where it cannot take it."""
    family = FAMILIES[transform]
    for side in dict.fromkeys((block or 1, 1, block or BLOCK)):
        small = side == 1 or site.channels * side**2 <= MOST_COMPONENTS
        if small and divides(site.shape, side) and family.refuses(site.channels, side) is None:
            return side
    return None
