"""What `actpress export` does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actpress.cli.integers import calibration_of, integer_form
from actpress.cli.opened import OpenedRun, open_run
from actpress.cli.options import complain
from actpress.cli.sources import data_of
from actpress.data import Dataset
from actpress.errors import ExportError
from actpress.interruption import work_begins
from actpress.splitting import split

IMAGES, GOLDEN_IMAGES = 32, 4
"""Held-out images that a file is verified with, and that go into a folder of C."""


@dataclass(frozen=True)
class Wanted:
    """How to write a run.

    Attributes:
        out: what to write.
        force: replace an earlier export.
        maps: of C, `packed` or `rans`.
        until: of C, the site whose value the head of the network sends; None is all of it.
        numbers: of C, the name of a kind of weights.
    """

    out: Path
    force: bool
    maps: str
    until: str | None
    numbers: str


def export_run(run: Path, to: str, wanted: Wanted, *, weights: Path | None) -> None:
    """Write a run as a file for another tool, and say what was written.

    Args:
        run: its folder.
        to: one of `EXPORTERS`.
        wanted: how.
        weights: of the network, where they are not where they were.

    Raises:
        ActpressError: see `open_run`; something has no form there, or the output is in the way.
    """
    opened = open_run(run, weights=weights, device=torch.device("cpu"))
    work_begins()
    complain(f"{wanted.out}: {EXPORTERS[to](opened, wanted)}")


def _to_onnx(opened: OpenedRun, wanted: Wanted) -> str:
    with _packages_of("onnx"):
        from actpress.deploy.onnx import export_onnx  # noqa: PLC0415  its packages are optional

        return export_onnx(
            opened.pressed, _held_out(opened), wanted.out, force=wanted.force
        ).summary


def _to_qonnx(opened: OpenedRun, wanted: Wanted) -> str:
    with _packages_of("onnx"):
        from actpress.deploy.onnx import export_qonnx  # noqa: PLC0415  its packages are optional

        return export_qonnx(
            opened.pressed, _held_out(opened), wanted.out, force=wanted.force
        ).summary


def _to_c(opened: OpenedRun, wanted: Wanted) -> str:
    from actpress.deploy.c import export_c  # noqa: PLC0415  as the others
    from actpress.deploy.integer import Weights, head_of  # noqa: PLC0415  as the others
    from actpress.deploy.memory import rans_layouts  # noqa: PLC0415  as the others

    images = _data_of(opened)
    network = integer_form(opened, images, Weights(wanted.numbers))
    golden = next(images.holdout.batches(GOLDEN_IMAGES))[0]
    if wanted.until is not None:
        network = head_of(network, split(opened.pressed, wanted.until)[0].sites)
    layouts = rans_layouts(network, calibration_of(images)) if wanted.maps == "rans" else None
    return export_c(
        network,
        golden,
        wanted.out,
        title=opened.source.model,
        force=wanted.force,
        layouts=layouts,
    ).summary


EXPORTERS: dict[str, Callable[[OpenedRun, Wanted], str]] = {
    "onnx": _to_onnx,
    "qonnx": _to_qonnx,
    "c": _to_c,
}
"""Run, how to write it -> a line on what was written."""


def _held_out(opened: OpenedRun) -> Tensor:
    return next(_data_of(opened).holdout.batches(IMAGES))[0]


def _data_of(opened: OpenedRun) -> Dataset:
    return data_of(opened.source)


@contextmanager
def _packages_of(extra: str) -> Iterator[None]:
    """Say which extra has a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExportError(
            f"this export needs the package {error.name}; install it with "
            f"`pip install '.[{extra}]'`"
        ) from error
