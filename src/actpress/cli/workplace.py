"""The folder of an unfinished compression: what `--resume` continues from."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actpress.cli.options import complain
from actpress.errors import (
    BudgetError,
    CalibrationError,
    DataError,
    ModelError,
    PlanError,
    RunError,
)
from actpress.run import (
    CONTENT,
    INPUTS,
    LOCK,
    METRICS,
    Held,
    appear,
    check_free,
    differences,
    followed,
    load_metrics,
    load_source,
    locked,
    read_request,
    recover,
    write_text,
)

REQUEST = "request.json"
FINISHED = "finished.json"
"""What the request is called once the run directory is whole and only has to appear."""

NOTHING_YET = {LOCK, f".{REQUEST}.part"}
"""All that a command leaves that was killed before it had written its request."""

REFUSALS = (PlanError, BudgetError)
"""What is mended by another request, which could not go on from what this one left."""

FAILURES = (ModelError, DataError, CalibrationError)
"""What may be mended outside of the request: with checkpoints, the same one goes on."""

NO_CHECKPOINTS = {*NOTHING_YET, REQUEST, INPUTS}


@dataclass(frozen=True)
class Workplace:
    """A folder for checkpoints while a compression runs.

    Attributes:
        held: it, locked.
        out: where the run directory will appear.
        force: whether it may replace an earlier one.
    """

    held: Held
    out: Path
    force: bool

    @property
    def folder(self) -> Path:
        """Its path."""
        return self.held.path

    def publish(self, write: Callable[[Path], None]) -> None:
        """Let the run directory appear whole.

        Killed at any moment, it leaves what `--resume` goes on from: work whose result is not yet
        whole, or a whole result that `settle` lets appear.

        Args:
            write: fills a folder with the files of the run.

        Raises:
            RunError: something else has appeared there.
        """
        check_free(self.out, force=self.force)
        (self.folder / CONTENT).mkdir()
        write(self.folder / CONTENT)
        (self.folder / REQUEST).rename(self.folder / FINISHED)
        appear(self.folder, self.out)
        _clear(self.folder)


@contextmanager
def workplace(
    out: Path, request: Mapping[str, object], *, force: bool, resume: bool
) -> Iterator[Workplace]:
    """The folder next to `out` for checkpoints while a compression runs; new unless resumed.

    It goes when the work is published or refused, and stays when the work was interrupted or
    diverged, or failed after it had left checkpoints. No other command may use it meanwhile.

    Args:
        out: where the run directory will appear.
        request: everything that decides the result; must be the same to resume.
        force: an existing run directory and an unfinished one may be replaced.
        resume: go on with what an interrupted command left.

    Raises:
        RunError: `out` exists, or an unfinished run; there is nothing to resume, or it was another
            request; another command is at work there.
    """
    out = followed(out)
    folder = _folder(out)
    check_free(out, force=force)
    if resume and not _is_begun(folder):
        raise RunError(f"there is nothing to resume in {folder}; run the command without --resume")
    _check_own(folder)
    with locked(folder) as held:
        if resume:
            _check_same(folder, request)
        elif _is_begun(folder) and not force:
            raise RunError(
                f"{folder} holds an unfinished run; go on with --resume, or begin anew with --force"
            )
        recover(folder, out)
        if not resume:
            _clear(folder)
            write_text(folder / REQUEST, json.dumps(request, indent=1) + "\n")
        try:
            yield Workplace(held, out, force)
        except REFUSALS:
            _clear(folder)
            raise
        except FAILURES:
            if {path.name for path in folder.iterdir()} - NO_CHECKPOINTS:
                complain(f"checkpoints stay in {folder}; mend what follows, then --resume goes on")
            else:
                _clear(folder)
            raise


def settle(out: Path) -> bool:
    """Let a run directory appear that was whole when its command was killed, and tidy up.

    Returns:
        Whether the run directory is the one of that command.

    Raises:
        RunError: something else has appeared there, or another command is at work.
    """
    out = followed(out)
    folder = _folder(out)
    if not (folder / FINISHED).exists() and not _is_empty(folder):
        return False
    with locked(folder):
        finished = (folder / FINISHED).exists()
        if (folder / CONTENT).exists():
            check_free(out, force=True)
            appear(folder, out)
        _clear(folder)
    return finished


def is_complete(out: Path) -> bool:
    """Whether a compression wrote its run directory and left nothing unfinished beside it."""
    return (out / METRICS).is_file() and not _is_begun(_folder(followed(out)))


def check_complete(out: Path, request: Mapping[str, Any]) -> None:
    """Refuse a complete run that another request made; the device is not remembered.

    Raises:
        RunError: it did; says how they differ.
    """
    metrics = load_metrics(out)
    names = {*request["settings"], *(metrics.settings.keys() & {"rules", "plan_sha256"})}
    before = {
        "source": load_source(out).model_dump(mode="json"),
        "method": metrics.method,
        "budget": metrics.budget or request["budget"],  # int8 has none
        "settings": {name: metrics.settings.get(name) for name in sorted(names)},
    }
    if other := differences(before, {name: request[name] for name in before}):
        raise RunError(
            f"{out} is complete, but another request made it: {other}; choose another --out, or "
            f"replace it with --force"
        )


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _is_begun(folder: Path) -> bool:
    return (folder / REQUEST).is_file() or (folder / FINISHED).is_file()


def _check_own(folder: Path) -> None:
    """Refuse a folder that no compression made.

    Raises:
        RunError: it is one.
    """
    if not folder.exists() or _is_begun(folder):
        return
    if not _is_empty(folder):
        raise RunError(f"{folder} is in the way and was not made by actpress; remove it")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not {path.name for path in folder.iterdir()} - NOTHING_YET


def _clear(folder: Path) -> None:
    """Remove all but the lock, last what says that the folder is ours."""
    last = (REQUEST, FINISHED)
    for path in sorted(folder.iterdir(), key=lambda path: path.name in last):
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_same(folder: Path, request: Mapping[str, object]) -> None:
    found = read_request(folder / REQUEST)
    if other := differences(found, json.loads(json.dumps(request))):
        raise RunError(
            f"{folder} was begun with another request: {other}; resume with the same options, "
            f"weights and data, or start again with --force"
        )
