"""What decides a result, as data: work that was begun may only go on with the same."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def facts_of(settings: object) -> dict[str, Any]:
    """Fields of a dataclass by name, those of dataclasses in it nested, other values as text."""
    assert is_dataclass(settings), "settings are dataclasses"
    found: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        plain = value is None or isinstance(value, (bool, int, float))
        found[field.name] = (
            facts_of(value) if is_dataclass(value) else value if plain else str(value)
        )
    return found


def flat_facts_of(settings: object) -> dict[str, Any]:
    """The same with dotted names and nothing nested; what is left open is `automatic`."""
    flat: dict[str, Any] = {}
    for name, value in facts_of(settings).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": _said(own) for key, own in value.items()}
        else:
            flat[name] = _said(value)
    return flat


def _said(value: object) -> object:
    return "automatic" if value is None else value


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs, for the reader: `'tune.steps was 400, is 300'`."""
    return "; ".join(_differing(before, now, ""))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key} was {old}, is {new}"
