"""From symbol counts to bits, traffic, parameters and arithmetic of every site."""

from collections import Counter
from collections.abc import Mapping, Sequence

from actpress.budget import REFERENCE_BITS
from actpress.calibration import Statistics
from actpress.codec import (
    PARAMETER_BITS,
    SiteCodec,
    SymbolCounter,
    entropy_bits,
    stored_numbers,
)
from actpress.evaluation.energy import EnergyModel
from actpress.evaluation.metrics import EnergyMetrics, SiteMetrics, TrafficMetrics, Views
from actpress.graph import Graph, Site
from actpress.plan import FITTED_TRANSFORMS, SitePlan
from actpress.pressing import CompressedModel


def account_sites(
    graph: Graph,
    pressed: CompressedModel,
    counters: Mapping[str, SymbolCounter],
    statistics: Statistics | None,
) -> tuple[SiteMetrics, ...]:
    """Account for every site of a plan, from symbols counted on the evaluated images.

    Args:
        graph: the captured network.
        pressed: the evaluated model, its tables fitted on training images.
        counters: symbols per site.
        statistics: for the spectra of the report; None leaves them empty.
    """
    total_traffic = sum(_traffic(graph.site(site.site)) for site in pressed.plan)
    return tuple(
        _account_site(graph, pressed, site, counters[site.site], statistics, total_traffic)
        for site in pressed.plan
    )


def total_views(sites: Sequence[SiteMetrics]) -> Views:
    """Stored bits per inference over all sites."""
    return Views(
        fixed=sum(site.bits.fixed for site in sites),
        entropy=sum(site.bits.entropy for site in sites),
    )


def account_traffic(sites: Sequence[SiteMetrics]) -> TrafficMetrics:
    """Sum the sites: bits moved, ratios, and what the codecs themselves must fetch."""
    before = sum(site.traffic_bits_8bit for site in sites)
    after = Views(
        fixed=sum(site.traffic_bits.fixed for site in sites),
        entropy=sum(site.traffic_bits.entropy for site in sites),
    )
    parameters = sum(site.parameter_bits for site in sites)
    folded = sum(site.folded_parameter_bits for site in sites)
    tables = sum(site.table_bits for site in sites)
    return TrafficMetrics(
        bits_8bit=before,
        bits=after,
        ratio_8bit=_ratio(before, after),
        ratio_16bit=_ratio(2 * before, after),
        ratio_32bit=_ratio(4 * before, after),
        parameter_bits=parameters,
        folded_parameter_bits=folded,
        table_bits=tables,
        net_ratio_8bit=_ratio(before, _with_parameters(after, folded, tables)),
        net_ratio_8bit_unfolded=_ratio(before, _with_parameters(after, parameters, tables)),
    )


def account_energy(
    sites: Sequence[SiteMetrics], traffic: TrafficMetrics, model: EnergyModel
) -> EnergyMetrics:
    """Energy of activation traffic per inference, before and after."""
    macs = sum(site.folded_extra_macs for site in sites)

    moved = _with_parameters(traffic.bits, traffic.folded_parameter_bits, traffic.table_bits)

    def after(bits: float) -> float:
        return bits * model.pj_per_bit + macs * model.mac_pj

    return EnergyMetrics(
        memory=model.memory,
        pj_per_bit=model.pj_per_bit,
        mac_pj=model.mac_pj,
        before_pj=traffic.bits_8bit * model.pj_per_bit,
        after_pj=Views(fixed=after(moved.fixed), entropy=after(moved.entropy)),
    )


