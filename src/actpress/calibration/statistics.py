"""One streaming pass over calibration images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from actpress.calibration.observers import SiteStatistics, observe
from actpress.calibration.watch import Watch
from actpress.codec import Basis, Moments, as_blocks, family_of
from actpress.errors import CalibrationError
from actpress.graph import Graph, all_values, give_back_freed
from actpress.plan import Placement, Plan, SitePlan
from actpress.team import team_of


@dataclass(frozen=True)
class Statistics:
    """Statistics of every site of one network.

    Attributes:
        fingerprint: of the network they belong to.
        placements: which value of each site was observed.
        sites: by site name.
        fisher: sums of `fisher_information` by site name; empty when it was not measured.
        fisher_images: that these sums are over.
        blocks: side of the blocks of pixels that were observed, by site name; 1 for the others.
        bases: that were found so far, by site and transform.
    """

    fingerprint: str
    placements: Mapping[str, Placement]
    sites: Mapping[str, SiteStatistics]
    fisher: Mapping[str, Tensor] = field(default_factory=dict)
    fisher_images: int = 0
    blocks: Mapping[str, int] = field(default_factory=dict)
    bases: dict[tuple[str, str], Basis] = field(default_factory=dict, repr=False, compare=False)

    def basis(self, site: str, transform: str) -> Basis:
        """The basis of a transform at a site, its matrices in float32.

        It is found once, so it is not to be changed in place.

        Raises:
            PlanError: there is no such transform.
            CalibrationError: statistics that are not finite, or a transform that needs the Fisher
                information without it; names the site.
        """
        key = (site, str(transform))
        if key not in self.bases:
            own, block = self.sites[site], self.block(site)
            moments = Moments(
                own.covariance, self.fisher.get(site), len(own.total) // block**2, block
            )
            try:
                self.bases[key] = family_of(transform).fit(moments).single()
            except CalibrationError as error:
                raise CalibrationError(f"site {site}: {error}") from error
        return self.bases[key]

    def bases_of(self, site: str) -> dict[tuple[str, str], Basis]:
        """Those of a site that were found so far, by site and transform."""
        return {key: basis for key, basis in self.bases.items() if key[0] == site}

    def basis_of(self, site: SitePlan) -> Basis:
        """The whole basis of a planned site; for the identity the unit vectors."""
        if not site.is_identity:
            return self.basis(site.site, site.transform)
        unit = torch.eye(site.channels, dtype=torch.float64)
        own = self.sites[site.site]
        return Basis(unit, own.outer.diagonal() / own.count, unit)

    def block(self, site: str) -> int:
        """Side of the blocks of pixels at a site."""
        return self.blocks.get(site, 1)

    @classmethod
    def chosen(cls, parts: Sequence["Statistics"], plan: Plan) -> "Statistics":
        """Of several passes that observed a network differently, what a plan needs at each site.

        Bases that a pass has found of what a site stores come along.

        Raises:
            CalibrationError: no pass observed a site as the plan stores it.
        """
        sites, fisher = dict[str, SiteStatistics](), dict[str, Tensor]()
        bases = dict[tuple[str, str], Basis]()
        for site in plan:
            part = next((part for part in parts if part.observed(site)), None)
            if part is None:
                raise CalibrationError(
                    f"site {site.site}: nothing observed {site.placement} in blocks of side "
                    f"{site.block}; calibrate with the plan's placements and blocks"
                )
            sites[site.site] = part.sites[site.site]
            if site.site in part.fisher:
                fisher[site.site] = part.fisher[site.site]
            bases |= part.bases_of(site.site)
        placements = {site.site: site.placement for site in plan}
        blocks = {site.site: site.block for site in plan}
        images = max((part.fisher_images for part in parts), default=0)
        return cls(plan.fingerprint, placements, sites, fisher, images, blocks, bases)

    def observed(self, site: SitePlan) -> bool:
        """Whether these are statistics of what a plan stores at a site."""
        same = self.placements.get(site.site) == site.placement
        return same and self.block(site.site) == site.block

    def merge(self, other: "Statistics") -> "Statistics":
        """Statistics of both passes together; they must be of one network and placement.

        Raises:
            CalibrationError: they are not.
        """
        same = self.fingerprint == other.fingerprint and self.placements == other.placements
        same = same and all(self.block(name) == other.block(name) for name in self.sites)
        if not same or self.fisher.keys() != other.fisher.keys():
            raise CalibrationError(
                "cannot merge statistics of other networks, placements or blocks; calibrate again"
            )
        sites = {name: part.merge(other.sites[name]) for name, part in self.sites.items()}
        fisher = {name: part + other.fisher[name] for name, part in self.fisher.items()}
        return Statistics(
            self.fingerprint,
            self.placements,
            sites,
            fisher,
            self.fisher_images + other.fisher_images,
            self.blocks,
        )


def calibrate(
    graph: Graph,
    inputs: Iterable[Tensor],
    placements: Mapping[str, Placement],
    *,
    blocks: Mapping[str, int] = MappingProxyType({}),
) -> Statistics:
    """Observe every site in one pass over the inputs, in eval mode.

    Args:
        graph: the captured network.
        inputs: batches, each (n, c, h, w); a team may share them (`Shared`).
        placements: value to observe, by site name.
        blocks: side of the blocks of pixels that are one column, by site name; 1 where none is
            named.

    Raises:
        PlanError: a site's pixels do not divide into its blocks.
        CalibrationError: no input, or NaN or infinite values; names the site.
    """
    return calibrate_all(graph, inputs, [Watch(placements, blocks)])[0]


def calibrate_all(
    graph: Graph, inputs: Iterable[Tensor], watches: Sequence[Watch]
) -> list[Statistics]:
    """The same of several values of each site, in one pass.

    Raises:
        PlanError, CalibrationError: see `calibrate`.
    """
    wanted = [pair for watch in watches for pair in watch.placements.items()]

    def observed() -> Iterator[tuple[int, str, SiteStatistics]]:
        for batch in inputs:
            for name, placement, value in all_values(graph, (batch,), wanted):
                for index, watch in enumerate(watches):
                    if watch.placements.get(name) == placement:
                        yield index, name, _observe(name, as_blocks(value, watch.block(name)))

    sums: list[dict[str, SiteStatistics]] = [{} for _ in watches]
    for index, name, seen in team_of(inputs).in_order(observed()):
        sites = sums[index]
        sites[name] = sites[name].merge(seen) if name in sites else seen
    give_back_freed()
    if wanted and not any(sums):
        raise CalibrationError("calibration got no images; pass at least one batch")
    return [
        Statistics(graph.fingerprint, dict(watch.placements), sites, blocks=dict(watch.blocks))
        for watch, sites in zip(watches, sums, strict=True)
    ]


def _observe(name: str, value: Tensor) -> SiteStatistics:
    try:
        return observe(value)
    except CalibrationError as error:
        raise CalibrationError(f"site {name}: {error}; check the images and the weights") from error
