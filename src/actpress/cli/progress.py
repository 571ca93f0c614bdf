"""Progress on standard error, so that standard output stays a result: bars, or lines of text."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from actpress.report import duration

EVERY_S = 60.0
"""Seconds between two lines of one stage."""


def progress_on(console: Console) -> "Bars | Lines":
    """Bars where a terminal shows them move, else lines, as in a log."""
    return Bars(console) if console.is_terminal else Lines(console)


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


class Lines:
    """A line for every stage, and every minute one more with the time that is left.

    Implements `actpress.methods.Progress`. A thread of its own tells the minutes, as some work is
    long between two of its steps.

    Args:
        console: to print on.
        clock: seconds since any moment.
        every_s: seconds between two lines of one stage.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = monotonic,
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._console, self._clock, self._every_s = console, clock, every_s
        self._began = clock()
        self._stage: _Stage | None = None
        self._over = Event()
        self._minutes = Thread(target=self._tell_minutes, daemon=True)

    def start(self, stage: str, total: float) -> None:
        """Say that a stage begins."""
        self._stage = _Stage(stage, total, self._clock())
        self._say(stage)

    def advance(self, done: float, note: str = "") -> None:
        """Remember how far the stage is."""
        if self._stage is not None:
            self._stage.done += done
            self._stage.note = note

    def tell(self) -> None:
        """Say how far the present stage is, and how long it may still take."""
        if self._stage is not None:
            self._say(self._stage.describe(self._clock()))

    def __enter__(self) -> Self:
        self._minutes.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._minutes.join()
        if error is None and self._stage is not None:
            self._say("done")

    def _tell_minutes(self) -> None:
        while not self._over.wait(self._every_s):
            self.tell()

    def _say(self, text: str) -> None:
        """A line with the time since the beginning."""
        minutes, seconds = divmod(int(self._clock() - self._began), 60)
        self._console.print(Text(f"{minutes:3}:{seconds:02}  {text}"), soft_wrap=True)


@dataclass
class _Stage:
    """What is being done.

    Attributes:
        name: of the stage.
        total: amount of its work, in any unit.
        began_s: when, by the clock.
        done: of the total.
        note: of the last step.
    """

    name: str
    total: float
    began_s: float
    done: float = 0.0
    note: str = ""

    def describe(self, now_s: float) -> str:
        share = min(self.done / self.total, 1.0) if self.total > 0 else 0.0
        parts = [f"{100 * share:.0f} %"]
        if 0 < share < 1:
            parts.append(f"about {duration((now_s - self.began_s) * (1 / share - 1))} left")
        return f"{self.name}: {', '.join(filter(None, (*parts, self.note)))}"
