"""A command that is killed, wherever, leaves what the next one goes on from."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actpress.errors import RunError
from actpress.run import locked, new_folder, tidy
from tests.integration.test_cli import DATA, MODEL, QUICK, artefacts, compress, invoke, message
from tests.integration.test_cli import folder as working_folder

folder = working_folder

KILLED = Path(__file__).with_name("killed.py")
BEGIN = ("compress", *MODEL, *DATA, *QUICK, "--budget", "2.5bits", "--out", "work/run")
GDR = (*BEGIN, "--method", "gdr")
CAP = (*BEGIN, "--method", "cap", "--calibration-images", "64")
SWEEP = ("sweep", *MODEL, *DATA, *QUICK, "--methods", "gdr", "--budgets", "2.5bits")

Command = tuple[str, ...]


def kill_everywhere(
    folder: Path, killed: Command, *after: Command, before: tuple[Command, ...] = ()
) -> dict[str, Any]:
    commands = json.dumps({"before": before, "killed": killed, "after": after})
    one_thread = {"OMP_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(KILLED), commands],
        cwd=folder,
        env={**os.environ, **one_thread},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    assert result["last"] == 0, "the last one was not killed"
    return result


def check_outcomes(result: dict[str, Any], *calls: str) -> None:
    """Every kill was followed by the whole result and nothing else; these calls were among them."""
    told = [outcome["call"] for outcome in result["outcomes"]]
    assert not [call for call in calls if call not in told]
    for outcome in result["outcomes"]:
        assert outcome["killed"] == -signal.SIGKILL
        assert outcome["codes"][-1] == 0, outcome
        assert outcome["files"] == result["whole"], outcome


@pytest.mark.slow
def test_compress_goes_on_wherever_it_was_killed(folder: Path) -> None:
    result = kill_everywhere(folder, CAP, (*CAP, "--resume"), CAP)
    check_outcomes(
        result,
        "open /run.partial/.request.json.part",
        "open /run.partial/.tune.pt.part",
        "os.rename /run.partial/content",
        "os.rmdir /run.partial",
    )
    again = {out["call"]: out["codes"] for out in result["outcomes"] if len(out["codes"]) > 1}
    assert set(again) == {
        "os.mkdir /run.partial",
        "open /run.partial/.lock",
        "open /run.partial/.request.json.part",
        "os.rename /run.partial/.request.json.part",
    }, "only before the request is written there is nothing to resume"
    assert set(result["whole"]) == {"run", *(f"run/{name}" for name in RUN_FILES)}


RUN_FILES = ("plan.json", "codec.safetensors", "metrics.json", "report.html", "run.json")


@pytest.mark.slow
def test_a_run_that_replaces_another_goes_on_wherever_it_was_killed(folder: Path) -> None:
    force = (*GDR, "--force")
    int8 = (*BEGIN, "--method", "int8")
    result = kill_everywhere(folder, force, (*force, "--resume"), force, before=(int8,))
    check_outcomes(result, "os.rename /run", "os.rmdir /run.partial/replaced")


@pytest.mark.slow
def test_a_sweep_goes_on_wherever_it_was_killed(folder: Path) -> None:
    sweep = (*SWEEP, "--out", "work/sweep")
    result = kill_everywhere(folder, sweep, sweep)
    name = "gdr-2.5bits-entropy-batch1"
    check_outcomes(
        result,
        "open /sweep/.request.json.part",
        f"os.rename /sweep/.{name}.new/content",
        f"os.rmdir /sweep/.{name}.new",
        "open /sweep/.sweep.csv.part",
    )
    assert set(result["whole"]) == {
        "sweep",
        *(f"sweep/{file}" for file in ("request.json", "sweep.json", "sweep.csv", "sweep.html")),
        f"sweep/{name}",
        *(f"sweep/{name}/{file}" for file in RUN_FILES),
    }


@pytest.fixture
def whole(folder: Path) -> Path:
    """A complete run."""
    assert compress("--method", "gdr").exit_code == 0
    return folder / "run"


@pytest.mark.parametrize("left", [(), (".lock",), (".lock", ".request.json.part")])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_what_was_killed_before_its_request_is_no_run(
    folder: Path, left: tuple[str, ...], force: tuple[str, ...]
) -> None:
    partial = folder / "run.partial"
    partial.mkdir()
    for name in left:
        (partial / name).write_text("{")
    assert "there is nothing to resume" in message(compress("--method", "int8", "--resume"))
    assert compress("--method", "int8", *force).exit_code == 0
    assert (folder / "run" / "plan.json").exists()
    assert not partial.exists()


def move_back(whole: Path, *, replaced: bool = False) -> Path:
    """The state in which a run is whole and has not yet appeared."""
    partial = whole.with_name("run.partial")
    partial.mkdir()
    if replaced:
        (partial / "replaced").mkdir()
        (partial / "replaced" / "plan.json").write_text("older")
    whole.rename(partial / "content")
    (partial / "finished.json").write_text("{}")
    (partial / "search.json").write_text("{}")
    return partial


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_that_was_whole_when_it_was_killed_appears(
    whole: Path,
    force: tuple[str, ...],
    replaced: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    before = artefacts(whole)
    partial = move_back(whole, replaced=replaced)
    result = compress("--method", "gdr", "--resume", *force)
    assert result.exit_code == 0, result.output
    assert "complete already" in result.stderr
    assert artefacts(whole) == before
    assert not partial.exists()


def test_a_run_that_has_appeared_is_complete_whatever_is_left_beside_it(whole: Path) -> None:
    before = artefacts(whole)
    partial = whole.with_name("run.partial")
    for left in ("finished.json", ".lock"):
        partial.mkdir()
        (partial / left).write_text("{}")
        assert compress("--method", "gdr", "--resume").exit_code == 0
        assert not partial.exists()
    assert artefacts(whole) == before


def test_a_whole_run_does_not_replace_what_actpress_did_not_make(whole: Path) -> None:
    partial = move_back(whole)
    whole.mkdir()
    (whole / "thesis.tex").write_text("precious")
    assert "was not made by this command" in message(compress("--method", "gdr", "--resume"))
    assert (whole / "thesis.tex").read_text() == "precious"
    assert (partial / "content" / "plan.json").exists()


@pytest.mark.parametrize("options", [("--force",), ("--resume",), ("--resume", "--force"), ()])
def test_a_command_beside_a_running_one_is_refused(folder: Path, options: Command) -> None:
    partial = folder / "run.partial"
    with locked(partial):
        (partial / "request.json").write_text("{}")
        (partial / "tune.pt").write_text("hours of work")
        told = message(compress("--method", "int8", *options))
        assert "another command is at work in" in told
        assert (partial / "tune.pt").read_text() == "hours of work"
    assert not (folder / "run").exists()


def test_a_sweep_beside_a_running_one_is_refused(folder: Path) -> None:
    with locked(folder / "sweep"):
        told = message(invoke(*SWEEP, "--methods", "int8", "--out", "sweep"))
        assert "another command is at work in" in told


def test_a_sweep_that_was_killed_before_its_request_begins(folder: Path) -> None:
    (folder / "sweep").mkdir()
    (folder / "sweep" / ".lock").touch()
    (folder / "sweep" / ".request.json.part").write_text("{")
    assert invoke(*SWEEP, "--methods", "int8", "--out", "sweep").exit_code == 0
    left = {path.name for path in (folder / "sweep").iterdir()}
    assert left == {"request.json", "int8", "sweep.json", "sweep.csv", "sweep.html"}


def test_a_lock_ends_with_the_block_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "place"
    with locked(place):
        with pytest.raises(RunError, match="another command is at work in"), locked(place):
            pass
        assert place.is_dir(), "whoever was refused removes nothing"
    assert not place.exists()
    with locked(place):
        (place / "file").touch()
    assert [path.name for path in place.iterdir()] == ["file"]


def write_into(out: Path) -> None:
    with new_folder(out, force=False) as made:
        assert not list(made.iterdir())
        (made / "plan.json").write_text("new")


@pytest.mark.parametrize("clean", [tidy, write_into])
def test_what_a_killed_command_hid_beside_its_folder_goes(
    tmp_path: Path, clean: Callable[[Path], None]
) -> None:
    out, hidden = tmp_path / "out", tmp_path / ".out.new"
    (hidden / "content").mkdir(parents=True)
    (hidden / "content" / "half").touch()
    (hidden / ".lock").touch()
    clean(out)
    assert not hidden.exists()
    assert out.exists() == (clean is not tidy)


def test_what_was_to_be_replaced_comes_back(tmp_path: Path) -> None:
    """Killed between two renames: the earlier folder was moved away, the new one is not there."""
    out, hidden = tmp_path / "out", tmp_path / ".out.new"
    for name in ("content", "replaced"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "plan.json").write_text(name)
    with pytest.raises(RunError, match="exists already"):
        write_into(out)
    assert (out / "plan.json").read_text() == "replaced"
    assert not hidden.exists()


def test_a_folder_that_fails_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_into(out)

    def fail() -> None:
        with new_folder(out, force=True) as made:
            (made / "plan.json").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (out / "plan.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    shutil.rmtree(out)


INTERRUPTED_AT = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
at = sys.argv.pop(1)
def hook(event, arguments):
    if event in {"import", "open"} and str(arguments[0]).endswith((at, at + ".py")):
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
runpy.run_module("actpress", run_name="__main__")
"""


@pytest.mark.parametrize(
    "module", ["typer", "rich.text", "torch", "numpy", "actpress.sweeping", "/toy"]
)
def test_ctrl_c_while_a_command_starts_is_one_line(folder: Path, module: str) -> None:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", INTERRUPTED_AT, module, *CAP],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr == "interrupted; nothing was written\n"
    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == ["toy.py"]
