"""From symbol counts to bits, traffic, parameters and arithmetic of every site."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from actpress.budget import View
from actpress.calibration import Statistics
from actpress.codec import SiteCodec, SymbolCounter, entropy_bits, family_of
from actpress.cost import (
    EnergyModel,
    Kind,
    Objective,
    Partners,
    SiteUse,
    folds_of,
    nothing_folds,
    partners_of,
    use_of,
)
from actpress.evaluation.metrics import EnergyMetrics, SiteMetrics, TrafficMetrics, Views
from actpress.graph import Graph, Site
from actpress.plan import SitePlan
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
    total_traffic = sum(map(_traffic, graph.sites))
    partners = partners_of(graph.sites, pressed.plan)
    return tuple(
        _account_site(
            graph,
            pressed,
            site,
            counters[site.site],
            statistics=statistics,
            partners=partners,
            total_traffic=total_traffic,
        )
        for site in pressed.plan
    )


def total_views(sites: Sequence[SiteMetrics]) -> Views:
    """Stored bits per inference over all sites."""
    return Views(
        fixed=sum(site.bits.fixed for site in sites),
        entropy=sum(site.bits.entropy for site in sites),
    )


def account_traffic(
    sites: Sequence[SiteMetrics],
    table_bits: float,
    *,
    batch: int,
    untouched: Sequence[Site] = (),
) -> TrafficMetrics:
    """Sum the sites: bits moved, ratios, and what the codecs themselves must fetch.

    Args:
        sites: all that are planned.
        table_bits: of the code tables that they share.
        batch: images for which codecs are fetched once.
        untouched: sites that are stored as they are, at 8 bits a value.
    """
    kept = [SiteUse.uncompressed(site) for site in untouched]

    def priced(sites: Sequence[SiteMetrics], objective: Objective) -> Views:
        return _priced(sites, table_bits, objective, untouched=kept)

    before = _priced(sites, table_bits, Objective(Kind.TRAFFIC), compressed=False, untouched=kept)
    moved = priced(sites, Objective(Kind.TRAFFIC))
    unfolded = [
        site.model_copy(update={"folded_parameter_bits": site.parameter_bits, "credit_bits": 0.0})
        for site in sites
    ]
    reference = before.fixed
    return TrafficMetrics(
        bits_8bit=reference,
        bits=moved,
        ratio_8bit=_ratio(reference, moved),
        ratio_16bit=_ratio(2 * reference, moved),
        ratio_32bit=_ratio(4 * reference, moved),
        batch=batch,
        parameter_bits=sum(site.parameter_bits for site in sites),
        folded_parameter_bits=sum(site.folded_parameter_bits for site in sites),
        credit_bits=sum(site.credit_bits for site in sites),
        fetched_bits=_per_view(lambda view: sum(site.use(view).fetched_bits for site in sites)),
        index_bits=sum(site.index_bits for site in sites),
        table_bits=table_bits,
        net_ratio_8bit=_ratio(reference, priced(sites, Objective(batch=batch))),
        net_ratio_8bit_batch1=_ratio(reference, priced(sites, Objective())),
        net_ratio_8bit_unfolded=_ratio(reference, priced(unfolded, Objective(batch=batch))),
    )


def account_energy(
    sites: Sequence[SiteMetrics],
    table_bits: float,
    model: EnergyModel,
    *,
    batch: int,
    untouched: Sequence[Site] = (),
) -> EnergyMetrics:
    """Energy of activation traffic per inference, before and after.

    Args:
        sites: all that are planned.
        table_bits: of the code tables that they share.
        model: what a bit and a multiply-accumulate take.
        batch: images for which codecs are fetched once.
        untouched: sites that are stored as they are, at 8 bits a value.
    """
    kept = [SiteUse.uncompressed(site) for site in untouched]
    objective = Objective(Kind.ENERGY, batch=batch, energy=model)
    return EnergyMetrics(
        memory=model.memory,
        pj_per_bit=model.pj_per_bit,
        mac_pj=model.mac_pj,
        before_pj=_priced(sites, table_bits, objective, compressed=False, untouched=kept).fixed,
        after_pj=_priced(sites, table_bits, objective, untouched=kept),
    )


def _priced(
    sites: Sequence[SiteMetrics],
    table_bits: float,
    objective: Objective,
    *,
    compressed: bool = True,
    untouched: Sequence[SiteUse] = (),
) -> Views:
    """Price of the sites, and of others that are stored as they are, under both views."""

    def price(view: View) -> float:
        if not compressed:
            return objective.reference(sites) + sum(map(objective.price, untouched))
        seen = replace(objective, view=view)
        return seen.total([*(site.use(view) for site in sites), *untouched], table_bits)

    return _per_view(price)


def _per_view(quantity: Callable[[View], float]) -> Views:
    return Views(fixed=quantity(View.FIXED), entropy=quantity(View.ENTROPY))


def _account_site(
    graph: Graph,
    pressed: CompressedModel,
    plan: SitePlan,
    counter: SymbolCounter,
    *,
    statistics: Statistics | None,
    partners: Partners,
    total_traffic: float,
) -> SiteMetrics:
    site, codec = graph.site(plan.site), pressed.codecs[plan.site]
    blocks = site.values // plan.components
    images = counter.values // site.values
    bits = Views(
        fixed=float(codec.fixed_bits().sum()) * blocks,
        entropy=float((counter.counts * codec.code_lengths_bits()).sum()) / images,
    )
    size, folds = codec.projection.size(), folds_of(site, plan)
    use = use_of(site, plan, codec, bits.entropy, View.ENTROPY, partners=partners)
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
        traffic_bits=_per_view(lambda view: replace(use, stored_bits=bits[view]).moved_bits),
        parameter_bits=codec.parameter_bits(),
        folded_parameter_bits=use.parameter_bits,
        credit_bits=use.credit_bits,
        index_bits=use.index_bits,
        extra_macs=nothing_folds(site).unfolded_macs(size) * blocks,
        folded_extra_macs=int(use.macs),
        credit_macs=use.credit_macs,
        encoder_folds_into=folds.encoder_path,
        decoder_folds_into=folds.decoder_paths,
        distortion_mse=counter.squared_error / counter.values,
        eigenvalues=_eigenvalues(plan, statistics),
    )


def _widths(codec: SiteCodec, plan: SitePlan) -> tuple[tuple[int, int], ...]:
    """Components by their bits of plain packing, see `SiteMetrics`."""
    counts = Counter(codec.fixed_bits().tolist())
    counts[0] += plan.components - codec.rank
    return tuple((bits, count) for bits, count in sorted(counts.items(), reverse=True) if count)


def _eigenvalues(plan: SitePlan, statistics: Statistics | None) -> tuple[float, ...]:
    if statistics is None or plan.is_identity or not family_of(plan.transform).fitted:
        return ()
    basis = statistics.basis(plan.site, plan.transform)
    return tuple(float(f"{value:.6g}") for value in basis.variances.tolist())


def _traffic(site: Site) -> float:
    return SiteUse.uncompressed(site).moved_bits


def _scale(views: Views, factor: float) -> Views:
    return Views(fixed=views.fixed * factor, entropy=views.entropy * factor)


def _ratio(before: float, after: Views) -> Views:
    """A network that stores less than one bit counts as one, so that a ratio stays finite."""
    return Views(fixed=before / max(after.fixed, 1.0), entropy=before / max(after.entropy, 1.0))
