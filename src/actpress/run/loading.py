"""A run directory opened from Python, with the network that its factory builds."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from actpress.checkpoints import load_weights
from actpress.errors import RunError
from actpress.graph import capture, hash_weights, unwrapped
from actpress.pressing import CompressedModel
from actpress.run.folder import HALF
from actpress.run.model import load_model_from
from actpress.run.source import Source, load_source


def load_run(
    folder: Path | str, model: nn.Module, *, weights: Path | str | None = None
) -> CompressedModel:
    """The compressed network of a run directory, as `compress` made it.

    A run holds codecs, and the network's weights only where they were trained too. Where it does
    not, it needs the trained ones: in `model`, from `weights`, or from the file that the run was
    made with, if that is where it was. (`load_head` and `load_tail` need none, as halves hold
    theirs.)

    Args:
        folder: that `actpress compress` or `Result.save` wrote.
        model: the float network as its factory builds it; captured, not changed.
        weights: state dict or checkpoint that is loaded into a copy of it, without executing code.

    Raises:
        RunError: a file is missing or damaged, the folder is one half of a split network, or the
            weights are not those that the run was made with.
        ModelError: the weights cannot be read, or do not match the network.
        PlanError: the run is of another network.
    """
    folder = Path(folder)
    refuse_half(folder)
    source = load_source(folder)
    model = _with_weights(unwrapped(model), source, None if weights is None else Path(weights))
    pressed = load_captured(folder, source, model)
    if not pressed.network_learned and hash_weights(model) != source.weights_sha256:
        raise RunError(_needs_weights(source))
    return pressed


def _with_weights(model: nn.Module, source: Source, weights: Path | None) -> nn.Module:
    """The network, or a copy that has the weights of a file: the given one, or that of the run."""
    if weights is None and source.weights and hash_weights(model) != source.weights_sha256:
        known = Path(source.weights)
        weights = known if known.is_file() else None
    if weights is None:
        return model
    model = copy.deepcopy(model)
    load_weights(model, weights)
    return model


def _needs_weights(source: Source) -> str:
    known = f" (it was {source.weights})" if source.weights else ""
    return (
        f"the weights of {source.model} are not those that the run was made with, and the run does "
        f"not hold them; load the trained ones into the network, or give their file{known} as "
        f"`weights`; the head and tail of a split network need none"
    )


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
    example = torch.zeros(2, *source.input, device=device)
    graph = capture(
        model, example, leaves=source.leaves, how=source.capture, any_size=source.any_size
    )
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
