"""What neighbours of a site take into their weights, and what a codec costs after that."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from actpress.budget import View
from actpress.codec import SiteCodec, Size, family_of, unfolded_bits
from actpress.codec.transform import NUMBER_BITS
from actpress.cost.energy import EnergyModel
from actpress.cost.site_use import SiteUse
from actpress.graph import DenseLayer, Neighbours, Site
from actpress.plan import Plan, SitePlan

WEIGHT_BITS = 8
"""Of a neighbour's weight, as int8 networks store it."""


@dataclass(frozen=True)
class Fold:
    """A layer that takes in a matrix.

    Attributes:
        layer: as it is.
        is_encoder: whether its output becomes components, or its input.
        rank, block: of the codec.
        offset: whether the codec's decoder has one.
    """

    layer: DenseLayer
    is_encoder: bool
    rank: int
    block: int = 1
    offset: bool = False

    def on(self, layer: DenseLayer) -> DenseLayer | None:
        """What becomes of a layer; None where it cannot take the matrix in."""
        if self.is_encoder:
            return layer.with_encoder(self.rank, self.block)
        return layer.with_decoder(self.rank, self.block, offset=self.offset)

    @property
    def folded(self) -> DenseLayer:
        """What becomes of its own layer."""
        folded = self.on(self.layer)
        assert folded is not None, "folds are only made where they are possible"
        return folded

    @property
    def saved(self) -> "Saved":
        """By which its layer shrinks, if nothing else folds into it."""
        return Saved.between(self.layer, self.folded)


@dataclass(frozen=True)
class Saved:
    """Weights, and multiply-accumulates per image; negative where they become more."""

    weights: float = 0.0
    macs: float = 0.0

    @classmethod
    def between(cls, before: DenseLayer, after: DenseLayer) -> "Saved":
        """What a layer needs less."""
        return cls(before.weights - after.weights, before.macs - after.macs)

    def __add__(self, other: "Saved") -> "Saved":
        return Saved(self.weights + other.weights, self.macs + other.macs)

    def half(self) -> "Saved":
        """Of each."""
        return Saved(self.weights / 2, self.macs / 2)

    def at_least(self) -> "Saved":
        """What is left if another fold makes the same layer smaller: half, or all of a loss."""
        weights, macs = (value / 2 if value > 0 else value for value in (self.weights, self.macs))
        return Saved(weights, macs)


@dataclass(frozen=True)
class Folds:
    """Layers that take in the matrices of a codec.

    Attributes:
        encoder: the layer whose output is stored.
        decoder: layers that read the value.
        decodes: readers that are left to decode it; each does so for itself.
    """

    encoder: Fold | None = None
    decoder: tuple[Fold, ...] = ()
    decodes: int = 0

    @property
    def all(self) -> tuple[Fold, ...]:
        """Both sides."""
        return (*((self.encoder,) if self.encoder else ()), *self.decoder)

    @property
    def encoder_path(self) -> str | None:
        """Of the layer that takes in the encoder."""
        return self.encoder.layer.path if self.encoder else None

    @property
    def decoder_paths(self) -> tuple[str, ...]:
        """Of the layers that take in the decoder."""
        return tuple(fold.layer.path for fold in self.decoder)

    @property
    def saved(self) -> Saved:
        """Of all layers, where no other site folds into them."""
        return sum((fold.saved for fold in self.all), Saved())

    def unfolded_macs(self, size: Size) -> int:
        """Multiply-accumulates per block that are left of a codec."""
        encode = 0 if self.encoder else size.encoder_macs
        return encode + size.decoder_macs * self.decodes


