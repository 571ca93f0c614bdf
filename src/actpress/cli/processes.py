"""One command in several processes: who speaks, and how they end together."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from actpress.cli.options import EXIT_BAD_INPUT
from actpress.cli.speaker import speaks
from actpress.cli.workplace import Workplace, workplace
from actpress.errors import ActpressError
from actpress.team import Team, join, leave

EXIT_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def joined(*, gpu: bool) -> Iterator[Team]:
    """The processes of this command, until one of them ends or all are done.

    An error that one process alone meets is told by that one, another by the first.

    Args:
        gpu: whether they compute on GPUs.

    Raises:
        RunError: they cannot meet, or one has ended.
    """
    team = join(gpu=gpu)
    if team.size > 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _ended)
    try:
        yield team
    except (ActpressError, OSError, MemoryError) as error:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # why it ends is said below
        told = team.tells(error)
        if team.is_first:
            raise
        if told and sys.__stderr__ is not None:
            sys.__stderr__.write(f"error in process {team.rank} of {team.size}: {error}\n")
        raise typer.Exit(EXIT_BAD_INPUT) from error
    finally:
        leave()


def _ended(*_: object) -> None:
    """A launcher ends all processes when one of them has ended."""
    if speaks():
        os.write(2, b"ended from outside, as torchrun does when a process ends; see --resume\n")
    os._exit(EXIT_TERMINATED)


@contextmanager
def workplace_of(
    team: Team, out: Path, request: Mapping[str, object], *, force: bool, resume: bool
) -> Iterator[Workplace | None]:
    """The folder of an unfinished compression, which the first process has; None for the others.

    Raises:
        RunError: see `workplace`; in all processes.
    """
    with ExitStack() as stack:
        places: list[Workplace] = []

        def enter() -> None:
            places.append(stack.enter_context(workplace(out, request, force=force, resume=resume)))

        team.from_first(enter)
        yield places[0] if places else None
