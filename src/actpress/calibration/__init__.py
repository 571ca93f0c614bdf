"""Mergeable statistics of every site, collected in one pass."""

from actpress.calibration.fisher import fisher_information, fisher_of, visit_gradients
from actpress.calibration.observers import SiteStatistics, merge_all, observe
from actpress.calibration.statistics import Statistics, calibrate, calibrate_all
from actpress.calibration.watch import Watch

__all__ = [
    "SiteStatistics",
    "Statistics",
    "Watch",
    "calibrate",
    "calibrate_all",
    "fisher_information",
    "fisher_of",
    "merge_all",
    "observe",
    "visit_gradients",
]
