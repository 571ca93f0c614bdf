"""Without a terminal progress is a line a stage and a line a minute."""

import io
import time

from rich.console import Console

from actpress.cli.progress import Bars, Lines, progress_on


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_stages_and_the_time_left_are_told() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=40)
    lines = Lines(console, clock)
    lines.start("calibrate", 200)
    clock.now += 5
    lines.start("search", 100)
    clock.now += 60
    lines.advance(20)
    lines.advance(5, "loss 0.0012")
    lines.tell()
    clock.now += 200
    lines.advance(75)
    lines.tell()
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "  0:00  calibrate",
        "  0:05  search",
        "  1:05  search: 25 %, about 3 min 00 s left, loss 0.0012",
        "  4:25  search: 100 %",
    ]


def test_long_steps_are_told_while_they_last() -> None:
    console = Console(file=io.StringIO())
    with Lines(console, every_s=0.01) as lines:
        lines.start("decoders", 1)
        deadline = time.monotonic() + 20
        while "decoders: 0 %" not in console.file.getvalue():  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        lines.advance(1)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.splitlines()[-1] == "  0:00  done"


def test_a_terminal_has_bars() -> None:
    assert isinstance(progress_on(Console(file=io.StringIO())), Lines)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_on(terminal) as bars:
        assert isinstance(bars, Bars)
        bars.start("search", 100)
        bars.advance(40, "loss 0.5")
    printed = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "search" in printed
    assert "loss 0.5" in printed
