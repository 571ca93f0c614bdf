"""One streaming pass over calibration images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor

from actpress.calibration.observers import SiteStatistics, observe
from actpress.codec import Basis, as_blocks, fit_basis
from actpress.errors import CalibrationError
from actpress.graph import Graph, site_values
from actpress.plan import Placement, Transform


@dataclass(frozen=True)
class Statistics:
    """Statistics of every site of one network.

    Attributes:
        fingerprint: of the network they belong to.
        placements: which value of each site was observed.
        sites: by site name.
        fisher: sums of `fisher_information` by site name; empty when it was not measured.
        blocks: side of the blocks of pixels that were observed, by site name; 1 for the others.
    """

    fingerprint: str
    placements: Mapping[str, Placement]
    sites: Mapping[str, SiteStatistics]
    fisher: Mapping[str, Tensor] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)
    _bases: dict[tuple[str, Transform], Basis] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def basis(self, site: str, transform: Transform) -> Basis:
        """The basis of a transform at a site; found once, so it is not to be changed in place.

        Raises:
            CalibrationError: statistics that are not finite, or `fisher_pca` without Fisher
                information; names the site.
        """
        metric = self.fisher.get(site)
        if transform is Transform.LEARNED:  # starts from one of these
            transform = Transform.PCA if metric is None else Transform.FISHER_PCA
        key = (site, transform)
        if key not in self._bases:
            try:
                self._bases[key] = fit_basis(transform, self.sites[site].covariance, metric)
            except CalibrationError as error:
                raise CalibrationError(f"site {site}: {error}") from error
        return self._bases[key]

    def block(self, site: str) -> int:
        """Side of the blocks of pixels at a site."""
        return self.blocks.get(site, 1)

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
        return Statistics(self.fingerprint, self.placements, sites, fisher, self.blocks)


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
        inputs: batches, each (n, c, h, w).
        placements: value to observe, by site name.
        blocks: side of the blocks of pixels that are one column, by site name; 1 where none is
            named.

    Raises:
        PlanError: a site's pixels do not divide into its blocks.
        CalibrationError: no input, or NaN or infinite values; names the site.
    """
    sites: dict[str, SiteStatistics] = {}
    for batch in inputs:
        for name, value in site_values(graph, (batch,), placements):
            try:
                seen = observe(as_blocks(value, blocks.get(name, 1)))
            except CalibrationError as error:
                raise CalibrationError(
                    f"site {name}: {error}; check the images and the weights"
                ) from error
            sites[name] = sites[name].merge(seen) if name in sites else seen
    if not sites and placements:
        raise CalibrationError("calibration got no images; pass at least one batch")
    return Statistics(graph.fingerprint, dict(placements), sites, blocks=dict(blocks))