def folds_of(site: Site, plan: SitePlan) -> Folds:
    """Which neighbours absorb a codec's matrices, as `actpress.fold` does it (`choose_folds`)."""
    neighbours = site.neighbours(plan.placement)
    return choose_folds(neighbours, plan, reads=site.reads, blocks=site.values // plan.components)


def nothing_folds(site: Site) -> Folds:
    """The site with all of its codec."""
    return Folds(decodes=site.reads)


def choose_folds(
    neighbours: Neighbours,
    plan: SitePlan,
    *,
    reads: int,
    blocks: int,
    weights_may_grow: bool = False,
) -> Folds:
    """The folds that save the most energy, of those that are never a loss.

    Neither the multiply-accumulates of codec and neighbours nor what must be fetched of both is
    more than without them, whatever the memory and the batch. A codec without matrices folds where
    it drops channels, which neighbours then need not compute or read.

    Args:
        neighbours: of the stored value.
        plan: of the site.
        reads: consumers of the value.
        blocks: per image, each of `plan.rank` symbols.
        weights_may_grow: let multiply-accumulates alone decide.
    """
    unfolded = Folds(decodes=reads)
    macs, bits = _macs_and_bits(unfolded, plan, blocks)
    energy = EnergyModel()
    best, least = unfolded, energy.mac_pj * macs + energy.pj_per_bit * bits
    for folds in _options(neighbours, plan, reads):
        own_macs, own_bits = _macs_and_bits(folds, plan, blocks)
        if own_macs > macs or (own_bits > bits and not weights_may_grow):
            continue
        price = energy.mac_pj * own_macs + energy.pj_per_bit * own_bits * (not weights_may_grow)
        if price <= least:
            best, least = folds, price
    return best


def _options(neighbours: Neighbours, plan: SitePlan, reads: int) -> Iterator[Folds]:
    """Folding nothing, what no layer grows by, and all that is possible; at either side."""
    if plan.is_identity and plan.rank == plan.channels:
        return
    encoder, readers = _encoder(neighbours, plan), tuple(_decoders(neighbours, plan))
    small = tuple(fold for fold in readers if fold.saved.weights >= 0 and fold.saved.macs >= 0)
    others = neighbours.others or len(readers) < len(neighbours.readers)
    for first in dict.fromkeys((None, encoder)):
        for decoder in dict.fromkeys(((), small, readers)):
            left = others or len(decoder) < len(readers)
            yield Folds(first, decoder, max(reads - len(decoder), int(left)))


def _encoder(neighbours: Neighbours, plan: SitePlan) -> Fold | None:
    if neighbours.writer is None or not (neighbours.affine or plan.is_identity):
        return None
    fold = Fold(neighbours.writer, True, plan.rank, plan.block)
    return None if fold.on(fold.layer) is None else fold


def _decoders(neighbours: Neighbours, plan: SitePlan) -> Iterator[Fold]:
    for layer in neighbours.readers:
        fold = Fold(layer, False, plan.rank, plan.block, offset=not plan.is_identity)
        if fold.on(layer) is not None:
            yield fold


def _macs_and_bits(folds: Folds, plan: SitePlan, blocks: int) -> tuple[float, float]:
    """Of codec and neighbours, up to what folding does not change."""
    macs = folds.unfolded_macs(size_of(plan)) * blocks - folds.saved.macs
    return macs, _left_bits(folds, plan) - WEIGHT_BITS * folds.saved.weights


def _left_bits(folds: Folds, plan: SitePlan, constant_bits: tuple[int, int] | None = None) -> int:
    """What of a projection is still fetched; of its constants, what all of them take by default."""
    nominal = 0 if plan.is_identity else NUMBER_BITS * plan.components
    mean_bits, offset_bits = constant_bits or (nominal, nominal)
    return unfolded_bits(
        size_of(plan),
        plan.number_bits,
        mean_bits=mean_bits,
        offset_bits=offset_bits,
        encoder=folds.encoder is None,
        decoder=folds.decodes > 0,
    )


def size_of(plan: SitePlan) -> Size:
    """Numbers and arithmetic of the transform of a plan."""
    if plan.is_identity:
        return Size(vectors=plan.rank if plan.rank < plan.channels else 0)
    return family_of(plan.transform).size(plan.channels, plan.block, plan.rank)


Partners = Mapping[tuple[str, bool], Fold]
"""Every fold of a network, by the path of its layer and whether it is an encoder's."""


def partners_of(sites: Iterable[Site], plan: Plan) -> Partners:
    """All folds of a plan.

    Args:
        sites: of the graph.
        plan: of all or some of them.
    """
    by_name = {site.name: site for site in sites}
    return {
        (fold.layer.path, fold.is_encoder): fold
        for own in plan
        for fold in folds_of(by_name[own.site], own).all
    }


def use_of_plan(
    site: Site,
    plan: SitePlan,
    *,
    stored_bits: float,
    quantizer_bits: float,
    constant_bits: tuple[int, int] | None = None,
    index_bits: float = 0.0,
    partners: Partners | None = None,
) -> SiteUse:
    """What the codec of a plan makes of its site.

    A layer between two sites may take in a matrix of either, and then saves less than the two folds
    would one by one. What both save together is divided between the sites: each is credited with
    the mean of what its fold saves before the other one and after it. As long as the other site is
    open, a saving counts half, which is never too much.

    Args:
        site: of the graph.
        plan: of the site.
        stored_bits: per inference.
        quantizer_bits: of steps and ranges.
        constant_bits: of what encoder and decoder subtract and add, where that is known.
        index_bits: of the class of each component.
        partners: folds of the whole plan; None while it is open.
    """
    folds = folds_of(site, plan)
    parameters = _left_bits(folds, plan, constant_bits)
    credit = sum((_credited(site, fold, partners) for fold in folds.all), Saved())
    return SiteUse(
        values=site.values,
        reads=site.reads,
        stored_bits=stored_bits,
        parameter_bits=float(parameters + quantizer_bits),
        index_bits=index_bits,
        credit_bits=WEIGHT_BITS * credit.weights,
        macs=float(folds.unfolded_macs(size_of(plan)) * (site.values // plan.components)),
        credit_macs=credit.macs,
    )


def _credited(site: Site, fold: Fold, partners: Partners | None) -> Saved:
    """What a site may claim as saved in a layer."""
    alone = fold.saved
    if partners is None:
        return alone.at_least() if fold.layer.path in site.shared_layers else alone
    partner = partners.get((fold.layer.path, not fold.is_encoder))
    if partner is None:
        return alone
    first, last = (partner, fold) if fold.is_encoder else (fold, partner)
    both = last.on(first.folded)
    if both is None:  # blocks whose sides do not divide each other: the encoder stays
        return Saved() if fold.is_encoder else alone
    return (alone + Saved.between(partner.folded, both)).half()


def use_of(
    site: Site,
    plan: SitePlan,
    codec: SiteCodec,
    stored_bits: float,
    view: View,
    *,
    partners: Partners,
) -> SiteUse:
    """What a codec makes of its site.

    Args:
        site: of the graph.
        plan: of the site.
        codec: as it would be stored now.
        stored_bits: per inference, under the view.
        view: the entropy view needs a class of each component besides.
        partners: folds of the whole plan.
    """
    return use_of_plan(
        site,
        plan,
        stored_bits=stored_bits,
        quantizer_bits=codec.quantizers().bits(),
        constant_bits=codec.projection.constant_bits(),
        index_bits=codec.class_bits() if view is View.ENTROPY else 0,
        partners=partners,
    )
