"""The numbers of a run as a file."""

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from actpress.errors import RunError
from actpress.evaluation.metrics import FORMAT_VERSION as METRICS_VERSION
from actpress.evaluation.metrics import Metrics
from actpress.plan import first_complaint
from actpress.run.folder import METRICS, existing

LARGEST = 1e300
"""Numbers of a run are far smaller, so that none overflows where they are multiplied."""


def load_metrics(folder: Path) -> Metrics:
    """Read `metrics.json`.

    Raises:
        RunError: missing, damaged, or of another version.
    """
    path = existing(folder, METRICS)
    try:
        metrics = Metrics.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        what = first_complaint(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged or of another version: {what}") from error
    if where := _not_finite(metrics.model_dump(), ""):
        raise RunError(f"{path} is damaged: {where} is NaN, infinite or beyond; compress again")
    if metrics.version != METRICS_VERSION:
        raise RunError(
            f"{path} has format version {metrics.version}, but this actpress reads version "
            f"{METRICS_VERSION}; compress again"
        )
    return metrics


def _not_finite(value: object, where: str) -> str:
    """Dotted name of the first number that is not finite, or no float holds; else empty."""
    if isinstance(value, float | int):
        return "" if abs(value) <= LARGEST else where
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    inside = (_not_finite(each, f"{where}.{key}".lstrip(".")) for key, each in items)
    return next(filter(None, inside), "")


def metrics_json(metrics: Metrics) -> str:
    """The text of `metrics.json`."""
    return json.dumps(metrics.model_dump(mode="json"), indent=1) + "\n"
