"""What `actpress evaluate --integer` does."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from torch import Tensor

from actpress.cli.opened import OpenedRun
from actpress.cli.progress import progress_on
from actpress.data.dataset import Dataset
from actpress.deploy.integer import (
    IntegerNetwork,
    IntegerScore,
    Weights,
    integer_network,
    integer_score,
)
from actpress.report.quality import change, value
from actpress.report.quantities import percent
from actpress.run import write_text
from actpress.tasks import Metric

CALIBRATION_IMAGES, CALIBRATION_BATCH = 256, 64


def integer_form(
    opened: OpenedRun, images: Dataset, weights: Weights = Weights.INT8
) -> IntegerNetwork:
    """The integer network of a run; its ranges come from the run's training images.

    Raises:
        ExportError: something has no integer form.
    """
    return integer_network(opened.pressed, calibration_of(images), weights=weights)


def print_integer_score(opened: OpenedRun, images: Dataset, json_file: Path | None) -> None:
    """Run the test images in integers, print how good that is, and write it as JSON.

    Raises:
        ExportError: something has no integer form.
    """
    network = integer_form(opened, images)
    with progress_on(Console(stderr=True)) as bars:
        bars.start("integers", len(images.test))
        score = integer_score(
            network, opened.pressed, images.test, images.task, on_batch=bars.advance
        )
    if json_file is not None:
        write_text(json_file, json.dumps(asdict(score), indent=2) + "\n")
    Console().print(_line(score, images.task.metric, labelled=images.is_labelled))


def calibration_of(images: Dataset) -> Iterator[Tensor]:
    """Batches of the training images that ranges and code tables on a device come from."""
    for batch, _ in images.train.take(CALIBRATION_IMAGES).batches(CALIBRATION_BATCH):
        yield batch


def _line(score: IntegerScore, metric: Metric, *, labelled: bool) -> str:
    if not labelled:
        return (
            f"in integers {percent(score.agreement)} agreement with the compressed network on "
            f"{score.images:,} images"
        )
    told = change(metric, metric.lost(score.compressed_accuracy, score.accuracy))
    return (
        f"in integers {value(metric, score.accuracy)}, compressed network "
        f"{value(metric, score.compressed_accuracy)} ({told}), {percent(score.agreement)} "
        f"agreement on {score.images:,} images"
    )
