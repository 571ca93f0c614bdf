"""Two processes find what one finds: the same statistics, counts and plan, to the bit."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actpress import team
from actpress.errors import ActpressError, RunError
from actpress.team import ALONE, Shared, join, processes, team_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900


@pytest.mark.slow
def test_two_processes_find_what_one_finds() -> None:
    ran = subprocess.run(  # noqa: S603 - our own program
        [
            sys.executable,
            *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "tests.laws.team_member"),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 0, ran.stderr
    alone, together = json.loads(ran.stdout)
    assert together["before"] == alone["before"]
    assert together["after"] != together["before"]
    assert together["after"] == pytest.approx(alone["after"], rel=1e-3)
    assert together["sum"] == pytest.approx(alone["sum"], rel=1e-6)


def test_one_process_is_a_team_of_its_own() -> None:
    assert list(ALONE.in_order(iter([1, 2]))) == [1, 2]
    assert ALONE.gathered(3) == [3]
    assert ALONE.from_first(lambda: 4) == 4
    assert ALONE.part == (0, 1)
    assert ALONE.is_first
    assert not ALONE.errors_of_others()
    assert ALONE.tells(RunError("x"))
    assert join() is ALONE
    assert processes({"WORLD_SIZE": "3"}) == 3


class OddError(Exception):
    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")


def test_an_error_that_cannot_be_sent_is_told_in_its_words() -> None:
    told = team._next(_broken()).error
    assert isinstance(told, ActpressError)
    assert str(told) == "OddError: broken image 3"


def _broken() -> Iterator[None]:
    raise OddError("broken image", 3)
    yield


def test_shared_batches_know_their_team() -> None:
    batches = Shared(lambda: iter([1, 2]), ALONE)
    assert list(batches) == list(batches) == [1, 2]
    assert team_of(batches) is ALONE
    assert team_of([1, 2]) is ALONE


def test_processes_that_cannot_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(RunError, match=r"2 processes cannot meet: .*; start them with torchrun"):
        join()
