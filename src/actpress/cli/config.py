"""`--config press.toml`: every option of a command, and rules per site, in one file."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from actpress.cli.options import EXIT_BAD_INPUT, complain
from actpress.errors import ActpressError, RunError
from actpress.rules import Rule, rules_of

RULES = "rules"
NOT_IN_FILES = {"config", "help"}
JOINED = {"mean", "std", "classes"}
"""Options that are one text with commas on the command line, and may be a list in a file."""


def _set_defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Let the options of a file take the place of defaults; those of the command line win."""
    if path is None or context.resilient_parsing:
        return path
    try:
        found = _options(read_config(path), context.command.params, path)
    except ActpressError as error:
        complain(f"error: {error}")
        raise typer.Exit(EXIT_BAD_INPUT) from error
    context.default_map = {**(context.default_map or {}), **found}
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=_set_defaults,
        help="TOML file of options by their names, and [[rules]] per site; the command line wins.",
    ),
]


def read_config(path: Path) -> dict[str, Any]:
    """The keys and values of a TOML file.

    Raises:
        RunError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(f"cannot read --config {path}: {error}; expected a TOML file") from error


def rules_in(path: Path | None) -> tuple[Rule, ...]:
    """The rules of a file; none where there is no file.

    Raises:
        RunError: they are no list of tables.
        PlanError: one is malformed.
    """
    if path is None:
        return ()
    rules = read_config(path).get(RULES, [])
    if not isinstance(rules, list):
        raise RunError(f"{RULES} in {path} is no list of tables; write one [[{RULES}]] for each")
    return rules_of(rules)


def _options(data: Mapping[str, Any], parameters: Iterable[Any], path: Path) -> dict[str, Any]:
    """The options of a file by the names of their parameters, as text that click reads.

    Raises:
        RunError: a key is no option; names the nearest. A value has a type that the option has not.
    """
    known = {
        option.removeprefix("--"): parameter
        for parameter in parameters
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    }
    names = sorted({*known, RULES} - NOT_IN_FILES)
    found = {}
    for key, value in data.items():
        name = key.replace("_", "-")
        if name == RULES:
            continue
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            near = f" (did you mean {close[0]!r}?)" if close else ""
            raise RunError(
                f"{path} has the key {key!r}{near}; expected options of the command without their "
                f"dashes, or {RULES}"
            )
        found[str(known[name].name)] = _value(name, value, known[name], path)
    return found


def _value(name: str, value: Any, option: Any, path: Path) -> Any:
    """A value as the command line would give it."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise RunError(f"{name} in {path} is {value!r}; expected true or false")
        return value
    if name == "model-args" and isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list) and (option.multiple or name in JOINED):
        texts = [_text(name, item, path) for item in value]
        return texts if option.multiple else ",".join(texts)
    return [_text(name, value, path)] if option.multiple else _text(name, value, path)


def _text(name: str, value: Any, path: Path) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RunError(f"{name} in {path} is {value!r}; expected a text or a number")
    return str(value)
