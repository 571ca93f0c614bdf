"""The folder of a run: its files, and how it appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actpress.errors import RunError
from actpress.files import followed
from actpress.run.locking import locked

PLAN, CODEC, NETWORK, METRICS, REPORT, SOURCE, HALF = (
    "plan.json",
    "codec.safetensors",
    "network.safetensors",
    "metrics.json",
    "report.html",
    "run.json",
    "half.json",
)

CONTENT, REPLACED = "content", "replaced"
"""In a folder where work is done: what is to appear, and what stood in its place."""


@contextmanager
def new_folder(target: Path, *, force: bool, known_by: str = PLAN) -> Iterator[Path]:
    """A folder that appears at `target` whole when the block succeeds, and not at all otherwise.

    Args:
        target: where it appears.
        force: replace an earlier one.
        known_by: file that tells an earlier one from any other folder.

    Raises:
        RunError: `target` exists and `force` is not set, or another command is writing it.
    """
    target = followed(target)
    work = _beside(target)
    if not work.exists():
        check_free(target, force=force, known_by=known_by)
    with locked(work):
        recover(work, target)
        check_free(target, force=force, known_by=known_by)
        content = work / CONTENT
        content.mkdir()
        try:
            yield content
            appear(work, target)
        finally:
            recover(work, target)


def tidy(target: Path) -> None:
    """Remove what a `new_folder` that was killed left beside its target."""
    target = followed(target)
    if (work := _beside(target)).exists():
        with locked(work):
            recover(work, target)


def appear(work: Path, target: Path) -> None:
    """Move what was made in a folder to its target, and what stands there into the folder."""
    if target.exists():
        target.rename(work / REPLACED)
    (work / CONTENT).rename(target)


def recover(work: Path, target: Path) -> None:
    """After `appear`, wherever it stopped: put back what it moved away in vain, remove the rest."""
    if (work / REPLACED).exists() and not target.exists():
        (work / REPLACED).rename(target)
    for path in (work / CONTENT, work / REPLACED):
        if path.exists():
            shutil.rmtree(path)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def check_free(target: Path, *, force: bool, known_by: str = PLAN) -> None:
    """Refuse a target that exists, unless the user allowed to replace it.

    Only an empty folder or an earlier run is ever replaced.

    Raises:
        RunError: it exists and must not be replaced.
    """
    if not followed(target).exists():
        return
    if not target.is_dir():
        raise RunError(f"{target} exists and is no folder; choose another --out")
    if not force:
        raise RunError(f"{target} exists already; choose another --out, or replace it with --force")
    if any(target.iterdir()) and not (target / known_by).exists():
        raise RunError(
            f"{target} was not made by this command (it holds no {known_by}), so it is not "
            f"replaced even with --force; choose another --out"
        )


def existing(folder: Path, name: str, *, made_by: str = "compress") -> Path:
    """The path of a file in a folder that an actpress command, `made_by`, wrote.

    Raises:
        RunError: it is missing.
    """
    path = folder / name
    if not path.is_file():
        wrong = f"is not complete: {name} is missing"
        if not folder.is_dir():
            wrong = "is not a folder" if folder.exists() else "does not exist"
        raise RunError(f"{folder} {wrong}; expected the --out of actpress {made_by}")
    return path
