"""Applying a plan: graph + plan + statistics -> a network that compresses its activations."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from actpress.calibration import SiteStatistics, Statistics
from actpress.codec import (
    IdentityProjection,
    LinearProjection,
    Projection,
    SiteCodec,
    counting,
    divides,
    fit_code_tables,
    stored_step,
)
from actpress.errors import CalibrationError, ModelError, PlanError
from actpress.graph import CODECS_PATH, Graph, RewrittenNetwork, insert_codecs
from actpress.plan import Plan, SitePlan, Transform


class CompressedModel(nn.Module):
    """A network whose planned sites go through a `SiteCodec`; an ordinary, trainable module.

    Attributes:
        network: the rewritten graph.
        plan: what was applied.
        codecs: by site name, in the plan's order.
        table_images: images that the code tables were fitted on; 0 before `fit_tables`.
        coded_bits: bits per inference of each site under its tables, on these images.
        network_learned: whether the network's own weights were trained, besides the codecs.
        whole: fingerprint of all codecs, where those that a half of the network does not need are
            absent; else None.
    """

    def __init__(self, network: RewrittenNetwork, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self.plan = plan
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
    pressed = CompressedModel(insert_codecs(graph, codecs, placements), plan)
    return pressed.eval().to(_device_of(graph))


def _device_of(graph: Graph) -> torch.device:
    return next((p.device for p in graph.root.parameters()), torch.device("cpu"))


def build_codec(site: SitePlan, statistics: Statistics) -> SiteCodec:
    """The codec of one site, its symbol range as wide as the plan allows."""
    if site.groups:
        return _build_grouped(site, statistics)
    own = statistics.sites[site.site]
    step = stored_step(torch.full((site.rank,), site.step))
    levels = 2**site.bit_width
    if site.is_identity:
        projection: Projection = IdentityProjection()
        lowest = lowest_symbol(own, float(step[0]), levels)
    else:
        projection = _linear(site, statistics, own.mean)
        lowest = -levels // 2
    q_min = torch.full((site.rank,), lowest)
    return SiteCodec(projection, step, q_min, q_min + levels - 1)


def lowest_symbol(statistics: SiteStatistics, step: float, levels: int) -> int:
    """Where a range of so many levels begins that holds zero and what it can of a site's values.

    Where it cannot hold them all, it is cut on the side that reaches further, down to half of the
    levels.
    """
    lowest = min(round(float(statistics.minimum.min()) / step), 0)
    highest = max(round(float(statistics.maximum.max()) / step), 0)
    return max(lowest, min(-levels // 2, highest - levels + 1))


def _build_grouped(site: SitePlan, statistics: Statistics) -> SiteCodec:
    """Every component has the step and the range of its group.

    Where zero lies between two levels, (round(z - 1/2) + 1/2) * step, both halves move into what
    the projection subtracts and adds.
    """
    members = {j: group for group in site.kept_groups() for j in group.components}
    groups = [members[j] for j in site.kept_components()]
    step = stored_step(torch.tensor([group.step for group in groups]))
    levels = torch.tensor([2.0**group.bit_width for group in groups])
    halves = torch.tensor([0.5 * group.between_levels for group in groups])
    projection = _linear(site, statistics, statistics.sites[site.site].mean)
    basis = statistics.basis(site.site, site.transform).select(site.kept_components())
    shift = basis.inverse.float() @ (halves * step)
    for tensor in (projection.mean, projection.offset):
        tensor.data += shift.to(tensor.device)
    projection.round_to_half()
    q_min = -levels / 2
    return SiteCodec(projection, step, q_min, q_min + levels - 1)


def _linear(site: SitePlan, statistics: Statistics, mean: Tensor) -> LinearProjection:
    stored = site.transform not in (Transform.DCT, Transform.HADAMARD)
    basis = statistics.basis(site.site, site.transform).select(site.kept_components())
    return LinearProjection(basis, mean, site.rank, block=site.block, stored=stored)


def fit_tables(
    pressed: CompressedModel, inputs: Iterable[Tensor], *, within_ranges: bool = False
) -> None:
    """Fix symbol ranges and code tables from images, which must not be test images.

    Every site sees what the sites before it left over, as
    it will in use.

    Args:
        pressed: changed in place.
        inputs: batches of training images.
        within_ranges: start from the present ranges, as a network wants that was trained with them:
            it never saw what lies beyond. Otherwise ranges start from what the plan allows.

    Raises:
        CalibrationError: no images, or NaN or infinite values; names the site.
    """
    for codec in pressed.codecs.values():
        codec.clear_tables()
        if not within_ranges:
            codec.widen()
    with counting(pressed.codecs) as counters:
        outputs = run(pressed, inputs)
    pressed.table_images = sum(len(output) for output in outputs)
    for name, codec in pressed.codecs.items():
        counts, q_min, q_max = counters[name].seen()
        tables, bits = fit_code_tables(counts)
        codec.set_tables(tables, q_min, q_max)
        pressed.coded_bits[name] = bits / pressed.table_images


@contextmanager
def preserved_tables(pressed: CompressedModel) -> Iterator[None]:
    """Put ranges and tables back after the block, whatever it fitted."""
    before = {
        name: (codec.tables, codec.q_min, codec.q_max) for name, codec in pressed.codecs.items()
    }
    images, coded_bits = pressed.table_images, dict(pressed.coded_bits)
    try:
        yield
    finally:
        for name, codec in pressed.codecs.items():
            codec.set_tables(*before[name])
        pressed.table_images, pressed.coded_bits = images, coded_bits


@torch.no_grad()
def run(pressed: nn.Module, inputs: Iterable[Tensor]) -> list[Tensor]:
    """Outputs in eval mode, batch by batch; the module's mode is restored."""
    training = pressed.training
    pressed.eval()
    try:
        return [pressed(batch) for batch in inputs]
    finally:
        pressed.train(training)


def check_site(graph: Graph, site: SitePlan) -> None:
    """Compare the plan of a site with the site.

    Raises:
        PlanError: it has other channels, or pixels that do not divide into blocks.
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


def _check_fit(graph: Graph, plan: Plan, statistics: Statistics) -> None:
    if plan.fingerprint != graph.fingerprint:
        raise PlanError(
            f"the plan belongs to another network: its fingerprint is {plan.fingerprint[:12]}, "
            f"this network's {graph.fingerprint[:12]}; make a plan for this network and input size"
        )
    if statistics.fingerprint != graph.fingerprint:
        raise CalibrationError("the statistics belong to another network; calibrate this one")
    if not plan.sites:
        raise PlanError("the plan has no sites, so there is nothing to press; plan at least one")
    for site in plan:
        check_site(graph, site)
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
