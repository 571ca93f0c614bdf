"""The folder of an unfinished compression: what `--resume` continues from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actpress.errors import (
    BudgetError,
    CalibrationError,
    DataError,
    ModelError,
    PlanError,
    RunError,
)
from actpress.run import (
    METRICS,
    check_free,
    differences,
    followed,
    load_metrics,
    load_source,
    read_request,
    write_text,
)

REQUEST = "request.json"

REFUSALS = (ModelError, DataError, CalibrationError, PlanError, BudgetError)
"""What is mended by another request, which could not go on from what this one left."""


@contextmanager
def workplace(
    out: Path, request: Mapping[str, object], *, force: bool, resume: bool
) -> Iterator[Path]:
    """The folder next to `out` for checkpoints while a compression runs; new unless resumed.

    It goes when the work is done or refused, and stays when the work was interrupted or diverged.

    Args:
        out: where the run directory will appear.
        request: everything that decides the result; must be the same to resume.
        force: an existing run directory and an unfinished one may be replaced.
        resume: go on with what an interrupted command left.

    Raises:
        RunError: `out` exists, or an unfinished run; there is nothing to resume, or it was another
            request.
    """
    folder = _opened(followed(out), request, force=force, resume=resume)
    try:
        yield folder
    except REFUSALS:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def is_complete(out: Path) -> bool:
    """Whether a compression wrote its run directory and left nothing unfinished beside it."""
    return (out / METRICS).is_file() and not _folder(followed(out)).exists()


def check_complete(out: Path, request: Mapping[str, Any]) -> None:
    """Refuse a complete run that another request made; the device is not remembered.

    Raises:
        RunError: it did; says how they differ.
    """
    metrics = load_metrics(out)
    before = {
        "source": load_source(out).model_dump(mode="json"),
        "method": metrics.method,
        "budget": metrics.budget or request["budget"],  # int8 has none
        "settings": {name: metrics.settings.get(name) for name in request["settings"]},
    }
    if other := differences(before, {name: request[name] for name in before}):
        raise RunError(
            f"{out} is complete, but another request made it: {other}; choose another --out, or "
            f"replace it with --force"
        )


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _opened(out: Path, request: Mapping[str, object], *, force: bool, resume: bool) -> Path:
    check_free(out, force=force)
    folder = _folder(out)
    if resume:
        _check_same(folder, request)
        return folder
    if folder.exists():
        if not (folder / REQUEST).is_file():
            raise RunError(f"{folder} is in the way and was not made by actpress; remove it")
        if not force:
            raise RunError(
                f"{folder} holds an unfinished run; go on with --resume, or begin anew with --force"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_text(folder / REQUEST, json.dumps(request, indent=1) + "\n")
    return folder


def _check_same(folder: Path, request: Mapping[str, object]) -> None:
    try:
        found = read_request(folder / REQUEST)
    except OSError as error:
        raise RunError(
            f"there is nothing to resume in {folder}; run the command without --resume"
        ) from error
    if other := differences(found, json.loads(json.dumps(request))):
        raise RunError(
            f"{folder} was begun with another request: {other}; resume with the same options, "
            f"weights and data, or start again with --force"
        )