def _account_site(
    graph: Graph,
    pressed: CompressedModel,
    plan: SitePlan,
    counter: SymbolCounter,
    statistics: Statistics | None,
    total_traffic: float,
) -> SiteMetrics:
    site, codec = graph.site(plan.site), pressed.codecs[plan.site]
    blocks = site.values // plan.components
    images = counter.values // site.values
    bits = Views(
        fixed=float(codec.fixed_bits().sum()) * blocks,
        entropy=float((counter.counts * codec.code_lengths_bits()).sum()) / images,
    )
    encoder, decoder = _folds(site, plan)
    encode_macs, decode_macs = codec.projection.macs_per_block()
    kept_macs = (0 if encoder else encode_macs) + (0 if decoder else decode_macs * site.reads)
    without = entropy_bits(counter.counts.sum(1)).sum() * (counter.counts.sum() / codec.rank)
    return SiteMetrics(
        name=site.name,
        shape=site.shape,
        reads=site.reads,
        placement=plan.placement,
        transform=plan.transform,
        channels=site.channels,
        block=plan.block,
        rank=plan.rank,
        step=plan.step,
        values=site.values,
        widths=_widths(codec, plan),
        bits=bits,
        context_free_bits=float(without) / images,
        bits_per_value=_scale(bits, 1 / site.values),
        traffic_share=_traffic(site) / total_traffic,
        traffic_bits_8bit=_traffic(site),
        traffic_bits=_scale(bits, 1 + site.reads),
        parameter_bits=codec.parameter_bits(),
        folded_parameter_bits=_folded_parameter_bits(codec, encoder, decoder),
        table_bits=codec.table_bits(),
        extra_macs=(encode_macs + decode_macs * site.reads) * blocks,
        folded_extra_macs=kept_macs * blocks,
        encoder_folds_into=encoder,
        decoder_folds_into=decoder,
        distortion_mse=counter.squared_error / counter.values,
        eigenvalues=_eigenvalues(plan, statistics),
    )


def _widths(codec: SiteCodec, plan: SitePlan) -> tuple[tuple[int, int], ...]:
    """Components by their bits of plain packing, see `SiteMetrics`."""
    counts = Counter(int(bits) for bits in codec.fixed_bits())
    counts[0] += plan.components - codec.rank
    return tuple((bits, count) for bits, count in sorted(counts.items(), reverse=True) if count)


def _folds(site: Site, plan: SitePlan) -> tuple[str | None, tuple[str, ...]]:
    """Neighbours that absorb the codec's matrices; none for a codec without matrices.

    A projection of blocks would fold into a convolution of a larger kernel and stride, which may
    cost more than the two of them: it counts as not folded.
    """
    if plan.block > 1 or plan.is_identity:
        return None, ()
    return (
        site.encoder_folds_into(plan.placement),
        site.decoder_folds_into(plan.placement),
    )


def _folded_parameter_bits(
    codec: SiteCodec, encoder: str | None, decoder: tuple[str, ...]
) -> float:
    """Codec parameters left when matrices are folded into linear neighbours.

    That a neighbour becomes smaller by folding is not credited: it is no activation.
    """
    bits = float(codec.parameter_bits())
    if not (hasattr(codec.projection, "encoder") and codec.projection.stored):
        return bits
    if encoder is not None:
        bits -= stored_numbers(codec.projection.encoder) * PARAMETER_BITS
    if decoder:
        bits -= stored_numbers(codec.projection.decoder) * PARAMETER_BITS
    return bits


def _eigenvalues(plan: SitePlan, statistics: Statistics | None) -> tuple[float, ...]:
    if statistics is None or plan.transform not in FITTED_TRANSFORMS:
        return ()
    basis = statistics.basis(plan.site, plan.transform)
    return tuple(float(f"{value:.6g}") for value in basis.variances)


def _traffic(site: Site) -> float:
    return float((1 + site.reads) * site.values * REFERENCE_BITS)


def _scale(views: Views, factor: float) -> Views:
    return Views(fixed=views.fixed * factor, entropy=views.entropy * factor)


def _with_parameters(bits: Views, parameters: float, tables: float) -> Views:
    """Traffic and codec parameters together; plain packing needs no code tables."""
    return Views(fixed=bits.fixed + parameters, entropy=bits.entropy + parameters + tables)


def _ratio(before: float, after: Views) -> Views:
    """A network that stores less than one bit counts as one, so that a ratio stays finite."""
    return Views(fixed=before / max(after.fixed, 1.0), entropy=before / max(after.entropy, 1.0))
