"""Applying a plan: graph + plan + statistics -> a network that compresses its activations."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from actpress.calibration import SiteStatistics, Statistics
from actpress.codec import (
    Histogram,
    IdentityProjection,
    LinearProjection,
    NetworkTables,
    Projection,
    SiteCodec,
    check_transform,
    counting,
    divides,
    family_of,
    fit_network_tables,
    ranges_of,
    stored_step,
)
from actpress.errors import CalibrationError, ModelError, PlanError
from actpress.graph import CODECS_PATH, Graph, RewrittenNetwork, eval_mode, insert_codecs
from actpress.plan import MAX_BIT_WIDTH, Plan, SitePlan
from actpress.team import team_of


class CompressedModel(nn.Module):
    """A network whose planned sites go through a `SiteCodec`; an ordinary, trainable module.

    Attributes:
        network: the rewritten graph.
        plan: what was applied.
        reads: consumers of each site, for code tables to weigh them by; 1 where none is named.
        codecs: by site name, in the plan's order.
        tables: the code tables that all codecs share; None before `fit_tables`.
        table_images: images that they were fitted on.
        coded_bits: bits per inference of each site under its tables, on these images.
        network_learned: whether the network's own weights were trained, besides the codecs.
        whole: fingerprint of all codecs, where those that a half of the network does not need are
            absent; else None.
    """

    def __init__(
        self, network: RewrittenNetwork, plan: Plan, reads: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        super().__init__()
        self.network = network
        self.plan = plan
        self.reads = dict(reads)
        self.tables: NetworkTables | None = None
        self.table_images = 0
        self.coded_bits: dict[str, float] = {}
        self.network_learned = False
        self.whole: bytes | None = None

    @property
    def codecs(self) -> dict[str, SiteCodec]:
        """The codec of each planned site."""
        codecs = self.network.codecs
        return {site.site: cast(SiteCodec, codecs[site.site]) for site in self.plan}

    def forward(self, *inputs: Tensor) -> Any:
        """What the original network returns, computed from compressed activations."""
        return self.network(*inputs)[0]

    def forward_with_rate(self, *inputs: Tensor) -> tuple[Any, Tensor]:
        """The output, and the estimated bits per inference over all sites (differentiable)."""
        output, rates = self.network(*inputs)
        return output, torch.stack(rates).sum() if rates else torch.zeros(())

    def _apply(
        self,
        fn: Callable[..., Tensor],
        recurse: bool = True,  # noqa: FBT001, FBT002  torch's own
    ) -> "CompressedModel":
        """Moving is fine, another type is not: symbols must be the same on both sides.

        Raises:
            ModelError: `fn` converts float32 to another type, as `half()` does.
        """
        wanted = fn(torch.zeros((), device=next(self.buffers()).device)).dtype
        if wanted is not torch.float32:
            raise ModelError(
                f"a compressed network cannot be converted to {wanted}: the codec of site "
                f"{next(iter(self.codecs))!r} and all others compute in torch.float32, so that "
                f"what is decoded is what was encoded; run it under torch.autocast instead"
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def network_state(self) -> dict[str, Tensor]:
        """Parameters and buffers of the network without those of the codecs, not copied."""
        state = self.network.eval_module.state_dict()
        return {key: value for key, value in state.items() if not key.startswith(f"{CODECS_PATH}.")}

    def set_tables(self, tables: NetworkTables, class_of: Mapping[str, Tensor]) -> None:
        """Share code tables among all codecs.

        Args:
            tables: of the network.
            class_of: class of each component, shape (k,), by site.
        """
        self.tables = tables
        for name, codec in self.codecs.items():
            codec.set_tables(tables, class_of[name])

    def table_bits(self) -> int:
        """Bits of the shared code tables; 0 before `fit_tables`."""
        return 0 if self.tables is None else self.tables.bits()

    def codec_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the codecs alone."""
        for codec in self.codecs.values():
            yield from codec.parameters()


