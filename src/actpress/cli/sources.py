"""Turn what the user typed into a network and its input shape."""

import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from actpress.data import IMAGE_FOLDER, Dataset, Preparation
from actpress.errors import ModelError
from actpress.factories import call_factory
from actpress.graph import hash_weights
from actpress.run import Source

SHOWN_KEYS = 5
CONVERT = (
    "convert it where you trust it: safetensors.torch.save_file(model.state_dict(), "
    "'weights.safetensors')"
)


def parse_input(text: str) -> tuple[int, int, int]:
    """Read the shape of one input image, channels x height x width.

    >>> parse_input("3x224x224")
    (3, 224, 224)

    Raises:
        ModelError: not three positive numbers.
    """
    match = re.fullmatch(r"\s*([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})\s*", text)
    if match is None:
        raise ModelError(
            f"cannot read the input shape {text!r}; expected channels x height x width without a "
            f"batch axis, as in 3x224x224"
        )
    return int(match[1]), int(match[2]), int(match[3])


def load_model(spec: str, *, args: str | None = None, weights: Path | None = None) -> nn.Module:
    """Build the network that the user named, in eval mode; no code from `weights` is executed.

    Args:
        spec: `package.module:factory`.
        args: JSON object of keyword arguments for the factory.
        weights: state dict as `.safetensors`, `.pt` or `.pth`; the last two may hold it under the
            key `state_dict`.

    Raises:
        ModelError: the factory cannot be found, raises, or returns something else; the weights
            cannot be read, need code to be executed, or do not match the network.
    """
    model = call_factory(spec, error=ModelError, arguments=_parse_arguments(args))
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; expected a torch.nn.Module")
    if weights is not None:
        _apply(model, read_weights(weights), weights)
    return model.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict without executing code from the file.

    Raises:
        ModelError: the file is missing, damaged, holds something else, or needs code.
    """
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in (".pt", ".pth"):
        return _state_dict(_read_checkpoint(path), path)
    raise ModelError(f"cannot tell the format of {path}; expected .safetensors, .pt or .pth")


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


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}; fetch the file again") from error


def _read_checkpoint(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; what matters ends in an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(_needs_code(path)) from error
    except Exception as error:  # a damaged pickle can raise anything
        if "TorchScript" in str(error):
            raise ModelError(_needs_code(path)) from error
        raise ModelError(
            f"{path} is damaged: {type(error).__name__}: {error}; fetch the file again"
        ) from error


def _needs_code(path: Path) -> str:
    return (
        f"{path} holds more than tensors and would have to execute code to be loaded, which "
        f"actpress never does; {CONVERT}"
    )


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}; expected a state dict")
    other = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if other or not content:
        raise ModelError(
            f"{path} is not a state dict, its keys without a tensor are: {_first(other)}; expected "
            f"one, or one under the key state_dict; {CONVERT}"
        )
    return content


def _apply(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    wrong = {
        key: f"{key} is {tuple(value.shape)}, expected {tuple(expected[key].shape)}"
        for key, value in state.items()
        if key in expected and value.shape != expected[key].shape
    }
    fitting = {key: value for key, value in state.items() if key not in wrong}
    outcome = model.load_state_dict(fitting, strict=False)
    complaints = {
        "missing": [key for key in outcome.missing_keys if key not in wrong],
        "unexpected": outcome.unexpected_keys,
        "wrong shape": list(wrong.values()),
    }
    found = [f"{kind}: {_first(keys)}" for kind, keys in complaints.items() if keys]
    if found:
        raise ModelError(
            f"the weights {path} do not match the network; {'; '.join(found)}; check the factory "
            f"and its arguments"
        )


def _first(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more


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
