"""The metric, bits, traffic and energy of a pressed network."""

from actpress.evaluation.confidence import (
    Comparison,
    images_to_tell,
    is_guessing,
)
from actpress.evaluation.evaluating import RunInfo, evaluate
from actpress.evaluation.judging import Judged, Reference, judge, predict, refer
from actpress.evaluation.latency import measure_latency
from actpress.evaluation.metrics import LatencyMetrics, Metrics, PathPoint, SiteMetrics, Views

__all__ = [
    "Comparison",
    "Judged",
    "LatencyMetrics",
    "Metrics",
    "PathPoint",
    "Reference",
    "RunInfo",
    "SiteMetrics",
    "Views",
    "evaluate",
    "images_to_tell",
    "is_guessing",
    "judge",
    "measure_latency",
    "predict",
    "refer",
]
