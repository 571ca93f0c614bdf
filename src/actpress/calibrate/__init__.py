"""Mergeable statistics of every site, collected in one pass."""

from actpress.calibrate.observers import SiteStatistics, merge_all, observe
from actpress.calibrate.statistics import Statistics, calibrate

__all__ = ["SiteStatistics", "Statistics", "calibrate", "merge_all", "observe"]
