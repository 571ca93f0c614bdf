"""The folder of a run: its files, and how it appears whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actpress.errors import RunError
from actpress.files import followed

PLAN, CODEC, NETWORK, METRICS, REPORT, SOURCE, HALF = (
    "plan.json",
    "codec.safetensors",
    "network.safetensors",
    "metrics.json",
    "report.html",
    "run.json",
    "half.json",
)


@contextmanager
def new_folder(target: Path, *, force: bool, known_by: str = PLAN) -> Iterator[Path]:
    """A folder that appears at `target` whole when the block succeeds, and not at all otherwise.

    Args:
        target: where it appears.
        force: replace an earlier one.
        known_by: file that tells an earlier one from any other folder.

    Raises:
        RunError: `target` exists and `force` is not set.
    """
    target = followed(target)
    check_free(target, force=force, known_by=known_by)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    replaced = partial.with_name(partial.name + ".old")
    try:
        yield partial
        partial.chmod(0o755)
        if target.exists():
            target.rename(replaced)
        partial.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
