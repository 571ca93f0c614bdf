"""What decides a result, as data: work that was begun may only go on with the same."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from actpress.errors import RunError
from actpress.files import write_text
from actpress.run.source import Source

WEIGHTS, IMAGES = "weights_sha256", "images_sha256"
INPUTS = "inputs.json"
"""Beside checkpoints: digests of what they were made from."""


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
    """What differs, for the reader: `'tune.steps was 400, is 300'`.

    Digests are told in words, those of images only where nothing else differs, as settings say
    which images are used. A digest that either side lacks is not compared.
    """
    found = dict(_differing(before, now, ""))
    images = [words for key, words in found.items() if IMAGES in key]
    others = [words for key, words in found.items() if IMAGES not in key]
    return "; ".join(others or images)


def _differing(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str]]:
    """Dotted names of what differs, and how."""
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{prefix}{key}.")
        elif old != new and (IMAGES not in f"{prefix}{key}" or (old and new)):
            yield f"{prefix}{key}", _in_words(f"{prefix}{key}", old, new)


def _in_words(key: str, old: object, new: object) -> str:
    last = key.rpartition(".")[2]
    if IMAGES in key:
        return f"the images of the {last} split are others than before"
    if last == WEIGHTS:
        return "the network's weights are others than before"
    return f"{key} was {old}, is {new}"


def read_request(path: Path) -> dict[str, Any]:
    """What a command wrote down of what it was asked.

    Raises:
        RunError: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}; remove {path.parent} to begin anew") from error
    if not isinstance(found, dict):
        raise RunError(
            f"{path} is damaged: it holds a JSON {type(found).__name__}, expected an object; "
            f"remove {path.parent} to begin anew"
        )
    return found


def check_inputs(folder: Path, source: Source) -> None:
    """Keep digests of weights and images beside checkpoints, or compare them with those kept.

    Args:
        folder: of checkpoints; made where it is missing.
        source: with digests.

    Raises:
        RunError: checkpoints are there that other weights or images made; says which.
    """
    now = {WEIGHTS: source.weights_sha256, IMAGES: source.images_sha256}
    path = folder / INPUTS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(now, indent=1) + "\n")
    elif other := differences(read_request(path), now):
        raise RunError(
            f"{folder} holds checkpoints, but {other}; go on with the same ones, or remove it to "
            f"begin anew"
        )
