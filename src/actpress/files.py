"""How anything is written to a path: whole or not at all, through links, never over a device.

A path may name more than a file: a link, a pipe, a device such as `/dev/stdout`. Renaming a new
file onto one of these would take it away from everybody else on the machine.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from actpress.errors import RunError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
WRITTEN_INTO = (stat.S_IFIFO, stat.S_IFCHR)
"""What takes text as it comes: a pipe, a terminal, `/dev/null`."""


def write_text(path: Path, text: str) -> None:
    """Write text, see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file whole or not at all, following links; write into a pipe or a terminal.

    Where the path is standard output or the error stream, it goes there, whatever that is.

    Raises:
        RunError: the path is a folder, a disk or a socket, or a link that leads to itself.
    """
    check_writable(path)
    if stream := _standard_stream(path):
        for each in (sys.stdout, sys.stderr):
            each.flush()
        with os.fdopen(os.dup(stream), "wb") as file:
            file.write(content)
    elif _kind(path) in WRITTEN_INTO:
        with path.open("wb") as file:
            file.write(content)
    else:
        with replacing(path) as file:
            file.write(content)


def check_writable(path: Path) -> None:
    """Refuse a path that `write_bytes` would not write to.

    Raises:
        RunError: see there, or its folder is missing.
    """
    kind, target = _kind(path), followed(path)
    if kind not in (None, stat.S_IFREG, *WRITTEN_INTO):
        raise RunError(f"{path} is {KINDS[kind]}; give the name of a file")
    if kind is None and not target.parent.is_dir():
        raise RunError(f"{path}: there is no folder {target.parent}; make it first")


@contextmanager
def new_file(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file that appears at `target` whole when the block succeeds, and not at all otherwise.

    Links are followed.

    Raises:
        RunError: `target` exists and `force` is not set, or it is no file.
    """
    kind = _kind(target)
    if kind not in (None, stat.S_IFREG):
        raise RunError(f"{target} exists and is {KINDS[kind]}, no file; choose another name")
    if kind and not force:
        raise RunError(f"{target} exists already; choose another name, or replace it with --force")
    followed(target).parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        yield file


def followed(path: Path) -> Path:
    """The absolute path that links lead to, whether anything is there or not.

    Raises:
        RunError: a link leads to itself.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path} is a link that leads to itself; choose another name") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of the one at the end of all links when the block succeeds.

    Until then it has a temporary name beside it. The path must be no device, see `check_writable`.
    """
    target = followed(path)
    partial = target.with_name(f".{target.name}.part")
    partial.unlink(missing_ok=True)  # of a process that was killed; never written through
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:  # a disk that is full does not say what was written
        raise _named(error, target) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _named(error: OSError, path: Path) -> OSError:
    if error.filename is not None or error.errno is None:
        return error
    return OSError(error.errno, error.strerror, str(path))


def _kind(path: Path) -> int | None:
    """What is there, as `stat` names it, at the end of all links; None where nothing is."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        followed(path)
        raise


def _standard_stream(path: Path) -> int | None:
    """Standard output or the error stream where the path is one of them, as in `/dev/stdout`."""
    for stream in (1, 2):
        try:
            if os.path.samestat(path.stat(), os.fstat(stream)):
                return stream
        except OSError:
            continue
    return None
