"""A run directory opened from Python, with the network that its factory builds."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from actpress.errors import RunError
from actpress.graph import capture, unwrapped
from actpress.pressing import CompressedModel
from actpress.run.folder import HALF
from actpress.run.model import load_model_from
from actpress.run.source import Source, check_weights, load_source


def load_run(folder: Path | str, model: nn.Module) -> CompressedModel:
    """The compressed network of a run directory, as `compress` made it.

    Args:
        folder: that `actpress compress` or `Result.save` wrote.
        model: the float network with its trained weights; captured, not changed.

    Raises:
        RunError: a file is missing or damaged, the folder is one half of a split network, or the
            weights are not those that the run was made with.
        PlanError: the run is of another network.
    """
    folder = Path(folder)
    refuse_half(folder)
    source = load_source(folder)
    pressed = load_captured(folder, source, model)
    check_weights(source, model)
    return pressed


def load_captured(
    folder: Path, source: Source, model: nn.Module, *, stored: Mapping[str, bool] | None = None
) -> CompressedModel:
    """The codecs of a folder in a network, captured as `run.json` says; its weights may be any.

    Args:
        folder: a run directory, or a half.
        source: its `run.json`.
        model: the float network.
        stored: of a half, see `load_model_from`.

    Raises:
        RunError, PlanError: see `load_model_from`.
    """
    model = unwrapped(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    graph = capture(model, torch.zeros(2, *source.input, device=device), leaves=source.leaves)
    return load_model_from(folder, graph, stored=stored)


def refuse_half(folder: Path) -> None:
    """Refuse what `split` wrote where a whole run is wanted.

    Raises:
        RunError: the folder holds one half of a network.
    """
    if (folder / HALF).exists():
        raise RunError(
            f"{folder} holds one half of a network that was split, not a run; give the run itself"
        )
