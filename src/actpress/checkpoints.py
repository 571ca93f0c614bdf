"""Weights from files of many makers, without executing code from them."""

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from actpress.errors import ModelError

PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".tar")
KEYS = ("state_dict", "model_state_dict", "model", "net")
"""Where a checkpoint may hold the state dict, the likeliest first."""

PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers around a network put before the names of its weights."""

COUNTERS = ("total_ops", "total_params")
"""Buffers that profilers leave."""

SHOWN_KEYS = 5
CONVERT = (
    "convert it where you trust it: safetensors.torch.save_file(model.state_dict(), "
    "'weights.safetensors')"
)


def load_weights(model: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network.

    A prefix that all names in the file have in common, and counters of profilers, are left out
    where the network has no such names.

    Args:
        model: changed.
        path: see `read_weights`.

    Raises:
        ModelError: the file cannot be read (see `read_weights`), or names, shapes or types do not
            match the network's.
    """
    expected = model.state_dict()
    state = _renamed(read_weights(path), expected)
    _check_types(state, expected, path)
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


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, or the one in a checkpoint under one of `KEYS`.

    Args:
        path: `.safetensors`, or one of `PICKLED`.

    Raises:
        ModelError: the file is missing, damaged, holds something else, or needs code.
    """
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in PICKLED:
        return _state_dict(_read_checkpoint(path), path)
    raise ModelError(
        f"cannot tell the format of {path}; expected .safetensors, .pt or .pth, or one of "
        f"{', '.join(PICKLED[2:])}"
    )


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
    while isinstance(content, dict):
        inside = next((content[k] for k in KEYS if isinstance(content.get(k), dict)), None)
        if inside is None:
            break
        content = inside
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}; expected a state dict")
    other = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if other or not content:
        raise ModelError(
            f"{path} is not a state dict, its keys without a tensor are: {_first(other)}; expected "
            f"one, or one under a key {', '.join(KEYS)}; {CONVERT}"
        )
    return content


def _renamed(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    state = {
        key: value
        for key, value in state.items()
        if key in expected or key.rpartition(".")[2] not in COUNTERS
    }
    while not state.keys() & expected.keys():
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None or not state:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _check_types(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Weights that were cast to few bits are other numbers without the scale they had."""
    wrong = [
        f"{key} is {value.dtype}"
        for key, value in state.items()
        if key in expected and expected[key].is_floating_point() and not _holds_numbers(value)
    ]
    if wrong:
        raise ModelError(
            f"the weights {path} are quantized and lack the scale that makes numbers of them: "
            f"{_first(wrong)}; expected floating numbers of at least 16 bits; give the weights "
            f"before they were quantized"
        )


def _holds_numbers(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype.itemsize >= torch.float16.itemsize


def _first(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more
