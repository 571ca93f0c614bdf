"""Benchmark results: one JSON file, written whole after every row, so that a run can go on."""

import fcntl
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
KEY = ("model", "method", "variant", "seed")


class Store:
    """Rows of one benchmark, identified by `KEY`.

    Several processes may add rows of different networks to one file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = environment()
        self.rows = self._read()

    def has(self, *key: str | int) -> bool:
        """Whether the row (model, method, variant, seed) was measured already."""
        return any(tuple(row[name] for name in KEY) == key for row in self.rows)

    def add(self, row: Row) -> None:
        """Append a row to what the file holds by now, and write it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.rows = [*self._read(), {**row, "environment": self.environment}]
            partial = self.path.with_suffix(".part")
            partial.write_text(json.dumps({"rows": self.rows}, indent=1) + "\n")
            partial.replace(self.path)

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        rows: list[Row] = json.loads(self.path.read_text())["rows"]
        return rows


def environment() -> dict[str, str | int]:
    """Where this process measures; the commit is the one that it started from."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> str:
    result = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or "unknown"
