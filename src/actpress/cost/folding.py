"""What neighbours of a site take into their weights, and what a codec costs after that."""

from dataclasses import dataclass

from actpress.budget import View
from actpress.codec import SiteCodec, Size
from actpress.cost.site_use import SiteUse
from actpress.graph import Site
from actpress.plan import SitePlan

WEIGHT_BITS = 8
"""Of a neighbour's weight, as int8 networks store it."""


@dataclass(frozen=True)
class Folds:
    """Layers that take in the matrices of a codec.

    Attributes:
        encoder: the layer whose output is stored; it gets as many outputs as components.
        decoder: the layers that read the value; they get as many inputs as components.
        encoder_weights, decoder_weights: that these layers have for one channel of the site.
    """

    encoder: str | None = None
    decoder: tuple[str, ...] = ()
    encoder_weights: int = 0
    decoder_weights: int = 0

    def credit_bits(self, channels: int, rank: int) -> float:
        """By which the layers' weights shrink; negative where they grow."""
        return float(
            WEIGHT_BITS * (channels - rank) * (self.encoder_weights + self.decoder_weights)
        )

    def unfolded_macs(self, size: Size, reads: int) -> int:
        """Multiply-accumulates per block that are left; every reader decodes for itself."""
        encode = 0 if self.encoder else size.encoder_macs
        return encode + (0 if self.decoder else size.decoder_macs * reads)


NOTHING_FOLDS = Folds()


def folds_of(site: Site, plan: SitePlan) -> Folds:
    """Which neighbours absorb a codec's matrices; none for a codec without matrices.

    A projection of blocks would fold into a convolution of a larger kernel and stride, which may
    cost more than the two of them: it counts as not folded.
    """
    if plan.block > 1 or plan.is_identity:
        return NOTHING_FOLDS
    encoder = site.encoder_folds_into(plan.placement)
    decoder = site.decoder_folds_into(plan.placement)
    return Folds(
        encoder,
        decoder,
        site.encoder_weights if encoder else 0,
        site.decoder_weights if decoder else 0,
    )


def use_of(site: Site, plan: SitePlan, codec: SiteCodec, stored_bits: float, view: View) -> SiteUse:
    """What a codec makes of its site.

    Args:
        site: of the graph.
        plan: of the site.
        codec: as it would be stored now.
        stored_bits: per inference, under the view.
        view: the entropy view needs a class of each component besides.
    """
    folds = folds_of(site, plan)
    blocks = site.values // plan.components
    return SiteUse(
        values=site.values,
        reads=site.reads,
        stored_bits=stored_bits,
        parameter_bits=codec.parameter_bits(encoder=not folds.encoder, decoder=not folds.decoder),
        index_bits=codec.class_bits() if view is View.ENTROPY else 0,
        credit_bits=folds.credit_bits(site.channels, plan.rank),
        macs=folds.unfolded_macs(codec.projection.size(), site.reads) * blocks,
    )
