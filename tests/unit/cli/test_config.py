"""`--config`: options and rules from a file, the command line first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from actpress.cli.config import ConfigOption, rules_in
from actpress.cli.options import guarded
from actpress.errors import PlanError, RunError
from actpress.rules import Rule, What

SEEN: dict[str, Any] = {}

app = typer.Typer()


@app.command()
@guarded
def press(  # noqa: PLR0917 - every argument is an option of the command line
    model: str = typer.Option(),
    steps: int = 400,
    lr_scale: float = 1.0,
    mean: str | None = None,
    model_args: str | None = None,
    leaf: list[str] | None = None,
    config: ConfigOption = None,
    *,
    force: bool = typer.Option(False, "--force"),
) -> None:
    rules = rules_in(config)
    SEEN.update(locals())


Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def with_file(text: str, *arguments: str) -> Any:
        path = tmp_path / "press.toml"
        path.write_text(text)
        SEEN.clear()
        return CliRunner().invoke(app, ["--config", str(path), *arguments])

    return with_file


FULL = """
model = "package.module:factory"
steps = 20
lr_scale = 0.5
mean = [0.485, 0.456]
model-args = { num_classes = 10 }
leaf = ["a", "b"]
force = true

[[rules]]
sites = "layer1.*"
what = "leave"

[[rules]]
sites = "layer1.0"
what = "fix"
placement = "pre_act"
"""


def test_a_file_holds_every_option_and_rules(run: Run) -> None:
    found = run(FULL)
    assert found.exit_code == 0, found.output
    assert SEEN["model"] == "package.module:factory"
    assert (SEEN["steps"], SEEN["lr_scale"], SEEN["force"]) == (20, 0.5, True)
    assert (SEEN["mean"], SEEN["leaf"]) == ("0.485,0.456", ["a", "b"])
    assert SEEN["model_args"] == '{"num_classes": 10}'
    assert [rule.what for rule in SEEN["rules"]] == [What.LEAVE, What.FIX]
    assert SEEN["rules"][0] == Rule("layer1.*", What.LEAVE)


def test_the_command_line_wins(run: Run) -> None:
    found = run(FULL, "--steps", "7", "--leaf", "c")
    assert found.exit_code == 0, found.output
    assert (SEEN["steps"], SEEN["leaf"], SEEN["lr_scale"]) == (7, ["c"], 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", r"has the key 'stepz' (did you mean 'steps'?)"),
        ("config = 'x'", "has the key 'config'"),
        ("steps = [1]", "steps in "),
        ("force = 'yes'", "expected true or false"),
        ("model = true", "expected a text or a number"),
        ("steps = ", "expected a TOML file"),
        ("model = 'a:b'\nrules = 3", "is no list of tables"),
        ("model = 'a:b'\n[[rules]]\nsite = 'x'", "(did you mean 'sites'?)"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(run: Run, text: str, message: str) -> None:
    found = run(text)
    assert found.exit_code == 2
    lines = found.output.strip().splitlines()
    assert len(lines) == 1, found.output
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_numbers_are_read_as_on_the_command_line(run: Run) -> None:
    assert run("model = 'a:b'\nsteps = 3.5").exit_code == 2


def test_there_need_not_be_a_file(tmp_path: Path) -> None:
    assert rules_in(None) == ()
    with pytest.raises(RunError, match="cannot read --config"):
        rules_in(tmp_path / "none.toml")
    (tmp_path / "press.toml").write_text("rules = ['x']")
    with pytest.raises(PlanError, match="a rule is a str"):
        rules_in(tmp_path / "press.toml")
