"""The folder of an unfinished compression: what `--resume` continues from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actpress.errors import (
    BudgetError,
    CalibrationError,
    DataError,
    ModelError,
    PlanError,
    RunError,
)
from actpress.run import check_free, write_text

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
    folder = _opened(out.resolve(), request, force=force, resume=resume)
    try:
        yield folder
    except REFUSALS:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _opened(out: Path, request: Mapping[str, object], *, force: bool, resume: bool) -> Path:
    check_free(out, force=force)
    folder = out.with_name(f"{out.name}.partial")
    wanted = json.dumps(request, indent=1, sort_keys=True) + "\n"
    if resume:
        _check_same(folder, wanted)
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
    write_text(folder / REQUEST, wanted)
    return folder


def _check_same(folder: Path, wanted: str) -> None:
    try:
        found = (folder / REQUEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"there is nothing to resume in {folder}; run the command without --resume"
        ) from error
    if found != wanted:
        raise RunError(
            f"{folder} was begun with other options, weights or data; resume with the same ones, "
            f"or start again with --force"
        )
