"""Help and refusals come at once: nothing that takes long to load is imported for them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actpress.cli.app import app
from actpress.cli.arguments import check_alone
from actpress.errors import RunError
from actpress.methods import METHODS
from actpress.plan import Transform
from actpress.settings import METHOD_NAMES, SEARCHED

HEAVY = ("torch", "numpy", "numba", "scipy", "matplotlib", "jinja2")
CODE = f"""
import atexit, json, sys
atexit.register(
    lambda: print("\\n" + json.dumps([n for n in {HEAVY} if n in sys.modules]), file=sys.stderr)
)
from actpress.cli import main
main()
"""
COMPRESS = ("compress", "--model", "a.b:c", "--data", "d", "--out", "o")
SWEEP = ("sweep", "--model", "a.b:c", "--data", "d", "--out", "o")


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str, list[str]]:
    """Run a command; its exit code, what it printed, and what it loaded of `HEAVY`."""
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", CODE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
    )
    told, _, loaded = ran.stderr.rstrip().rpartition("\n")
    return ran.returncode, ran.stdout + told, json.loads(loaded)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--help",), "compress"),
        (("compress", "--help"), "transform_coding"),
        (("sweep", "--help"), "--budgets"),
        (("--version",), "actpress 0."),
    ],
)
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: Sequence[str], told: str) -> None:
    code, printed, loaded = start(arguments, tmp_path)
    assert (code, loaded) == (0, [])
    assert told in printed


def test_completion_loads_nothing_heavy(tmp_path: Path) -> None:
    asked = {
        "_ACTPRESS_COMPLETE": "complete_bash",
        "_TYPER_COMPLETE_ARGS": "actpress comp",
        "COMP_WORDS": "actpress comp",
        "COMP_CWORD": "1",
    }
    prog = CODE.replace("main()\n", "sys.argv[0] = 'actpress'; main()\n")
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", prog],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, **asked},
    )
    assert ran.stdout.split() == ["compress"]
    assert json.loads(ran.stderr.splitlines()[-1]) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("compres",), "No such command"),
        (("compress",), "Missing option"),
        ((*COMPRESS, "--view", "square"), "square"),
        ((*COMPRESS, "--steps", "0"), "greater than or equal to 1"),
        ((*COMPRESS, "--budget", "lots"), "cannot read the budget"),
        ((*COMPRESS, "--budget", "6x", "--budget", "7x"), "choose one"),
        ((*COMPRESS, "--method", "magic"), "no such choice"),
        ((*COMPRESS, "--memory", "tape"), "no such choice"),
        ((*COMPRESS, "--transform", "wavelet"), "no such choice"),
        ((*SWEEP, "--parameter-bits", "5"), "no such choice"),
        ((*COMPRESS, "--input", "3x224x"), "cannot read the input shape"),
        ((*COMPRESS, "--mean", "grey"), "cannot read --mean"),
        ((*COMPRESS, "--classes", "one"), "--classes one names 1 classes"),
        ((*COMPRESS, "--model-args", "{"), "cannot read the model arguments"),
        ((*COMPRESS, "--model", "resnet"), "expected package.module:factory"),
        ((*SWEEP, "--methods", "magic"), "no such choice"),
        ((*SWEEP, "--budgets", ","), "--budgets is empty"),
        (("inspect", "--model", "a.b:c", "--input", "x"), "cannot read the input shape"),
        (("split", "run"), "split needs --at SITE"),
        (("evaluate", "run", "--json", "."), "is a folder"),
        (("evaluate", "run", "--memory", "tape"), "no such choice"),
        (("decode", "run", "a.apz", "."), "exists already"),
    ],
)
def test_a_slip_is_told_before_anything_heavy_loads(
    tmp_path: Path, arguments: Sequence[str], told: str
) -> None:
    code, printed, loaded = start(arguments, tmp_path)
    assert (code, loaded) == (2, [])
    assert told in printed


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, actpress; print(*(n for n in {HEAVY} if n in sys.modules))"
    ran = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not ran.stdout.strip()


def test_what_the_command_line_names_is_what_there_is() -> None:
    assert tuple(METHODS) == METHOD_NAMES
    assert set(SEARCHED) <= set(Transform)


def test_one_of_several_processes_is_refused() -> None:
    check_alone({})
    check_alone({"WORLD_SIZE": "1"})
    with pytest.raises(RunError, match="one of 2 processes"):
        check_alone({"WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    "command", ["inspect", "report", "export", "ram", "split", "encode", "decode", "sweep"]
)
def test_commands_of_one_process_refuse_to_be_several(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = {
        "inspect": ["--model", "m:f", "--input", "3x8x8"],
        "export": ["run", "--to", "c", "--out", "out"],
        "encode": ["run", "a.png", "a.apz"],
        "decode": ["run", "a.apz", "values"],
        "sweep": ["--model", "m:f", "--data", "d", "--out", "out"],
    }.get(command, ["run"])
    ran = CliRunner().invoke(app, [command, *arguments])
    assert (ran.exit_code, "one of 2 processes" in ran.output) == (2, True)