def press(graph: Graph, plan: Plan, statistics: Statistics) -> CompressedModel:
    """Build the pressed network; the graph and the user's model stay as they are.

    The result has no code tables yet: `fit_tables` fixes ranges and tables from images.

    Raises:
        PlanError: the plan is of another network, or names a site or a channel count that the
            network does not have.
        CalibrationError: the statistics are of another network, or of another placement.
    """
    _check_fit(graph, plan, statistics)
    codecs = {site.site: build_codec(site, statistics) for site in plan}
    placements = {site.site: site.placement for site in plan}
    reads = {site.site: graph.site(site.site).reads for site in plan}
    pressed = CompressedModel(insert_codecs(graph, codecs, placements), plan, reads)
    return pressed.eval().to(_device_of(graph))


def _device_of(graph: Graph) -> torch.device:
    return next((p.device for p in graph.root.parameters()), torch.device("cpu"))


def build_codec(site: SitePlan, statistics: Statistics) -> SiteCodec:
    """The codec of one site, its symbol range as wide as the plan allows."""
    own = statistics.sites[site.site]
    step = torch.tensor(site.steps())
    projection = _projection(site, statistics)
    if site.groups:
        widths, lowest = _group_widths(site), lowest_of(site, own)
        q_min, q_max = ranges_of(widths, lowest)
        return SiteCodec(projection, step, q_min, q_max, pinned=site.pinned)
    levels = 2**site.bit_width
    lowest = -levels // 2
    if site.is_identity:
        lowest = lowest_symbol(own, float(stored_step(step).min()), levels)
    q_min = torch.full((site.rank,), lowest)
    q_max = q_min + levels - 1
    return SiteCodec(projection, step, q_min, q_max, alike=site.is_identity, pinned=site.pinned)


def lowest_of(site: SitePlan, statistics: SiteStatistics) -> int:
    """The symbol that no group's range goes below: zero where no value does."""
    values_only = site.is_identity and not float(statistics.minimum.min()) < 0
    return 0 if values_only else -(1 << MAX_BIT_WIDTH - 1)


def covering_step(statistics: SiteStatistics, bit_width: int) -> float:
    """So that `2**bit_width` levels cover the calibrated range and zero."""
    lowest = min(float(statistics.minimum.min()), 0.0)
    highest = max(float(statistics.maximum.max()), 0.0)
    return float(max(highest - lowest, 1e-12) / (2**bit_width - 1))


