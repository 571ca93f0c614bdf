"""compress under torchrun: the run of one process, one voice, and an end together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.test_cli import DATA, MODEL, PATIENCE_S, QUICK, artefacts, compress
from tests.integration.test_cli import folder as working_folder

folder = working_folder

GDR = ("--method", "gdr", "--budget", "2.5bits")
CAP = ("--method", "cap", "--budget", "2.5bits", "--search-images", "16", "--batch-size", "16")


def torchrun(
    *arguments: str, command: Sequence[str] = ("compress", *MODEL, *DATA)
) -> subprocess.Popen[str]:
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launched += ["--nproc-per-node", "2", "-m", "actpress", *command]
    return subprocess.Popen(  # noqa: S603 - our own command
        [*launched, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=2 * PATIENCE_S)
    return process.returncode, out, err


def member(launcher: subprocess.Popen[str], rank: int) -> int:
    """Process id of one of the two."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    wanted = f"RANK={rank}".encode()
    for child in children:
        if wanted in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no process of rank {rank} among {children}")


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 2 * PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


def counted(text: str, lines: Sequence[str]) -> list[int]:
    return [text.count(line) for line in lines]


@pytest.mark.slow
def test_two_processes_make_the_run_of_one(folder: Path) -> None:
    one = compress(*GDR, out="one")
    assert one.exit_code == 0, one.output
    code, out, err = end(torchrun(*QUICK, *GDR, "--out", "two"))
    assert code == 0, err
    assert artefacts(folder / "two") == artefacts(folder / "one")
    assert out.count("accuracy") == one.stdout.count("accuracy") > 0
    assert err.count("calibrate") == one.stderr.count("calibrate") > 0
    assert counted(err, ["written to two"]) == [1]
    assert not (folder / "two.partial").exists()
    again = ("evaluate", "two", "--json", "again.json")
    code, out, err = end(torchrun(*again, command=()))
    assert code == 0, err
    found, first = (
        json.loads((folder / name).read_text()) for name in ("again.json", "two/metrics.json")
    )
    assert found["bits_per_value"] == first["bits_per_value"]
    assert found["accuracy"] == first["accuracy"]
    code, _, err = end(torchrun(*QUICK, *GDR, "--out", "two"))  # is in the way
    assert code != 0
    assert counted(err, ["two exists already"]) == [1], err


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_the_group_resumes(folder: Path) -> None:
    options = (*CAP, "--steps", "200", "--out")
    code, _, err = end(torchrun(*options, "whole"))
    assert code == 0, err
    group = torchrun(*options, "broken")
    wait_for(folder / "broken.partial" / "tune.pt", group)
    os.kill(member(group, 1), signal.SIGKILL)
    code, _, err = end(group)
    assert code != 0
    told = ("another one of the 2 processes has ended", "ended from outside, as torchrun does")
    assert sum(counted(err, told)) == 1, err
    code, _, err = end(torchrun(*options, "broken", "--resume"))
    assert code == 0, err
    assert artefacts(folder / "broken") == artefacts(folder / "whole")


@pytest.mark.slow
def test_what_one_process_alone_meets_is_told_by_it(folder: Path) -> None:
    text = (folder / "toy.py").read_text()
    (folder / "toy.py").write_text(
        text + '\n\nimport os\nif os.environ.get("RANK") == "1":\n    del images\n'
    )
    code, _, err = end(torchrun(*QUICK, *GDR, "--out", "run"))
    assert code != 0
    assert counted(err, ["error in process 1 of 2: toy:images: toy has no 'images'"]) == [1], err
    assert not (folder / "run.partial").exists()
