"""Turn what the user typed into a network and its input shape."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from actpress.cli.checkpoints import load_weights
from actpress.data import IMAGE_FOLDER, Dataset, Preparation
from actpress.errors import ModelError
from actpress.factories import call_factory
from actpress.graph import hash_weights, unwrapped
from actpress.run import Source

MOST_VALUES = 1 << 28
"""Values of an input image that are tried, at most; as floats they take 1 GiB."""


def parse_input(text: str) -> tuple[int, int, int]:
    """Read the shape of one input image, channels x height x width.

    >>> parse_input("3x224x224")
    (3, 224, 224)

    Raises:
        ModelError: not three positive numbers, or an image beyond all measure.
    """
    match = re.fullmatch(r"\s*([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})\s*", text)
    if match is None:
        raise ModelError(
            f"cannot read the input shape {text!r}; expected channels x height x width without a "
            f"batch axis, as in 3x224x224"
        )
    c, h, w = int(match[1]), int(match[2]), int(match[3])
    if c * h * w > MOST_VALUES:
        raise ModelError(
            f"an input of {text.strip()} has {c * h * w:,} values, expected at most "
            f"{MOST_VALUES:,}; give the size of the images that the network is used with"
        )
    return c, h, w


def load_model(spec: str, *, args: str | None = None, weights: Path | None = None) -> nn.Module:
    """Build the network that the user named, in eval mode; no code from `weights` is executed.

    Args:
        spec: `package.module:factory`.
        args: JSON object of keyword arguments for the factory.
        weights: state dict or checkpoint, see `load_weights`.

    Raises:
        ModelError: the factory cannot be found, raises, or returns something else; the weights
            cannot be read, need code to be executed, or do not match the network.
    """
    model = call_factory(spec, error=ModelError, arguments=_parse_arguments(args))
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; expected a torch.nn.Module")
    model = unwrapped(model)
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def _parse_arguments(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        arguments = json.loads(text)
    except ValueError as error:
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


@dataclass(frozen=True)
class Origin:
    """Where the options of a command take model and data from, see `Source`."""

    model: str
    model_args: str | None
    weights: Path | None
    data: str
    leaves: tuple[str, ...]
    preparation: Preparation | None = None

    def source(self, network: nn.Module, images: Dataset) -> Source:
        """What a run directory remembers of them."""
        return Source(
            model=self.model,
            model_args=self.model_args,
            weights=None if self.weights is None else str(self.weights.resolve()),
            data=_absolute(self.data),
            preparation=self.preparation,
            input=images.input_shape,
            leaves=self.leaves,
            weights_sha256=hash_weights(network),
        )


def _absolute(data: str) -> str:
    """The name of a data set, so that it is found from other folders too."""
    if not data.startswith(IMAGE_FOLDER):
        return data
    return f"{IMAGE_FOLDER}{Path(data.removeprefix(IMAGE_FOLDER)).resolve()}"
