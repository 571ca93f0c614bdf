"""Several processes that make one result together, as `torchrun` starts them.

All of them do the same, except that each works on its own share of the images. What they found is
brought together in the order in which one process would have found it, so that every process goes
on with the same numbers, and these are those of one process.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic, sleep
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, distributed

from actpress.errors import ActpressError, RunError

SILENCE_S = 1800.0
"""A process that says nothing for so long is taken for lost."""

REASON_S = 10.0
"""A process waits so long for the first one to tell of an error that both may have met."""

T = TypeVar("T")

_untyped = cast(Any, distributed)
"""What its type hints do not export."""


@dataclass(frozen=True)
class Team:
    """The processes of a run; of a single one, unless `join` made it.

    What several processes exchange is sent by all of them at the same point of their work.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1
    _errors: Any = field(default=None, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes files."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """First of this process's batches, and the distance from each to its next one."""
        return self.rank, self.size

    def in_order(self, own: Iterable[T]) -> Iterator[T]:
        """What all processes made, as one process would have made it.

        Args:
            own: what this process makes of its batches, `part` of all; each may make several
                things, equally many.

        Raises:
            Exception: what any process raised while it made its own; the same in all of them.
        """
        if self.size == 1:
            yield from own
            return
        iterator = iter(own)
        while True:
            parts = self.gathered(_next(iterator))
            for part in parts:
                if part.error is not None:
                    raise part.error
            yield from (cast(T, part.value) for part in parts if not part.is_end)
            if all(part.is_end for part in parts):
                return

    def gathered(self, value: T) -> list[T]:
        """Of every process what it gives, by rank; tensors of others are on the CPU."""
        if self.size == 1:
            return [value]
        sent: list[Any] = [None] * self.size
        _told(self, lambda: distributed.all_gather_object(sent, _packed(value)))
        return [value if rank == self.rank else _unpacked(each) for rank, each in enumerate(sent)]

    def from_first(self, work: Callable[[], T]) -> T:
        """What the first process gets from some work, which no other one does.

        Raises:
            Exception: what the work raised; the same in all processes.
        """
        if self.size == 1:
            return work()
        own = _next(iter(_once(work))) if self.is_first else None
        sent = [_packed(own) if self.is_first else None]
        _told(self, lambda: distributed.broadcast_object_list(sent, src=0))
        done = own if own is not None else cast("_Part", _unpacked(cast(bytes, sent[0])))
        if done.error is not None:
            raise done.error
        return cast(T, done.value)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type and device by their sums over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        _told(self, lambda: distributed.all_reduce(flat))
        for tensor, summed in zip(
            tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True
        ):
            tensor.copy_(summed.view_as(tensor))

    def check_alike(self, facts: Mapping[str, object]) -> None:
        """Refuse processes that could not come to the same result.

        Args:
            facts: what must be the same in all of them, by name.

        Raises:
            RunError: a process has another one; names both.
        """
        first, *others = self.gathered(dict(facts))
        for rank, other in enumerate(others, start=1):
            for name, value in first.items():
                if other[name] != value:
                    raise RunError(
                        f"process {rank} has another {name} than process 0 ({other[name]}, not "
                        f"{value}); give all {self.size} processes the same"
                    )

    def tells(self, error: Exception) -> bool:
        """Whether it is for this process to tell of an error that ends it.

        An error that several processes meet is told by the first of them alone.
        """
        if self._errors is None:
            return True
        self._errors.set(f"error/{self.rank}", str(error))
        if self.is_first:
            return True
        deadline = monotonic() + REASON_S
        while monotonic() < deadline:
            if self._errors.check(["error/0"]):
                return False
            sleep(0.1)
        return True

    def errors_of_others(self) -> dict[int, str]:
        """By rank, what other processes said of what ended them."""
        if self._errors is None:
            return {}
        ranks = [rank for rank in range(self.size) if rank != self.rank]
        return {
            rank: self._errors.get(f"error/{rank}").decode()
            for rank in ranks
            if self._errors.check([f"error/{rank}"])
        }


ALONE = Team()
"""A run of one process."""


class Shared(Iterable[T], Generic[T]):
    """Batches that a team shares: iterating gives those of this process.

    Args:
        own: opens the batches of this process, each time anew.
        team: that shares them.
    """

    def __init__(self, own: Callable[[], Iterable[T]], team: Team) -> None:
        self._own, self.team = own, team

    def __iter__(self) -> Iterator[T]:
        return iter(self._own())


def team_of(batches: Iterable[Any]) -> Team:
    """The team that shares some batches; `ALONE` where one process has them all."""
    return batches.team if isinstance(batches, Shared) else ALONE


def processes(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes a launcher such as torchrun has started for this command."""
    return int(environment.get("WORLD_SIZE", "1"))


def join(*, gpu: bool = False, silence_s: float = SILENCE_S) -> Team:
    """Meet the other processes that torchrun has started; a team of one without it.

    Args:
        gpu: whether tensors on a GPU are added up too.
        silence_s: seconds after which a process that says nothing is taken for lost.

    Raises:
        RunError: they cannot be met.
    """
    size = processes()
    if size == 1:
        return ALONE
    silence = timedelta(seconds=silence_s)
    try:
        store, rank, size = next(_untyped.rendezvous("env://", timeout=silence))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=_untyped.PrefixStore("actpress", store),
            rank=rank,
            world_size=size,
            timeout=silence,
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"the {size} processes cannot meet: {_first_line(error)}; start them with torchrun"
        ) from error
    return Team(rank, size, _untyped.PrefixStore("actpress-errors", store))


def leave() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class _Part:
    """What a process made next: a value, an error, or nothing more."""

    value: Any = None
    error: Exception | None = None
    is_end: bool = False


def _next(iterator: Iterator[Any]) -> _Part:
    try:
        return _Part(next(iterator))
    except StopIteration:
        return _Part(is_end=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised in all processes
        return _Part(error=_portable(error))


def _portable(error: Exception) -> Exception:
    """The error, or one of the same words where it cannot be sent to other processes."""
    try:
        _unpacked(_packed(error))
    except Exception:  # noqa: BLE001 - constructors of others raise what they like
        return ActpressError(f"{type(error).__name__}: {error}")
    return error


def _once(work: Callable[[], T]) -> Iterator[T]:
    yield work()


def _packed(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpacked(content: bytes) -> Any:
    """What another process of the same command has packed."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)


def _told(team: Team, exchange: Callable[[], object]) -> None:
    """Exchange something with the others.

    Raises:
        RunError: one of them is gone.
    """
    try:
        exchange()
    except RuntimeError as error:
        said = [f"process {rank}: {text}" for rank, text in team.errors_of_others().items()]
        raise RunError(
            f"another one of the {team.size} processes has ended or is silent "
            f"({'; '.join(said) or 'it gave no reason'}); see to that one, then run the same "
            f"command with --resume"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
