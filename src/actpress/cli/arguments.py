"""Read what the user typed; loads without torch, so that a slip is told at once."""

import json
import os
import re
from collections.abc import Mapping
from math import prod

from actpress.errors import ModelError, RunError
from actpress.factories import split_spec

MOST_VALUES = 1 << 26
"""Values of an input image that are tried, at most, 8192 x 8192; a layer of 64 channels on it takes
16 GiB."""


def check_alone(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to be one of several processes, as `torchrun` starts them, that would do the same.

    Raises:
        RunError: there are several.
    """
    processes = environment.get("WORLD_SIZE", "1")
    if processes != "1":
        raise RunError(
            f"this is one of {processes} processes (WORLD_SIZE), but this command is made by one; "
            f"start it without torchrun; compress and evaluate take several, and sweep --on ray "
            f"makes the runs of a sweep side by side"
        )


def parse_input(text: str) -> tuple[int, ...]:
    """Read the shape of one input: channels x height x width of an image, or of another rank.

    >>> parse_input("3x224x224")
    (3, 224, 224)
    >>> parse_input("1x16000")
    (1, 16000)

    Raises:
        ModelError: not one to four positive numbers, or an input beyond all measure.
    """
    if re.fullmatch(r"\s*[1-9]\d{0,5}(x[1-9]\d{0,5}){0,3}\s*", text) is None:
        raise ModelError(
            f"cannot read the input shape {text!r}; expected channels x height x width without a "
            f"batch axis, as in 3x224x224, or 640, 1x16000 and 1x32x32x32 for other inputs"
        )
    shape = tuple(map(int, text.split("x")))
    if prod(shape) > MOST_VALUES:
        raise ModelError(
            f"an input of {text.strip()} has {prod(shape):,} values, expected at most "
            f"{MOST_VALUES:,}; give the size of the images that the network is used with"
        )
    return shape


def parse_arguments(text: str | None) -> dict[str, object]:
    """Read the keyword arguments of a factory, a JSON object; none where there is no text.

    Raises:
        ModelError: it is not one.
    """
    if text is None:
        return {}
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"cannot read the model arguments {text!r}: {error}; expected a JSON object, as in "
            f'{{"num_classes": 10}}'
        ) from error
    if not isinstance(arguments, dict):
        raise ModelError(
            f"the model arguments are a JSON {type(arguments).__name__}; expected an object, as in "
            f'{{"num_classes": 10}}'
        )
    return arguments


def check_model(spec: str, arguments: str | None) -> None:
    """Refuse a factory that cannot be read, and arguments for it likewise, before either is used.

    Raises:
        ModelError: one is malformed.
    """
    split_spec(spec, error=ModelError)
    parse_arguments(arguments)
