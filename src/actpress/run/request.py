"""What decides a result, as data: work that was begun may only go on with the same."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def facts_of(settings: object) -> dict[str, Any]:
    """Fields of a dataclass by name, those of dataclasses in it by dotted names.

    What is left open is `automatic`, and what JSON has no type for is text.
    """
    assert is_dataclass(settings), "settings are dataclasses"
    found: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}.{name}": own for name, own in facts_of(value).items()}
        elif value is None:
            found[field.name] = "automatic"
        else:
            plain = isinstance(value, (bool, int, float))
            found[field.name] = value if plain else str(value)
    return found


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
