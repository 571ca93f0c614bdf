"""One streaming pass over calibration images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from actpress.calibrate.observers import SiteStatistics, observe
from actpress.codec import Basis, fit_basis
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
    """

    fingerprint: str
    placements: Mapping[str, Placement]
    sites: Mapping[str, SiteStatistics]
    fisher: Mapping[str, Tensor] = field(default_factory=dict)

    def basis(self, site: str, transform: Transform) -> Basis:
        """The basis of a transform at a site.

        Raises:
            CalibrationError: statistics that are not finite, or `fisher_pca` without Fisher
                information; names the site.
        """
        try:
            return fit_basis(transform, self.sites[site].covariance, self.fisher.get(site))
        except CalibrationError as error:
            raise CalibrationError(f"site {site}: {error}") from error

    def merge(self, other: "Statistics") -> "Statistics":
        """Statistics of both passes together; they must be of one network and placement.

        Raises:
            CalibrationError: they are not.
        """
        same = self.fingerprint == other.fingerprint and self.placements == other.placements
        if not same or self.fisher.keys() != other.fisher.keys():
            raise CalibrationError(
                "cannot merge statistics of different networks or placements; calibrate again"
            )
        sites = {name: part.merge(other.sites[name]) for name, part in self.sites.items()}
        fisher = {name: part + other.fisher[name] for name, part in self.fisher.items()}
        return Statistics(self.fingerprint, self.placements, sites, fisher)


def calibrate(
    graph: Graph, inputs: Iterable[Tensor], placements: Mapping[str, Placement]
) -> Statistics:
    """Observe every site in one pass over the inputs, in eval mode.

    Args:
        graph: the captured network.
        inputs: batches, each (n, c, h, w).
        placements: value to observe, by site name.

    Raises:
        CalibrationError: no input, or NaN or infinite values; names the site.
    """
    sites: dict[str, SiteStatistics] = {}
    for batch in inputs:
        for name, value in site_values(graph, (batch,), placements):
            try:
                seen = observe(value)
            except CalibrationError as error:
                raise CalibrationError(
                    f"site {name}: {error}; check the images and the weights"
                ) from error
            sites[name] = sites[name].merge(seen) if name in sites else seen
    if not sites and placements:
        raise CalibrationError("calibration got no images; pass at least one batch")
    return Statistics(graph.fingerprint, dict(placements), sites)