def lowest_symbol(statistics: SiteStatistics, step: float, levels: int) -> int:
    """Where a range of so many levels begins that holds zero and what it can of a site's values.

    Where it cannot hold them all, it is cut on the side that reaches further, down to half of the
    levels.
    """
    lowest = min(round(float(statistics.minimum.min()) / step), 0)
    highest = max(round(float(statistics.maximum.max()) / step), 0)
    return max(lowest, min(-levels // 2, highest - levels + 1))


def _group_widths(site: SitePlan) -> Tensor:
    """Bit-width of each kept component, shape (k,), int64."""
    members = {j: group.bit_width for group in site.kept_groups() for j in group.components}
    return torch.tensor([members[j] for j in site.kept_components()])


def _projection(site: SitePlan, statistics: Statistics) -> Projection:
    """The transform of a site.

    Where zero lies between two levels of a group, (round(z - 1/2) + 1/2) * step, both halves move
    into what the projection subtracts and adds.
    """
    kept = site.kept_components()
    if site.is_identity:
        return IdentityProjection(site.channels, torch.tensor(kept))
    basis = statistics.basis(site.site, site.transform).select(kept)
    mean = statistics.sites[site.site].mean
    if site.groups:
        members = {
            j: group.between_levels for group in site.kept_groups() for j in group.components
        }
        halves = torch.tensor([0.5 * members[j] for j in kept]) * torch.tensor(site.steps())
        mean = mean + basis.inverse.double() @ halves.double()
    return LinearProjection(
        family_of(site.transform), basis, mean, block=site.block, number_bits=site.number_bits
    )


def fit_tables(
    pressed: CompressedModel, inputs: Iterable[Tensor], *, within_ranges: bool = False
) -> None:
    """Fix symbol ranges and code tables from images, which must not be test images.

    Every site sees what the sites before it left over, as
    it will in use.

    Args:
        pressed: changed in place.
        inputs: batches of training images; a team may share them (`Shared`).
        within_ranges: start from the present ranges, as a network wants that was trained with them:
            it never saw what lies beyond. Otherwise ranges start from what the plan allows.

    Raises:
        CalibrationError: no images, or NaN or infinite values; names the site.
    """
    for codec in pressed.codecs.values():
        codec.clear_tables()
        if not within_ranges:
            codec.widen()
    with counting(pressed.codecs, team=team_of(inputs)) as counters:
        pressed.table_images = run(pressed, inputs)
    histograms = {}
    for name, codec in pressed.codecs.items():
        counts, q_min, q_max = counters[name].seen()
        codec.narrow(q_min, q_max)
        weight = 1.0 + pressed.reads.get(name, 1)
        histograms[name] = Histogram(counts, counters[name].lowest, weight)
    codecs = pressed.codecs.values()
    span = min(int(c.q_min.min()) for c in codecs), max(int(c.q_max.max()) for c in codecs)
    fitted = fit_network_tables(histograms, images=pressed.table_images, span=span)
    pressed.set_tables(fitted.tables, fitted.class_of)
    pressed.coded_bits = {name: bits / pressed.table_images for name, bits in fitted.bits.items()}


@contextmanager
def preserved_tables(pressed: CompressedModel) -> Iterator[None]:
    """Put ranges and tables back after the block, whatever it fitted."""
    before = {
        name: (codec.class_of, codec.q_min, codec.q_max) for name, codec in pressed.codecs.items()
    }
    tables, images, coded_bits = pressed.tables, pressed.table_images, pressed.coded_bits
    try:
        yield
    finally:
        for name, codec in pressed.codecs.items():
            _, codec.q_min, codec.q_max = before[name]
        if tables is not None:
            pressed.set_tables(tables, {name: own for name, (own, *_) in before.items()})
        pressed.table_images, pressed.coded_bits = images, coded_bits


@torch.no_grad()
def run(pressed: nn.Module, inputs: Iterable[Tensor]) -> int:
    """Run batches in eval mode for what probes see of them; returns the number of images."""

    def passed() -> Iterator[int]:
        for batch in inputs:
            pressed(batch)
            yield len(batch)

    with eval_mode(pressed):
        return sum(team_of(inputs).in_order(passed()))


def check_site(graph: Graph, site: SitePlan) -> None:
    """Compare the plan of a site with the site.

    Raises:
        PlanError: it has other channels, pixels that do not divide into blocks, or a transform that
            cannot take it.
    """
    shape = graph.site(site.site).shape
    if site.channels != shape[0]:
        raise PlanError(
            f"site {site.site}: the plan has {site.channels} channels, the network {shape[0]}"
        )
    if not divides(shape, site.block):
        raise PlanError(
            f"site {site.site}: blocks of {site.block}x{site.block} pixels need a height and width "
            f"that are multiples of {site.block}; its values have shape {shape}"
        )
    try:
        check_transform(site.transform, site.channels, site.block)
    except PlanError as error:
        raise PlanError(f"site {site.site}: {error}") from error


def check_plan(graph: Graph, plan: Plan) -> None:
    """Compare a plan with a network.

    Raises:
        PlanError: it is of another network, holds no sites, or does not fit one.
        ModelError: it names a site that the network does not have.
    """
    if plan.fingerprint != graph.fingerprint:
        raise PlanError(
            f"the plan belongs to another network: its fingerprint is {plan.fingerprint[:12]}, "
            f"this network's {graph.fingerprint[:12]}; make a plan for this network and input size"
        )
    if not plan.sites:
        raise PlanError("the plan has no sites, so there is nothing to press; plan at least one")
    for site in plan:
        check_site(graph, site)


def _check_fit(graph: Graph, plan: Plan, statistics: Statistics) -> None:
    check_plan(graph, plan)
    if statistics.fingerprint != graph.fingerprint:
        raise CalibrationError("the statistics belong to another network; calibrate this one")
    for site in plan:
        if statistics.placements.get(site.site) != site.placement:
            observed = statistics.placements.get(site.site, "nothing")
            raise CalibrationError(
                f"site {site.site}: the plan stores {site.placement}, but calibration observed "
                f"{observed}; calibrate with the plan's placements"
            )
        if statistics.block(site.site) != site.block:
            raise CalibrationError(
                f"site {site.site}: the plan has blocks of side {site.block}, but calibration "
                f"observed {statistics.block(site.site)}; calibrate with the plan's blocks"
            )
