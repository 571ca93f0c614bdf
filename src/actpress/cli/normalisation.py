"""Mean and standard deviation that a network's own configuration asks for."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from actpress.cli.arguments import parse_arguments
from actpress.errors import DataError
from actpress.preparation import Preparation

CONFIGS = ("pretrained_cfg", "default_cfg")
"""Where timm keeps how a network's images were prepared."""

TORCHVISION = "torchvision.models"
DEFAULT_WEIGHTS = "DEFAULT"


def with_normalisation(
    preparation: Preparation | None, network: nn.Module, model: str, model_args: str | None
) -> Preparation:
    """A preparation with the mean and std of the network's own configuration.

    timm's networks carry theirs. torchvision's weights do: those that the factory is asked for, and
    else its default ones, as all of a network were trained with the same.

    Args:
        preparation: what else is known.
        network: that was built.
        model: `package.module:factory`.
        model_args: keyword arguments of the factory, JSON.

    Raises:
        DataError: there is no such configuration.
    """
    found = _of_timm(network) or _of_torchvision(model, parse_arguments(model_args))
    if found is None:
        raise DataError(
            f"{model} says nothing of how its images are normalised, as timm's networks and "
            f"torchvision's do; give numbers, as in --mean 0.485,0.456,0.406"
        )
    mean, std = found
    return replace(preparation or Preparation(), mean=mean, std=std)


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def _of_timm(network: nn.Module) -> Normalisation | None:
    for name in CONFIGS:
        config = getattr(network, name, None)
        if isinstance(config, Mapping) and {"mean", "std"} <= config.keys():
            return tuple(config["mean"]), tuple(config["std"])
    return None


def _of_torchvision(model: str, arguments: Mapping[str, Any]) -> Normalisation | None:
    """Of the factory's weights; the user's own import of torchvision is asked, if there is one."""
    module, _, factory = model.partition(":")
    models: Any = sys.modules.get(TORCHVISION)
    if models is None or not f"{module}.".startswith(f"{TORCHVISION}."):
        return None
    try:
        weights = models.get_model_weights(factory)
        wanted = str(arguments.get("weights") or DEFAULT_WEIGHTS).rpartition(".")[2]
        preset = weights[wanted].transforms()
        return tuple(preset.mean), tuple(preset.std)
    except (AttributeError, KeyError, ValueError):
        return None
