"""Progress bars on standard error, so that standard output stays a result."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bars:
    """One bar per stage; implements `actpress.methods.Progress`."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._stage: TaskID | None = None

    def start(self, stage: str, total: float) -> None:
        """Finish the present bar and begin another."""
        self._finish()
        self._stage = self._progress.add_task(stage, total=total, note="")

    def advance(self, done: float, note: str = "") -> None:
        """Move the present bar."""
        if self._stage is not None:
            self._progress.update(self._stage, advance=done, note=note)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def _finish(self) -> None:
        if self._stage is not None:
            total = self._progress.tasks[self._stage].total
            self._progress.update(self._stage, completed=total)
