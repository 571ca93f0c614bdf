"""Accuracy, bits, traffic and energy of a pressed network."""

from actpress.evaluate.energy import MEMORY_PJ_PER_BIT, EnergyModel
from actpress.evaluate.evaluate import RunInfo, evaluate, predict
from actpress.evaluate.metrics import Metrics, PathPoint, SiteMetrics, Views

__all__ = [
    "MEMORY_PJ_PER_BIT",
    "EnergyModel",
    "Metrics",
    "PathPoint",
    "RunInfo",
    "SiteMetrics",
    "Views",
    "evaluate",
    "predict",
]
