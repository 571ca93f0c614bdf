"""Accuracy, bits, traffic and energy of a pressed network."""

from actpress.evaluation.confidence import (
    Comparison,
    guessing_accuracy,
    images_to_tell,
    is_guessing,
)
from actpress.evaluation.evaluate import RunInfo, evaluate, predict
from actpress.evaluation.latency import measure_latency
from actpress.evaluation.metrics import LatencyMetrics, Metrics, PathPoint, SiteMetrics, Views

__all__ = [
    "Comparison",
    "LatencyMetrics",
    "Metrics",
    "PathPoint",
    "RunInfo",
    "SiteMetrics",
    "Views",
    "evaluate",
    "guessing_accuracy",
    "images_to_tell",
    "is_guessing",
    "measure_latency",
    "predict",
]
