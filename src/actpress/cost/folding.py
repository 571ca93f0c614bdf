"""What neighbours of a site take into their weights, and what a codec costs after that."""

from collections.abc import Iterator
from dataclasses import dataclass

from actpress.budget import View
from actpress.codec import SiteCodec, Size, family_of, unfolded_bits
from actpress.codec.transform import NUMBER_BITS
from actpress.cost.energy import EnergyModel
from actpress.cost.site_use import SiteUse
from actpress.graph import DenseLayer, Neighbours, Site
from actpress.plan import SitePlan

WEIGHT_BITS = 8
"""Of a neighbour's weight, as int8 networks store it."""


@dataclass(frozen=True)
class Fold:
    """A layer that takes in a matrix.

    Attributes:
        layer: as it is.
        folded: as it becomes.
    """

    layer: DenseLayer
    folded: DenseLayer

    @property
    def weights_saved(self) -> int:
        """By which its weights shrink; negative where they grow."""
        return self.layer.weights - self.folded.weights

    @property
    def macs_saved(self) -> int:
        """The same of its multiply-accumulates per image."""
        return self.layer.macs - self.folded.macs


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
    def weights_saved(self) -> int:
        """Of all layers, where no other site folds into them."""
        return sum(fold.weights_saved for fold in self.all)

    @property
    def macs_saved(self) -> int:
        """The same of their multiply-accumulates per image."""
        return sum(fold.macs_saved for fold in self.all)

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
    small = tuple(fold for fold in readers if fold.weights_saved >= 0 and fold.macs_saved >= 0)
    others = neighbours.others or len(readers) < len(neighbours.readers)
    for first in dict.fromkeys((None, encoder)):
        for decoder in dict.fromkeys(((), small, readers)):
            left = others or len(decoder) < len(readers)
            yield Folds(first, decoder, max(reads - len(decoder), int(left)))


def _encoder(neighbours: Neighbours, plan: SitePlan) -> Fold | None:
    layer = neighbours.writer
    if layer is None or not (neighbours.affine or plan.is_identity):
        return None
    folded = layer.with_encoder(plan.rank, plan.block)
    return None if folded is None else Fold(layer, folded)


def _decoders(neighbours: Neighbours, plan: SitePlan) -> Iterator[Fold]:
    for layer in neighbours.readers:
        folded = layer.with_decoder(plan.rank, plan.block, offset=not plan.is_identity)
        if folded is not None:
            yield Fold(layer, folded)


def _macs_and_bits(folds: Folds, plan: SitePlan, blocks: int) -> tuple[int, int]:
    """Of codec and neighbours, up to what folding does not change."""
    size = size_of(plan)
    macs = folds.unfolded_macs(size) * blocks - folds.macs_saved
    constants = 0 if plan.is_identity else NUMBER_BITS * plan.components
    left = unfolded_bits(
        size,
        plan.number_bits,
        mean_bits=constants,
        offset_bits=constants,
        encoder=folds.encoder is None,
        decoder=folds.decodes > 0,
    )
    return macs, left - WEIGHT_BITS * folds.weights_saved


def size_of(plan: SitePlan) -> Size:
    """Numbers and arithmetic of the transform of a plan."""
    if plan.is_identity:
        return Size(vectors=plan.rank if plan.rank < plan.channels else 0)
    return family_of(plan.transform).size(plan.channels, plan.block, plan.rank)


def use_of_plan(
    site: Site,
    plan: SitePlan,
    *,
    stored_bits: float,
    quantizer_bits: float,
    constant_bits: tuple[int, int] | None = None,
    index_bits: float = 0.0,
    folded: bool = True,
) -> SiteUse:
    """What the codec of a plan makes of its site.

    A layer between two sites may take in a matrix of either. What it then loses is less than the
    sum of what each fold alone would save, so a saving of such a layer counts half at each site:
    that is never more than what `actpress.fold` saves in all. Of a layer that grows, all counts.

    Args:
        site: of the graph.
        plan: of the site.
        stored_bits: per inference.
        quantizer_bits: of steps and ranges.
        constant_bits: of what encoder and decoder subtract and add, where that is known.
        index_bits: of the class of each component.
        folded: whether neighbours take in what they can.
    """
    folds = folds_of(site, plan) if folded else nothing_folds(site)
    size = size_of(plan)
    nominal = 0 if plan.is_identity else NUMBER_BITS * plan.components
    mean_bits, offset_bits = constant_bits or (nominal, nominal)
    parameters = unfolded_bits(
        size,
        plan.number_bits,
        mean_bits=mean_bits,
        offset_bits=offset_bits,
        encoder=folds.encoder is None,
        decoder=folds.decodes > 0,
    )
    credit = [_credited(site, fold) for fold in folds.all]
    return SiteUse(
        values=site.values,
        reads=site.reads,
        stored_bits=stored_bits,
        parameter_bits=float(parameters + quantizer_bits),
        index_bits=index_bits,
        credit_bits=WEIGHT_BITS * sum(weights for weights, _ in credit),
        macs=float(folds.unfolded_macs(size) * (site.values // plan.components)),
        credit_macs=sum(macs for _, macs in credit),
    )


def _credited(site: Site, fold: Fold) -> tuple[float, float]:
    """Weights and multiply-accumulates that a site may claim as saved in a layer."""
    share = 0.5 if fold.layer.path in site.shared_layers else 1.0
    saved = fold.weights_saved, fold.macs_saved
    weights, macs = (share * part if part > 0 else float(part) for part in saved)
    return weights, macs


def use_of(site: Site, plan: SitePlan, codec: SiteCodec, stored_bits: float, view: View) -> SiteUse:
    """What a codec makes of its site.

    Args:
        site: of the graph.
        plan: of the site.
        codec: as it would be stored now.
        stored_bits: per inference, under the view.
        view: the entropy view needs a class of each component besides.
    """
    return use_of_plan(
        site,
        plan,
        stored_bits=stored_bits,
        quantizer_bits=codec.quantizers().bits(),
        constant_bits=codec.projection.constant_bits(),
        index_bits=codec.class_bits() if view is View.ENTROPY else 0,
    )
