"""Folders that one command has to itself."""

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from actpress.errors import RunError

LOCK = ".lock"


@dataclass(frozen=True)
class Held:
    """A folder that this command has to itself, as `locked` hands it out."""

    path: Path


@contextmanager
def held(folder: Path | str | Held) -> Iterator[Held]:
    """A folder that is locked while the block runs, or has been before.

    Raises:
        RunError: another command has the folder.
    """
    if isinstance(folder, Held):
        yield folder
        return
    with locked(Path(folder)) as own:
        yield own


@contextmanager
def locked(folder: Path) -> Iterator[Held]:
    """Keep other commands out of a folder while the block runs.

    The folder is made where it is missing, and goes at the end if nothing is left in it. A lock
    ends with its process, however that ends.

    Raises:
        RunError: another command has the folder.
    """
    lock = _lock(folder)
    try:
        yield Held(folder)
    finally:
        with suppress(OSError):  # whoever removed the folder meanwhile, or is waiting for it
            (folder / LOCK).unlink()
            folder.rmdir()
        os.close(lock)


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its last owner has just removed the folder
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise RunError(
                f"another command is at work in {folder}; wait until it is done, or choose another "
                f"folder"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{folder} cannot be locked on this file system ({error.strerror}); run one "
                f"command at a time there",
                stacklevel=2,
            )
        if _is_still(file, folder / LOCK):
            return file
        os.close(file)


def _is_still(file: int, path: Path) -> bool:
    """Whether an open file is the one at a path, which its last owner may have removed."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
