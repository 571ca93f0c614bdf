"""One streaming pass over calibration images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from actpress.calibrate.observers import SiteStatistics, observe
from actpress.errors import CalibrationError
from actpress.graph import Graph, site_values
from actpress.plan import Placement


@dataclass(frozen=True)
class Statistics:
    """Statistics of every site of one network.

    Attributes:
        fingerprint: of the network they belong to.
        placements: which value of each site was observed.
        sites: by site name.
    """

    fingerprint: str
    placements: Mapping[str, Placement]
    sites: Mapping[str, SiteStatistics]

    def merge(self, other: "Statistics") -> "Statistics":
        """Statistics of both passes together; they must be of one network and placement.

        Raises:
            CalibrationError: they are not.
        """
        if self.fingerprint != other.fingerprint or self.placements != other.placements:
            raise CalibrationError(
                "cannot merge statistics of different networks or placements; calibrate again"
            )
        sites = {name: part.merge(other.sites[name]) for name, part in self.sites.items()}
        return Statistics(self.fingerprint, self.placements, sites)


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
