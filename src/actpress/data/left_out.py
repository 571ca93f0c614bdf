"""Files in an image folder that are not read."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from actpress.data.imagefile import SUFFIXES

NOTES = frozenset({".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".yml", ".db", ".ini", ".html"})
"""Files that stand beside images and are not missed among them."""

IN_CLASS, WITHIN = "in folders inside a class", "in folders inside it"

NAMED = 3
"""Files that are named where more were left out."""


def warn_of_left_out(splits: Sequence[Path], *, labelled: bool = True) -> None:
    """Say once what is in the folders of splits and is not read.

    Args:
        splits: their folders.
        labelled: images lie in folders of classes, else in those of the splits themselves.
    """
    left_out: dict[str, list[Path]] = {}
    for split in splits:
        for file in _visible(split):
            depth = len(file.relative_to(split).parts)
            reason = _why_left_out(file, depth=depth if labelled else depth + 1)
            if reason:
                left_out.setdefault(reason, []).append(file)
    if left_out:
        folder = "the folder of their class" if labelled else "the folder itself"
        if not labelled:
            left_out = {WITHIN if why == IN_CLASS else why: each for why, each in left_out.items()}
        found = [f"{len(files)} {reason} ({_first(files)})" for reason, files in left_out.items()]
        warnings.warn(
            f"{sum(map(len, left_out.values()))} files are left out: {' and '.join(found)}; images "
            f"must be directly in {folder}, as {', '.join(sorted(SUFFIXES))}",
            stacklevel=1,
        )


def _why_left_out(file: Path, *, depth: int) -> str:
    """The reason, or nothing; `depth` is 2 for a file in the folder of a class."""
    if depth != 2:
        return "outside of a class" if depth < 2 else IN_CLASS
    return "" if file.suffix.lower() in SUFFIXES else "with an extension that is not read"


def _visible(folder: Path) -> list[Path]:
    """Files at any depth that are neither hidden nor notes, sorted."""
    return sorted(
        file
        for file in folder.rglob("*")
        if not any(part[0] == "." for part in file.relative_to(folder).parts)
        and file.suffix.lower() not in NOTES
        and file.is_file()
    )


def _first(files: Sequence[Path]) -> str:
    more = ", ..." if len(files) > NAMED else ""
    return ", ".join(str(file) for file in files[:NAMED]) + more
