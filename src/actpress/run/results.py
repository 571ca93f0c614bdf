"""The numbers of a run as a file."""

import json
from pathlib import Path

from pydantic import ValidationError

from actpress.errors import RunError
from actpress.evaluation.metrics import FORMAT_VERSION as METRICS_VERSION
from actpress.evaluation.metrics import Metrics
from actpress.plan import first_complaint
from actpress.run.folder import METRICS, existing


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
    if metrics.version != METRICS_VERSION:
        raise RunError(
            f"{path} has format version {metrics.version}, but this actpress reads version "
            f"{METRICS_VERSION}; compress again"
        )
    return metrics


def metrics_json(metrics: Metrics) -> str:
    """The text of `metrics.json`."""
    return json.dumps(metrics.model_dump(mode="json"), indent=1) + "\n"
