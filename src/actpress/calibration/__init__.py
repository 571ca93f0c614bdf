"""Mergeable statistics of every site, collected in one pass."""

from actpress.calibration.fisher import fisher_information, site_gradients
from actpress.calibration.observers import SiteStatistics, merge_all, observe
from actpress.calibration.statistics import Statistics, calibrate

__all__ = [
    "SiteStatistics",
    "Statistics",
    "calibrate",
    "fisher_information",
    "merge_all",
    "observe",
    "site_gradients",
]
