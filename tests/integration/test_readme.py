"""The examples of README.md work as they stand."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from actpress.cli.app import app
from actpress.methods import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_inspect_command_prints_the_sites() -> None:
    line = re.search(r"^actpress (inspect .*)$", README, re.MULTILINE)
    assert line is not None
    result = CliRunner().invoke(app, shlex.split(line[1]))
    assert result.exit_code == 0, result.output
    assert "layer4.1.relu#2" in result.stdout


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})  # noqa: S102 - the README is ours
    assert (tmp_path / "runs" / "python" / "report.html").exists()


def test_every_option_in_the_readme_exists() -> None:
    options = set(re.findall(r"(--[a-z][a-z-]+)", README)) - {"--index-url", "--nproc-per-node"}
    known = "".join(
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        for command in typer.main.get_command(app).commands  # type: ignore[attr-defined]
    )
    assert {option for option in options if option not in known} == set()


def test_every_method_is_in_the_readme() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `--method` |"))
    assert set(METHODS) - set(re.findall(r"`(\w+)`", row)) == set()


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
